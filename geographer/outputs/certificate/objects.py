"""The level of shared objects: features that rasters of several subsets show."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Final

from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SHOWN: Final = (
    "SELECT count(DISTINCT feature_key) FROM current_edge SEMI JOIN certified_raster USING (raster_key) "
    "SEMI JOIN counted_feature USING (feature_key)"
)

_DECLARED: Final = "SELECT parameters->>'where' FROM recipes WHERE name = $split AND kind = 'split'"


def check_objects(revision: Revision, rasters: CertifiedRasters, where: str | None) -> Level:
    """Find the features that rasters of several subsets show: contain or intersect.

    With `where`, an SQL expression over the table of features, others do not count; those that are shared are numbered.
    """
    _stage_counted_features(revision, where)
    shared = revision.fetch_rows((_FOLDER / "shared_objects.sql").read_text())
    rows = [(key, name, pairs) for key, name, pairs, counts in shared if counts]
    totals = [*accumulate(pairs for _, _, pairs in rows)]
    needed = sum(total - pairs < MAX_LEAKS for total, (_, _, pairs) in zip(totals, rows, strict=True))
    parameters = {"keys": [key for key, _, _ in rows[:needed]], "limit": MAX_LEAKS}
    pairs = revision.fetch_rows((_FOLDER / "object_pairs.sql").read_text(), parameters) if rows else []
    leaks = make_leaks(rasters, ((a, b) for a, b, _ in pairs), ({"feature": feature} for _, _, feature in pairs))
    counts = {
        "objects": revision.fetch_value(_SHOWN),
        "shared_objects": len(rows),
        "pairs": totals[-1] if totals else 0,
    }
    if where is not None:
        counts["left_out_shared_objects"] = len(shared) - len(rows)
    return Level("shared_objects", not rows, None, counts, leaks)


def find_declared_filter(revision: Revision, split: str) -> str | None:
    """Return the SQL expression that says which features a split keeps in one part; None: all, or not recorded."""
    where: str | None = revision.fetch_value(_DECLARED, {"split": split})
    return where


def _stage_counted_features(revision: Revision, where: str | None) -> None:
    with translate_sql_errors(where):
        condition = revision.validate_filter("features", where)
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE counted_feature AS SELECT feature_key FROM current_feature "  # noqa: S608
            f"WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features WHERE {condition})"
        )
