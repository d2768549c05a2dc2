"""Read raster files: grid, bands, nodata, footprint, acquisition time and tags; and strips of their pixels."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.features import shapes
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window as RasterioWindow
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.values import Grid, Transform
from geographer.rasters.chip_address import ChipAddress
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.nodata import read_nodata
from geographer.rasters.remote_address import RemoteAddress, find_remote_url

FootprintKind = Literal["bounds", "valid"]

_MASK_STRIP_BYTES = 1 << 25
NO_SIDECARS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
_MAX_ABS_X, _MAX_ABS_Y = 400.0, 100.0
"""Limits of geographic coordinates: 360° and 90° with room for the outer edges of pixels; or in grads."""


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """The properties of a raster file.

    `dtype` is numpy's name of the pixel type, such as `uint16`; the `nodata` value of all bands may be NaN, and is as
    `read_nodata` returns it.
    `footprint_wkb` is a (multi)polygon in the raster's CRS (x before y) with counter-clockwise shells, as little-endian
    WKB. `is_axis_aligned` is False if the transform rotates or shears. `acquired` is in UTC; `tags` are those of GDAL's
    default domain.
    """

    grid: Grid
    band_count: int
    dtype: str
    nodata: float | None
    footprint_wkb: bytes
    is_axis_aligned: bool
    acquired: datetime | None
    tags: dict[str, str]


def read_raster_info(
    path: Path, *, crs: str | None = None, footprint: FootprintKind = "bounds", acquired: str | None = None
) -> RasterInfo:
    """Read the properties of the raster at `path`; no pixels are read, except the mask with `footprint="valid"`.

    Args:
        path: Any file that GDAL opens as one raster.
        crs: Replaces the file's own CRS: anything that rasterio accepts, such as `EPSG:32633` or WKT.
        footprint: `bounds` is the polygon around all pixels; `valid` is the union of the pixels that the dataset mask
            (nodata, alpha or mask band) marks as valid in any band, along exact pixel edges.
        acquired: The tag with the time of acquisition, `YYYY:MM:DD HH:MM:SS` as in TIFF or ISO 8601; without an
            offset it counts as UTC.

    Raises:
        NotFoundError, CorruptError: the file does not exist, or is damaged.
        UsageError: the file is not a raster, or lacks a CRS, a transform, a band, a valid pixel or the tag, or its
            bands differ in type or nodata.
    """
    with open_raster(path) as raster, translate_metadata_errors(path):
        grid = read_grid(raster, crs)
        a, b, _, d, e, _ = grid.transform
        traced = shapely.to_wkb(_trace_valid_footprint(raster), byte_order=1) if footprint == "valid" else None
        return RasterInfo(
            grid=grid,
            band_count=raster.count,
            dtype=str(np.dtype(raster.dtypes[0])),
            nodata=read_nodata(raster),
            footprint_wkb=traced or grid_footprint_wkb(grid),
            is_axis_aligned=b == d == 0 and a != 0 and e != 0,
            acquired=None if acquired is None else _read_acquisition_time(raster, acquired),
            tags=raster.tags(),
        )


def open_raster(path: Path, *, with_sidecars: bool = True) -> DatasetReader:
    """Open the raster at `path`; its bands must agree in type and nodata. `with_sidecars` reads sidecar files, too.

    Raise NotFoundError, UsageError or CorruptError if the file does not exist, is not a raster, or is a damaged TIFF.
    """
    if address := ChipAddress.from_path(path):
        from geographer.rasters.virtual_chips import open_virtual_chip

        return open_virtual_chip(address)
    if remote := RemoteAddress.from_path(path):
        return _open_remote_raster(remote)
    if not path.exists():
        raise NotFoundError(f"raster '{path}' not found. Check the path.")
    if not path.is_file() or not path.stat().st_size:
        raise UsageError(f"'{path}' is {'an empty file' if path.is_file() else 'a folder'}, not a raster.")
    environment = nullcontext() if with_sidecars else rasterio.Env(**NO_SIDECARS)
    try:
        with environment, warnings.catch_warnings(), translate_metadata_errors(path):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            raster = rasterio.open(path)
    except RasterioIOError as error:
        with path.open("rb") as file:
            is_tiff = file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
        if is_tiff:
            message = f"raster '{path}' is damaged: it cannot be opened as TIFF. Get a new copy of the file."
            raise CorruptError(message) from error
        message = f"'{path}' is not a raster that GDAL can open. Convert it to GeoTIFF, or leave it out."
        raise UsageError(message) from error
    try:
        _check_bands(raster)
    except UsageError:
        raster.close()
        raise
    return raster


def _open_remote_raster(address: RemoteAddress) -> DatasetReader:
    from geographer.rasters.remote_rasters import open_remote_raster

    with translate_metadata_errors(address.url):
        raster = open_remote_raster(address)
    try:
        _check_bands(raster)
    except UsageError:
        raster.close()
        raise
    return raster


def list_raster_files(path: Path) -> list[Path]:
    """List the files that GDAL reads for a raster: itself, its sidecar files, and the sources of a VRT with theirs."""
    files, waiting = {path}, [path]
    while waiting:
        with suppress(RasterioIOError), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(waiting.pop()) as raster:
                new_files = {Path(file) for file in raster.files} - files
            files |= new_files
            waiting += new_files
    return sorted(files)


@contextmanager
def translate_metadata_errors(path: str | Path) -> Iterator[None]:
    """Raise an error of reading metadata, such as a CRS that is not UTF-8, as a `UsageError` that names the file."""
    try:
        yield
    except RasterioIOError:
        raise
    except (RasterioError, ValueError, OverflowError) as error:
        advice = "Correct it with gdal_translate, or leave the file out."
        raise UsageError(f"the metadata of raster '{path}' cannot be read: {error}. {advice}") from error


@contextmanager
def translate_read_errors(path: str | Path) -> Iterator[None]:
    """Raise an error of reading pixels as a `CorruptError` that names the file."""
    try:
        yield
    except RasterioIOError as error:
        if url := find_remote_url(path):
            from geographer.rasters.remote_rasters import translate_remote_error

            raise translate_remote_error(error.__cause__ or error, url) from error
        message = f"raster '{path}' is damaged, its pixels cannot be read ({error}). Get a new copy of the file."
        raise CorruptError(message) from error


def read_grid(raster: DatasetReader, crs: str | None = None) -> Grid:
    """Read the grid of an open raster; `crs` replaces its own. Raise UsageError if CRS or transform are invalid."""
    parsed_crs = raster.crs if crs is None else parse_crs(crs)
    if not parsed_crs:
        raise UsageError(f"raster '{raster.name}' has no CRS. Pass one, e.g. --crs EPSG:32633.")
    transform = Transform(*raster.transform[:6])
    if transform == (1, 0, 0, 0, 1, 0):
        raise UsageError(f"raster '{raster.name}' has no transform. Georeference it with gdal_translate -a_ullr.")
    if transform.a * transform.e == transform.b * transform.d or not all(map(math.isfinite, transform)):
        raise UsageError(
            f"raster '{raster.name}' has a degenerate transform, {tuple(transform)}. Georeference it again."
        )
    grid = Grid(crs_to_text(parsed_crs), transform, raster.width, raster.height)
    if parsed_crs.is_geographic:
        _check_geographic_bounds(raster.name, grid)
    return grid


def _check_bands(raster: DatasetReader) -> None:
    if not raster.count:
        parts = quote_names(raster.subdatasets) if raster.subdatasets else "none"
        raise UsageError(f"'{raster.name}' has no bands. Convert one of its subdatasets to GeoTIFF ({parts}).")
    for field, values in (("type", set(raster.dtypes)), ("nodata", set(map(str, raster.nodatavals)))):
        if len(values) > 1:
            differences = ", ".join(sorted(values))
            raise UsageError(
                f"the bands of raster '{raster.name}' differ in {field} ({differences}). Write each to its own raster."
            )
    if raster.dtypes[0].startswith("complex_int"):
        raise UsageError(f"raster '{raster.name}' has complex integer pixels. Convert it to complex64.")


def _check_geographic_bounds(name: str, grid: Grid) -> None:
    corners = find_grid_corners(grid)
    x, y = np.abs(corners).max(axis=0)
    if x > _MAX_ABS_X or y > _MAX_ABS_Y:
        bounds = ", ".join(f"{value:g}" for value in (*corners.min(axis=0), *corners.max(axis=0)))
        crs = grid.crs if grid.crs.startswith("EPSG:") else "geographic"
        raise UsageError(
            f"the bounds of raster '{name}' ({bounds}) are not degrees, but its CRS is {crs}. If they are metres, pass "
            "the right CRS, e.g. --crs EPSG:32633."
        )


def find_grid_corners(grid: Grid) -> NDArray[np.float64]:
    """Return the outer corners in turn, from that of the first pixel: float64 of shape (4, 2), x before y."""
    width, height = grid.width, grid.height
    return _apply_transform(grid.transform, np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]))


def _apply_transform(transform: Transform, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c, d, e, f = transform
    columns, rows = pixels.T
    return np.column_stack([a * columns + b * rows + c, d * columns + e * rows + f])


def grid_footprint_wkb(grid: Grid) -> bytes:
    """Return the counter-clockwise polygon around a grid's pixels in its CRS: little-endian WKB."""
    return bytes(shapely.to_wkb(orient(shapely.Polygon(find_grid_corners(grid))), byte_order=1))


