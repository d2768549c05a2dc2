"""The level of shared pixels: windows of a parent, or ground, that rasters of several subsets share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.queries.revision import Revision

_QUERY: Final = Path(__file__).with_name("shared_pixels.sql")


def check_pixels(revision: Revision, rasters: CertifiedRasters) -> Level:
    """Find pairs of different subsets that share pixels of a parent, or ground if they have different parents."""
    table = revision.fetch_arrow(_QUERY.read_text())
    first = table.slice(0, MAX_LEAKS).to_pylist()
    details = (
        {"pixels": row["pixels"]} if row["pixels"] else {"ground_fraction": float(row["ground"])} for row in first
    )
    leaks = make_leaks(rasters, ((row["raster_a"], row["raster_b"]) for row in first), details)
    return Level("shared_pixels", not len(table), None, {"pairs": len(table)}, leaks)
