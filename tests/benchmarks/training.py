"""Benchmark 22: chips with masks per second in a data loader, compared with a plain loop of rasterio over the same files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import Row, compare_values, measure_cost, report_progress, run_in_process

SIDE, SIZE, BANDS, ROUNDS, BATCH = 8_192, 256, 4, 5, 16
_PIXEL, _WEST, _NORTH = 10.0, 400_000.0, 5_300_000.0


def compare_chip_loading(folder: Path, scale: float) -> list[Row]:
    """22. 1,024 chips of 256 px with masks in ChipDataset, compared with a loop that opens both files with rasterio."""
    side = max(round(SIDE * scale**0.5 / SIZE), 2) * SIZE
    report_progress("training: cutting and labelling chips")
    run_in_process(create_chips, folder, side)
    report_progress("training: reading")
    rates: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, found in run_in_process(measure_rates, folder / "dataset").items():
            best = rates.get(name, (0.0, 0.0))
            rates[name] = max(found[0], best[0]), max(found[1], best[1])
    subject = f"{(side // SIZE) ** 2:,} chips with masks"
    return [
        compare_values(
            f"{subject}, {place}",
            rates[f"ours, {place}"][number],
            rates[f"{peer}, {place}"][number],
            unit=unit,
            other_name=f"{peer} of rasterio",
            at_least=0.95 if peer == "loop" else None,
        )
        for place in ("no loader", "0 workers", "1 worker")
        for number, unit in enumerate(("chips/s", "chips/CPU s"))
        for peer in ("loop", "unconverted loop")
    ]


def create_chips(folder: Path, side: int) -> None:
    """Create a dataset of chips with masks in `folder / "dataset"`."""
    import json

    import rasterio

    from geographer import Dataset

    folder.mkdir(parents=True)
    rng = np.random.Generator(np.random.PCG64(22))
    profile = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16", "nodata": 0}
    transform = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    with rasterio.open(
        folder / "scene.tif", "w", crs="EPSG:32633", transform=transform, tiled=True, **profile
    ) as scene:
        for band in range(1, BANDS + 1):
            smooth = rng.normal(1500, 300, (side // 16, side // 16)).repeat(16, 0).repeat(16, 1)
            scene.write((smooth + rng.normal(0, 60, smooth.shape)).clip(1, 10_000).astype(np.uint16), band)
    features = []
    for number in range(side // 64):
        west, south = _WEST + rng.uniform(0, side * _PIXEL), _NORTH - rng.uniform(0, side * _PIXEL)
        size = rng.uniform(100, 3_000)
        corners = [(0, 0), (size, 0), (size, size), (0, size), (0, 0)]
        polygon = {"type": "Polygon", "coordinates": [[(west + x, south + y) for x, y in corners]]}
        properties = {"id": f"f{number}", "class": ("field", "lake", "town")[number % 3]}
        features.append({"type": "Feature", "properties": properties, "geometry": polygon})
    (folder / "features.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(folder / "features.geojson", crs="EPSG:32633")
    dataset.add_rasters(folder / "scene.tif", mode="reference")
    dataset.cut_grid("chips", size=SIZE)
    dataset.label_masks("mask", collection="chips")


class PlainChips:
    """What people write by hand: open both files, read them, make tensors of the dtypes that a model needs."""

    def __init__(self, files: list[tuple[str, str]], *, as_stored: bool = False) -> None:
        self._files, self._as_stored = files, as_stored

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import rasterio
        import torch

        image_path, mask_path = self._files[index]
        with rasterio.open(image_path) as raster:
            image = torch.from_numpy(raster.read())
        with rasterio.open(mask_path) as raster:
            mask = torch.from_numpy(raster.read(1))
        return {"image": image, "mask": mask} if self._as_stored else {"image": image.float(), "mask": mask.long()}


def measure_rates(root: Path) -> dict[str, tuple[float, float]]:
    """Return chips per wall second and per CPU second of all, without a loader and in loaders with 0 and 1 workers."""
    import torch

    from geographer import Dataset
    from geographer.torch import ChipDataset, collate_chips

    torch.set_num_threads(1)
    rows = Dataset.open(root).samples(collection="chips").to_pylist()
    files = [(row["path"], row["label_mask"]) for row in rows]
    datasets: dict[str, Any] = {
        # Only one file stays open, so that each epoch opens all: what is measured is the first epoch.
        "ours": ChipDataset(root, collection="chips", max_open_files=1),
        "loop": PlainChips(files),
        "unconverted loop": PlainChips(files, as_stored=True),
    }
    for first, second in zip(datasets["ours"], (datasets["loop"][index] for index in range(3)), strict=False):
        assert torch.equal(first["image"], second["image"])
        assert torch.equal(first["mask"], second["mask"])
    rates = {}
    for name, chips in datasets.items():
        collate = collate_chips if name == "ours" else None
        rates[f"{name}, no loader"] = measure_rate(partial(read_each, chips), len(chips))
        loader = torch.utils.data.DataLoader(chips, BATCH, collate_fn=collate)
        rates[f"{name}, 0 workers"] = measure_rate(partial(count_batches, loader), len(chips))
        # The first epoch starts the worker; the second one is measured.
        loader = torch.utils.data.DataLoader(
            chips, BATCH, collate_fn=collate, num_workers=1, persistent_workers=True, multiprocessing_context="fork"
        )
        count_batches(loader)
        rates[f"{name}, 1 worker"] = measure_rate(partial(count_batches, loader), len(chips))
    return rates


def read_each(chips: Any) -> None:
    """Read each sample of a dataset."""
    for index in range(len(chips)):
        chips[index]


def count_batches(loader: Any) -> int:
    """Read all batches of a loader, and return their number."""
    return sum(1 for _ in loader)


def measure_rate(function: Callable[[], object], count: int) -> tuple[float, float]:
    """Return how many of `count` items a function makes in a wall second, and in a CPU second of all processes."""
    with measure_cost() as cost:
        function()
    return count / cost.wall, count / cost.cpu