def _trace_valid_footprint(raster: DatasetReader) -> BaseGeometry:
    """Return the union of the valid pixels: formed in pixel coordinates, where it is exact, then moved to the CRS."""
    valid_area = shapely.box(0, 0, raster.width, raster.height)
    if not all(MaskFlags.all_valid in flags for flags in raster.mask_flag_enums):
        with translate_read_errors(raster.name):
            strips = [_trace_strip(raster, window) for window in iter_strips(raster, _MASK_STRIP_BYTES, raster.width)]
        valid_area = shapely.normalize(shapely.simplify(shapely.union_all(strips), 0))  # no vertices inside edges
    if valid_area.is_empty:
        raise UsageError(f"raster '{raster.name}' has no valid pixel. Leave it out, or use --footprint bounds.")
    footprint = shapely.transform(valid_area, partial(_apply_transform, Transform(*raster.transform[:6])))
    parts = [orient(part) for part in getattr(footprint, "geoms", [footprint])]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _trace_strip(raster: DatasetReader, window: RasterioWindow) -> BaseGeometry:
    is_valid = raster.dataset_mask(window=window) != 0
    offset = rasterio.Affine.translation(0, window.row_off)
    polygons = shapes(is_valid.astype(np.uint8), mask=is_valid, transform=offset)
    return shapely.union_all([shapely.geometry.shape(polygon) for polygon, _ in polygons])


