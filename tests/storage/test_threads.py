"""Threads that share one dataset: each change records the rows that it planned, and reads see one revision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from geographer import Dataset

THREADS = 8


def test_threads_record_what_they_planned(dataset: Dataset):
    """Planned rows are views of the connection that all threads use."""

    def add_classes(number: int) -> tuple[int, list[str]]:
        names = [f"class{number}_{index}" for index in range(number + 1)]
        position = dataset.add_classes(names).position
        assert len(dataset.classes(at=1)) == 0
        return position, names

    with ThreadPoolExecutor(THREADS) as threads:
        results = dict(threads.map(add_classes, range(THREADS)))
    assert sorted(results) == list(range(2, THREADS + 2))
    for position, names in results.items():
        before = {row["class"] for row in dataset.classes(at=position - 1).to_pylist()}
        after = {row["class"] for row in dataset.classes(at=position).to_pylist()}
        assert after - before == set(names)
        assert dataset.show(position).payload["classes"] == names
    assert dataset.verify() == []


def test_dataset_objects_of_one_process_wait_for_each_other(dataset: Dataset):
    """Two objects have two in-memory databases, which lock the files against each other."""
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(lambda _: len(Dataset.open(dataset.root).log()), range(8)))
    assert counts == [1] * 8
