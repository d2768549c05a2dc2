"""The raster files among those that arrived: which there are, and what one says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.base.values import Grid
from geographer.rasters.read import iter_strips, read_grid
from geographer.readers.base import ProductFiles

TIFFS: Final = (".tif", ".tiff")
JP2S: Final = (".jp2", ".j2k", ".jpx")

_DRIVERS: Final = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JPEG2000"]
"""What arrived is opened by these alone: a VRT that calls itself a TIFF would read any file of this machine."""
_STRIP_BYTES = 1 << 25


def rasters_in(arrived: ProductFiles, suffixes: tuple[str, ...], pattern: str | None = None) -> list[Path]:
    """Files that arrived whose name ends as one of `suffixes`, by path; hidden ones, as of some tars, don't count.

    `pattern` is as in a shell, such as `*_DSM.tif`, for a file's name or its path in the folder, in any case.
    """
    found = [path for path in arrived.files() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if pattern is None:
        return found
    wanted = pattern.casefold()
    return [path for path in found if any(fnmatchcase(name.casefold(), wanted) for name in _names(path, arrived))]


def names_in(paths: list[Path], arrived: ProductFiles) -> str:
    """The files for an error: their paths in the folder."""
    return quote_names([str(path.relative_to(arrived.folder)) for path in paths]) or "none"


@contextmanager
def opened(path: Path) -> Iterator[DatasetReader]:
    """The raster at `path`, opened as GeoTIFF or JPEG 2000, without what lies beside it.

    Raises:
        CorruptError: it can't be.
    """
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        try:
            raster = DatasetReader(str(path), driver=_DRIVERS)
        except RasterioIOError as error:
            raise CorruptError(f"raster '{path}' is damaged, or none at all: fetch it again ({error})") from error
        with raster:
            yield raster


def placed(raster: DatasetReader) -> Grid:
    """Where the pixels of an open raster lie.

    Raises:
        CorruptError: it doesn't say so.
    """
    try:
        return read_grid(raster)
    except UsageError as error:
        raise CorruptError(f"the product can't be read: {error}") from error


def check_pixels(raster: DatasetReader) -> None:
    """Decode all pixels of an open raster once.

    Raises:
        CorruptError: some can't be.
    """
    row_bytes = raster.count * raster.width * np.dtype(raster.dtypes[0]).itemsize
    try:
        for window in iter_strips(raster, row_bytes, _STRIP_BYTES):
            raster.read(window=window)
    except RasterioIOError as error:
        raise CorruptError(f"raster '{raster.name}' is damaged: fetch it again ({error})") from error


def _names(path: Path, arrived: ProductFiles) -> tuple[str, str]:
    return path.name, path.relative_to(arrived.folder).as_posix()
