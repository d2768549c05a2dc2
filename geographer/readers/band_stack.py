"""Resample bands to one grid, and write them as one GeoTIFF, strip by strip; equal input files give equal bytes."""

from __future__ import annotations

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
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.base.values import Grid, Transform
from geographer.rasters.crs import parse_crs
from geographer.rasters.read import translate_read_errors
from geographer.rasters.write import GeoTiffMetadata, make_creation_options, write_metadata
from geographer.readers.open_rasters import open_delivered_raster

Pixels = NDArray[Any]
_StripChecksums = list[tuple[RasterioWindow, int]]

RESAMPLINGS: Final = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode", "min", "max", "med")
"""Names of the resampling methods that users can choose."""

_STRIP_BYTES = 96 << 20
_CACHE_MEGABYTES = 320
"""Holds a row of JPEG 2000 tiles (1,024 rows) of each band of a Sentinel-2 scene, so that each is decoded once."""
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of a stack.

    Attributes:
        name: The band's name in messages.
        path: The file, a GeoTIFF or JPEG 2000.
        band: The band's number in the file, from 1.
        grid: The file's grid; its CRS is the stack's.
        nodata: The file's nodata value; nodata pixels are never mixed with others in resampling.
        has_mask: True if a mask or alpha band of the file marks invalid pixels; `nodata` is None then.
        resampling: The method used if the stack's grid differs from the file's.
        transform_pixels: Applied to pixels on the stack's grid, in the stack's dtype, before nodata is filled in.
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

    There is one layer for each band of `metadata`, whose dtype holds all their values and whose CRS is the grid's. The
    mask of the layer `mask` becomes the GeoTIFF's internal mask, for files with a mask but without nodata. Invalid
    pixels get the nodata value of `metadata`. Memory holds one strip of about 100 MB and GDAL's cache. The bytes depend
    only on the files, the arguments and the version of GDAL.

    Raises:
        UsageError: a band has valid pixels with the nodata value of the GeoTIFF.
        CorruptError: a file is damaged.
        StorageError: the disk is full or cannot be written.
    """
    options = {"GDAL_TIFF_INTERNAL_MASK": True, "GDAL_CACHEMAX": _CACHE_MEGABYTES, "GDAL_NUM_THREADS": 1}
    with translate_os_errors(destination), temporary_sibling(destination) as temporary, rasterio.Env(**options):
        with ExitStack() as open_files:
            bands = [open_files.enter_context(_align_layer(layer, grid)) for layer in layers]
            mask_layer = open_files.enter_context(_align_layer(mask, grid)) if mask else None
            checksums = _write_strips(temporary, bands, mask_layer, grid, metadata)
        _verify_strips(temporary, checksums, destination)
        temporary.replace(destination)


def make_grid_at_resolution(grid: Grid, resolution: float | None) -> Grid:
    """Return the grid with the same upper left corner and pixels of `resolution`; None returns `grid` itself.

    The new grid has the pixels whose centres are inside `grid`. `resolution` is in units of the CRS. Raise UsageError
    if it is invalid, or larger than the raster.
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


def choose_resampling(source: Grid, target: Grid, requested: Resampling | None) -> Resampling:
    """Return the requested method, or the default for measurements: bilinear to finer pixels, average to coarser ones.

    Bilinear adds neither detail nor steps; average uses all pixels that a coarser one covers.
    """
    if requested is not None:
        return requested
    is_coarser = math.prod(compute_pixel_size(target)) > math.prod(compute_pixel_size(source)) * (1 + _TOLERANCE)
    return Resampling.average if is_coarser else Resampling.bilinear


def parse_resampling(name: Any) -> Resampling | None:
    """Return the resampling method called `name`, None for None; raise UsageError if no method has that name."""
    if name is None:
        return None
    if not isinstance(name, str) or name not in RESAMPLINGS:
        raise UsageError(f"unknown resampling {name!r}. Use one of {', '.join(RESAMPLINGS)}.")
    return Resampling[name]


def is_same_grid(a: Grid, b: Grid) -> bool:
    """Return whether the pixels of two grids of one CRS coincide, up to a millionth of a pixel."""
    if (a.width, a.height) != (b.width, b.height):
        return False
    tolerance = _TOLERANCE * min(compute_pixel_size(b))
    differences = np.abs(np.subtract(a.transform, b.transform)) * (b.width, b.height, 1, b.width, b.height, 1)
    return bool((differences <= tolerance).all())


