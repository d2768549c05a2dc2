"""Clusters: which rasters must stay together, because they show one object, share pixels, or lie near each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from geographer.storage.database.sql_sandbox import translate_sql_errors

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.queries.revision import Revision

Ints = NDArray[np.int64]
By = Literal["object", "overlap"]

_MEMBERS: Final = "SELECT raster_id FROM raster_now WHERE collection = $collection ORDER BY raster_id"
_FOOTPRINTS: Final = """
    SELECT ST_AsWKB(footprint)::BLOB FROM raster_now WHERE collection = $collection ORDER BY raster_id
"""
_OBJECTS: Final = Path(__file__).with_name("shared_objects.sql")
_OVERLAPS: Final = Path(__file__).with_name("overlaps.sql")


def clusters(revision: Revision, collection: str, *, by: By, buffer: float, where: str | None) -> pa.Table:
    """The cluster of each raster of a collection: raster_id (text), component (int64), in the order of raster_id.

    Components are numbered from 0 by their smallest members. They are those that a split with the same `by`, `buffer`
    and `where` never parts.

    Raises:
        NotFoundError: no such collection, or no such column in `where`.
        UsageError: the buffer is negative or not finite, or `where` is not one expression.
    """
    import pyarrow as pa

    from geographer.operations.split.conflicts import GroupingConstraints

    revision.require_collection(collection)
    rasters = [row[0] for row in revision.fetch_rows(_MEMBERS, {"collection": collection})]
    unassigned, kept = np.full(len(rasters), -1, np.int64), np.zeros(len(rasters), np.bool_)
    found = links(revision, collection, by=by, buffer=buffer, parts=unassigned, excluded=kept)
    bonds = GroupingConstraints(len(rasters), *incidence(objects(revision, collection, where)), found)
    return pa.table({"raster_id": pa.array(rasters, pa.string()), "component": bonds.components()})


def objects(revision: Revision, collection: str, where: str | None) -> pa.Table:
    """Which raster (its place by id) shows which of the features that `where` selects, and of which class that is."""
    with translate_sql_errors(where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key FROM feature_now "  # noqa: S608
            "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
            f"WHERE {revision.validate_filter('features', where)})"
        )
    return revision.fetch_arrow(_OBJECTS.read_text(), {"collection": collection})


def incidence(objects: pa.Table) -> tuple[Ints, Ints]:
    """The feature (a number) and the raster (its place by id) of each row of `objects`, shape (m,) each."""
    features = objects["feature_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return features, ints(objects, "raster")


def links(
    revision: Revision, collection: str, *, by: By, buffer: float, parts: Ints, excluded: NDArray[np.bool_]
) -> Mapping[str, Ints]:
    """Pairs of rasters (their places by id), shape (n, 2), that share pixels or lie near each other, by that reason.

    Args:
        revision: Whose rasters.
        collection: Which of them.
        by: 'object' leaves out those that share pixels.
        buffer: What is near, in metres, geodesic on WGS84; 0 leaves out nearness.
        parts: The number of the part that each raster is in, -1 where none is; shape (n,).
        excluded: Which are left out for now; shape (n,).

    Raises:
        UsageError: the buffer is negative or not finite.
    """
    from geographer.algorithms.geodesic_distance.neighbours import close_links, reaches

    reaches(buffer)
    found: dict[str, Ints] = {}
    if by == "overlap":
        pairs = revision.fetch_arrow(_OVERLAPS.read_text(), {"collection": collection})
        found["overlap"] = np.column_stack([ints(pairs, "a"), ints(pairs, "b")])
    if buffer > 0:
        rows = revision.fetch_rows(_FOOTPRINTS, {"collection": collection})
        found["buffer"] = close_links([bytes(wkb) for (wkb,) in rows], buffer, parts, excluded)
    return found


def ints(table: pa.Table, column: str) -> Ints:
    """A column of whole numbers, shape (n,)."""
    numbers: Ints = table[column].to_numpy().astype(np.int64)
    return numbers
