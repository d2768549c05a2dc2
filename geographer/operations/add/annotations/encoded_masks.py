"""Encoded masks: masks are decoded once their sizes are known to fit their rasters, which bounds the memory."""

from collections.abc import Mapping
from typing import Final

from geographer.base.values import Grid
from geographer.operations.add.annotations.images import ShownRaster, has_size_of
from geographer.operations.add.annotations.shapes import Annotations, EncodedMask
from geographer.rasters.mask_outlines import trace_mask

_MARGIN: Final = 1
_ALWAYS_DECODED: Final = 2**26
"""Pixels that a mask may have although its raster has fewer: a tool may show small rasters enlarged."""


def draw_masks(annotations: Annotations, shown: Mapping[int, ShownRaster]) -> None:
    """Decode the masks on `shown` images: their outlines become the geometries, in pixels of their images.

    What is wrong with a mask becomes the problem of its annotation.
    """
    for row, mask in annotations.masks.items():
        raster = shown.get(annotations.image[row])
        if raster is None or row in annotations.problems:
            continue
        reason = _find_wrong_size(mask, raster.grid, is_relative=annotations.is_relative)
        if reason is None:
            reason = _draw_mask(annotations, row, mask)
        if reason is not None:
            annotations.problems[row] = reason


def _find_wrong_size(mask: EncodedMask, grid: Grid, *, is_relative: bool) -> str | None:
    """Return why a mask does not fit on a raster."""
    if min(mask.width, mask.height) < 1:
        return "its mask has no pixel"
    if mask.place is not None:
        (left, top), limits = mask.place, (grid.width + _MARGIN, grid.height + _MARGIN)
        has_room = min(left, top) >= -_MARGIN and left + mask.width <= limits[0] and top + mask.height <= limits[1]
        return None if has_room else "it reaches out of its image by more than a pixel"
    size = f"its mask has {mask.width} x {mask.height} pixels"
    if not has_size_of(grid, mask.width, mask.height, is_relative=is_relative):
        return f"{size}, other than its image"
    if mask.width * mask.height > max(grid.width * grid.height, _ALWAYS_DECODED):
        return f"{size}, more than its raster and than {_ALWAYS_DECODED:,}"
    return None


def _draw_mask(annotations: Annotations, row: int, mask: EncodedMask) -> str | None:
    """Set the geometry of an annotation to the outline of its mask, or return why it has none."""
    try:
        pixels = mask.decode(mask.width, mask.height)
    except ValueError as error:
        return str(error)
    if not pixels.any():
        return "its mask has no pixel"
    annotations.geometry[row] = trace_mask(pixels, *(mask.place or (0, 0)))
    return None
