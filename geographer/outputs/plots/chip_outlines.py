"""Chip outlines: the features that rasters show, drawn above their pictures, each with its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.outputs.pictures.palette import TEXT_COLOUR, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from geographer.outputs.pictures.chip_pictures import ChipPicture
    from geographer.storage.queries.revision import Revision

_SIZES: Final = (
    "SELECT raster_id, width, height FROM current_raster WHERE raster_id IN (SELECT unnest($ids::VARCHAR[]))"
)
_MAX_LETTERS: Final = 16
_LETTER: Final = (0.026, 0.075)
"""About the width and the height of a letter of an id, as shares of a picture's sides."""
_TEXT_BOX: Final = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8}


class ChipOutline(NamedTuple):
    """The part of a feature that a raster shows.

    Attributes:
        feature_id: The feature.
        class_name: Its class.
        geometry: The part, x from the left and y from the top, both from 0 to 1.
    """

    feature_id: str
    class_name: str
    geometry: Any


def read_chip_outlines(revision: Revision, raster_ids: Sequence[str]) -> dict[str, list[ChipOutline]]:
    """Return the features that rasters contain or intersect, by raster."""
    import shapely
    from shapely.affinity import scale

    from geographer.planning.shown_features import read_shown_features

    sizes = {
        name: (width or 1, height or 1) for name, width, height in revision.fetch_rows(_SIZES, {"ids": [*raster_ids]})
    }
    found: dict[str, list[ChipOutline]] = {}
    for item in read_shown_features(revision, raster_ids):
        width, height = sizes[item.raster_id]
        part = scale(shapely.force_2d(item.geometry), 1 / width, 1 / height, origin=(0, 0))
        found.setdefault(item.raster_id, []).append(ChipOutline(item.feature_id, item.class_name, part))
    return found


def draw_chip_outlines(
    axes: Axes, picture: ChipPicture, outlines: Iterable[ChipOutline], styles: Mapping[str, Style]
) -> None:
    """Draw outlines above a picture, with the ids of their features where there is room."""
    import shapely

    size = picture.width, picture.height
    places: list[tuple[float, float, str]] = []
    for outline in outlines:
        style = styles[outline.class_name]
        for part in _list_parts(outline.geometry):
            _draw_part(axes, shapely.get_coordinates(part) * size, style, is_point=part.geom_type == "Point")
        x, top = (shapely.bounds(outline.geometry)[:2] * size).tolist()
        places.append((x, top, outline.feature_id))
    _write_ids(axes, picture, places)


def _write_ids(axes: Axes, picture: ChipPicture, places: Iterable[tuple[float, float, str]]) -> None:
    """Write ids at their places, (x, y) in pixels of the picture, except where they would cover each other."""
    import shapely

    from geographer.outputs.plots.figure import clean_text

    written: list[Any] = []
    for x, y, feature_id in places:
        text = clean_text(feature_id, _MAX_LETTERS)
        width, height = len(text) * _LETTER[0] * picture.width, _LETTER[1] * picture.height
        is_left, is_high = x < 0.6 * picture.width, y < 0.1 * picture.height
        left, top = x if is_left else x - width, y if is_high else y - height
        box = shapely.box(left, top, left + width, top + height)
        if not any(box.intersects(other) for other in written):
            written.append(box)
            axes.annotate(
                text,
                (x, y),
                (0, -3 if is_high else 3),
                textcoords="offset points",
                ha="left" if is_left else "right",
                va="top" if is_high else "bottom",
                fontsize=5.5,
                color=TEXT_COLOUR,
                bbox=_TEXT_BOX,
            )


def _list_parts(geometry: Any) -> list[Any]:
    """Return the points, the lines and the rings of a geometry."""
    import shapely

    parts = shapely.get_parts(geometry)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    return [ring for part in parts for ring in (shapely.get_rings(part) if part.geom_type == "Polygon" else [part])]


def _draw_part(axes: Axes, points: Any, style: Style, *, is_point: bool) -> None:
    """Draw a marker, or a line with a white halo."""
    from geographer.outputs.plots.figure import line_options, marker_options

    if is_point:
        axes.plot(*points.T, linestyle="none", clip_on=False, **marker_options(style, 5))
        return
    axes.plot(*points.T, color="white", linewidth=2.4, clip_on=False)
    axes.plot(*points.T, color=style.colour, clip_on=False, **line_options(style, 1.2))
