"""Read one pixel of a raster file: its values, and whether the data are valid there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rasterio.windows import Window

from geographer.rasters.read import open_raster, translate_read_errors


class PixelValues(NamedTuple):
    """The value of each band, None if the pixel is outside; the names of the bands, which may be None; and the size."""

    values: list[int | float] | None
    bands: list[str | None]
    width: int
    height: int


def read_pixel(path: Path, column: int, row: int) -> PixelValues:
    """Return the values of a pixel, counted from 0 at the upper left, without sidecar files.

    Raise NotFoundError, UsageError or CorruptError if the file does not exist, is not a raster, or is damaged.
    """
    with open_raster(path, with_sidecars=False) as raster, translate_read_errors(path):
        is_inside = 0 <= column < raster.width and 0 <= row < raster.height
        values = raster.read(window=Window(column, row, 1, 1))[:, 0, 0].tolist() if is_inside else None
        return PixelValues(values, list(raster.descriptions), raster.width, raster.height)


def is_valid_pixel(path: Path, column: int, row: int, *, with_sidecars: bool) -> bool:
    """Return whether the dataset mask (nodata, alpha or mask band) marks a pixel as valid; errors as `read_pixel`."""
    with open_raster(path, with_sidecars=with_sidecars) as raster, translate_read_errors(path):
        return bool(raster.dataset_mask(window=Window(column, row, 1, 1))[0, 0])
