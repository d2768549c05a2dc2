"""Groups of rasters that a split must not divide: they show the same feature, share pixels, or lie near each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from geographer.storage.database.sql_sandbox import translate_sql_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from geographer.algorithms.connected_components import Bools, Ints, Links
    from geographer.storage.queries.revision import Revision

By = Literal["object", "overlap"]

_MEMBERS: Final = "SELECT raster_id FROM current_raster WHERE collection = $collection ORDER BY raster_id"
_FOOTPRINTS: Final = """
    SELECT ST_AsWKB(footprint)::BLOB FROM current_raster WHERE collection = $collection ORDER BY raster_id
"""
_FEATURES: Final = Path(__file__).with_name("grouping_features.sql")
_OVERLAPS: Final = Path(__file__).with_name("overlaps.sql")


def find_components(revision: Revision, collection: str, *, by: By, buffer: float, where: str | None) -> pa.Table:
    """Return the component of each raster of a collection, which a split with the same arguments does not divide.

    Returns:
        `raster_id` (text) and `component` (int64), ordered by `raster_id`; components are numbered from 0 by their
        smallest members.

    Raises:
        NotFoundError: the collection, or a column in `where`, does not exist.
        UsageError: the buffer is negative or not finite, or `where` is not one expression.
    """
    import pyarrow as pa

    from geographer.operations.split.conflicts import GroupingConstraints

    revision.require_collection(collection)
    rasters = [row[0] for row in revision.fetch_rows(_MEMBERS, {"collection": collection})]
    no_part, none_excluded = np.full(len(rasters), -1, np.int64), np.zeros(len(rasters), np.bool_)
    links = find_links(revision, collection, by=by, buffer=buffer, part=no_part, excluded=none_excluded)
    incidence = make_incidence(fetch_features_on_rasters(revision, collection, where))
    components = GroupingConstraints(len(rasters), *incidence, links).compute_components()
    return pa.table({"raster_id": pa.array(rasters, pa.string()), "component": components})


def fetch_features_on_rasters(revision: Revision, collection: str, where: str | None) -> pa.Table:
    """Return which rasters show which of the features that `where` selects.

    Returns:
        `feature_id`, `class` and `raster_index`, the raster's index in order of id.
    """
    with translate_sql_errors(where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE grouping_feature AS SELECT feature_key FROM current_feature "  # noqa: S608
            "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
            f"WHERE {revision.validate_filter('features', where)})"
        )
    return revision.fetch_arrow(_FEATURES.read_text(), {"collection": collection})


def make_incidence(features: pa.Table) -> tuple[Ints, Ints]:
    """Return the feature index and the raster index of each row of `fetch_features_on_rasters`, shape (m,) each."""
    indices = features["feature_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return indices, to_int_array(features, "raster_index")


def find_links(
    revision: Revision, collection: str, *, by: By, buffer: float, part: Ints, excluded: Bools
) -> Mapping[str, Links]:
    """Return pairs of rasters (indices in order of id), shape (n, 2), that overlap or lie near each other, by reason.

    Args:
        revision: The revision.
        collection: The collection of the rasters.
        by: 'overlap' links rasters that share pixels or ground; 'object' does not.
        buffer: Link rasters within this geodesic distance in metres (WGS84); 0: do not.
        part: The part of each raster, -1 for none; shape (n,).
        excluded: Whether each raster is currently excluded; shape (n,).

    Raises:
        UsageError: the buffer is negative or not finite.
    """
    from geographer.algorithms.geodesic_distance.neighbours import find_close_links, parse_buffer

    parse_buffer(buffer)
    links: dict[str, Links] = {}
    if by == "overlap":
        pairs = revision.fetch_arrow(_OVERLAPS.read_text(), {"collection": collection})
        links["overlap"] = np.column_stack([to_int_array(pairs, "raster_a"), to_int_array(pairs, "raster_b")])
    if buffer > 0:
        rows = revision.fetch_rows(_FOOTPRINTS, {"collection": collection})
        links["buffer"] = find_close_links([bytes(wkb) for (wkb,) in rows], buffer, part, excluded)
    return links


def to_int_array(table: pa.Table, column: str) -> Ints:
    """Return an integer column, shape (n,)."""
    values: Ints = table[column].to_numpy().astype(np.int64)
    return values
