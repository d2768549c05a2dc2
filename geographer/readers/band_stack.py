"""Writes bands of different resolution as one GeoTIFF, a strip at a time: equal files in give equal bytes."""

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
from geographer.rasters.write import GeoTiffMetadata, profile, write_metadata
from geographer.readers.open_rasters import opened

Pixels = NDArray[Any]
_Sums = list[tuple[RasterioWindow, int]]

RESAMPLINGS: Final = {
    one.name: one
    for one in (
        *(Resampling.nearest, Resampling.bilinear, Resampling.cubic, Resampling.cubic_spline, Resampling.lanczos),
        *(Resampling.average, Resampling.mode, Resampling.min, Resampling.max, Resampling.med),
    )
}
"""The resamplings that can be asked for, by name."""

_STRIP_BYTES = 96 << 20
_CACHE_MEGABYTES = 320
"""Holds a row of JPEG 2000 tiles (1,024 rows) of each band of a Sentinel-2 scene, so that each is decoded once."""
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of a stack: where its pixels are, and how they come onto the stack's grid.

    Attributes:
        name: For errors.
        path: Of the file, a GeoTIFF or JPEG 2000.
        band: Of the file, from 1.
        grid: Where the file's pixels lie; its CRS is the stack's.
        nodata: The value in the file that stands for no data; it never mixes into other pixels.
        masked: The file has a mask (or alpha) that says where there is no data; `nodata` is None then.
        resampling: How its pixels come onto another grid; on its own, they are taken as they are.
        change: What happens to pixels on the stack's grid, in the stack's dtype, before nodata is put in.
    """

    name: str
    path: Path
    band: int
    grid: Grid
    nodata: float | None = None
    masked: bool = False
    resampling: Resampling = Resampling.nearest
    change: Callable[[Pixels], Pixels] | None = None


def write_stack(
    layers: Sequence[Layer], grid: Grid, metadata: GeoTiffMetadata, destination: Path, *, mask: Layer | None = None
) -> None:
    """Write the GeoTIFF `destination` of `layers`, in order, on `grid`; whole or not at all.

    Pixels without data become the nodata of `metadata`. A strip of about 100 MB is in memory at a time, and as much
    as the cache of GDAL may hold. The bytes depend on the files and what is asked only (and on the versions of GDAL).

    Args:
        layers: One for each band of `metadata`, whose dtype holds all of their values.
        grid: Of the pixels.
        metadata: What the GeoTIFF says; its CRS is the grid's.
        destination: In a folder that exists.
        mask: A layer whose mask becomes the GeoTIFF's own, for files with a mask but without nodata.

    Raises:
        UsageError: a band has the nodata of the others as a value.
        CorruptError: a file is damaged.
        StorageError: the disk is full or can't be written.
    """
    options = {"GDAL_TIFF_INTERNAL_MASK": True, "GDAL_CACHEMAX": _CACHE_MEGABYTES, "GDAL_NUM_THREADS": 1}
    with translate_os_errors(destination), temporary_sibling(destination) as draft, rasterio.Env(**options):
        with ExitStack() as open_files:
            bands = [open_files.enter_context(_onto(layer, grid)) for layer in layers]
            masking = open_files.enter_context(_onto(mask, grid)) if mask else None
            sums = _write(draft, bands, masking, grid, metadata)
        _check_written(draft, sums, destination)
        draft.replace(destination)


def grid_at(grid: Grid, resolution: float | None) -> Grid:
    """The grid with the same upper left corner whose pixels are `resolution` wide and high; itself with None.

    It has as many pixels as have their centre inside.

    Raises:
        UsageError: nothing is left of it.
    """
    across, down = pixel_size(grid)
    if resolution is None or (_alike(across, resolution) and _alike(down, resolution)):
        return grid
    if not (math.isfinite(resolution) and resolution > 0):
        raise UsageError(f"a resolution of {resolution:g} is none: pass the size of a pixel, such as 10")
    width, height = (_count(grid.width * across / resolution), _count(grid.height * down / resolution))
    if not (width and height):
        raise UsageError(f"pixels of {resolution:g} are larger than the raster: pass a smaller resolution")
    a, b, c, d, e, f = grid.transform
    x, y = resolution / across, resolution / down
    return Grid(grid.crs, Transform(a * x, b * y, c, d * x, e * y, f), width, height)


def pixel_size(grid: Grid) -> tuple[float, float]:
    """How wide and high a pixel is, in units of the CRS."""
    a, b, _, d, e, _ = grid.transform
    return math.hypot(a, d), math.hypot(b, e)


def resampling_between(given: Grid, wanted: Grid, asked: Resampling | None) -> Resampling:
    """How pixels of measurements come onto another grid, if it is not `asked` for.

    Bilinear onto finer pixels, where it adds no detail and no steps; the mean of what a pixel covers onto coarser ones.
    """
    if asked is not None:
        return asked
    coarser = math.prod(pixel_size(wanted)) > math.prod(pixel_size(given)) * (1 + _SAME)
    return Resampling.average if coarser else Resampling.bilinear


def resampling_named(name: Any) -> Resampling | None:
    """The resampling of that name; None for None.

    Raises:
        UsageError: there is none.
    """
    if name is None:
        return None
    if not isinstance(name, str) or name not in RESAMPLINGS:
        raise UsageError(f"no resampling {name!r}: choose one of {', '.join(RESAMPLINGS)}")
    return RESAMPLINGS[name]


def same_grid(one: Grid, other: Grid) -> bool:
    """Whether pixels lie on pixels, up to a millionth of one."""
    if (one.width, one.height) != (other.width, other.height):
        return False
    room = _SAME * min(pixel_size(other))
    steps = (other.width, other.height, 1, other.width, other.height, 1)
    return all(
        abs(mine - theirs) * step <= room
        for mine, theirs, step in zip(one.transform, other.transform, steps, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Onto:
    """A layer whose file is open, on the stack's grid."""

    layer: Layer
    raster: DatasetReader | WarpedVRT

    def read(self, window: RasterioWindow, metadata: GeoTiffMetadata) -> Pixels:
        with translate_read_errors(self.layer.path):
            stored = self.raster.read(self.layer.band, window=window)
            missing = self._missing(stored, window)
        pixels: Pixels = stored.astype(metadata.dtype, copy=False)
        if self.layer.change:
            pixels = self.layer.change(pixels)
        if missing is None or metadata.nodata is None:
            return pixels
        self._check_clash(pixels, missing, metadata.nodata)
        return np.where(missing, np.array(metadata.nodata, metadata.dtype), pixels)

    def mask(self, window: RasterioWindow) -> NDArray[np.uint8]:
        with translate_read_errors(self.layer.path):
            return np.asarray(self.raster.read_masks(self.layer.band, window=window))

    def _missing(self, stored: Pixels, window: RasterioWindow) -> NDArray[np.bool_] | None:
        if self.layer.masked:
            return np.asarray(self.raster.read_masks(self.layer.band, window=window) == 0)
        return None if self.layer.nodata is None else _equal(stored, self.layer.nodata)

    def _check_clash(self, pixels: Pixels, missing: NDArray[np.bool_], nodata: float) -> None:
        """The layer says itself what is no data: whatever else becomes the stack's nodata would be lost."""
        if not self.layer.masked and self.layer.nodata == nodata:
            return
        if (_equal(pixels, nodata) & ~missing).any():
            raise UsageError(
                f"band '{self.layer.name}' has the nodata of the other bands, {nodata:g}, as a value: pass another one "
                "as the option nodata"
            )


