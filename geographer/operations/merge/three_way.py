"""Merge an object that both parents changed, column by column."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from geographer.operations.merge.columns import Columns, join_columns
from geographer.planning.merge_conflicts import Conflict

Take = Literal["ours", "theirs"]

_UNLIKE: Final = "\0"
"""A value of a base that is unlike any other: the bases differ in it."""


class Contest(NamedTuple):
    """An object that both parents changed: its columns in the bases and on both sides; None: it is not there."""

    subject: str
    object_id: str
    bases: Sequence[Columns | None]
    ours: Columns | None
    theirs: Columns | None


class MergedColumns(NamedTuple):
    """The columns of the merged object (None: it is not there), and what both sides changed differently."""

    columns: Columns | None
    conflicts: tuple[Conflict, ...] = ()


def merge_columns(contest: Contest, take: Take = "ours") -> MergedColumns:
    """Return an object merged by column; where both sides changed the same differently, that of `take` counts."""
    subject, object_id, bases, ours, theirs = contest
    if ours == theirs:
        return MergedColumns(ours)
    if ours is None or theirs is None:
        texts = [join_columns(columns) for columns in bases]
        base = texts[0] if len(set(texts)) == 1 else None
        conflict = Conflict(subject, object_id, None, base, join_columns(ours), join_columns(theirs))
        chosen = ours if take == "ours" else theirs
        return MergedColumns(chosen, (conflict,))
    merged: dict[str, str] = {}
    conflicts = []
    for name in dict.fromkeys((*sorted(ours), *sorted(theirs))):
        here, there = ours.get(name), theirs.get(name)
        before = [None if columns is None else columns.get(name) for columns in bases]
        value, is_conflict = choose_value(before, here, there, take)
        if is_conflict:
            base = before[0] if len(set(before)) == 1 else None
            conflicts.append(Conflict(subject, object_id, name, base, here, there))
        if value is not None:
            merged[name] = value
    return MergedColumns(merged, tuple(conflicts))


def choose_value(
    bases: Sequence[str | None], ours: str | None, theirs: str | None, take: Take
) -> tuple[str | None, bool]:
    """Return the merged value of one column, and whether both sides changed it differently."""
    base = bases[0] if len(set(bases)) == 1 else _UNLIKE
    if ours == theirs or theirs == base:
        return ours, False
    if ours == base:
        return theirs, False
    return ours if take == "ours" else theirs, True
