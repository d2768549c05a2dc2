"""Open many small GeoTIFFs fast: without a look at their folder, and without parsing their CRS."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geographer.rasters.chip_address import is_chip_address
from geographer.rasters.read import NO_SIDECARS, open_raster
from geographer.rasters.remote_address import is_remote_address


class _ChipReader(DatasetReader):  # type: ignore[misc]
    """A raster whose CRS is not read: the dataset knows it, and parsing it takes longer than the rest of opening."""

    def read_crs(self) -> None:
        """Return no CRS."""


@contextmanager
def ignore_sidecars() -> Iterator[None]:
    """Let GDAL read no sidecar files in the block, nor the names in a folder, which may have very many files."""
    with rasterio.Env(**NO_SIDECARS), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_chip(path: str) -> DatasetReader:
    """Open a file in a block of `ignore_sidecars`; its `crs` is None if it is a GeoTIFF.

    Raises:
        NotFoundError, UsageError, CorruptError: as for `open_raster`.
    """
    if is_chip_address(path) or is_remote_address(path):
        return open_raster(Path(path))
    try:
        return _ChipReader(path, driver="GTiff", sharing=False)
    except RasterioError:
        return open_raster(Path(path), with_sidecars=False)  # which says what is wrong, or is no GeoTIFF
