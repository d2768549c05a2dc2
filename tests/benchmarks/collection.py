"""Benchmark 5: a few rasters added to a large collection, compared with DVC's own `add` of such a folder."""

from __future__ import annotations

import shutil
import statistics
import warnings
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import Row, compare_values, measure_cost, report_progress, run_in_process

COLLECTION, MORE, ROUNDS, SIDE = 10_000, 10, 5, 64


def compare_small_addition(folder: Path, scale: float) -> list[Row]:
    """5. Adding 10 rasters to a collection of 10,000, compared with DVC's Repo.add of that folder."""
    count = round(COLLECTION * scale)
    report_progress(f"collection: generating and adding {count:,} rasters")
    run_in_process(_write_rasters, folder / "rasters", count)
    ours, dvc = run_in_process(_measure_additions, folder)
    subject = f"adding {MORE} rasters to {count:,}"
    return [compare_values(subject, ours, dvc, unit="CPU s", other_name="DVC's Repo.add", at_most=1 / 5)]


def _write_rasters(folder: Path, count: int) -> None:
    """Write `count` small rasters side by side to `first`, and `MORE` to each folder `more0`, `more1` …"""
    import rasterio

    rng = np.random.Generator(np.random.PCG64(5))
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "compress": "deflate"}
    folders = ["first"] * count + [f"more{number // MORE}" for number in range((ROUNDS + 1) * MORE)]
    for number, name in enumerate(folders):
        (folder / name).mkdir(parents=True, exist_ok=True)
        row, column = divmod(number, 100)
        transform = rasterio.Affine(10, 0, 400_000 + 640 * column, 0, -10, 5_300_000 - 640 * row)
        path = folder / name / f"r{number:05}.tif"
        with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as raster:
            raster.write(rng.integers(0, 200, (1, SIDE, SIDE), "uint8"))


def _measure_additions(folder: Path) -> tuple[float, float]:
    """Return the median CPU seconds of our additions and of DVC's, in turns; the first of each warms the process."""
    # pygtrie, which DVC imports, warns.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="pygtrie")
    from dvc.repo import Repo

    from geographer import Dataset

    rasters, tracked = folder / "rasters", folder / "dvc" / "source"
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_rasters(rasters / "first")
    shutil.copytree(rasters / "first", tracked)
    ours, dvc = [], []
    with Repo.init(str(tracked.parent), no_scm=True) as repo:
        repo.add(str(tracked))
        for number in range(ROUNDS + 1):
            more = rasters / f"more{number}"
            with measure_cost() as cost:
                dataset.add_rasters(more)
            ours.append(cost.cpu)
            shutil.copytree(more, tracked, dirs_exist_ok=True)
            with measure_cost() as cost:
                repo.add(str(tracked))
            dvc.append(cost.cpu)
    return statistics.median(ours[1:]), statistics.median(dvc[1:])
