"""Benchmark 8: the fewest chips for three thousand objects in clusters, with a proof that there are no fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import (
    Cost,
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_in_process,
)

OBJECTS, CLUSTERS, SIDE, SIZE, SECONDS = 3_000, 60, 10_980, 256, 30
_PIXEL, _WEST, _NORTH, _CRS = 10.0, 399_960.0, 5_300_040.0, "EPSG:32633"


def check_chip_cover(folder: Path, scale: float) -> list[Row]:
    """8. The plan of the fewest chips of 256 px that contain 3,000 clustered objects, with a proof."""
    count = round(OBJECTS * scale)
    report_progress(f"covering: {count:,} objects")
    folder.mkdir()
    run_in_process(_write_inputs, folder, count)
    summary, cost = run_in_process(_measure_plan, folder)
    chips, bound = summary["cover"]["chips"], summary["cover"]["bound"]
    subject = f"cut cover, {count:,} objects in clusters"
    return [
        check_limit(f"{subject}: plan", cost.wall, SECONDS, unit="wall s"),
        Row(f"{subject}: proof", f"{chips:,} chips", f"{bound:,} (bound)", "", "=", chips == bound),
        compare_values(f"{subject}: chips", chips, count, unit="chips", other_name="one per object", at_most=1 / 5),
    ]


def _write_inputs(folder: Path, count: int) -> None:
    """Write an empty scene, and squares of 20 to 300 m in clusters, some of which touch one another."""
    import geopandas
    import rasterio
    import shapely

    rng = np.random.Generator(np.random.PCG64(8))
    transform = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(folder / "scene.tif", "w", crs=_CRS, transform=transform, **profile, **tiles):
        pass
    middles = rng.uniform(400, SIDE - 400, (max(round(CLUSTERS * count / OBJECTS), 1), 2))
    centres = middles[rng.integers(0, len(middles), count)] + rng.normal(0, 180, (count, 2))
    columns, rows = centres.clip(40, SIDE - 40).T
    half = rng.uniform(10, 150, count)
    xs, ys = transform @ (columns, rows)
    boxes = shapely.box(xs - half, ys - half, xs + half, ys + half)
    features = geopandas.GeoDataFrame({"feature_id": np.arange(count)}, geometry=boxes, crs=_CRS)
    features.to_parquet(folder / "features.parquet")


def _measure_plan(folder: Path) -> tuple[dict[str, Any], Cost]:
    from geographer import Dataset

    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(folder / "features.parquet")
    dataset.add_rasters(folder / "scene.tif", mode="reference")
    with measure_cost() as cost:
        summary = dataset.cut_cover("few", size=SIZE, dry_run=True).summary
    return summary, cost