def iter_strips(
    raster: DatasetReader | DatasetWriter, strip_bytes: int, row_bytes: int | None = None
) -> Iterator[RasterioWindow]:
    """Yield windows over the raster's full width, from the top, each of as many rows of blocks as fit in `strip_bytes`.

    `row_bytes` is for a row of pixels; None: of all bands. Only blocks of more than 1,024 rows are read in parts.
    """
    row_bytes = row_bytes or raster.count * raster.width * np.dtype(raster.dtypes[0]).itemsize
    block = raster.block_shapes[0][0]
    height = max(strip_bytes // row_bytes // block * block, min(block, 1024))
    for row in range(0, raster.height, height):
        yield RasterioWindow(0, row, raster.width, min(height, raster.height - row))


def _read_acquisition_time(raster: DatasetReader, tag: str) -> datetime:
    tags = raster.tags()
    if tag not in tags:
        available = quote_names(sorted(tags), limit=20) or "none"
        raise UsageError(f"raster '{raster.name}' has no tag '{tag}'. Its tags are: {available}.")
    text = tags[tag].strip()
    try:
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S") if text[4:5] == ":" else datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"invalid time '{text}' in tag '{tag}' of raster '{raster.name}'. Use ISO 8601 or 'YYYY:MM:DD HH:MM:SS'."
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
