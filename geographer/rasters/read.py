"""Reads what a raster file says of itself: its grid, bands, nodata, footprint and time of acquisition."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.features import shapes
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.values import Grid, Transform
from geographer.rasters.crs import crs_to_text, read_crs

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGEST_X, _LARGEST_Y = 400.0, 100.0
"""A full turn and a right angle, in degrees with some room for the outer edge of pixels, or in grads."""
_MASK_STRIP_BYTES = 1 << 25


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """What a raster file says of itself.

    `outline` is the footprint as little-endian WKB, a Polygon or MultiPolygon in the raster's own CRS (x
    before y), with counter-clockwise shells. `nodata` may be NaN. `upright` is false if the transform turns
    or shears. `dtype` is numpy's name. `acquired` is in UTC. `tags` are the file's own, of GDAL's default domain.
    """

    grid: Grid
    count: int
    dtype: str
    nodata: float | None
    outline: bytes
    upright: bool
    acquired: datetime | None
    tags: dict[str, str]


def read_raster_info(
    path: Path,
    *,
    crs: str | None = None,
    footprint: Literal["bounds", "valid"] = "bounds",
    acquired: str | None = None,
) -> RasterInfo:
    """What the raster at `path` says of itself; no pixels are read, but for `footprint="valid"` the mask's.

    Args:
        path: Any file that GDAL opens as one raster.
        crs: Stands in for the file's own CRS: anything that rasterio takes, such as `EPSG:32633` or WKT.
        footprint: `bounds` is the outline of all pixels; `valid` the union of those that the dataset's mask
            (nodata, alpha or mask band; a pixel counts if any band holds it) calls valid, along exact pixel
            edges.
        acquired: The tag that holds the time of acquisition, `YYYY:MM:DD HH:MM:SS` as in TIFF or ISO 8601;
            without an offset it is taken as UTC.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It isn't a raster, or lacks a CRS, a transform, a band, a valid pixel or the tag, or its
            bands differ in type or nodata.
        CorruptError: It is a raster, but damaged.
    """
    with open_raster(path) as raster:
        grid = read_grid(raster, crs)
        a, b, _, d, e, _ = grid.transform
        return RasterInfo(
            grid=grid,
            count=raster.count,
            dtype=str(np.dtype(raster.dtypes[0])),
            nodata=None if raster.nodata is None else float(raster.nodata),
            outline=shapely.to_wkb(_valid_outline(raster) if footprint == "valid" else _outline(grid), byte_order=1),
            upright=b == d == 0 and a != 0 and e != 0,
            acquired=None if acquired is None else _acquired(raster, acquired),
            tags=raster.tags(),
        )


def open_raster(path: Path) -> DatasetReader:
    """The raster at `path`, open for reading, with bands that agree in type and nodata.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It isn't a raster, or one that can't be versioned as one array.
        CorruptError: It begins as a TIFF, but can't be opened as one.
    """
    if not path.exists():
        raise NotFoundError(f"no raster '{path}': check the path")
    if not path.is_file() or not path.stat().st_size:
        raise UsageError(f"'{path}' is not a raster but {'empty' if path.is_file() else 'a folder'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            raster = rasterio.open(path)
    except RasterioIOError as error:
        raise _unopened(path) from error
    try:
        _check_bands(raster)
    except UsageError:
        raster.close()
        raise
    return raster


@contextmanager
def translate_read_errors(path: str | Path) -> Iterator[None]:
    """Turns an error of reading pixels into a `CorruptError` that names the file."""
    try:
        yield
    except RasterioIOError as error:
        message = f"raster '{path}' is damaged: its pixels can't be read; get it again from where it came ({error})"
        raise CorruptError(message) from error


def read_grid(raster: DatasetReader, crs: str | None = None) -> Grid:
    """Where the pixels of an open raster lie; `crs` stands in for the file's own.

    Raises:
        UsageError: The CRS is missing, unknown or can't be true, or the transform is missing or collapses.
    """
    system = read_crs(raster, crs)
    transform = Transform(*raster.transform[:6])
    if transform == (1, 0, 0, 0, 1, 0):
        message = f"raster '{raster.name}' has no transform: georeference it first, as with gdal_translate -a_ullr"
        raise UsageError(message)
    if transform.a * transform.e == transform.b * transform.d or not all(map(math.isfinite, transform)):
        raise UsageError(
            f"raster '{raster.name}' has a transform without area, {tuple(transform)}: georeference it again"
        )
    grid = Grid(crs_to_text(system), transform, raster.width, raster.height)
    if system.is_geographic:
        _check_degrees(raster.name, grid)
    return grid


def _unopened(path: Path) -> UsageError | CorruptError:
    with path.open("rb") as file:
        signature = file.read(4)
    if signature in _TIFF_SIGNATURES:
        return CorruptError(f"raster '{path}' is damaged: it begins as a TIFF but can't be opened; get it again")
    return UsageError(f"'{path}' is not a raster that GDAL can open: convert it to GeoTIFF, or leave it out")


def _check_bands(raster: DatasetReader) -> None:
    if not raster.count:
        parts = quote_names(raster.subdatasets) if raster.subdatasets else "none"
        raise UsageError(f"'{raster.name}' has no bands of its own: convert one of its parts to GeoTIFF ({parts})")
    for what, values in (("type", set(raster.dtypes)), ("nodata", set(map(str, raster.nodatavals)))):
        if len(values) > 1:
            message = f"the bands of raster '{raster.name}' differ in {what} ({', '.join(sorted(values))})"
            raise UsageError(f"{message}: write them to one raster each")
    if raster.dtypes[0].startswith("complex_int"):
        raise UsageError(f"raster '{raster.name}' holds complex integers: convert it to complex64")


def _check_degrees(name: str, grid: Grid) -> None:
    corners = _corners(grid)
    x, y = np.abs(corners).max(axis=0)
    if x > _LARGEST_X or y > _LARGEST_Y:
        bounds = ", ".join(f"{value:g}" for value in (*corners.min(axis=0), *corners.max(axis=0)))
        system = grid.crs if grid.crs.startswith("EPSG:") else "longitude and latitude"
        raise UsageError(f"raster '{name}' claims {system} but its bounds are {bounds} — metres? pass --crs EPSG:…")


def _corners(grid: Grid) -> NDArray[np.float64]:
    """The outer corners in turn, from the first pixel: float64 of shape (4, 2), x before y."""
    a, b, c, d, e, f = grid.transform
    columns = np.array([0.0, grid.width, grid.width, 0.0])
    rows = np.array([0.0, 0.0, grid.height, grid.height])
    return np.column_stack([a * columns + b * rows + c, d * columns + e * rows + f])


def grid_outline_wkb(grid: Grid) -> bytes:
    """The outer corners of a grid's pixels as a counter-clockwise polygon in its CRS: little-endian WKB."""
    return bytes(shapely.to_wkb(_outline(grid), byte_order=1))


