"""A raster as one GeoTIFF, in bytes: a lossless copy of a file of another format, or of one with sidecar files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

from geographer.base.values import Grid, Transform
from geographer.rasters.metadata import read_metadata
from geographer.rasters.read import NO_SIDECARS, list_raster_files, open_raster, translate_read_errors
from geographer.rasters.write import encode_geotiff

_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_geotiff(content: bytes) -> bool:
    """Return whether a file with this content is a TIFF, classic or BigTIFF."""
    return content[:4] in _TIFF_STARTS


def has_sidecar_files(path: Path) -> bool:
    """Return whether GDAL reads other files with a raster: sidecar files, or the sources of a VRT."""
    return list_raster_files(path) != [path]


def convert_to_geotiff(path: Path, grid: Grid) -> bytes:
    """Encode a raster, read with its sidecar files, as a GeoTIFF on a grid: pixels, mask, nodata, bands and tags stay.

    Equal rasters give equal bytes.

    Raises:
        NotFoundError, CorruptError: the file does not exist, or is damaged.
        UsageError: GeoTIFF cannot store its metadata.
    """
    with open_raster(path) as raster, translate_read_errors(path):
        metadata = read_metadata(raster, grid.crs, raster.indexes)
        has_mask = (
            MaskFlags.per_dataset in raster.mask_flag_enums[0] and MaskFlags.alpha not in raster.mask_flag_enums[0]
        )
        mask = np.asarray(raster.read_masks(1)) if has_mask else None
        return encode_geotiff(raster.read(), metadata, Transform(*grid.transform), mask)


def decode_geotiff(content: bytes, name: str) -> NDArray[np.generic]:
    """Read all bands of a GeoTIFF, shape (bands, rows, columns); `CorruptError` that names it if it is damaged."""
    with translate_read_errors(name), rasterio.Env(**NO_SIDECARS), MemoryFile(content) as file, file.open() as raster:
        return np.asarray(raster.read())