@contextmanager
def _onto(layer: Layer, grid: Grid) -> Iterator[_Onto]:
    with opened(layer.path) as raster:
        if same_grid(layer.grid, grid):
            yield _Onto(layer, raster)
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
            **({"add_alpha": True} if layer.masked else {"src_nodata": layer.nodata, "nodata": layer.nodata}),
        ) as warped:
            yield _Onto(layer, warped)


def _write(draft: Path, bands: list[_Onto], masking: _Onto | None, grid: Grid, metadata: GeoTiffMetadata) -> _Sums:
    options = profile(metadata, grid.height, grid.width)
    sums = []
    with rasterio.open(draft, "w", **options, transform=rasterio.Affine(*grid.transform), BIGTIFF="IF_SAFER") as raster:
        write_metadata(raster, metadata)
        for window in _strips(grid, metadata, options["blockysize"]):
            rows = np.stack([band.read(window, metadata) for band in bands])
            raster.write(rows, window=window)
            if masking:
                raster.write_mask(masking.mask(window), window=window)
            sums.append((window, _crc(rows)))
    return sums


def _check_written(draft: Path, sums: _Sums, destination: Path) -> None:
    """Read all pixels back: what a full disk refuses when the file is closed, GDAL doesn't tell."""
    try:
        with opened(draft) as raster:
            whole = all(_crc(raster.read(window=window)) == crc for window, crc in sums)
    except (CorruptError, RasterioError):
        whole = False
    if not whole:
        raise StorageError(f"can't write '{destination}' whole: the disk may be full; free some space, and try again")


def _strips(grid: Grid, metadata: GeoTiffMetadata, block: int) -> Iterator[RasterioWindow]:
    """Windows of whole rows of blocks, from the top: so blocks reach the file in order, whatever the cache holds."""
    row_bytes = grid.width * metadata.count * np.dtype(metadata.dtype).itemsize
    height = max(_STRIP_BYTES // row_bytes // block, 1) * block
    for row in range(0, grid.height, height):
        yield RasterioWindow(0, row, grid.width, min(height, grid.height - row))


def _crc(rows: Pixels) -> int:
    return zlib.crc32(np.ascontiguousarray(rows).data)


def _equal(pixels: Pixels, value: float) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(pixels) if math.isnan(value) else pixels == value)


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_SAME)


def _count(pixels: float) -> int:
    return math.ceil(pixels - 0.5 - _SAME)
