"""Write GeoTIFFs deterministically and atomically: equal pixels and metadata give equal bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter, MemoryFile

from geographer.base.atomic_files import write_new_file
from geographer.base.executors.task_files import report_md5
from geographer.base.values import Checksums, Grid, Transform
from geographer.rasters.checksums import compute_content_checksums
from geographer.rasters.nodata import PLACEHOLDER, is_wide_nodata, write_wide_nodata
from geographer.rasters.pixel_digest import compute_array_digest

_PREDICTORS = {"i": 2, "u": 2, "f": 3, "c": 1}
_COMPRESSION = ("compress", "zstd_level", "predictor")


@dataclass(frozen=True, slots=True)
class GeoTiffMetadata:
    """Metadata of a GeoTIFF besides its pixels and transform; empty and None fields are not written.

    Tuples have an item for each band: its colour `interpretation`, name (`descriptions`), scale and offset (value =
    pixel * scale + offset), unit and tags. The others hold for all of the `count` bands; `dtype` is numpy's name of the
    pixel type, such as `uint16`. `colormap` maps the pixels of a single band to (red, green, blue, alpha), 0 to 255.
    `tags` are by namespace; None is GDAL's default namespace.
    """

    crs: CRS
    count: int
    dtype: str
    nodata: float | None = None
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
    *,
    is_compressed: bool = True,
) -> bytes:
    """Encode `pixels`, shape (bands, rows, columns), as a GeoTIFF with ZSTD; equal arguments give equal bytes.

    `mask`, shape (rows, columns), is 0 where a pixel is invalid; it becomes an internal mask. The file is made in
    memory: its bytes are hashed without being read again, and a full disk shows as one failed write.
    """
    _, height, width = pixels.shape
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), MemoryFile() as file:
        options = make_creation_options(metadata, height, width)
        if not is_compressed:
            options = {name: value for name, value in options.items() if name not in _COMPRESSION}
        with file.open(**options, transform=rasterio.Affine(*transform)) as raster:
            write_metadata(raster, metadata)
            raster.write(pixels)
            if mask is not None:
                raster.write_mask(mask)
        content = bytes(file.getbuffer())
    nodata = metadata.nodata
    return write_wide_nodata(content, int(nodata)) if nodata is not None and is_wide_nodata(nodata) else content


def write_and_hash(destination: Path, content: bytes, pixels: NDArray[np.generic], grid: Grid) -> tuple[Checksums, str]:
    """Write `content` to `destination`, in a staging folder; return its checksums and the pixel digest of its `pixels`.

    Raise StorageError if the folder does not exist, or the disk is full or cannot be written.
    """
    write_new_file(destination, content)
    checksums = compute_content_checksums(content)
    report_md5(destination, checksums.md5)
    return checksums, compute_array_digest(pixels, grid)


def make_creation_options(metadata: GeoTiffMetadata, height: int, width: int) -> dict[str, object]:
    """Return GDAL's creation options; strips of 64 rows were fastest to write and read for chips of 256 pixels.

    A nodata value that `is_wide_nodata` is replaced by its `PLACEHOLDER`, see `write_wide_nodata`.
    """
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    blocks = tiles if max(height, width) > 512 else {"tiled": False, "blockysize": 64}
    return {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": metadata.count,
        "dtype": metadata.dtype,
        "crs": metadata.crs,
        "nodata": PLACEHOLDER[metadata.dtype] if is_wide_nodata(metadata.nodata) else metadata.nodata,
        "interleave": "pixel",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": _PREDICTORS[np.dtype(metadata.dtype).kind],
        **blocks,
    }


def write_metadata(raster: DatasetWriter, metadata: GeoTiffMetadata) -> None:
    """Write `metadata` before the pixels, so that GDAL writes one directory, and colours where TIFF stores them."""
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


def read_software_versions() -> dict[str, str]:
    """Return the versions of GDAL, PROJ and GEOS that rasterio ships, and those of rasterio and numpy."""
    return {
        "gdal": rasterio.__gdal_version__,
        "proj": rasterio.__proj_version__,
        "geos": rasterio.__geos_version__,
        **{name: version(name) for name in ("numpy", "rasterio")},
    }
