"""Map: the features by class, and the footprints of rasters, chips by subset, in degrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from geographer.base.text import format_count
from geographer.outputs.pictures.chip_pictures import read_class_styles
from geographer.outputs.pictures.palette import DASHES, LINE_COLOUR, OTHER_COLOUR, Style, assign_subset_styles
from geographer.outputs.plots.plot import Plot, PlotTable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from numpy.typing import NDArray

    from geographer.outputs.pages.map import MapImage, PageMap
    from geographer.outputs.plots.figure import LegendKey
    from geographer.outputs.plots.geo_axes import MapExtent
    from geographer.outputs.plots.map_background import BackgroundPicture, MapBackground
    from geographer.outputs.plots.map_content import DrawnFeatures, DrawnRasters, MapContent
    from geographer.storage.queries.revision import Revision

_MAX_CLASSES: Final = 12
_BACKGROUND_DPI: Final = 300
_PAGE_FILL: Final = 0.25
_PAGE_PIXELS: Final = 1200
_WIDTH: Final = 6.6
"""The width of the map in inches; its height follows from the extent, within limits."""
_HEIGHTS: Final = (2.4, 8.0)
_MAX_VECTORS: Final = 30_000
"""Shapes of more vertices than these are drawn as pixels, also in an SVG."""
_PIXELS_ACROSS: Final = 2_500
_SMALL_SHARE: Final = 0.008
"""An area smaller than this share of the map also gets a marker."""


def plot_map(
    revision: Revision,
    *,
    where: str | None = None,
    classes: Sequence[str] | None = None,
    collection: str | None = None,
    split: str | None = None,
    background: MapBackground | None = None,
) -> Plot:
    """Return the map of a revision; its HTML page has a map to move and zoom.

    Args:
        revision: The revision.
        where: An SQL expression over features: those to show.
        classes: Features of these classes; None: of all.
        collection: Rasters of this collection; None: of all.
        split: The split whose subsets chips have; None: the only one, if there is one.
        background: A raster whose picture lies under the features; the map then shows what meets it: its box, or with
            `where` or `classes` that of the features.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        NotFoundError: there is no such class, collection, split or raster, or `where` names an unknown column.
        UsageError: `where` is not one SQL expression, or the raster has no pixels or no such band.
        StorageError: the file of the raster was withdrawn, or cannot be fetched.
        CorruptError: the file of the raster is damaged.
    """
    from geographer.outputs.plots.geo_axes import describe_extent
    from geographer.outputs.plots.map_background import read_background
    from geographer.outputs.plots.map_content import MapFilter, read_map

    area = background.raster_id if background else None
    content = read_map(revision, MapFilter(where, classes, collection, split, area))
    picture = None
    if background is not None:
        width, height = _choose_size(content.extent)
        pixels = round(width * _BACKGROUND_DPI), round(height * _BACKGROUND_DPI)
        picture = read_background(revision, background, content.extent, pixels)
    styles = _choose_styles(read_class_styles(revision), content.counts)
    rows: list[Sequence[Any]] = [("features", name, number) for name, number in content.counts.items()]
    rows += [(_name_kind(item, content), item.name, item.number) for item in content.footprints]
    parts = [format_count(sum(content.counts.values()), "feature"), *_describe_footprints(content)]
    shown = f" on raster '{area}'" if area is not None else ""
    where_text = f"; {describe_extent(content.extent)}" if content.counts or content.footprints else ""
    alt = f"Map of {'; '.join(parts)}{shown}{where_text}."
    return Plot(
        f"Map at @{revision.position}",
        alt,
        PlotTable(("what", "name", "number"), rows),
        lambda: _draw_figure(content, styles, picture),
        notes=content.notes,
        build_map=lambda: (_build_page_map(content, styles, alt, picture), _list_place_names(content)),
    )


def _describe_footprints(content: MapContent) -> Iterator[str]:
    """Yield the numbers of rasters and chips by collection, and of samples by subset."""
    headings = {"rasters": "rasters", "chips": "chips", "subset": f"subsets of '{content.split}'"}
    for kind, heading in headings.items():
        numbers = [f"{item.name} {item.number:,}" for item in content.footprints if item.kind == kind]
        if numbers:
            yield f"{heading}: {', '.join(numbers)}"


def _name_kind(item: DrawnRasters, content: MapContent) -> str:
    names = {"rasters": "rasters in", "chips": "chips in", "subset": f"samples of split '{content.split}' in"}
    return names[item.kind]


def _choose_styles(styles: Mapping[str, Style], counts: Mapping[str, int]) -> dict[str, Style]:
    """Return how the most frequent classes are drawn; others have no entry."""
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    kept = {*(ranked if len(ranked) <= _MAX_CLASSES else ranked[: _MAX_CLASSES - 1])}
    # A class with the value 0 is the background.
    return {name: styles.get(name, _BACKGROUND) for name in counts if name in kept}


_BACKGROUND: Final = Style("#7f7f7f", (), "square", "")
_OTHERS: Final = Style(OTHER_COLOUR, (), "diamond", "")


def _list_footprint_styles(content: MapContent) -> list[Style]:
    """Return how the outlines of rasters are drawn: subsets in their colours, others grey with dashes."""
    subsets = assign_subset_styles([item.name for item in content.footprints if item.kind == "subset"])
    styles = []
    for place, item in enumerate(content.footprints):
        plain = Style(LINE_COLOUR, DASHES[place % len(DASHES)], "square", "")
        is_outside = item.kind != "subset" or item.name == "no subset"
        styles.append(plain if is_outside else subsets[item.name]._replace(hatch=""))
    return styles


def _choose_size(extent: MapExtent) -> tuple[float, float]:
    """Return the width and height of a map in inches."""
    height = min(max(_WIDTH * extent.side_ratio, _HEIGHTS[0]), _HEIGHTS[1])
    return min(_WIDTH, height / extent.side_ratio), height


def _draw_figure(content: MapContent, styles: Mapping[str, Style], picture: BackgroundPicture | None) -> Figure:
    from geographer.outputs.plots.figure import add_legend, make_heading_key, make_panels, write_message
    from geographer.outputs.plots.geo_axes import prepare_map_axes

    width, height = _choose_size(content.extent)
    figure, (axes,) = make_panels("Map", [height], width=width, title_gap=0.15)
    keys: list[tuple[LegendKey, str]] = []
    if picture is not None:
        _draw_background(axes, picture)
    elif not content.counts and not content.footprints:
        write_message(axes, "no features and no rasters")
        return figure
    outlines = [*zip(content.footprints, _list_footprint_styles(content), strict=True)]
    _draw_outlines(axes, [pair for pair in outlines if pair[0].kind == "rasters"], content, 1.0)
    if content.counts:
        keys += [(make_heading_key(), f"{format_count(sum(content.counts.values()), 'feature')}:")]
        keys += _draw_features(axes, content, styles, has_background=picture is not None)
    _draw_outlines(axes, [pair for pair in outlines if pair[0].kind != "rasters"], content, 1.5)
    keys += _list_outline_keys(outlines, content)
    prepare_map_axes(axes, content.extent)
    add_legend(axes, keys)
    return figure


def _draw_background(axes: Axes, picture: BackgroundPicture) -> None:
    extent = picture.extent
    box = (extent.west, extent.east, extent.south, extent.north)
    axes.imshow(picture.pixels, extent=box, aspect="auto", interpolation="auto", zorder=0.1)


def _list_outline_keys(
    outlines: Sequence[tuple[DrawnRasters, Style]], content: MapContent
) -> Iterator[tuple[Artist, str]]:
    from matplotlib.lines import Line2D

    from geographer.outputs.plots.figure import clean_text, line_options, make_heading_key

    heading = ""
    for item, style in outlines:
        if (kind := _name_kind(item, content).removesuffix(" in")) != heading:
            heading = kind
            yield make_heading_key(), f"{clean_text(heading)}:"
        width = 1.0 if item.kind == "rasters" else 1.5
        yield (
            Line2D([], [], color=style.colour, **line_options(style, width)),
            f"{clean_text(item.name)} ({item.number:,})",
        )


def _draw_outlines(
    axes: Axes, outlines: Sequence[tuple[DrawnRasters, Style]], content: MapContent, width: float
) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.patheffects import Normal, Stroke

    from geographer.outputs.plots.figure import line_options, marker_options

    extent = content.extent
    for item, style in outlines:
        polygons, _ = _place_shapes(item.shapes, content)
        paths = [_make_path(polygon) for polygon in polygons]
        options: dict[str, Any] = {**line_options(style, width), "rasterized": len(paths) > 1500}
        options["path_effects"] = [Stroke(linewidth=width + 1.4, foreground="white", alpha=0.8), Normal()]
        outline = PathCollection(paths, facecolor="none", edgecolor=style.colour, **options)
        axes.add_collection(outline, autolim=False)
        middles = _find_small_shapes(polygons, extent)
        if item.kind != "rasters" and len(middles):
            size = 7 if len(middles) < 300 else 4
            marker = marker_options(style, size) | {"markerfacecolor": "none", "markeredgecolor": style.colour}
            axes.plot(*middles.T, linestyle="none", rasterized=len(middles) > 1500, **marker | {"markeredgewidth": 1.3})


def _find_small_shapes(shapes: NDArray[np.object_], extent: MapExtent) -> NDArray[np.float64]:
    """Return the middles of points, and of shapes that would hardly be seen, shape (n, 2)."""
    import numpy as np
    import shapely

    bounds = shapely.bounds(shapes).reshape(-1, 4)
    limits = np.array([extent.east - extent.west, extent.north - extent.south]) * _SMALL_SHARE
    is_small = ((bounds[:, 2:] - bounds[:, :2]) < limits).all(axis=1)
    return np.asarray((bounds[is_small, :2] + bounds[is_small, 2:]) / 2)


def _draw_features(
    axes: Axes, content: MapContent, styles: Mapping[str, Style], *, has_background: bool
) -> Iterator[tuple[LegendKey, str]]:
    """Draw the features, and yield the lines of the legend; those of other classes are drawn first."""
    from geographer.outputs.plots.figure import clean_text, make_blank_key, make_marker_key

    if content.features is None:
        _draw_density(axes, content)
    others = [name for name in content.counts if name not in styles]
    for name in others:
        if content.features is not None:
            _draw_class(axes, content.features[name].shapes, _OTHERS, content, has_background=has_background)
    for name, style in styles.items():
        text = f"{clean_text(name)} ({content.counts[name]:,})"
        if content.features is None:
            yield make_blank_key(), text
        else:
            yield _draw_class(axes, content.features[name].shapes, style, content, has_background=has_background), text
    if others:
        number = sum(content.counts[name] for name in others)
        text = f"{len(others)} other classes ({number:,})"
        yield (make_blank_key() if content.features is None else make_marker_key(_OTHERS)), text


def _draw_class(
    axes: Axes, geometries: NDArray[np.object_], style: Style, content: MapContent, *, has_background: bool
) -> LegendKey:
    """Draw the features of a class, and return its key: an area, a marker, or both.

    Above a background, areas are outlines with a halo.
    """
    import shapely
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Patch
    from matplotlib.patheffects import Normal, Stroke

    from geographer.outputs.plots.figure import area_options, line_options, make_marker_key, marker_options

    parts, vertices = _place_shapes(geometries, content)
    dimensions = shapely.get_dimensions(parts)
    is_rasterized = vertices > _MAX_VECTORS or len(parts) > 2000
    outline = {"facecolor": "none", "edgecolor": style.colour}
    areas = outline if has_background else area_options(style)
    halo = [Stroke(linewidth=2.2, foreground="white", alpha=0.8), Normal()] if has_background else None
    for dimension, options in ((2, areas), (1, outline)):
        paths = [_make_path(part) for part in parts[dimensions == dimension]]
        lines = line_options(style, 0.8 if dimension == 2 else 1.4) | {"path_effects": halo}
        axes.add_collection(PathCollection(paths, rasterized=is_rasterized, **options, **lines), autolim=False)
    points = _find_small_shapes(parts, content.extent)
    size = 4.5 if len(points) < 300 else 3.5 if len(points) < 2000 else 2.0
    axes.plot(points[:, 0], points[:, 1], linestyle="none", rasterized=is_rasterized, **marker_options(style, size))
    area, marker = Patch(**areas), make_marker_key(style)
    if not len(points):
        return area
    return (area, marker) if len(points) < len(parts) else marker


def _place_shapes(geometries: NDArray[np.object_], content: MapContent) -> tuple[NDArray[np.object_], int]:
    """Return points, lines and polygons where the map shows them, simplified to its pixels, and their vertices."""
    import shapely

    from geographer.outputs.plots.geo_axes import join_halves, shift_parts, split_geometries

    known = geometries[~shapely.is_missing(geometries)]
    parts, owners = split_geometries(known)
    if not len(parts):
        return parts, 0
    placed = shift_parts(parts, content.extent.cut)
    vertices = int(shapely.get_num_coordinates(placed).sum())
    if vertices > _MAX_VECTORS:
        placed = shapely.simplify(placed, (content.extent.east - content.extent.west) / _PIXELS_ACROSS)
        vertices = int(shapely.get_num_coordinates(placed).sum())
    return join_halves(parts, placed, owners), vertices


def _make_path(shape: Any) -> Path:
    """Return a line, or a polygon with its holes, as a path."""
    import numpy as np
    import shapely
    from matplotlib.path import Path

    rings = shapely.get_rings(shape) if shape.geom_type == "Polygon" else [shape]
    vertices, codes = [], []
    for ring in rings:
        points = shapely.get_coordinates(ring)
        vertices.append(points)
        kinds = np.full(len(points), Path.LINETO, Path.code_type)
        kinds[0] = Path.MOVETO
        if shape.geom_type == "Polygon":
            kinds[-1] = Path.CLOSEPOLY
        codes.append(kinds)
    return Path(np.concatenate(vertices), np.concatenate(codes))


def _draw_density(axes: Axes, content: MapContent) -> None:
    """Draw the number of features in each cell, and what the colours mean."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.ticker import FuncFormatter, NullFormatter

    assert content.density is not None
    grid = np.ma.masked_equal(content.density, 0)
    extent = content.extent
    colours = LinearSegmentedColormap.from_list("density", ["#c6dbef", "#0072b2", "#08243f"])
    norm = LogNorm(1, max(int(grid.max()), 2))
    box = (extent.west, extent.east, extent.south, extent.north)
    image = axes.imshow(
        grid, origin="lower", extent=box, aspect="auto", cmap=colours, norm=norm, interpolation="none", zorder=1
    )
    side = axes.inset_axes((1.03, 0.0, 0.035, 0.4))
    bar = axes.figure.colorbar(image, cax=side)
    bar.ax.set_title("features in a cell", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())


