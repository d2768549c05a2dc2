"""8: the fewest chips for three thousand objects in clusters, with the proof that there are no fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import Cost, Row, apart, below, compared, spent, told

OBJECTS, CLUSTERS, SIDE, SIZE, SECONDS = 3_000, 60, 10_980, 256, 30
_PIXEL, _WEST, _NORTH, _CRS = 10.0, 399_960.0, 5_300_040.0, "EPSG:32633"


def cover(folder: Path, scale: float) -> list[Row]:
    """8. The fewest chips of 256 px that contain 3,000 clustered objects, planned, proven; beside one for each object."""
    count = round(OBJECTS * scale)
    told(f"covering: {count:,} objects")
    folder.mkdir()
    apart(_generate, folder, count)
    summary, cost = apart(_planned, folder)
    chips, bound = summary["cover"]["chips"], summary["cover"]["bound"]
    what = f"cut cover, {count:,} objects in clusters"
    return [
        below(f"{what}: planned", cost.wall, SECONDS, unit="wall s"),
        Row(f"{what}: proven", f"{chips:,} chips", f"{bound:,} (bound)", "", "=", chips == bound),
        compared(f"{what}: chips", chips, count, unit="chips", than="one for each", at_most=1 / 5),
    ]


def _generate(folder: Path, count: int) -> None:
    """A scene without content, and squares of 20 to 300 m in clusters of which some touch one another."""
    import geopandas
    import rasterio
    import shapely

    rng = np.random.Generator(np.random.PCG64(8))
    grid = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(folder / "scene.tif", "w", crs=_CRS, transform=grid, **profile, **tiles):
        pass
    middles = rng.uniform(400, SIDE - 400, (max(round(CLUSTERS * count / OBJECTS), 1), 2))
    centres = middles[rng.integers(0, len(middles), count)] + rng.normal(0, 180, (count, 2))
    columns, rows = centres.clip(40, SIDE - 40).T
    half = rng.uniform(10, 150, count)
    xs, ys = grid @ (columns, rows)
    boxes = shapely.box(xs - half, ys - half, xs + half, ys + half)
    geopandas.GeoDataFrame({"feature_id": np.arange(count)}, geometry=boxes, crs=_CRS).to_parquet(
        folder / "features.parquet"
    )


def _planned(folder: Path) -> tuple[dict[str, Any], Cost]:
    from geographer import Dataset

    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(folder / "features.parquet")
    dataset.add_rasters(folder / "scene.tif", mode="reference")
    with spent() as cost:
        summary = dataset.cut_cover("few", size=SIZE, dry_run=True).summary
    return summary, cost
