"""Small map: a few kilobytes of SVG for notebooks, made without matplotlib: features, and footprints of rasters."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from geographer.base.errors import GeographerError
from geographer.outputs.pictures.palette import GRID_COLOUR, LINE_COLOUR
from geographer.outputs.plots.geo_axes import MapExtent, join_halves, shift_parts, split_geometries
from geographer.outputs.plots.map_content import MapContent, MapFilter, MapLimits, read_map
from geographer.storage.queries.revision import Revision

_LIMITS: Final = MapLimits(shapes=1_000, footprints=400, cells=48)
_WIDTH: Final = 320
_HEIGHTS: Final = (80, 360)
_COLOUR: Final = "#0072b2"
_MAX_LETTERS: Final = 80_000
_DOT: Final = 2.0


class _Frame(NamedTuple):
    """Where places are on the map: pixels per degree from the west and the north."""

    extent: MapExtent
    width: float
    height: float

    def place_points(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return pixels, x to the right and y down, of longitudes and latitudes, shape (n, 2)."""
        extent = self.extent
        x = lonlat[:, 0] - extent.west
        y = extent.north - lonlat[:, 1]
        scale = (self.width / (extent.east - extent.west), self.height / (extent.north - extent.south))
        return np.round(np.column_stack((x, y)) * scale, 1)


def draw_small_map(revision: Revision) -> str:
    """Return a map of a revision as an SVG element; without any place, or if it cannot be read, an empty text."""
    try:
        content = read_map(revision, MapFilter(), _LIMITS)
    except (GeographerError, duckdb.Error):
        return ""
    if not content.counts and not content.footprints:
        return ""
    height = min(max(_WIDTH * content.extent.side_ratio, _HEIGHTS[0]), _HEIGHTS[1])
    width = min(float(_WIDTH), height / content.extent.side_ratio)
    frame = _Frame(content.extent, round(width, 1), round(height, 1))
    parts = [*_draw_footprints(content, frame), *_draw_features(content, frame)]
    if sum(map(len, parts)) > _MAX_LETTERS:
        parts = [*_draw_footprints(content, frame)]
    return _join_parts(parts, frame, _describe_map(content))


def _describe_map(content: MapContent) -> str:
    features = sum(content.counts.values())
    rasters = sum(item.number for item in content.footprints)
    extent = content.extent
    west = (extent.west + 180.0) % 360.0 - 180.0
    return (
        f"Map of {features:,} features (blue) and {rasters:,} rasters (grey), from {extent.south:.4g} to "
        f"{extent.north:.4g} degrees of latitude, from {west:.4g} degrees of longitude eastwards"
    )


def _draw_footprints(content: MapContent, frame: _Frame) -> Iterator[str]:
    shapes = [item.shapes for item in content.footprints]
    line = f'fill="none" stroke="{LINE_COLOUR}" stroke-width="0.8" stroke-dasharray="3 1.5"'
    yield from _draw_shapes(np.concatenate(shapes), frame, line) if shapes else ()


def _draw_features(content: MapContent, frame: _Frame) -> Iterator[str]:
    if content.density is not None:
        yield from _draw_density(content.density, frame)
        return
    shapes = [features.shapes for features in (content.features or {}).values()]
    style = f'fill="{_COLOUR}" fill-opacity="0.25" stroke="{_COLOUR}" stroke-width="0.8"'
    yield from _draw_shapes(np.concatenate(shapes), frame, style) if shapes else ()


def _draw_shapes(shapes: NDArray[np.object_], frame: _Frame, style: str) -> Iterator[str]:
    """Yield a path for all lines and areas, and one for the points and what is too small to be seen."""
    parts, owners = split_geometries(shapes[~shapely.is_missing(shapes)])
    if not len(parts):
        return
    placed = join_halves(parts, shift_parts(parts, frame.extent.cut), owners)
    moved = shapely.transform(placed, frame.place_points)
    bounds = shapely.bounds(moved)
    is_small = ((bounds[:, 2:] - bounds[:, :2]) < _DOT).all(axis=1)
    middles = np.round((bounds[is_small, :2] + bounds[is_small, 2:]) / 2, 1)
    lines = "".join(_write_line(shape) for shape in shapely.simplify(moved[~is_small], 0.6))
    if lines:
        yield f'<path d="{lines}" {style}/>'
    if len(middles):
        dots = "".join(f"M{x:g} {y:g}h0" for x, y in np.unique(middles, axis=0).tolist())
        yield f'<path d="{dots}" fill="none" stroke="{_COLOUR if _COLOUR in style else LINE_COLOUR}" ' + (
            'stroke-width="3" stroke-linecap="round"/>'
        )


def _write_line(shape: Any) -> str:
    # With outer rings in one direction and holes in the other, areas that overlap do not cancel each other.
    rings = shapely.get_rings(orient(shape)) if shape.geom_type == "Polygon" else [shape]
    end = "z" if shape.geom_type == "Polygon" else ""
    texts = []
    for ring in rings:
        points = np.round(shapely.get_coordinates(ring), 1).tolist()
        texts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points[: -1 if end else None]) + end)
    return "".join(texts)


def _draw_density(grid: NDArray[np.int64], frame: _Frame) -> Iterator[str]:
    """Yield a square for each cell with features, the more the more opaque."""
    rows, columns = grid.shape
    width, height = frame.width / columns, frame.height / rows
    largest = math.log1p(int(grid.max()))
    for row, column in np.argwhere(grid).tolist():
        opacity = 0.15 + 0.85 * math.log1p(int(grid[row, column])) / largest
        x, y = column * width, frame.height - (row + 1) * height
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{_COLOUR}" '
            f'fill-opacity="{opacity:.2f}"/>'
        )


def _join_parts(parts: list[str], frame: _Frame, label: str) -> str:
    text = html.escape(label)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{text}" width="{frame.width:g}" '
        f'height="{frame.height:g}" viewBox="0 0 {frame.width:g} {frame.height:g}"><title>{text}</title>'
        f'<rect width="100%" height="100%" fill="white" stroke="{GRID_COLOUR}"/>{"".join(parts)}</svg>'
    )
