"""Writes GeoTIFFs: equal pixels and metadata give equal bytes, and a file is there whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter, MemoryFile

from geographer.base.errors import StorageError
from geographer.base.values import Checksums, Grid, Transform
from geographer.rasters.pixel_digest import compute_array_digest

_LARGEST_IN_STRIPS = 512
_ROWS_OF_STRIP = 64
_PREDICTORS = {"i": 2, "u": 2, "f": 3, "c": 1}


@dataclass(frozen=True, slots=True)
class GeoTiffMetadata:
    """What a GeoTIFF says besides its pixels and its place; what is empty or None is not written.

    `tags` are per namespace (None is GDAL's default), `band_tags` per band. Everything about bands is in
    their order.
    """

    crs: CRS
    count: int
    dtype: str
    nodata: float | int | None = None
    interpretation: tuple[ColorInterp, ...] = ()
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    descriptions: tuple[str | None, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    tags: Mapping[str | None, Mapping[str, str]] | None = None
    band_tags: tuple[Mapping[str, str], ...] = ()


def encode_geotiff(
    pixels: NDArray[np.generic],
    metadata: GeoTiffMetadata,
    transform: Transform,
    mask: NDArray[np.uint8] | None = None,
) -> bytes:
    """A GeoTIFF of `pixels`, shape (bands, rows, columns), compressed by ZSTD; the same bytes on every call.

    It is made in memory: its bytes are hashed without being read again, and a full disk shows as one failed
    write.

    Args:
        pixels: In the dtype of `metadata`.
        metadata: What else it says.
        transform: Of the outer corner of the first pixel.
        mask: 0 where a pixel is not valid; shape (rows, columns). Written as an internal mask.
    """
    _, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        MemoryFile() as file,
    ):
        with file.open(**profile(metadata, height, width), transform=rasterio.Affine(*transform)) as raster:
            write_metadata(raster, metadata)
            raster.write(pixels)
            if mask is not None:
                raster.write_mask(mask)
        return bytes(file.getbuffer())


def write_and_hash(destination: Path, content: bytes, pixels: NDArray[np.generic], grid: Grid) -> tuple[Checksums, str]:
    """Writes `content` to `destination` and gives its checksums and the digest of `pixels`, which it encodes.

    Raises:
        StorageError: It can't be written; nothing is left behind.
    """
    write_whole(destination, content)
    md5, sha256 = hashlib.md5(content, usedforsecurity=False), hashlib.sha256(content)
    return Checksums(len(content), md5.hexdigest(), sha256.hexdigest()), compute_array_digest(pixels, grid)


def write_whole(destination: Path, content: bytes) -> None:
    """Writes a file under a name ending in `.part`, and renames it when it is whole.

    Raises:
        StorageError: It can't be written; nothing is left behind.
    """
    part = destination.with_name(destination.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(destination)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            message = f"can't write '{destination}': {error.strerror}; make room or choose another disk"
            raise StorageError(message) from error
        raise


def profile(metadata: GeoTiffMetadata, height: int, width: int) -> dict[str, Any]:
    """Creation options. Strips of 64 rows were the fastest to write and to read for chips of 256 pixels."""
    if max(height, width) > _LARGEST_IN_STRIPS:
        blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    else:
        blocks = {"tiled": False, "blockysize": _ROWS_OF_STRIP}
    return {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": metadata.count,
        "dtype": metadata.dtype,
        "crs": metadata.crs,
        "nodata": metadata.nodata,
        "interleave": "pixel",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": _PREDICTORS[np.dtype(metadata.dtype).kind],
        **blocks,
    }


def write_metadata(raster: DatasetWriter, metadata: GeoTiffMetadata) -> None:
    """Comes before the pixels: GDAL then writes one directory, with colours where TIFF has a place."""
    if metadata.colormap is not None:
        raster.write_colormap(1, dict(metadata.colormap))
    if metadata.interpretation:
        raster.colorinterp = metadata.interpretation
    for namespace, tags in (metadata.tags or {}).items():
        raster.update_tags(ns=namespace, **tags)
    for band, tags in enumerate(metadata.band_tags, start=1):
        if tags:
            raster.update_tags(band, **tags)
    for name in ("descriptions", "scales", "offsets", "units"):
        if values := getattr(metadata, name):
            setattr(raster, name, values)
