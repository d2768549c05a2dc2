"""Map: a map for a page, drawn by Bokeh on a canvas: layers of shapes, densities, and a selected place.

`build_map` returns the data and the scripts of the page; `templates/map.html.jinja` has the element, its buttons and
its legend; `static/map.js` joins them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.outputs.pages.map_shapes import (
    EARTH_RADIUS_M,
    MARKS,
    MapFrame,
    Mark,
    find_west_of_ranges,
    list_longitude_ranges,
    make_frame,
    pack_shapes,
    project_geometries,
    project_lonlat,
    simplify_outlines,
    to_json,
)
from geographer.outputs.pages.page import read_script, require_packages
from geographer.outputs.pictures.palette import GRID_COLOUR, LINE_COLOUR, TEXT_COLOUR, Style

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource
    from bokeh.models.renderers import GlyphRenderer
    from bokeh.plotting import figure

MAP_DATA: Final = "map-data"
"""The id of the JSON element of a page that has its map."""
_HEIGHT: Final = 480
_CELLS_ACROSS: Final = 64
_MOVING_SHAPES: Final = 1000
_HALO_COLOUR, _SELECTION_COLOUR = "#fff17a", "#000000"
_BOKEH_IDS: Final = "p"
_LEAST_ALPHA, _MOST_ALPHA = 0.15, 0.9


class MapMarks(NamedTuple):
    """Shapes of one style.

    Attributes:
        style: How they are drawn.
        geometries: Geometries in longitude/latitude, of any type; missing ones are not drawn.
        places: The number of the place that each geometry shows: what is selected together.
        fill: The opacity of areas.
        line_width: The width of outlines in pixels.
    """

    style: Style
    geometries: NDArray[np.object_]
    places: NDArray[np.int64]
    fill: float = 0.25
    line_width: float = 1.5


class MapLayer(NamedTuple):
    """Shapes that are shown and hidden together, with a line in the legend.

    Attributes:
        key: A name without spaces, which is unique in the map.
        title: What the legend calls it.
        group: The heading of the legend below which it is.
        marks: The shapes, by style; the legend shows the last one.
        is_visible: Whether it is shown at first.
    """

    key: str
    title: str
    group: str
    marks: tuple[MapMarks, ...]
    is_visible: bool = True


class DensityLayer(NamedTuple):
    """Points of which only the number in each cell of a grid is shown.

    Attributes:
        key: As of `MapLayer`.
        title: As of `MapLayer`.
        group: As of `MapLayer`.
        style: The colour and the hatch; the more points, the more opaque.
        points: Longitudes and latitudes in degrees, n by 2.
    """

    key: str
    title: str
    group: str
    style: Style
    points: NDArray[np.float64]


class MapImage(NamedTuple):
    """An image below all layers; the map at first shows its extent.

    Attributes:
        pixels: Red, green, blue and opacity, shape (rows, columns, 4), in equal steps of latitude from the north.
        west: The longitude of its left side in degrees.
        south: The latitude of its lower side.
        east: The longitude of its right side, above `west`, perhaps beyond 180.
        north: The latitude of its upper side.
    """

    pixels: NDArray[np.uint8]
    west: float
    south: float
    east: float
    north: float


class LegendEntry(NamedTuple):
    """A line of the legend: a layer, how many shapes it has, and how they are drawn."""

    key: str
    title: str
    group: str
    number: int
    style: Style
    mark: str
    fill: float
    is_visible: bool


class PageMap(NamedTuple):
    """A map for a page.

    Attributes:
        data: What `static/map.js` reads, for the JSON element `MAP_DATA`.
        scripts: The scripts of the page: Bokeh, then `static/map.js`.
        legend: The layers that have shapes.
        tolerance: How far simplified outlines are from the given ones, in metres on the equator; 0: not simplified.
    """

    data: dict[str, Any]
    scripts: list[str]
    legend: list[LegendEntry]
    tolerance: float


def build_map(
    layers: Sequence[MapLayer],
    densities: Sequence[DensityLayer] = (),
    *,
    label: str = "Map",
    images: Sequence[MapImage] = (),
) -> PageMap:
    """Return a map of layers, the first of which are at the bottom, densities below all.

    Bytes are equal whenever the layers are. Outlines are simplified if they have very many vertices.

    Args:
        layers: The layers; those without shapes are left out.
        densities: Densities; those without points are left out.
        label: What the map shows, for those who don't see it.
        images: Images below densities and layers.

    Raises:
        MissingLibraryError: Bokeh is not installed.
    """
    require_packages("a map in a page", "jinja2", "bokeh")
    layers = [layer for layer in layers if any(_count_shapes(marks) for marks in layer.marks)]
    densities = [density for density in densities if len(density.points)]
    everything = [marks for layer in layers for marks in layer.marks]
    west = _find_west(everything, densities, images)
    projected = [project_geometries(marks.geometries, west) for marks in everything]
    projected, tolerance = simplify_outlines(projected) if projected else ([], 0.0)
    points = [project_lonlat(density.points, west) for density in densities]
    boxes = [shapely.bounds(group) for group in projected] + [np.column_stack((xy, xy)) for xy in points]
    image_boxes = [_project_box(image, west) for image in images]
    boxes += [box[np.newaxis] for box in image_boxes]
    frame = make_frame(np.concatenate(boxes) if boxes else np.empty((0, 4)), west)
    packed = [pack_shapes(group, marks.places, frame) for group, marks in zip(projected, everything, strict=True)]
    plot = _make_figure(sum(len(item.places) for shapes in packed for item in shapes))
    cell = max(frame.bounds[2] - frame.bounds[0], frame.bounds[3] - frame.bounds[1], 1.0) / _CELLS_ACROSS
    for place, (image, box) in enumerate(zip(images, image_boxes, strict=True)):
        _draw_image(plot, f"image-{place}", image, box - np.tile((frame.x, frame.y), 2))
    for density, xy in zip(densities, points, strict=True):
        _draw_density(plot, density, xy - (frame.x, frame.y), (frame.bounds[0], frame.bounds[1]), cell)
    numbers = iter(packed)
    drawn = []
    for layer in layers:
        parts = [(marks, next(numbers)) for marks in layer.marks]
        for index, (marks, shapes) in enumerate(parts):
            for item in shapes:
                _draw_marks(plot, f"{layer.key}/{index}/{item.mark}", marks, item.mark, is_visible=layer.is_visible)
        drawn.append({"key": layer.key, "parts": [to_json(shapes) for _, shapes in parts]})
    _draw_selection(plot)
    shown = frame._replace(bounds=_find_shown_bounds(image_boxes, frame)) if images else frame
    data = {
        **{"label": label, "frame": shown._asdict(), "item": _make_item(plot), "layers": drawn},
        "densities": [[density.key, f"{density.group.lower()} {density.title}"] for density in densities],
    }
    legend = [*map(_describe_density, densities), *map(_describe_layer, layers)]
    return PageMap(data, [_read_bokeh(), read_script("map.js")], legend, tolerance)


def _project_box(image: MapImage, west: float) -> NDArray[np.float64]:
    """Return xmin, ymin, xmax, ymax of an image in Mercator coordinates."""
    corners = np.array([[image.west, image.south], [image.west, image.north]])
    (xmin, ymin), (_, ymax) = project_lonlat(corners, west)
    return np.array([xmin, ymin, xmin + EARTH_RADIUS_M * math.radians(image.east - image.west), ymax])


def _find_shown_bounds(boxes: Sequence[NDArray[np.float64]], frame: MapFrame) -> tuple[float, float, float, float]:
    found = np.array(boxes) - np.tile((frame.x, frame.y), 2)
    xmin, ymin = found[:, :2].min(axis=0).tolist()
    xmax, ymax = found[:, 2:].max(axis=0).tolist()
    return xmin, ymin, xmax, ymax


def _draw_image(plot: figure, name: str, image: MapImage, box: NDArray[np.float64]) -> None:
    """Draw an image, whose rows become equal steps of Mercator's projection."""
    from geographer.rasters.pictures import encode_pixels

    xmin, ymin, xmax, ymax = box.tolist()
    rows = len(image.pixels)
    edges = project_lonlat(np.array([[0.0, image.north], [0.0, image.south]]))[:, 1]
    steps = edges[0] + (np.arange(rows) + 0.5) / rows * (edges[1] - edges[0])
    latitudes = np.degrees(np.arctan(np.sinh(steps / EARTH_RADIUS_M)))
    sources = ((image.north - latitudes) / (image.north - image.south) * rows).astype(int)
    pixels = image.pixels[np.clip(sources, 0, rows - 1)]
    url = "data:image/png;base64," + base64.b64encode(encode_pixels(np.moveaxis(pixels, -1, 0), "png")).decode()
    source = _make_source(name, ())
    source.data = {"url": [url], "x": [xmin], "y": [ymax], "w": [xmax - xmin], "h": [ymax - ymin]}
    renderer = plot.image_url("url", "x", "y", "w", "h", source=source, anchor="top_left")
    _finish_renderer(renderer, name, is_visible=True)


