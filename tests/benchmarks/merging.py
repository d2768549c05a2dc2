"""Benchmark 19: two branches of a million features merge, `switch` costs what differs, an event is its net change."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.benchmarks.differences import _make_octagons, _make_rows
from tests.benchmarks.measure import (
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer import Dataset

FEATURES, CHANGED, EVENTS, ROUNDS = 1_000_000, 1_000, 10, 5
MANY: Final = 10
"""How many times as many changes the branch has to which `switch` is compared."""


def measure_merge(folder: Path, scale: float) -> list[Row]:
    """19. A merge of two branches with 1,000 changes each on 1,000,000 features, `switch`, and the size of the event."""
    count, changed = round(FEATURES * scale), max(round(CHANGED * scale), EVENTS)
    report_progress(f"merges: {count:,} features, {changed:,} changes on each of two branches")
    run_in_process(_write_branches, folder / "dataset", count, changed)
    subject = f"{changed:,} changes on each of two branches of {count:,} features"
    walls, cpus, sizes = zip(*(run_in_process(_measure_merge, _copy(folder, n)) for n in range(ROUNDS)), strict=True)
    commands = [run_geographer(_copy(folder, number), "merge", "topic") for number in range(ROUNDS)]
    few, many, copy = run_in_process(_measure_switches, folder / "dataset")
    return [
        check_limit(f"merge, {subject}", statistics.median(walls), 1, unit="s"),
        Row("the same, CPU of all threads", f"{statistics.median(cpus):.2f} s"),
        Row("the same, the whole command", f"{statistics.median(cost.wall for cost in commands):.2f} s"),
        compare_values("segment of the merge event", *sizes[0], unit="kB", other_name="those it merges", at_most=1.1),
        compare_values(f"switch, {changed:,} changes", few, copy, unit="s", other_name="copying the state"),
        compare_values(
            f"switch, {changed:,} changes", few, many, unit="s", other_name=f"{changed * MANY:,} changes", at_most=1
        ),
    ]


def _copy(folder: Path, number: int) -> Path:
    """Copy the dataset, in place of the last copy."""
    target = folder / "copy"
    shutil.rmtree(target, ignore_errors=True)
    report_progress(f"merges: copy {number + 1}")
    subprocess.run(["cp", "-a", str(folder / "dataset"), str(target)], check=True)
    run_in_process(_check_copy, target)
    return target


def _check_copy(root: Path) -> None:
    """Let the copy know its files, as the last command in it would have left them."""
    from geographer import Dataset

    Dataset.open(root)._unit_of_work.prepare_head(None)


def _write_branches(root: Path, count: int, changed: int) -> None:
    """Write features, a branch `topic` and `main` that each change some of them, and `far`, which changes many."""
    from geographer import Dataset
    from tests.benchmarks.differences import CLASSES

    dataset = Dataset.init(root, classes=CLASSES, scm=False)
    rng = np.random.Generator(np.random.PCG64(19))
    ids = rng.permutation(count)
    values = (rng.uniform(6, 12, count), rng.uniform(45, 50, count), rng.uniform(2e-4, 1e-3, count))
    _append_features(dataset, _make_rows("added", np.arange(count), _make_octagons(*values)))
    for name in ("topic", "far"):
        dataset.create_branch(name)
    for name, chosen in (("main", ids[:changed]), ("topic", ids[-changed:]), ("far", ids[: changed * MANY])):
        if name != "main":
            dataset.switch_branch(name)
        for part in np.array_split(np.sort(chosen), EVENTS):
            dataset.add_features(_make_table(part, tuple(column[part] + 2e-5 for column in values)), replace=True)
    dataset.switch_branch("main")


def _append_features(dataset: Dataset, rows: pa.Table) -> None:
    """Append the event that adds features, without checking them."""
    from geographer.operations.add.events import FeatureIds, FeaturesAdded
    from geographer.storage.events import CommitInfo
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head

    ids, columns = FeatureIds("column", "id"), {"depth": "BIGINT"}
    payload = FeaturesAdded(
        request={}, source="", columns=columns, features=0, skipped=0, classes=[], crs="EPSG:4326", ids=ids
    )
    database = dataset._unit_of_work.database
    with database.open_connection(log="w", spatial=True) as connection:
        append_event(database, payload, {"feature_change": rows}, CommitInfo("Ada"), read_head(connection))


def _make_table(ids: np.ndarray, values: tuple[Any, ...]) -> pa.Table:
    """Make an Arrow table of features, as users pass it."""
    import json

    import pyarrow as pa
    import shapely

    from tests.benchmarks.differences import CLASSES

    metadata = {
        "ARROW:extension:name": "geoarrow.wkb",
        "ARROW:extension:metadata": json.dumps({"crs": "EPSG:4326"}),
    }
    columns: dict[str, Any] = {
        "feature_id": pa.array(ids),
        "class": [CLASSES[number % 3] for number in ids],
        "depth": pa.array(ids % 7),
        "geometry": pa.array(shapely.to_wkb(_make_octagons(*values)), pa.binary()),
    }
    table = pa.table(columns)
    field = pa.field("geometry", pa.binary(), metadata=metadata)
    return table.set_column(3, field, table["geometry"])


def _measure_merge(root: Path) -> tuple[float, float, tuple[float, float]]:
    """Return wall and CPU seconds of a merge, and the kB of its segment and of a segment of the merged events.

    The process has merged another dataset before: imports do not count.
    """
    from geographer import Dataset

    small = root.with_name("small")
    shutil.rmtree(small, ignore_errors=True)
    _write_branches(small, 100, EVENTS)
    Dataset.open(small).merge_branch("topic")
    dataset = Dataset.open(root)
    dataset.classes()
    with measure_cost() as cost:
        result = dataset.merge_branch("topic")
    assert result.changed, result
    return cost.wall, cost.cpu, (_measure_segment(dataset, "HEAD"), _measure_segment(dataset, "topic", EVENTS))


def _measure_segment(dataset: Dataset, revision: str, count: int = 1) -> float:
    """Return the size, in kB, of a segment with the last events up to a revision."""
    from geographer.storage.history.segments import write_segment

    path = dataset.root / "measured.parquet"
    with dataset._unit_of_work.open_revision(revision) as opened:
        write_segment(opened.connection, opened.position - count + 1, opened.position, path)
    return path.stat().st_size / 1e3


def _measure_switches(root: Path) -> tuple[float, float, float]:
    """Return the median seconds of switches to `topic` and to `far` and back, and those of copying the state."""
    from geographer import Dataset

    dataset = Dataset.open(root)
    costs: dict[str, list[float]] = {"topic": [], "far": []}
    for _ in range(ROUNDS):
        for name, walls in costs.items():
            for target in (name, "main"):
                with measure_cost() as cost:
                    dataset.switch_branch(target)
                walls.append(cost.wall)
    state, copies = root / ".geographer/state.duckdb", []
    for _ in range(ROUNDS):
        with measure_cost() as cost:
            shutil.copyfile(state, root / "state.copy")
        copies.append(cost.wall)
    return statistics.median(costs["topic"]), statistics.median(costs["far"]), statistics.median(copies)
