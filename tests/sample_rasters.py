"""Small GeoTIFFs for tests, and their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio

NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0)
SOUTH_UP = (10.0, 0.0, 500_000.0, 0.0, 10.0, 5_200_000.0)
ROTATED = (8.0, 3.0, 500_000.0, 3.0, -8.0, 5_200_000.0)
CUSTOM_CRS = "+proj=laea +lat_0=47.3 +lon_0=11.1 +x_0=600000 +y_0=5100000 +datum=WGS84 +units=m +no_defs"
"""A Lambert equal-area CRS without an EPSG code."""


def make_pixels(count: int, height: int, width: int, dtype: str = "uint16", seed: int = 1) -> np.ndarray:
    """Make pixels, shape (bands, rows, columns), that vary from pixel to pixel and band to band: no windows are equal."""
    noise = np.random.Generator(np.random.PCG64(seed)).integers(1, 120, (count, height, width))
    ramp = np.arange(height)[:, None] + np.arange(width)
    return (noise + ramp % 100 + 10 * np.arange(count)[:, None, None]).astype(dtype)


def write_scene(
    path: Path,
    array: np.ndarray,
    *,
    transform: tuple[float, ...] = NORTH_UP,
    crs: str | None = "EPSG:32633",
    **options: Any,
) -> Path:
    """Write a deflate GeoTIFF of `array`, shape (bands, rows, columns), in tiles of 16 pixels by default."""
    count, height, width = array.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": array.dtype.name}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16} if options.get("tiled", True) else {}
    layout = {"compress": "deflate", **tiles}
    georeference = {"crs": crs, "transform": rasterio.Affine(*transform)}
    with rasterio.open(path, "w", **{**profile, **georeference, **layout, **options}) as raster:
        raster.write(array)
    return path


def to_xy(transform: tuple[float, ...], column: float, row: float) -> tuple[float, float]:
    """Transform a point of the pixel grid to CRS coordinates."""
    a, b, c, d, e, f = transform
    return a * column + b * row + c, d * column + e * row + f