def _build_page_map(
    content: MapContent, styles: Mapping[str, Style], alt: str, picture: BackgroundPicture | None
) -> PageMap:
    """Return the map for a page: a layer for each class, collection and subset."""
    import numpy as np

    from geographer.outputs.pages.map import DensityLayer, MapLayer, MapMarks, build_map
    from geographer.outputs.pages.page import read_script

    layers, densities, first = [], [], 0
    outlines = [*zip(content.footprints, _list_footprint_styles(content), strict=True)]
    for place, (item, style) in enumerate(outlines):
        marks = MapMarks(style, item.shapes, np.arange(first, first + len(item.ids)), 0.0)
        title = _name_kind(item, content).removesuffix(" in")
        layers.append(MapLayer(f"footprint-{place}", item.name, title, (marks,)))
        first += len(item.ids)
    for place, (name, features) in enumerate(_sort_features(content)):
        places = np.arange(first, first + len(features.ids))
        marks = MapMarks(styles.get(name, _OTHERS), features.shapes, places, _PAGE_FILL if picture is None else 0.0)
        layers.append(MapLayer(f"class-{place}", name, "features", (marks,)))
        first += len(features.ids)
    if content.middles is not None:
        style = Style("#0072b2", (), "circle", "")
        densities.append(DensityLayer("features", "features", "features", style, content.middles))
    images = [] if picture is None else [_make_page_image(picture)]
    page_map = build_map(layers, densities, label=alt, images=images)
    return page_map._replace(scripts=[*page_map.scripts, read_script("plot_map.js")])


def _make_page_image(picture: BackgroundPicture) -> MapImage:
    """Return the picture for a page, with as many pixels as a screen has for it, at most."""
    import numpy as np
    from PIL import Image

    from geographer.outputs.pages.map import MapImage

    extent = picture.extent
    rows, columns = picture.pixels.shape[:2]
    share = min(1.0, _PAGE_PIXELS / max(rows, columns))
    image = Image.fromarray(picture.pixels).resize((max(1, round(columns * share)), max(1, round(rows * share))))
    return MapImage(np.asarray(image), extent.west, extent.south, extent.east, extent.north)


def _sort_features(content: MapContent) -> list[tuple[str, DrawnFeatures]]:
    """Return the features by class, in the order of class values."""
    features = content.features or {}
    return [(name, features[name]) for name in content.counts if name in features]


def _list_place_names(content: MapContent) -> list[str]:
    """Return what the page says at each place of its map: see `_build_page_map` for their numbers."""
    names = [f"{item.name}: {raster_id}" for item in content.footprints for raster_id in item.ids]
    for class_name, features in _sort_features(content):
        names += [f"{class_name}: {feature_id}" for feature_id in features.ids]
    return names
