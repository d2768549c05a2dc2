"""Outlines of masks: the polygons along the edges of the pixels that a mask has."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes


def trace_mask(mask: NDArray[np.bool_], column: int = 0, row: int = 0) -> Any:
    """Return the area of the pixels of a mask, shape (rows, columns): a polygon with holes, or several.

    Coordinates are pixels from the outer corner of the pixel (`column`, `row`) to the left of and above the mask's
    first one. Pixels that share only a corner are different polygons. The mask must have a pixel.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    part = np.ascontiguousarray(mask[top : rows[-1] + 1, left : columns[-1] + 1], np.uint8)
    rings = [geometry["coordinates"] for geometry, _ in shapes(part, mask=part.astype(bool), connectivity=4)]
    offset = np.array([column + left, row + top], np.float64)
    polygons = [
        shapely.Polygon(np.array(shell) + offset, [np.array(hole) + offset for hole in holes])
        for shell, *holes in rings
    ]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
