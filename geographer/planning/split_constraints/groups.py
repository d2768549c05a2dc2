"""Groups of rasters that a split must not divide: they show the same feature, share pixels, or lie near each other."""

import logging
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geographer.algorithms.connected_components import Bools, Ints, Links
from geographer.algorithms.geodesic_distance.neighbours import find_close_links, parse_buffer
from geographer.algorithms.grouping_constraints import GroupingConstraints
from geographer.base.errors import NotFoundError
from geographer.planning.collections import require_collection
from geographer.planning.split_constraints.declared import By, DeclaredConstraints
from geographer.planning.split_constraints.near_duplicates import REASON, fetch_recorded_links
from geographer.planning.split_constraints.staged_rasters import (
    read_feature_query,
    read_overlap_query,
    stage_features,
    stage_rasters,
)
from geographer.planning.upcasters import Parameters
from geographer.storage.queries.empty_selection import describe_empty_selection
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

_FOOTPRINTS: Final = (
    "SELECT ST_AsWKB(footprint)::BLOB FROM current_raster JOIN grouped_raster USING (raster_key) ORDER BY raster_index"
)


def find_components(
    revision: Revision,
    collection: str,
    *,
    by: By,
    buffer: float,
    where: str | None,
    near_duplicates: bool = False,
) -> pa.Table:
    """Return the component of each raster of a collection, which a split with the same arguments does not divide.

    The table has `raster_id` (text) and `component` (int64), ordered by `raster_id`; components are numbered from 0 by
    their smallest members. With `near_duplicates`, those count that splits found.

    Raises:
        NotFoundError: the collection, or a column in `where`, does not exist.
        UsageError: the buffer is negative or not finite, or `where` is not one expression.
    """
    require_collection(revision, collection)
    stage_collection(revision, collection)
    rasters = revision.fetch_arrow("SELECT raster_id FROM grouped_raster ORDER BY raster_index")
    no_part, none_excluded = np.full(len(rasters), -1, np.int64), np.zeros(len(rasters), np.bool_)
    features = fetch_features_on_rasters(revision, where)
    declared = DeclaredConstraints(by, buffer, where, near_duplicates)
    constraints = find_constraints(revision, features, declared, no_part, none_excluded)
    return rasters.append_column("component", pa.array(constraints.compute_components()))


def list_components(revision: Revision, collection: str, parameters: Parameters) -> dict[str, int]:
    """Return the component of each raster of a collection for the recorded parameters of a split; none without it."""
    try:
        table = find_components(revision, collection, **DeclaredConstraints.from_parameters(parameters)._asdict())
    except NotFoundError:
        return {}
    return dict(zip(table["raster_id"].to_pylist(), table["component"].to_pylist(), strict=True))


def stage_collection(revision: Revision, collection: str) -> None:
    """Make the rasters of a collection those that are grouped; see `stage_rasters`."""
    stage_rasters(revision, "collection = $collection", {"collection": collection})


def fetch_features_on_rasters(revision: Revision, where: str | None) -> pa.Table:
    """Return `feature_id`, `class` and `raster_index` for selected features and grouped rasters that show them."""
    stage_features(revision, where)
    features = revision.fetch_arrow(read_feature_query())
    if where is not None and not len(features):
        _warn_of_unused_filter(revision, where)
    return features


def _warn_of_unused_filter(revision: Revision, where: str) -> None:
    """Log that no raster shows a selected feature, so that the filter leaves no feature to keep rasters together."""
    if revision.fetch_rows("FROM grouping_feature LIMIT 1"):
        logger.warning("--where: no raster of the collection shows a selected feature.")
    elif text := describe_empty_selection(revision, "features", where):
        logger.warning("%s", text)


def count_classes(features: pa.Table, n_rasters: int) -> tuple[list[str], Ints]:
    """Return the classes and how many features of each every raster shows, shape (rasters, classes)."""
    classes = sorted(features["class"].unique().to_pylist())
    counts = np.zeros((n_rasters, len(classes)), np.int64)
    indices = pc.index_in(features["class"], value_set=pa.array(classes, pa.string()))
    np.add.at(counts, (features["raster_index"].to_numpy(), indices.to_numpy()), 1)
    return classes, counts


def find_constraints(
    revision: Revision, features: pa.Table, declared: DeclaredConstraints, part: Ints, excluded: Bools
) -> GroupingConstraints:
    """Return what keeps the grouped rasters together: `features`, overlaps, and the distance `buffer`.

    By 'overlap', rasters that share pixels or ground are linked; with a `buffer`, those within this geodesic distance
    in metres (WGS84; `UsageError` if it is negative or not finite); recorded near-duplicates. `part` is the
    part of each raster, -1 for none; shape (n,), as `excluded`.
    """
    parse_buffer(declared.buffer)
    constraints = find_shared_content(revision, features, declared.by, len(part))
    if declared.near_duplicates:
        constraints = constraints.add_links(REASON, fetch_recorded_links(revision))
    if declared.buffer == 0:
        return constraints
    links = find_close_links(fetch_footprints(revision), declared.buffer, part, excluded)
    return constraints.add_links("buffer", links)


def find_shared_content(revision: Revision, features: pa.Table, by: By, n_rasters: int) -> GroupingConstraints:
    """Return links between the grouped rasters through `features`, and by 'overlap' through pixels or ground."""
    links: dict[str, Links] = {}
    if by == "overlap":
        pairs = revision.fetch_arrow(read_overlap_query())
        links["overlap"] = np.column_stack([pairs["raster_a"].to_numpy(), pairs["raster_b"].to_numpy()])
    feature_indices = features["feature_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return GroupingConstraints(n_rasters, feature_indices, features["raster_index"].to_numpy(), links)


def fetch_footprints(revision: Revision) -> list[bytes]:
    """Return the footprints of the grouped rasters in longitude/latitude, as WKB."""
    return [bytes(wkb) for (wkb,) in revision.fetch_rows(_FOOTPRINTS)]
