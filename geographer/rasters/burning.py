"""Burning: draw geometries in pixel coordinates on a grid of pixels."""

from collections.abc import Sequence

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from geographer.base.values import Window


def burn_values(
    parts: Sequence[tuple[BaseGeometry, int]], window: Window, dtype: str, *, all_touched: bool = False
) -> NDArray[np.generic]:
    """Burn the values of geometries one over the other in a window; return shape (rows, columns), 0 elsewhere.

    An area covers the pixels whose centres it contains (GDAL's rule), or with `all_touched` every pixel that it
    touches; a line covers the pixels along its path (Bresenham); a point covers the pixel that contains it. `parts` are
    single-part geometries in pixel coordinates.
    """
    pixels = np.zeros((window.height, window.width), dtype)
    if parts:
        transform = rasterio.Affine.translation(window.col, window.row)
        rasterize(parts, out=pixels, transform=transform, all_touched=all_touched, skip_invalid=False)
    return pixels


def rasterize_mask(parts: Sequence[BaseGeometry], window: Window) -> NDArray[np.bool_]:
    """Return the pixels that geometries cover in a window, shape (rows, columns); see `burn_values`."""
    return burn_values([(part, 1) for part in parts], window, "uint8").astype(np.bool_)


def rasterize_object(polygons: Sequence[BaseGeometry], width: int, height: int) -> tuple[NDArray[np.bool_], Window]:
    """Return the pixels that polygons on a raster cover, and their window on it.

    Polygons that contain no centre of a pixel cover the pixel of a point inside the largest one.

    Args:
        polygons: Polygons in pixel coordinates that lie on the raster.
        width: The number of columns of the raster.
        height: The number of rows.
    """
    bounds = shapely.bounds(np.asarray(polygons, object))
    left, top = np.floor(bounds[:, :2].min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(bounds[:, 2:].max(axis=0)).astype(int).tolist()
    window = Window(left, top, max(right - left, 1), max(bottom - top, 1))
    mask = rasterize_mask(polygons, window)
    if not mask.any():
        inside = max(polygons, key=lambda polygon: float(polygon.area)).representative_point()
        row, column = min(int(inside.y), height - 1) - window.row, min(int(inside.x), width - 1) - window.col
        mask[row, column] = True
    return mask, window