def _outline(grid: Grid) -> BaseGeometry:
    return orient(shapely.Polygon(_corners(grid)))


def _valid_outline(raster: DatasetReader) -> BaseGeometry:
    """The valid pixels' union, made in whole pixels, where it is exact, and only then brought to the CRS."""
    a, b, c, d, e, f = raster.transform[:6]
    with translate_read_errors(raster.name):
        valid = _valid_pixels(raster)
    if valid.is_empty:
        raise UsageError(f"raster '{raster.name}' has no valid pixel: leave it out, or use --footprint bounds")

    def placed(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = pixels.T
        return np.column_stack([a * columns + b * rows + c, d * columns + e * rows + f])

    outline = shapely.transform(valid, placed)
    parts = [orient(part) for part in getattr(outline, "geoms", [outline])]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _valid_pixels(raster: DatasetReader) -> BaseGeometry:
    """The union of the valid pixels, in pixel coordinates (column, row), without points inside edges."""
    if all(MaskFlags.all_valid in flags for flags in raster.mask_flag_enums):
        return shapely.box(0, 0, raster.width, raster.height)
    strips = [_valid_in_strip(raster, window) for window in iter_strips(raster, raster.width, _MASK_STRIP_BYTES)]
    return shapely.normalize(shapely.simplify(shapely.union_all(strips), 0))


def _valid_in_strip(raster: DatasetReader, window: RasterioWindow) -> BaseGeometry:
    valid = raster.dataset_mask(window=window) != 0
    found = shapes(valid.astype(np.uint8), mask=valid, transform=rasterio.Affine.translation(0, window.row_off))
    polygons = [shapely.geometry.shape(polygon) for polygon, _ in found]
    return shapely.union_all(polygons)


def iter_strips(raster: DatasetReader, row_bytes: int, strip_bytes: int) -> Iterator[RasterioWindow]:
    """Windows over the raster's full width, from the top, in order; each of whole rows of blocks.

    A strip has as many rows of blocks as fit in `strip_bytes`, at `row_bytes` a row of pixels, but at least
    one; only blocks of more than 1,024 rows (files that are a single block) are read in parts.
    """
    block = raster.block_shapes[0][0]
    height = max(strip_bytes // row_bytes // block * block, min(block, 1024))
    for row in range(0, raster.height, height):
        yield RasterioWindow(0, row, raster.width, min(height, raster.height - row))


def _acquired(raster: DatasetReader, tag: str) -> datetime:
    tags = raster.tags()
    if tag not in tags:
        known = quote_names(sorted(tags), limit=20) or "none"
        raise UsageError(f"raster '{raster.name}' has no tag '{tag}': it has {known}")
    text = tags[tag].strip()
    try:
        moment = datetime.strptime(text, "%Y:%m:%d %H:%M:%S") if text[4:5] == ":" else datetime.fromisoformat(text)
    except ValueError as error:
        message = f"tag '{tag}' of raster '{raster.name}' is no date: '{text}'; understood are ISO 8601 and "
        raise UsageError(f"{message}'YYYY:MM:DD HH:MM:SS'") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
