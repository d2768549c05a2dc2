"""Comparisons over time: how two revisions differ, and the history of one object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent


class Diff(NamedTuple):
    """What differs between two revisions, row by row, and how many objects of each kind.

    `table` has the columns object, id, change (added, removed, changed), what, from, to; `counts` maps (object,
    change) to a number of objects.
    """

    table: Table
    counts: dict[tuple[str, str], int]


def compute_diff(revision: Revision, a: int, b: int) -> Diff:
    """How the revision at position `b` differs from the one at `a`."""
    arrow = revision.fetch_arrow((_FOLDER / "diff.sql").read_text(), {"a": a, "b": b})
    counts: dict[tuple[str, str], set[str]] = {}
    for thing, identity, change in zip(*(arrow[name].to_pylist() for name in ("object", "id", "change")), strict=True):
        counts.setdefault((thing, change), set()).add(identity)
    return Diff(Table(arrow), {key: len(ids) for key, ids in counts.items()})
