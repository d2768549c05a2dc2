"""Benchmark 4: a thousand chips from one scene, compared with plain loops of rasterio reads and writes."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.measure import (
    Cost,
    Row,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)

SIDE, CHIPS, SIZE, BANDS, BLOCK, ROUNDS = 10_980, 1_000, 256, 4, 512, 3
_WEST, _NORTH, _PIXEL = 399_960.0, 5_300_040.0, 10.0
_CRS = "EPSG:32633"
# The creation options of geographer's chips (rasters/write.py), so that the loops do the same work.
_OPTIONS = {
    "driver": "GTiff",
    "width": SIZE,
    "height": SIZE,
    "count": BANDS,
    "dtype": "uint16",
    "interleave": "pixel",
    "compress": "zstd",
    "zstd_level": 1,
    "predictor": 2,
    "tiled": False,
    "blockysize": 64,
}


class Chip(NamedTuple):
    """The position of a chip's first pixel in the scene."""

    col: int
    row: int


def compare_chip_loops(folder: Path, scale: float) -> list[Row]:
    """4. 1,000 chips of 256 px from a COG of 10,980 px, compared with a sorted loop and one that reopens the file."""
    report_progress("cutting: generating a scene")
    folder.mkdir()
    scene = folder / "scene.tif"
    run_in_process(_write_inputs, folder, scene, scale)
    run_geographer(folder, "init", folder / "dataset", "--no-scm")
    run_geographer(folder / "dataset", "add", "features", folder / "features.parquet")
    run_geographer(folder / "dataset", "add", "rasters", scene, "--mode", "reference")
    chips = run_in_process(_list_chips, folder / "dataset")
    rounds: dict[str, list[Cost]] = {}
    for number in range(ROUNDS):
        report_progress(f"cutting {len(chips):,} chips, round {number + 1} of {ROUNDS}")
        for name, measure, *arguments in (
            ("loop", _measure_sorted_loop, scene, chips, folder / "out"),
            ("render", _measure_rendering, scene, chips, folder / "out"),
            ("cut", _measure_cut, folder / "dataset", folder / "copy", 1),
            ("cut with 2 workers", _measure_cut, folder / "dataset", folder / "copy", 2),
        ):
            rounds.setdefault(name, []).append(run_in_process(measure, *arguments))
    report_progress("cutting with a loop that opens the scene for each chip")
    rounds["reopening loop"] = [run_in_process(_measure_reopening_loop, scene, chips, folder / "out")]
    return _make_rows(rounds, len(chips))


def _make_rows(rounds: dict[str, list[Cost]], count: int) -> list[Row]:
    """Compare chips per second, in the fastest round of each."""
    cpu = {name: count / min(cost.cpu for cost in costs) for name, costs in rounds.items()}
    wall = {name: count / min(cost.wall for cost in costs) for name, costs in rounds.items()}
    cut, render = f"{count:,} chips, cut_around_features", f"{count:,} chips, rendering only"
    sorted_loop: dict[str, Any] = {"other_name": "sorted loop"}
    by_wall, by_cpu = "chips/s", "chips/CPU s"
    return [
        compare_values(f"{cut}, 1 worker", wall["cut"], wall["loop"], unit=by_wall, at_least=0.9, **sorted_loop),
        compare_values(f"{cut}, 1 worker", cpu["cut"], cpu["loop"], unit=by_cpu, **sorted_loop),
        compare_values(f"{render}, 1 worker", wall["render"], wall["loop"], unit=by_wall, **sorted_loop),
        compare_values(f"{render}, 1 worker", cpu["render"], cpu["loop"], unit=by_cpu, **sorted_loop),
        compare_values(
            f"{cut}, 2 workers", wall["cut with 2 workers"], wall["loop"], unit=by_wall, at_least=1.8, **sorted_loop
        ),
        compare_values(f"{cut}, 2 workers", cpu["cut with 2 workers"], cpu["loop"], unit=by_cpu, **sorted_loop),
        compare_values(
            f"{cut}, 2 workers", wall["cut with 2 workers"], wall["cut"], unit=by_wall, other_name="1 worker"
        ),
        compare_values(
            f"{cut}, 1 worker",
            cpu["cut"],
            cpu["reopening loop"],
            unit=by_cpu,
            other_name="loop that reopens the scene",
            at_least=2,
        ),
    ]


