"""Batches: equal in any number of worker processes; samplers; a model that learns; Lightning."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from geographer import UsageError
from geographer.torch import ChipDataset, ClassBalancedSampler, ComponentBalancedSampler, collate_chips
from geographer.torch.samplers import BalancedSampler
from tests.torch.random_transform import add_noise
from tests.torch.training_dataset import BANDS, CLASSES, SIZE

SELECTION: dict[str, Any] = {"split": "split", "labels": ["mask", "boxes"]}


def load_batches(chips: ChipDataset, **options: Any) -> list[dict[str, Any]]:
    return [*DataLoader(chips, batch_size=4, collate_fn=collate_chips, **options)]


def assert_equal_batches(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"process"}:
            values = (a[key], b[key]) if isinstance(a[key], list) else ([a[key]], [b[key]])
            for x, y in zip(*values, strict=True):
                assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_batches_are_equal_in_any_number_of_processes(folders, method):
    chips = ChipDataset(folders.dataset, **SELECTION, transforms=add_noise, seed=5)
    chips.set_epoch(3)
    expected = load_batches(chips)  # opens the files, which forked processes must not use
    batches = load_batches(chips, num_workers=2, multiprocessing_context=method)
    assert_equal_batches(expected, batches)
    processes = {number for batch in batches for number in batch["process"].tolist()}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_random_transforms_depend_on_seed_epoch_and_index(folders):
    def read_noise(seed: int | None, epoch: int) -> list[list[float]]:
        chips = ChipDataset(folders.dataset, **SELECTION, transforms=add_noise, seed=seed)
        chips.set_epoch(epoch)
        torch.manual_seed(0)
        noise = [chips[number]["noise"].tolist() for number in (0, 1)]
        drawn = torch.rand(()).item()
        torch.manual_seed(0)
        assert (drawn == torch.rand(()).item()) == (seed is not None)  # the state of the generator is restored
        return noise

    noise = read_noise(1, 0)
    assert read_noise(1, 0) == noise
    assert len({value for row in noise for value in row}) == 6
    assert all(read_noise(*other) != noise for other in ((2, 0), (1, 1), (None, 0)))


def test_epoch_reaches_running_workers(folders):
    chips = ChipDataset(folders.dataset, **SELECTION, transforms=add_noise, seed=1)
    loader = DataLoader(chips, batch_size=16, num_workers=1, persistent_workers=True, collate_fn=collate_chips)
    noise = []
    for epoch in (0, 1, 0):
        chips.set_epoch(epoch)
        noise.append(next(iter(loader))["noise"])
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])


def test_pickled_dataset_gives_equal_samples(folders):
    chips = ChipDataset(folders.dataset, **SELECTION)
    copy = pickle.loads(pickle.dumps(chips))
    assert_equal_batches(load_batches(chips), load_batches(copy))


def test_collate_lists_what_has_no_common_shape(folders):
    batch = next(iter(DataLoader(ChipDataset(folders.dataset, **SELECTION), batch_size=16, collate_fn=collate_chips)))
    assert batch["image"].shape == (16, BANDS, SIZE, SIZE)
    assert batch["mask"].shape == (16, SIZE, SIZE)
    assert [len(boxes) for boxes in batch["bbox_xyxy"]] == [len(labels) for labels in batch["label"]]
    assert [len(ids) for ids in batch["feature_ids"]] == [len(labels) for labels in batch["label"]]
    instances = collate_chips([*ChipDataset(folders.dataset, split="split", labels="instances")])
    assert [mask.shape[0] for mask in instances["mask"]] == [len(labels) for labels in instances["label"]]
    masks = [*ChipDataset(folders.dataset, split="split", labels="mask")]
    assert_equal_batches([collate_chips(masks)], [default_collate(masks)])


def test_sampler_shows_each_class_equally_often(folders):
    chips = ChipDataset(folders.dataset, **SELECTION)
    classes = [row["classes"] for row in folders.dataset.samples(split="split").to_pylist()]
    rare = max(CLASSES, key=lambda name: -sum(name in shown for shown in classes))
    sampler = ClassBalancedSampler(chips, num_samples=400)
    draws = [*sampler]
    shown = Counter(name for number in draws for name in classes[number] or ["none"])
    assert len(draws) == len(sampler) == 400
    assert min(shown.values()) >= 100  # of four groups
    assert shown[rare] > 400 * sum(rare in names for names in classes) / len(chips)
    assert draws == [*ClassBalancedSampler(chips, num_samples=400)]
    sampler.set_epoch(1)
    assert [*sampler] != draws


def test_sampler_shows_each_component_equally_often(folders):
    chips = ChipDataset(folders.dataset, **SELECTION)
    components = [row["component"] for row in folders.dataset.samples(split="split").to_pylist()]
    assert chips.components.tolist() == components
    drawn = Counter(components[number] for number in ComponentBalancedSampler(chips, num_samples=203))
    assert drawn.keys() == {*components}
    assert max(drawn.values()) - min(drawn.values()) == 1
    with pytest.raises(UsageError, match="components of the chips are not known"):
        ComponentBalancedSampler(ChipDataset(folders.dataset, collection="around"))


def test_processes_of_distributed_training_share_the_draws(folders):
    chips = ChipDataset(folders.dataset, **SELECTION)
    together = [*ClassBalancedSampler(chips, num_samples=30, seed=2)]
    parts = [[*ClassBalancedSampler(chips, num_samples=30, seed=2, num_replicas=4, rank=rank)] for rank in range(4)]
    assert {len(part) for part in parts} == {8}
    assert [parts[number % 4][number // 4] for number in range(30)] == together
    once = BalancedSampler(chips, [np.arange(len(chips))])
    assert sorted(once) == [*range(16)]
    for arguments in ({"num_samples": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match="at least"):
            ClassBalancedSampler(chips, **arguments)


def test_model_learns_the_masks(folders):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    chips = ChipDataset(folders.dataset, split="split", labels="mask", mean=[30.0] * BANDS, std=[50.0] * BANDS)
    assert chips.ignore_index is not None
    model = torch.nn.Sequential(torch.nn.Conv2d(BANDS, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
    criterion = torch.nn.CrossEntropyLoss(ignore_index=chips.ignore_index)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        for batch in DataLoader(chips, batch_size=4, shuffle=True):
            loss = criterion(model(batch["image"]), batch["mask"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.3 * np.mean(losses[:4])


def test_data_module_gives_the_subsets(folders):
    from geographer.torch import ChipDataModule  # spawned processes import this file: Lightning would cost them seconds

    options: dict[str, Any] = {"labels": "mask", "batch_size": 3, "train_transforms": add_noise}
    module = ChipDataModule(folders.dataset, sampler="class", num_samples=40, **options)
    released = ChipDataModule(folders.checkout, **options)
    for stage in ("fit", "test"):
        module.setup(stage)
        released.setup(stage)
    parts = {name: {*chips.raster_ids} for name, chips in module.datasets.items()}
    rows = folders.dataset.samples(split="split").to_pylist()
    assert parts == {
        name: {row["raster_id"] for row in rows if row["part"] == name} for name in ("train", "val", "test")
    }
    assert sum(len(batch["image"]) for batch in module.train_dataloader()) == 40
    assert_equal_batches([*module.val_dataloader()], [*released.val_dataloader()])
    assert {id for batch in released.train_dataloader() for id in batch["raster_id"]} == parts["train"]
    assert "noise" not in next(iter(module.predict_dataloader()))
    with pytest.raises(UsageError, match="invalid sampler 'classes'"):
        ChipDataModule(folders.dataset, sampler="classes")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"Call setup\('fit'\)"):
        ChipDataModule(folders.dataset).train_dataloader()
    with pytest.raises(UsageError, match="invalid stage 'train'"):
        ChipDataModule(folders.dataset).setup("train")
    with pytest.raises(UsageError, match="holds one revision"):
        ChipDataModule(folders.checkout, at="v1").setup("fit")
