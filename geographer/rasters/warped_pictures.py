"""Warped pictures: the picture of a raster on a grid of longitudes and latitudes, transparent where it has no pixel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from geographer.base.errors import UsageError
from geographer.base.values import Grid
from geographer.rasters.crs import parse_crs
from geographer.rasters.open_chips import ignore_sidecars
from geographer.rasters.pictures import PictureSettings, choose_picture_bands, stretch_bands
from geographer.rasters.read import open_raster, translate_read_errors

_LONLAT: Final = "EPSG:4326"
_WORLD: Final = 360.0


class LonLatGrid(NamedTuple):
    """A grid of longitudes, which may be beyond 180, and latitudes in degrees, and its size in pixels."""

    west: float
    south: float
    east: float
    north: float
    width: int
    height: int


def read_warped_picture(
    path: Path, grid: Grid, settings: PictureSettings, target: LonLatGrid, *, with_sidecars: bool = False
) -> NDArray[np.uint8]:
    """Return the picture of a raster on another grid: red, green, blue and opacity, shape (4, rows, columns).

    Pixels are averages of those of the raster; percentiles are those of the pixels on the other grid.

    Args:
        path: The file.
        grid: The CRS and the transform of the raster, in place of those in the file.
        settings: The bands and the stretch; format and size are not used.
        target: The grid of the picture.
        with_sidecars: Whether files beside the raster belong to it.

    Raises:
        NotFoundError, CorruptError: the file does not exist, or is damaged.
        UsageError: it has no such band, or cannot be warped to longitudes and latitudes.
    """
    context = nullcontext() if with_sidecars else ignore_sidecars()
    with context, open_raster(path, with_sidecars=with_sidecars) as raster, translate_read_errors(path):
        numbers = choose_picture_bands(raster, settings)
        pixels, valid = _read_parts(raster, numbers, grid, target)
    colours = stretch_bands(pixels, np.broadcast_to(valid, pixels.shape), settings.stretch)
    opacity = np.where(valid, 255, 0).astype(np.uint8)
    return np.concatenate([np.broadcast_to(colours, (3, *valid.shape)), opacity[np.newaxis]])


def _read_parts(
    raster: DatasetReader, numbers: Sequence[int], grid: Grid, target: LonLatGrid
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return warped bands, and which pixels are valid, shape (rows, columns)."""
    pixels = np.zeros((len(numbers), target.height, target.width), raster.dtypes[numbers[0] - 1])
    valid = np.zeros((target.height, target.width), np.bool_)
    for shift in _list_shifts(grid, target):
        moved = target._replace(west=target.west + shift, east=target.east + shift)
        part, is_valid = _read_part(raster, numbers, grid, moved)
        pixels = np.where(is_valid & ~valid, part, pixels)
        valid |= is_valid
    return pixels, valid & np.isfinite(pixels).all(axis=0)


def _list_shifts(grid: Grid, target: LonLatGrid) -> list[float]:
    """Return by how many degrees to shift the target, to be where a raster in degrees has its pixels."""
    if not parse_crs(grid.crs).is_geographic:
        return [0.0]
    to_degrees = rasterio.Affine(*grid.transform)
    corners = [to_degrees @ (column, row) for column in (0, grid.width) for row in (0, grid.height)]
    west, east = min(x for x, _ in corners), max(x for x, _ in corners)
    turns = [turn * _WORLD for turn in (0, -1, 1, -2, 2)]
    return [shift for shift in turns if target.west + shift < east and target.east + shift > west]


def _read_part(
    raster: DatasetReader, numbers: Sequence[int], grid: Grid, target: LonLatGrid
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    pixel = (target.east - target.west) / target.width, (target.north - target.south) / target.height
    transform = rasterio.Affine(pixel[0], 0, target.west, 0, -pixel[1], target.north)
    has_alpha = ColorInterp.alpha in raster.colorinterp
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with WarpedVRT(
                raster,
                src_crs=parse_crs(grid.crs),
                src_transform=rasterio.Affine(*grid.transform),
                crs=_LONLAT,
                transform=transform,
                width=target.width,
                height=target.height,
                resampling=Resampling.average,
                add_alpha=not has_alpha,
            ) as warped:
                # The dataset mask does not have the opacity if there is one other band.
                opacity = warped.read(warped.colorinterp.index(ColorInterp.alpha) + 1)
                return np.asarray(warped.read(numbers)), np.asarray(opacity) != 0
    except RasterioError as error:
        raise UsageError(
            f"raster '{raster.name}' cannot be warped to longitudes and latitudes: {error}. Choose another raster."
        ) from error
