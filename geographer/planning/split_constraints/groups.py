"""Groups of rasters that a split must not divide: they show the same feature, share pixels, or lie near each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geographer.algorithms.connected_components import Bools, Ints, Links
from geographer.algorithms.geodesic_distance.neighbours import find_close_links, parse_buffer
from geographer.base.errors import NotFoundError
from geographer.operations.split.conflicts import GroupingConstraints
from geographer.planning.collections import require_collection
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.operations.split.recipe import By

_MEMBERS: Final = "FROM current_raster WHERE collection = $collection ORDER BY raster_id"
_FEATURES: Final = Path(__file__).with_name("grouping_features.sql")
_OVERLAPS: Final = Path(__file__).with_name("overlaps.sql")


def find_components(revision: Revision, collection: str, *, by: "By", buffer: float, where: str | None) -> pa.Table:
    """Return the component of each raster of a collection, which a split with the same arguments does not divide.

    The table has `raster_id` (text) and `component` (int64), ordered by `raster_id`; components are numbered from 0 by
    their smallest members.

    Raises:
        NotFoundError: the collection, or a column in `where`, does not exist.
        UsageError: the buffer is negative or not finite, or `where` is not one expression.
    """
    require_collection(revision, collection)
    rasters = revision.fetch_arrow(f"SELECT raster_id {_MEMBERS}", {"collection": collection})
    no_part, none_excluded = np.full(len(rasters), -1, np.int64), np.zeros(len(rasters), np.bool_)
    features = fetch_features_on_rasters(revision, collection, where)
    constraints = find_constraints(revision, collection, features, by, buffer, no_part, none_excluded)
    return rasters.append_column("component", pa.array(constraints.compute_components()))


def list_components(revision: Revision, collection: str, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Return the component of each raster of a collection for the recorded parameters of a split; none without it."""
    by, buffer, where = parameters["by"], parameters["buffer"], parameters["where"]
    try:
        table = find_components(revision, collection, by=by, buffer=buffer, where=where)
    except NotFoundError:
        return {}
    return dict(zip(table["raster_id"].to_pylist(), table["component"].to_pylist(), strict=True))


def fetch_features_on_rasters(revision: Revision, collection: str, where: str | None) -> pa.Table:
    """Return `feature_id`, `class` and `raster_index` (in order of id) for selected features and rasters with them."""
    with translate_sql_errors(where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE grouping_feature AS SELECT feature_key FROM current_feature "  # noqa: S608
            "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
            f"WHERE {revision.validate_filter('features', where)})"
        )
    return revision.fetch_arrow(_FEATURES.read_text(), {"collection": collection})


def count_classes(features: pa.Table, n_rasters: int) -> tuple[list[str], Ints]:
    """Return the classes and how many features of each every raster shows, shape (rasters, classes)."""
    classes = sorted(features["class"].unique().to_pylist())
    counts = np.zeros((n_rasters, len(classes)), np.int64)
    indices = pc.index_in(features["class"], value_set=pa.array(classes, pa.string()))
    np.add.at(counts, (features["raster_index"].to_numpy(), indices.to_numpy()), 1)
    return classes, counts


def find_constraints(
    revision: Revision, collection: str, features: pa.Table, by: "By", buffer: float, part: Ints, excluded: Bools
) -> GroupingConstraints:
    """Return what keeps rasters together, as indices in order of id: `features`, overlaps, and the distance `buffer`.

    By 'overlap', rasters that share pixels or ground are linked; with a `buffer`, those within this geodesic distance
    in metres (WGS84; `UsageError` if it is negative or not finite). `part` is the part of each raster, -1 for none;
    shape (n,), as `excluded`.
    """
    parse_buffer(buffer)
    links: dict[str, Links] = {}
    if by == "overlap":
        pairs = revision.fetch_arrow(_OVERLAPS.read_text(), {"collection": collection})
        links["overlap"] = np.column_stack([pairs["raster_a"].to_numpy(), pairs["raster_b"].to_numpy()])
    if buffer > 0:
        rows = revision.fetch_rows(f"SELECT ST_AsWKB(footprint)::BLOB {_MEMBERS}", {"collection": collection})
        links["buffer"] = find_close_links([bytes(wkb) for (wkb,) in rows], buffer, part, excluded)
    feature_indices = features["feature_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return GroupingConstraints(len(part), feature_indices, features["raster_index"].to_numpy(), links)