def _write_inputs(folder: Path, scene: Path, scale: float) -> None:
    """Write a scene with coarse and fine structure and noise, and points so far apart that no chip contains two."""
    import geopandas
    import rasterio
    import rasterio.shutil

    rng = np.random.Generator(np.random.PCG64(4))
    side = max(round(SIDE * math.sqrt(scale)), 4 * SIZE)
    transform = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    raw = folder / "raw.tif"
    profile = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    with rasterio.open(raw, "w", crs=_CRS, transform=transform, **profile, **tiles) as raster:
        for band in range(1, BANDS + 1):
            raster.write(make_textured_band(rng, side), band)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": BLOCK, "overviews": "NONE"}
    rasterio.shutil.copy(raw, scene, driver="COG", **options)
    raw.unlink()
    per_side = math.ceil(math.sqrt(CHIPS * scale))
    cell = side / per_side
    columns, rows = (axis.ravel() for axis in np.meshgrid(np.arange(per_side), np.arange(per_side)))
    jitter = rng.uniform(-0.2, 0.2, (2, per_side**2)) * cell
    order = rng.permutation(per_side**2)[: round(CHIPS * scale)]
    xs, ys = transform @ ((columns + 0.5) * cell + jitter[0], (rows + 0.5) * cell + jitter[1])
    points = geopandas.points_from_xy(xs[order], ys[order])
    features = geopandas.GeoDataFrame({"feature_id": np.arange(len(order))}, geometry=points, crs=_CRS)
    features.to_parquet(folder / "features.parquet")


def make_textured_band(rng: np.random.Generator, side: int) -> np.ndarray:
    """Make pixels with coarse and fine structure and noise, uint16 of shape (side, side)."""
    from scipy.ndimage import zoom

    def make_smooth_noise(step: int) -> np.ndarray:
        nodes = rng.normal(size=(side // step + 2,) * 2).astype("float32")
        return zoom(nodes, step, order=1)[:side, :side]

    values = 2500 + 400 * make_smooth_noise(90) + 250 * make_smooth_noise(6)
    values += 70 * rng.standard_normal((side, side), dtype="float32")
    return values.clip(1, 20_000).astype("uint16")


def _list_chips(dataset: Path) -> list[Chip]:
    """List the positions of our chips, in the order of the features."""
    from geographer import Dataset

    folder = dataset.with_name("listed")
    shutil.copytree(dataset, folder)
    copy = Dataset.open(folder)
    copy.cut_around_features("chips", size=SIZE)
    windows = copy.chips().arrow.select(["col", "row"]).to_pylist()
    shutil.rmtree(folder)
    return [Chip(**window) for window in windows]


def _measure_cut(dataset: Path, copy: Path, workers: int) -> Cost:
    """Measure `cut_around_features` from the request to chips in the cache, the log and the workspace."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy)
    opened = Dataset.open(copy)
    opened.status()
    with measure_cost() as cost:
        opened.cut_around_features("chips", size=SIZE, workers=workers)
    return cost


def _measure_rendering(scene: Path, chips: list[Chip], out: Path) -> Cost:
    """Measure only reading, writing and digests of our chips."""
    from geographer.base.values import Window
    from geographer.operations.cut.render import ChipTask, cut_chips

    _empty_folder(out)
    tasks = [
        ChipTask(str(scene), Window(*chip, SIZE, SIZE), str(out / f"{number}.tif")) for number, chip in enumerate(chips)
    ]
    with measure_cost() as cost:
        for _ in cut_chips(tasks):
            pass
    return cost


def _measure_sorted_loop(scene: Path, chips: list[Chip], out: Path) -> Cost:
    """Measure a plain loop that opens the scene once, and cuts chips in the order of the scene's blocks."""
    import rasterio
    from rasterio.windows import Window

    _empty_folder(out)
    with measure_cost() as cost, rasterio.open(scene) as source:
        crs = source.crs
        sorted_chips = sorted(chips, key=lambda chip: (chip.row // BLOCK, chip.col // BLOCK, chip.row, chip.col))
        for number, chip in enumerate(sorted_chips):
            window = Window(*chip, SIZE, SIZE)
            georeference = {"crs": crs, "transform": source.window_transform(window)}
            with rasterio.open(out / f"{number}.tif", "w", **_OPTIONS, **georeference) as target:
                target.write(source.read(window=window))
    return cost


def _measure_reopening_loop(scene: Path, chips: list[Chip], out: Path) -> Cost:
    """Measure a simple loop that opens the scene for each chip, in the order of the features."""
    import rasterio
    from rasterio.windows import Window

    _empty_folder(out)
    with measure_cost() as cost:
        for number, chip in enumerate(chips):
            window = Window(*chip, SIZE, SIZE)
            with rasterio.open(scene) as source:
                georeference = {"crs": source.crs, "transform": source.window_transform(window)}
                with rasterio.open(out / f"{number}.tif", "w", **_OPTIONS, **georeference) as target:
                    target.write(source.read(window=window))
    return cost


def _empty_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
