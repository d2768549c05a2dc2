"""Geographic axes: longitudes and latitudes with the right aspect, degrees, a graticule and a scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.outputs.pages.map_shapes import find_west_of_ranges
from geographer.outputs.pictures.palette import GRID_COLOUR, TEXT_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN: Final = 0.04
_LEAST_SPAN: Final = 0.004
"""The least height of a map in degrees."""
_LEAST_COSINE: Final = 0.08
_METRES_PER_DEGREE: Final = 111_195.0
"""On a sphere of the radius 6,371 km."""
_WORLD: Final = 360.0
_HALF: Final = 180.0 - 1e-9


class MapExtent(NamedTuple):
    """What a map shows, in degrees: longitudes from `west`, which may reach beyond 180, and latitudes.

    Attributes:
        west: The longitude at which the map begins.
        south: The lowest latitude.
        east: The longitude at which it ends.
        north: The highest latitude.
        cut: The longitude from which on places are drawn; those west of it are drawn 360° farther east.
    """

    west: float
    south: float
    east: float
    north: float
    cut: float

    @property
    def lon_scale(self) -> float:
        """The length of a degree of longitude in the middle of the map, in those of latitude."""
        return max(math.cos(math.radians((self.south + self.north) / 2)), _LEAST_COSINE)

    @property
    def side_ratio(self) -> float:
        """The height of the map in its widths."""
        return (self.north - self.south) / ((self.east - self.west) * self.lon_scale)


def find_map_extent(boxes: NDArray[np.float64], *, max_ratio: float = 2.2) -> MapExtent:
    """Return the extent of a map of boxes (xmin, ymin, xmax, ymax in degrees), shape (n, 4), with a margin.

    `xmax` of a box across the antimeridian is above 180. The map begins in the largest gap between longitudes, so that
    it shows places on both sides of the antimeridian in one piece. Without boxes, it is the world. Its longer side is
    at most `max_ratio` times the shorter one.
    """
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return MapExtent(-180.0, -90.0, 180.0, 90.0, -180.0)
    starts = wrap_longitudes(boxes[:, 0], -180.0)
    ends = starts + np.clip(boxes[:, 2] - boxes[:, 0], 0, _WORLD)
    cut = find_west_of_ranges(starts, ends)
    starts = wrap_longitudes(starts, cut)
    west, east = float(starts.min()), float((starts + np.clip(boxes[:, 2] - boxes[:, 0], 0, _WORLD)).max())
    south, north = max(float(boxes[:, 1].min()), -90.0), min(float(boxes[:, 3].max()), 90.0)
    return _widen_extent(MapExtent(west, south, min(east, west + _WORLD), north, cut), max_ratio)


def focus_map_extent(box: Sequence[float], boxes: NDArray[np.float64], *, max_ratio: float = 2.2) -> MapExtent:
    """Return the extent of a map of one box, with a margin, where what reaches beyond it is drawn in one piece.

    Args:
        box: xmin, ymin, xmax, ymax in degrees.
        boxes: The boxes of what is drawn, shape (n, 4).
        max_ratio: See `find_map_extent`.
    """
    cut = find_map_extent(np.vstack([boxes, [box]])).cut
    west = float(wrap_longitudes(np.array([box[0]]), cut)[0])
    width = min(max(box[2] - box[0], 0.0), _WORLD)
    return _widen_extent(MapExtent(west, max(box[1], -90.0), west + width, min(box[3], 90.0), cut), max_ratio)


def split_geometries(geometries: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Return the points, lines and polygons of geometries, none of which is missing, and the index of each one's."""
    parts, owners = geometries, np.arange(len(geometries))
    while len(parts) and (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, indices = shapely.get_parts(parts, return_index=True)
        owners = owners[indices]
    is_kept = ~shapely.is_empty(parts)
    return shapely.force_2d(parts[is_kept]), owners[is_kept]


def shift_parts(parts: NDArray[np.object_], cut: float) -> NDArray[np.object_]:
    """Return parts in longitude/latitude as a map that begins at the longitude `cut` has them."""
    points, owners = shapely.get_coordinates(parts, return_index=True)
    points[:, 0] += np.where(shapely.bounds(parts)[:, 0] < cut, _WORLD, 0.0)[owners]
    return np.asarray(shapely.set_coordinates(parts.copy(), points), object)


def join_halves(
    parts: NDArray[np.object_], placed: NDArray[np.object_], owners: NDArray[np.intp]
) -> NDArray[np.object_]:
    """Return placed parts, with those of a geometry that was divided at the antimeridian as one.

    Args:
        parts: Parts in longitude/latitude, shape (n,).
        placed: The same parts where the map has them.
        owners: The index of each part's geometry.
    """
    bounds = shapely.bounds(parts)
    east, west = bounds[:, 2] >= _HALF, bounds[:, 0] <= -_HALF
    crossing = np.intersect1d(owners[east], owners[west])
    is_half = np.isin(owners, crossing) & (east | west) & (shapely.get_dimensions(parts) > 0)
    joined = [shapely.union_all(placed[is_half & (owners == owner)]) for owner in crossing.tolist()]
    found = split_geometries(np.array(joined, object))[0] if joined else placed[:0]
    return np.concatenate([placed[~is_half], found])


def wrap_longitudes(longitudes: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Return longitudes from `cut` on, to just below `cut` + 360."""
    return np.asarray((longitudes - cut) % _WORLD + cut)


def _widen_extent(extent: MapExtent, max_ratio: float) -> MapExtent:
    """Add a margin, and more where the map would be too narrow."""
    lon_scale = extent.lon_scale
    width, height = (extent.east - extent.west) * lon_scale, extent.north - extent.south
    width, height = width * (1 + 2 * _MARGIN), height * (1 + 2 * _MARGIN)
    width, height = max(width, height / max_ratio, _LEAST_SPAN), max(height, width / max_ratio, _LEAST_SPAN)
    middle_x, middle_y = (extent.west + extent.east) / 2, (extent.south + extent.north) / 2
    half_x, half_y = width / lon_scale / 2, height / 2
    return MapExtent(middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y, extent.cut)


def prepare_map_axes(axes: Axes, extent: MapExtent, *, ticks: int = 6, has_scale: bool = True) -> None:
    """Set limits, aspect, graticule and the degrees at the axes, and draw a scale bar."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

    axes.set_xlim(extent.west, extent.east)
    axes.set_ylim(extent.south, extent.north)
    axes.set_aspect(1 / extent.lon_scale)
    sides = (
        (axes.xaxis, (extent.west, extent.east), _format_longitude),
        (axes.yaxis, (extent.south, extent.north), _format_latitude),
    )
    for axis, limits, format_degrees in sides:
        values = np.asarray(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]).tick_values(*limits))
        decimals = _count_decimals(float(values[1] - values[0]))
        shown = [value for value in values.tolist() if limits[0] <= value <= limits[1]]
        axis.set_major_locator(FixedLocator(shown))
        axis.set_major_formatter(FixedFormatter([format_degrees(value, decimals) for value in shown]))
    axes.grid(color=GRID_COLOUR, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    if has_scale:
        _draw_scale(axes, extent)


def describe_extent(extent: MapExtent) -> str:
    """Return between which longitudes and latitudes a map lies, in words."""
    decimals = _count_decimals(10.0 ** math.floor(math.log10((extent.north - extent.south) / 10)))
    west, east = (_format_longitude(value, decimals) for value in (extent.west, extent.east))
    south, north = (_format_latitude(min(max(value, -90), 90), decimals) for value in (extent.south, extent.north))
    return f"from {west} to {east} and from {south} to {north}"


def _count_decimals(step: float) -> int:
    """Return how many decimals multiples of a step have, at most six."""
    return next((number for number in range(6) if abs(round(step, number) - step) < step * 1e-6), 6)


def _format_longitude(value: float, decimals: int) -> str:
    wrapped = (value + 180.0) % _WORLD - 180.0
    letter = "" if round(abs(wrapped), decimals) >= 180 else "E" if wrapped > 0 else "W"
    return _format_degrees(wrapped, decimals, letter)


def _format_latitude(value: float, decimals: int) -> str:
    return "" if abs(value) > 90 + 1e-9 else _format_degrees(value, decimals, "N" if value > 0 else "S")


def _format_degrees(value: float, decimals: int, letter: str) -> str:
    text = f"{abs(value):.{decimals}f}"
    return f"{text}°{letter if float(text) else ''}"


def _draw_scale(axes: Axes, extent: MapExtent) -> None:
    """Draw a scale bar above the upper right corner; it holds at the middle latitude."""
    metres = (extent.east - extent.west) * extent.lon_scale * _METRES_PER_DEGREE
    length = _choose_round_length(metres / 4)
    share = length / metres
    height = axes.get_window_extent().height / axes.figure.dpi
    bottom, tick = 1 + 0.08 / height, 0.06 / height
    above: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "color": TEXT_COLOUR}
    axes.plot([1 - share, 1], [bottom, bottom], linewidth=2, solid_capstyle="butt", **above)
    for x in (1 - share, 1):
        axes.plot([x, x], [bottom - tick / 2, bottom + tick], linewidth=1.2, **above)
    text = f"{length / 1000:,.10g} km" if length >= 1000 else f"{length:g} m"
    axes.text(1 - share - 0.015, bottom, text, fontsize=8, va="center", ha="right", transform=axes.transAxes)


def _choose_round_length(metres: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `metres`."""
    power = 10.0 ** math.floor(math.log10(metres))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= metres)
