"""Find the raster files of a product, and open them as GeoTIFF or JPEG 2000 only."""

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

TIFF_SUFFIXES: Final = (".tif", ".tiff")
JP2_SUFFIXES: Final = (".jp2", ".j2k", ".jpx")

_DRIVERS: Final = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JPEG2000"]
"""The only GDAL drivers for delivered files: a VRT named .tif could read any file of this machine."""


def find_raster_files(product_files: ProductFiles, suffixes: tuple[str, ...], pattern: str | None = None) -> list[Path]:
    """Find a product's files by `suffixes` and `pattern`, sorted by path; skip hidden files, which some tars have.

    `pattern` is a shell pattern such as `*_DSM.tif` for a file's name or its path in the folder. Case is ignored in
    both; `suffixes` are in lower case, such as `.tif`.
    """
    paths = [path for path in product_files.list_files() if path.suffix.lower() in suffixes]
    return [path for path in paths if not path.name.startswith(".") and _matches_pattern(path, product_files, pattern)]


def _matches_pattern(path: Path, product_files: ProductFiles, pattern: str | None) -> bool:
    names = (path.name, path.relative_to(product_files.folder).as_posix())
    return pattern is None or any(fnmatchcase(name.casefold(), pattern.casefold()) for name in names)


def format_file_names(paths: list[Path], product_files: ProductFiles) -> str:
    """Format paths relative to the product's folder for an error message."""
    return quote_names([str(path.relative_to(product_files.folder)) for path in paths]) or "none"


@contextmanager
def open_delivered_raster(path: Path) -> Iterator[DatasetReader]:
    """Open the raster at `path` as GeoTIFF or JPEG 2000, without sidecar files; raise CorruptError if that fails."""
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        try:
            raster = DatasetReader(str(path), driver=_DRIVERS)
        except RasterioIOError as error:
            message = f"raster '{path}' is damaged or not a raster ({error}). Download the product again."
            raise CorruptError(message) from error
        with raster:
            yield raster


def require_grid(raster: DatasetReader) -> Grid:
    """Return the grid of an open raster; raise CorruptError if its CRS or transform is missing or invalid."""
    try:
        return read_grid(raster)
    except UsageError as error:
        raise CorruptError(f"the product cannot be read: {error}") from error


def check_pixels(raster: DatasetReader) -> None:
    """Decode all pixels of an open raster once; raise CorruptError if some cannot be decoded."""
    row_bytes = raster.count * raster.width * np.dtype(raster.dtypes[0]).itemsize
    try:
        for window in iter_strips(raster, row_bytes, 1 << 25):
            raster.read(window=window)
    except RasterioIOError as error:
        raise CorruptError(f"raster '{raster.name}' is damaged ({error}). Download the product again.") from error
