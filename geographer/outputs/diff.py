"""Diff: the differences between two revisions, object by object."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from geographer.storage.queries.revision import Revision
from geographer.storage.queries.table import Table

_DIFF: Final = Path(__file__).with_name("diff.sql")


class Diff(NamedTuple):
    """The differences between two revisions, and the number of objects by (object, change).

    The table has one row for each changed value, with the columns object (class, feature, raster, edge, label, label
    object, split), id, change (added, removed, changed), what, from and to.
    """

    table: Table
    counts: dict[tuple[str, str], int]


def compute_diff(revision: Revision, from_position: int, to_position: int) -> Diff:
    """Compute how the revision at `to_position` differs from the one at `from_position`."""
    positions = {"from_position": from_position, "to_position": to_position}
    arrow = revision.fetch_arrow(_DIFF.read_text(), positions)
    objects = dict.fromkeys(zip(*(arrow[name].to_pylist() for name in ("object", "change", "id")), strict=True))
    return Diff(Table(arrow), dict(Counter((kind, change) for kind, change, _ in objects)))
