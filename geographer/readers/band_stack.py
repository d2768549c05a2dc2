"""Open delivered rasters, resample bands to one grid, and write one GeoTIFF; equal input files give equal bytes."""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.base.values import Grid, Transform
from geographer.rasters.crs import parse_crs
from geographer.rasters.read import iter_strips, read_grid, translate_read_errors
from geographer.rasters.write import GeoTiffMetadata, make_creation_options, write_metadata

Pixels = NDArray[Any]

_DRIVERS: Final = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JPEG2000"]
"""The only GDAL drivers for delivered files: a VRT named .tif could read any file of this machine."""

_STRIP_BYTES = 96 << 20
_CACHE_MEGABYTES = 320
"""Holds a row of JPEG 2000 tiles (1,024 rows) of each band of a Sentinel-2 scene, so that each is decoded once."""
_TOLERANCE = 1e-6


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
    with translate_read_errors(raster.name):
        for window in iter_strips(raster, 1 << 25):
            raster.read(window=window)


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of a stack, read from `band` (from 1) of a file, whose `grid` has the stack's CRS.

    Invalid pixels have the value `nodata` or, if `has_mask`, are marked by a mask or alpha band; they are never mixed
    with others in resampling. `transform_pixels` gets pixels on the stack's grid, in its dtype, before nodata is set.
    """

    name: str
    path: Path
    band: int
    grid: Grid
    nodata: float | None = None
    has_mask: bool = False
    resampling: Resampling = Resampling.nearest
    transform_pixels: Callable[[Pixels], Pixels] | None = None


def write_stack(
    layers: Sequence[Layer], grid: Grid, metadata: GeoTiffMetadata, destination: Path, *, mask: Layer | None = None
) -> None:
    """Write `layers` on `grid` as the bands of the GeoTIFF `destination`, atomically.

    The dtype of `metadata` holds the values of all layers; invalid pixels get its nodata value. The mask of the layer
    `mask` becomes the internal mask, for files with a mask but without nodata. Memory holds a strip of about 100 MB.

    Raises:
        UsageError: a band has valid pixels with the nodata value of the GeoTIFF.
        CorruptError, StorageError: a file is damaged; the GeoTIFF cannot be written.
    """
    environment = {"GDAL_TIFF_INTERNAL_MASK": True, "GDAL_CACHEMAX": _CACHE_MEGABYTES, "GDAL_NUM_THREADS": 1}
    options = {"transform": rasterio.Affine(*grid.transform), "BIGTIFF": "IF_SAFER"}
    options |= make_creation_options(metadata, grid.height, grid.width)
    checksums = []
    with translate_os_errors(destination), temporary_sibling(destination) as temporary, rasterio.Env(**environment):
        with ExitStack() as open_files:
            rasters = [open_files.enter_context(_open_on_grid(layer, grid)) for layer in layers]
            mask_raster = open_files.enter_context(_open_on_grid(mask, grid)) if mask else None
            output = open_files.enter_context(rasterio.open(temporary, "w", **options))
            write_metadata(output, metadata)
            for window in iter_strips(output, _STRIP_BYTES):
                opened = zip(layers, rasters, strict=True)
                pixels = np.stack([_read_pixels(layer, raster, window, metadata) for layer, raster in opened])
                output.write(pixels, window=window)
                if mask and mask_raster:
                    with translate_read_errors(mask.path):
                        valid = mask_raster.read_masks(mask.band, window=window)
                    output.write_mask(valid, window=window)
                checksums.append((window, _compute_crc(pixels)))
        _verify_strips(temporary, checksums, destination)
        temporary.replace(destination)


def make_grid_at_resolution(grid: Grid, resolution: float | None) -> Grid:
    """Return the grid of the pixels of `resolution`, in units of the CRS, whose centres are inside `grid`.

    Both grids have the same upper left corner; None returns `grid`. Raise UsageError if the resolution is invalid.
    """
    pixel_size = pixel_width, pixel_height = compute_pixel_size(grid)
    if resolution is None or all(math.isclose(length, resolution, rel_tol=_TOLERANCE) for length in pixel_size):
        return grid
    if not (math.isfinite(resolution) and resolution > 0):
        raise UsageError(f"invalid resolution {resolution:g}. Use the size of a pixel in units of the CRS, e.g. 10.")
    x, y = resolution / pixel_width, resolution / pixel_height
    width, height = (math.ceil(length - 0.5 - _TOLERANCE) for length in (grid.width / x, grid.height / y))
    if not (width and height):
        raise UsageError(f"resolution {resolution:g} is larger than the raster. Use a smaller one.")
    a, b, c, d, e, f = grid.transform
    return Grid(grid.crs, Transform(a * x, b * y, c, d * x, e * y, f), width, height)


def compute_pixel_size(grid: Grid) -> tuple[float, float]:
    """Return the width and height of a pixel in units of the CRS."""
    a, b, _, d, e, _ = grid.transform
    return math.hypot(a, d), math.hypot(b, e)


def choose_resampling(source: Grid, target: Grid, requested: str | None) -> Resampling:
    """Return the method of that name, or the default for measurements: bilinear to finer pixels, average to coarser."""
    if requested is not None:
        return Resampling[requested]
    is_coarser = math.prod(compute_pixel_size(target)) > math.prod(compute_pixel_size(source)) * (1 + _TOLERANCE)
    return Resampling.average if is_coarser else Resampling.bilinear


def is_same_grid(a: Grid, b: Grid) -> bool:
    """Return whether the pixels of two grids of one CRS coincide, up to a millionth of a pixel."""
    if (a.width, a.height) != (b.width, b.height):
        return False
    tolerance = _TOLERANCE * min(compute_pixel_size(b))
    differences = np.abs(np.subtract(a.transform, b.transform)) * (b.width, b.height, 1, b.width, b.height, 1)
    return bool((differences <= tolerance).all())


@contextmanager
def _open_on_grid(layer: Layer, grid: Grid) -> Iterator[DatasetReader | WarpedVRT]:
    """Open a layer's file, resampled to the grid if it has another."""
    with open_delivered_raster(layer.path) as raster:
        if is_same_grid(layer.grid, grid):
            yield raster
            return
        crs = parse_crs(grid.crs)
        with WarpedVRT(
            raster,
            src_crs=crs,
            crs=crs,
            src_transform=rasterio.Affine(*layer.grid.transform),
            transform=rasterio.Affine(*grid.transform),
            width=grid.width,
            height=grid.height,
            resampling=layer.resampling,
            **({"add_alpha": True} if layer.has_mask else {"src_nodata": layer.nodata, "nodata": layer.nodata}),
        ) as warped:
            yield warped


