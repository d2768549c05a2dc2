"""The rasters that are grouped, in a temp table, and whether SQL alone shows that no link of theirs leaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.storage.database.sql_sandbox import translate_sql_errors

if TYPE_CHECKING:
    from geographer.planning.split_constraints.declared import DeclaredConstraints
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_ASSIGNED: Final = "raster_id IN (SELECT raster_id FROM current_split WHERE split = $split AND part IS NOT NULL)"
_NO_PAIRS: Final = "SELECT NULL::BIGINT AS raster_a, NULL::BIGINT AS raster_b LIMIT 0"


def stage_rasters(revision: Revision, condition: str, parameters: Mapping[str, Any]) -> None:
    """Make the temp table `grouped_raster` of the rasters with an SQL condition, which have indices in order of id."""
    revision.run_query(
        "CREATE OR REPLACE TEMP TABLE grouped_raster AS "  # noqa: S608
        "SELECT row_number() OVER (ORDER BY raster_id) - 1 AS raster_index, raster_key, raster_id "
        f"FROM current_raster WHERE {condition}",
        dict(parameters),
    )


def stage_assigned_rasters(revision: Revision, split: str) -> None:
    """Make the rasters of a split that have a part those that are grouped."""
    stage_rasters(revision, _ASSIGNED, {"split": split})


def stage_features(revision: Revision, where: str | None) -> None:
    """Make the temp table `grouping_feature` of the features that count: those with an SQL condition, or all."""
    with translate_sql_errors(where):
        revision.run_query(
            "CREATE OR REPLACE TEMP TABLE grouping_feature AS SELECT feature_key FROM current_feature "  # noqa: S608
            "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
            f"WHERE {revision.validate_filter('features', where)})"
        )


def read_feature_query() -> str:
    """Return the query for the features that the grouped rasters show."""
    return (_FOLDER / "grouping_features.sql").read_text()


def read_overlap_query() -> str:
    """Return the query for the pairs of grouped rasters that share pixels or ground."""
    return (_FOLDER / "overlaps.sql").read_text()


def read_near_duplicate_query() -> str:
    """Return the query for the pairs of grouped rasters that splits found to be near-duplicates."""
    return (_FOLDER / "near_duplicate_links.sql").read_text()


def is_surely_sound(revision: Revision, split: str, declared: DeclaredConstraints) -> bool:
    """Return whether one query shows that a split does not leak, which needs no arrays and no libraries for them.

    False if it does leak, if its rasters must be some distance apart, or if its filter selects no feature of a raster.
    """
    if declared.buffer:
        return False
    stage_assigned_rasters(revision, split)
    stage_features(revision, declared.where)
    features, links = _strip_query(read_feature_query()), []
    if declared.where is not None and not revision.fetch_rows(f"FROM ({features}) LIMIT 1"):
        return False
    if declared.by == "overlap":
        links.append(read_overlap_query())
    if declared.near_duplicates:
        links.append(read_near_duplicate_query())
    pairs = " UNION ALL ".join(f"(SELECT raster_a, raster_b FROM ({_strip_query(query)}))" for query in links)  # noqa: S608
    query = (_FOLDER / "links_across_parts.sql").read_text().format(features=features, pairs=pairs or _NO_PAIRS)
    return not revision.fetch_rows(query, {"split": split})


def _strip_query(query: str) -> str:
    """Return a query of a file, so that it can be part of another one."""
    return query.rstrip().removesuffix(";")
