"""The level of shared objects: features that rasters of several subsets show."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Final

from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SHOWN: Final = "SELECT count(DISTINCT feature_key) FROM current_edge JOIN certified_raster USING (raster_key)"


def check_objects(revision: Revision, rasters: CertifiedRasters) -> Level:
    """Find the features that rasters of several subsets show: contain or intersect."""
    rows = revision.fetch_rows((_FOLDER / "shared_objects.sql").read_text())
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
    return Level("shared_objects", not rows, None, counts, leaks)