@dataclass(frozen=True, slots=True)
class _AlignedLayer:
    """A layer whose open file is on the stack's grid."""

    layer: Layer
    raster: DatasetReader | WarpedVRT

    def read_pixels(self, window: RasterioWindow, metadata: GeoTiffMetadata) -> Pixels:
        """Read pixels of shape (rows, columns) in the stack's dtype and with its nodata value."""
        with translate_read_errors(self.layer.path):
            stored = self.raster.read(self.layer.band, window=window)
            is_invalid = self._find_invalid(stored, window)
        pixels: Pixels = stored.astype(metadata.dtype, copy=False)
        if self.layer.transform_pixels:
            pixels = self.layer.transform_pixels(pixels)
        if is_invalid is None or metadata.nodata is None:
            return pixels
        self._reject_nodata_clash(pixels, is_invalid, metadata.nodata)
        return np.where(is_invalid, np.array(metadata.nodata, metadata.dtype), pixels)

    def read_mask(self, window: RasterioWindow) -> NDArray[np.uint8]:
        """Read the mask, shape (rows, columns); 0 where a pixel is invalid."""
        with translate_read_errors(self.layer.path):
            return np.asarray(self.raster.read_masks(self.layer.band, window=window))

    def _find_invalid(self, stored: Pixels, window: RasterioWindow) -> NDArray[np.bool_] | None:
        if self.layer.has_mask:
            return np.asarray(self.raster.read_masks(self.layer.band, window=window) == 0)
        return None if self.layer.nodata is None else _equals_value(stored, self.layer.nodata)

    def _reject_nodata_clash(self, pixels: Pixels, is_invalid: NDArray[np.bool_], nodata: float) -> None:
        """Raise if valid pixels equal the stack's nodata value, unless that is the layer's own nodata value."""
        if not self.layer.has_mask and self.layer.nodata == nodata:
            return
        if (_equals_value(pixels, nodata) & ~is_invalid).any():
            raise UsageError(
                f"band '{self.layer.name}' has valid pixels with the nodata value of the other bands, {nodata:g}. Pass "
                "another value as the option nodata."
            )


@contextmanager
def _align_layer(layer: Layer, grid: Grid) -> Iterator[_AlignedLayer]:
    with open_delivered_raster(layer.path) as raster:
        if is_same_grid(layer.grid, grid):
            yield _AlignedLayer(layer, raster)
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
            yield _AlignedLayer(layer, warped)


def _write_strips(
    path: Path, bands: list[_AlignedLayer], mask_layer: _AlignedLayer | None, grid: Grid, metadata: GeoTiffMetadata
) -> _StripChecksums:
    options = make_creation_options(metadata, grid.height, grid.width)
    checksums = []
    with rasterio.open(path, "w", **options, transform=rasterio.Affine(*grid.transform), BIGTIFF="IF_SAFER") as raster:
        write_metadata(raster, metadata)
        for window in _iter_block_rows(grid, metadata, options["blockysize"]):
            pixels = np.stack([band.read_pixels(window, metadata) for band in bands])
            raster.write(pixels, window=window)
            if mask_layer:
                raster.write_mask(mask_layer.read_mask(window), window=window)
            checksums.append((window, _compute_crc(pixels)))
    return checksums


def _verify_strips(path: Path, checksums: _StripChecksums, destination: Path) -> None:
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


def _iter_block_rows(grid: Grid, metadata: GeoTiffMetadata, block: int) -> Iterator[RasterioWindow]:
    """Yield windows of whole rows of blocks, from the top, so that blocks are written in order with any cache size."""
    row_bytes = grid.width * metadata.count * np.dtype(metadata.dtype).itemsize
    height = max(_STRIP_BYTES // row_bytes // block, 1) * block
    for row in range(0, grid.height, height):
        yield RasterioWindow(0, row, grid.width, min(height, grid.height - row))


def _compute_crc(pixels: Pixels) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def _equals_value(pixels: Pixels, value: float) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(pixels) if math.isnan(value) else pixels == value)
