"""Small GeoTIFFs to test with, and the arrays that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio

NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0)
SOUTH_UP = (10.0, 0.0, 500_000.0, 0.0, 10.0, 5_200_000.0)
TURNED = (8.0, 3.0, 500_000.0, 3.0, -8.0, 5_200_000.0)
CUSTOM = "+proj=laea +lat_0=47.3 +lon_0=11.1 +x_0=600000 +y_0=5100000 +datum=WGS84 +units=m +no_defs"
"""An equal-area system around a place of its own: no authority has a code for it."""


def pixels(count: int, height: int, width: int, dtype: str = "uint16", seed: int = 1) -> np.ndarray:
    """Values that differ from pixel to pixel and from band to band, so that no two windows are equal."""
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(1, 120, (count, height, width))
    ramp = np.arange(height)[:, None] + np.arange(width)
    return (drawn + ramp % 100 + 10 * np.arange(count)[:, None, None]).astype(dtype)


def write_scene(
    path: Path,
    array: np.ndarray,
    *,
    transform: tuple[float, ...] = NORTH_UP,
    crs: str | None = "EPSG:32633",
    **options: Any,
) -> Path:
    """A deflate GeoTIFF of `array`, shape (bands, rows, columns), in tiles of 16 unless told otherwise."""
    count, height, width = array.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": array.dtype.name}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16} if options.get("tiled", True) else {}
    layout = {"compress": "deflate", **tiles}
    place = {"crs": crs, "transform": rasterio.Affine(*transform)}
    with rasterio.open(path, "w", **{**profile, **place, **layout, **options}) as raster:
        raster.write(array)
    return path


def at(transform: tuple[float, ...], column: float, row: float) -> tuple[float, float]:
    """Where a point of the pixel grid lies, as x and y."""
    a, b, c, d, e, f = transform
    return a * column + b * row + c, d * column + e * row + f