def _find_west(everything: Sequence[MapMarks], densities: Sequence[DensityLayer], images: Sequence[MapImage]) -> float:
    ranges = [list_longitude_ranges(marks.geometries) for marks in everything]
    ranges += [(density.points[:, 0], density.points[:, 0]) for density in densities]
    ranges += [(np.array([image.west]), np.array([image.east])) for image in images]
    if not ranges:
        return -180.0
    return find_west_of_ranges(*(np.concatenate([pair[side] for pair in ranges]) for side in (0, 1)))


def _count_shapes(marks: MapMarks) -> int:
    return int((~(shapely.is_missing(marks.geometries) | shapely.is_empty(marks.geometries))).sum())


def _make_figure(shapes: int) -> figure:
    """Return an empty figure; while it is moved, at most about a thousand of its shapes are drawn."""
    from bokeh.models import FixedTicker, PanTool, Range1d, WheelZoomTool
    from bokeh.plotting import figure

    plot = figure(
        name="map",
        height=_HEIGHT,
        sizing_mode="stretch_width",
        min_border=4,
        min_border_left=68,
        min_border_bottom=28,
        min_border_right=16,
        x_range=Range1d(start=-1, end=1),
        y_range=Range1d(start=-1, end=1),
        tools=[PanTool(), WheelZoomTool(modifiers="ctrl")],
        toolbar_location=None,
        output_backend="canvas",
        outline_line_color=LINE_COLOUR,
        lod_threshold=_MOVING_SHAPES,
        lod_factor=max(2, -(-shapes // _MOVING_SHAPES)),
        lod_interval=2000,
        lod_timeout=400,
    )
    for axis, grid in ((plot.xaxis[0], plot.xgrid[0]), (plot.yaxis[0], plot.ygrid[0])):
        axis.ticker = FixedTicker(ticks=[])
        axis.major_label_text_color, axis.axis_line_color = TEXT_COLOUR, LINE_COLOUR
        grid.grid_line_color = GRID_COLOUR
    return plot


def _draw_marks(plot: figure, name: str, marks: MapMarks, mark: Mark, *, is_visible: bool) -> None:
    """Draw shapes whose coordinates `static/map.js` fills in."""
    style = marks.style
    line: dict[str, Any] = {
        "line_color": style.colour,
        "line_width": marks.line_width,
    }
    source = _make_source(name, ("x", "y") if mark == "point" else ("xs", "ys"))
    renderer: GlyphRenderer[Any]
    if mark == "point":
        renderer = plot.scatter(
            "x", "y", source=source, marker=style.marker, size=9, fill_color=style.colour, fill_alpha=0.7,
            line_color=TEXT_COLOUR, line_width=0.75,
        )  # fmt: skip
    elif mark == "line":
        renderer = plot.multi_line("xs", "ys", source=source, **{**line, "line_width": marks.line_width + 0.5})
    else:
        hatch: dict[str, Any] = {
            "hatch_pattern": style.hatch,
            "hatch_color": style.colour,
            "hatch_alpha": 0.6,
            "hatch_scale": 10,
        }
        areas: dict[str, Any] = {"fill_color": style.colour, "fill_alpha": marks.fill}
        has_hatch = bool(style.hatch) and marks.fill > 0
        renderer = plot.patches("xs", "ys", source=source, **line, **areas, **(hatch if has_hatch else {}))
    if mark != "point":
        renderer.glyph.line_dash = _scale_dash(style, marks)
    _finish_renderer(renderer, name, is_visible=is_visible)


def _scale_dash(style: Style, marks: MapMarks) -> list[int]:
    return [max(round(length * marks.line_width), 1) for length in style.dash]


def _draw_density(
    plot: figure, density: DensityLayer, xy: NDArray[np.float64], origin: tuple[float, float], cell: float
) -> None:
    columns = np.clip(((xy[:, 0] - origin[0]) / cell).astype(int), 0, _CELLS_ACROSS)
    rows = np.clip(((xy[:, 1] - origin[1]) / cell).astype(int), 0, _CELLS_ACROSS)
    cells, counts = np.unique(np.column_stack((columns, rows)), axis=0, return_counts=True)
    left, bottom = origin[0] + cells[:, 0] * cell, origin[1] + cells[:, 1] * cell
    share = np.log1p(counts) / np.log1p(counts.max())
    source = _make_source(density.key, ())
    source.data = {
        **{"left": left, "right": left + cell, "bottom": bottom, "top": bottom + cell, "count": counts},
        "alpha": _LEAST_ALPHA + (_MOST_ALPHA - _LEAST_ALPHA) * share,
    }
    renderer = plot.quad(
        "left", "right", "top", "bottom", source=source, fill_color=density.style.colour, fill_alpha="alpha",
        line_color=None, hatch_pattern=density.style.hatch or None, hatch_color=TEXT_COLOUR, hatch_alpha=0.35,
        hatch_scale=10,
    )  # fmt: skip
    _finish_renderer(renderer, density.key, is_visible=True)


def _draw_selection(plot: figure) -> None:
    """Draw the selected place: its outlines with a halo, and a ring around its middle, which is seen at any scale."""
    outline, middle = _make_source("selection/outline", ("xs", "ys")), _make_source("selection/middle", ("x", "y"))
    renderer: GlyphRenderer[Any]
    for colour, width in ((_HALO_COLOUR, 8), (_SELECTION_COLOUR, 2.5)):
        renderer = plot.multi_line("xs", "ys", source=outline, line_color=colour, line_width=width)
        _finish_renderer(renderer, f"selection/outline/{width}", is_visible=True)
        renderer = plot.scatter("x", "y", source=middle, size=26, fill_color=None, line_color=colour, line_width=width)
        _finish_renderer(renderer, f"selection/middle/{width}", is_visible=True)


def _make_source(name: str, columns: Sequence[str]) -> ColumnDataSource:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource(data={column: [] for column in columns}, name=f"source:{name}")


def _finish_renderer(renderer: GlyphRenderer[Any], name: str, *, is_visible: bool) -> None:
    renderer.name, renderer.visible = f"layer:{name}", is_visible
    renderer.nonselection_glyph = renderer.selection_glyph = None


def _make_item(plot: figure) -> dict[str, Any]:
    """Return the figure as Bokeh's JSON, with ids that are equal on every run."""
    from bokeh.embed import json_item

    item = json_item(plot)
    ids: dict[str, str] = {}
    for found in _iter_ids(item["doc"]):
        ids.setdefault(found, f"{_BOKEH_IDS}{len(ids) + 1}")
    fixed = _replace_ids({**item, "doc": item["doc"]}, ids)
    return {**fixed, "target_id": None, "root_id": ids[item["root_id"]]}


def _iter_ids(value: Any) -> Iterator[str]:
    """Yield the ids of the models in Bokeh's JSON, in the order of the text."""
    if isinstance(value, Mapping):
        if value.get("type") == "object" and isinstance(value.get("id"), str):
            yield value["id"]
        for item in value.values():
            yield from _iter_ids(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iter_ids(item)


def _replace_ids(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: ids[item] if key == "id" and isinstance(item, str) and item in ids else _replace_ids(item, ids)
            for key, item in value.items()
        }
    return [_replace_ids(item, ids) for item in value] if isinstance(value, list | tuple) else value


def _read_bokeh() -> str:
    """Return the script of Bokeh that draws plots, without its parts for widgets, tables, formulas and WebGL."""
    from bokeh.resources import Resources

    script: str = Resources(mode="inline", components=["bokeh"]).js_raw[0]
    return script


def _describe_layer(layer: MapLayer) -> LegendEntry:
    shown = [marks for marks in layer.marks if _count_shapes(marks)]
    mark = _find_mark(shown[-1])
    places = np.unique(np.concatenate([marks.places for marks in shown]))
    last = shown[-1]
    return LegendEntry(layer.key, layer.title, layer.group, len(places), last.style, mark, last.fill, layer.is_visible)


def _find_mark(marks: MapMarks) -> str:
    """Return how most of the shapes are drawn."""
    dimensions = shapely.get_dimensions(marks.geometries[~shapely.is_missing(marks.geometries)])
    return MARKS[2 - int(np.bincount(np.clip(dimensions, 0, 2)).argmax())]


def _describe_density(density: DensityLayer) -> LegendEntry:
    return LegendEntry(density.key, density.title, density.group, len(density.points), density.style, "area", 0.6, True)