def _read_pixels(
    layer: Layer, raster: DatasetReader | WarpedVRT, window: RasterioWindow, metadata: GeoTiffMetadata
) -> Pixels:
    """Read pixels of shape (rows, columns) in the stack's dtype and with its nodata value."""
    nodata = metadata.nodata
    with translate_read_errors(layer.path):
        stored = raster.read(layer.band, window=window)
        mask = raster.read_masks(layer.band, window=window) if layer.has_mask else None
    pixels: Pixels = stored.astype(metadata.dtype, copy=False)
    if layer.transform_pixels:
        pixels = layer.transform_pixels(pixels)
    if nodata is None or (mask is None and layer.nodata is None):
        return pixels
    is_invalid = _equals_value(stored, layer.nodata) if mask is None else mask == 0
    may_clash = layer.has_mask or layer.nodata != nodata
    if may_clash and (_equals_value(pixels, nodata) & ~is_invalid).any():
        raise UsageError(
            f"band '{layer.name}' has valid pixels with the nodata value of the other bands, {nodata:g}. Pass another "
            "value as the option nodata."
        )
    return np.where(is_invalid, np.array(nodata, metadata.dtype), pixels)


def _verify_strips(path: Path, checksums: list[tuple[RasterioWindow, int]], destination: Path) -> None:
    """Read all pixels back: GDAL does not report a full disk when it closes a file."""
    try:
        with open_delivered_raster(path) as raster:
            is_complete = all(_compute_crc(raster.read(window=window)) == crc for window, crc in checksums)
    except (CorruptError, RasterioError):
        is_complete = False
    if not is_complete:
        raise StorageError(
            f"cannot write '{destination}' completely, the disk may be full. Free some space and run the command again."
        )


def _compute_crc(pixels: Pixels) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def _equals_value(pixels: Pixels, value: float | None) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(pixels) if value is not None and math.isnan(value) else pixels == value)
