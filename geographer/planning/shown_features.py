"""Shown features: what annotation tools get of the features that rasters show, in pixel coordinates, cut at the border.

An export writes it, and the import that follows finds out what was edited by making it again.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.values import Grid, Transform
from geographer.rasters.pixel_geometries import transform_to_pixels
from geographer.storage.database.connection import register_table, run_script
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.state.update import MACROS

_SHOWN_FEATURES: Final = Path(__file__).with_name("shown_features.sql")


class ShownFeature(NamedTuple):
    """A feature on a raster, in pixel coordinates.

    Attributes:
        raster_id: The raster.
        feature_id: The feature, as text.
        class_name: Its class.
        row_digest: The digest of the feature's version.
        geometry: The part that the raster shows: a feature inside it is whole, with its vertices as they are.
        is_cut: Whether the feature reaches out of the raster.
        whole: The feature, also outside of the raster.
    """

    raster_id: str
    feature_id: str
    class_name: str
    row_digest: str
    geometry: Any
    is_cut: bool
    whole: Any


@contextmanager
def at_position(revision: Revision, position: int) -> Iterator[None]:
    """Let the views `current_…` of an open revision show another position."""
    connection = revision.connection
    connection.execute("SET VARIABLE position = $position", {"position": position})
    try:
        yield
    finally:
        connection.execute("SET VARIABLE position = $position", {"position": revision.position})


def read_shown_features(
    revision: Revision, raster_ids: Collection[str], position: int | None = None
) -> list[ShownFeature]:
    """Return the features that rasters show, at a position (default: that of the revision), ordered by raster and age.

    Coordinates are rounded to 1e-6 pixel. Features are left out that only touch the border of a raster, or that have no
    coordinates in its CRS.
    """
    run_script(revision.connection, MACROS.read_text())
    selected = make_row_table("raster_change", {"raster_id": sorted(raster_ids)})
    with (
        register_table(revision.connection, "selected_raster", selected),
        at_position(revision, revision.position if position is None else position),
    ):
        table = revision.fetch_arrow(_SHOWN_FEATURES.read_text())
    rows = table.to_pylist()
    shown: list[ShownFeature] = []
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and rows[end]["raster_id"] == rows[start]["raster_id"]:
            end += 1
        shown += _cut_features(rows[start:end])
        start = end
    return shown


def _cut_features(rows: list[dict[str, Any]]) -> Iterator[ShownFeature]:
    """Yield the features of one raster that have a part on it."""
    first = rows[0]
    grid = Grid(first["crs"], Transform(*first["transform"]), first["width"], first["height"])
    wholes = transform_to_pixels([row["geometry"] for row in rows], grid)
    parts, is_cut = cut_to_image(wholes, grid.width, grid.height)
    for row, part, cut, whole in zip(rows, parts, is_cut, wholes, strict=True):
        if not part.is_empty:
            yield ShownFeature(
                row["raster_id"], row["feature_id"], row["class"], row["row_digest"], part, bool(cut), whole
            )


def cut_to_image(
    geometries: NDArray[np.object_], width: int, height: int
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Return the parts of geometries on an image, of their dimensions, and whether they were cut; shapes (n,)."""
    bounds = shapely.bounds(geometries)
    with np.errstate(invalid="ignore"):
        is_inside = (bounds[:, :2] >= 0).all(axis=1) & (bounds[:, 2:] <= [width, height]).all(axis=1)
    result, is_cut = geometries.copy(), ~is_inside & ~shapely.is_empty(geometries)
    image = shapely.box(0, 0, width, height)
    for index in np.flatnonzero(is_cut):
        result[index] = _cut_geometry(geometries[index], image)
    return result, is_cut


def _cut_geometry(geometry: Any, image: Any) -> Any:
    dimension = shapely.get_dimensions(geometry)
    valid = geometry if shapely.is_valid(geometry) else shapely.make_valid(geometry)
    parts = shapely.get_parts(shapely.intersection(valid, image))
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    kept = parts[shapely.get_dimensions(parts) == dimension]
    if len(kept) < 2:
        return kept[0] if len(kept) else shapely.Point()
    make_multi = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)[dimension]
    return make_multi(kept)
