"""Benchmark 27: masks of a thousand chips, and of a coastline of 400,000 vertices, compared with plain loops."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import Cost, Row, compare_values, measure_cost, report_progress, run_in_process

MASKS, SIZE, ROUNDS = 1_000, 256, 3
VERTICES, COAST_SIDE = 400_000, 4_096
_CRS, _PIXEL, _WEST, _NORTH = "EPSG:32633", 10.0, 499_980.0, 5_300_040.0
# The creation options of geographer's labels (rasters/write.py), so that the loop does the same work.
_OPTIONS: dict[str, Any] = {
    "driver": "GTiff",
    "width": SIZE,
    "height": SIZE,
    "count": 1,
    "dtype": "uint8",
    "crs": _CRS,
    "interleave": "pixel",
    "compress": "zstd",
    "zstd_level": 1,
    "predictor": 2,
    "tiled": False,
    "blockysize": 64,
}


def compare_mask_loops(folder: Path, scale: float) -> list[Row]:
    """27. 1,000 masks, and those of a polygon of 400,000 vertices, compared with bare `rasterize` and write."""
    folder.mkdir()
    rows = _compare_masks(folder / "squares", round(MASKS * scale))
    return [*rows, *_compare_coast(folder / "coast", round(VERTICES * scale))]


def _compare_masks(folder: Path, count: int) -> list[Row]:
    report_progress(f"masks: a scene with {count:,} squares")
    folder.mkdir()
    run_in_process(_make_squares, folder, count)
    loop, masks = _measure_rounds(folder)
    label: dict[str, Any] = {"unit": "ms of CPU a mask", "other_name": "rasterize and write"}
    return [compare_values(f"{count:,} masks", 1e3 * masks / count, 1e3 * loop / count, at_most=1.3, **label)]


def _compare_coast(folder: Path, vertices: int) -> list[Row]:
    report_progress(f"masks: a coastline of {vertices:,} vertices")
    folder.mkdir()
    run_in_process(_make_coast, folder, vertices)
    count = len(run_in_process(_list_chips, folder))
    loop, masks = _measure_rounds(folder)
    label: dict[str, Any] = {"unit": "ms of CPU a mask", "other_name": "rasterize of the whole and write"}
    subject = f"{count:,} masks of a polygon of {vertices:,} vertices"
    return [compare_values(subject, 1e3 * masks / count, 1e3 * loop / count, at_most=0.2, **label)]


def _measure_rounds(folder: Path) -> tuple[float, float]:
    """Return the least CPU seconds of the loop and of our masks."""
    costs: dict[str, list[Cost]] = {"loop": [], "masks": []}
    for _ in range(ROUNDS):
        costs["loop"].append(run_in_process(_measure_loop, folder))
        costs["masks"].append(run_in_process(_measure_masks, folder))
    loop, masks = (min(cost.cpu for cost in group) for group in costs.values())
    return loop, masks


def _make_squares(folder: Path, count: int) -> None:
    """Make a dataset with chips around squares, one a chip."""
    import geopandas
    import shapely

    per_side = math.ceil(math.sqrt(count))
    rows, columns = divmod(np.arange(count), per_side)
    x, y = (columns + 0.5) * SIZE + 0.3, (rows + 0.5) * SIZE + 0.6
    squares = shapely.box(
        _WEST + _PIXEL * (x - 70), _NORTH - _PIXEL * (y + 70), _WEST + _PIXEL * (x + 70), _NORTH - _PIXEL * (y - 70)
    )
    names = {"name": [f"v{number}" for number in range(count)], "type": "field"}
    frame = geopandas.GeoDataFrame(names, geometry=squares, crs=_CRS)
    _make_dataset(folder, frame, per_side * SIZE)


def _make_coast(folder: Path, vertices: int) -> None:
    """Make a dataset with a grid of chips, and one polygon with bays of all sizes."""
    import geopandas
    import shapely

    rng = np.random.Generator(np.random.PCG64(27))
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = COAST_SIDE * 0.4 * (1 + 0.15 * np.sin(7 * angles) + 0.02 * np.sin(400 * angles))
    radius += 0.2 * rng.normal(size=vertices)
    x, y = COAST_SIDE / 2 + radius * np.cos(angles), COAST_SIDE / 2 + radius * np.sin(angles)
    coast = shapely.Polygon(np.column_stack([_WEST + _PIXEL * x, _NORTH - _PIXEL * y]))
    _make_dataset(
        folder, geopandas.GeoDataFrame({"name": ["coast"], "type": ["field"]}, geometry=[coast], crs=_CRS), COAST_SIDE
    )


def _make_dataset(folder: Path, features: Any, side: int) -> None:
    import rasterio

    from geographer import Dataset

    transform = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    options = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "compress": "zstd"}
    with rasterio.open(folder / "scene.tif", "w", crs=_CRS, transform=transform, tiled=True, **options) as scene:
        scene.write(np.ones((1, side, side), np.uint8))
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(features, id="name", class_="type")
    dataset.add_rasters(folder / "scene.tif", mode="reference")
    dataset.cut_grid("chips", size=SIZE)
    features.to_parquet(folder / "features.parquet")


def _list_chips(folder: Path) -> list[tuple[int, int]]:
    """Return the column and row of each chip."""
    from geographer import Dataset

    windows = Dataset.open(folder / "dataset").chips().arrow.select(["col", "row"]).to_pylist()
    return [(window["col"], window["row"]) for window in windows]


def _measure_masks(folder: Path) -> Cost:
    """Measure `label_masks` from the request to masks in the cache, the log and the workspace."""
    import dvc.repo  # noqa: F401

    import geographer.operations.label.rendering.rasterize  # noqa: F401
    from geographer import Dataset

    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "dataset", folder / "copy")
    dataset = Dataset.open(folder / "copy")
    dataset.status()
    with measure_cost() as cost:
        dataset.label_masks("mask", collection="chips")
    return cost


def _measure_loop(folder: Path) -> Cost:
    """Measure a plain loop that rasterizes the features on each chip and writes it; which these are is known."""
    import geopandas
    import rasterio
    import shapely
    from rasterio.features import rasterize

    features = geopandas.read_parquet(folder / "features.parquet").geometry.to_numpy()
    tree = shapely.STRtree(features)
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    chips = _list_chips(folder)
    scene = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    transforms = [scene * rasterio.Affine.translation(*chip) for chip in chips]
    boxes = [shapely.box(*rasterio.transform.array_bounds(SIZE, SIZE, transform)) for transform in transforms]
    shown = [features[tree.query(box, predicate="intersects")] for box in boxes]
    with measure_cost() as cost:
        for number, (transform, objects) in enumerate(zip(transforms, shown, strict=True)):
            pixels = np.zeros((SIZE, SIZE), np.uint8)
            if len(objects):
                rasterize([(item, 1) for item in objects], out=pixels, transform=transform)
            with rasterio.open(folder / "out" / f"{number}.tif", "w", transform=transform, **_OPTIONS) as target:
                target.write(pixels, 1)
    return cost
