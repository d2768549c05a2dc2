"""Conflicts: what a patch and the head changed differently, as data."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from geographer.base.errors import ConflictError
from geographer.base.text import quote_start
from geographer.diff.patch.model import KEYS, PatchChange

_MAX_LISTED: Final = 3


class ObjectConflict(NamedTuple):
    """A value that the patch changes from `base` to `theirs`, and that is `ours` at the head.

    `column` is None if the whole object is in conflict; then None as a value means that the object is not there.
    """

    table: str
    key: Mapping[str, str]
    column: str | None
    base: Any
    ours: Any
    theirs: Any

    def format_text(self) -> str:
        """Return the conflict in words, without the values."""
        noun, name = self.table.removesuffix("_change").replace("_", " "), quote_start("/".join(self.key.values()))
        if self.column is not None:
            return f"{self.column} of {noun} '{name}' was changed on both sides"
        if self.ours is None:
            return f"{noun} '{name}' was removed here and changed in the patch"
        if self.theirs is None:
            return f"{noun} '{name}' was changed here and removed in the patch"
        return f"{noun} '{name}' was {'added' if self.base is None else 'changed'} on both sides"


class PatchConflictError(ConflictError):
    """A patch cannot be applied to a head that changed the same objects; `conflicts` has all of them."""

    def __init__(self, conflicts: Sequence[ObjectConflict]) -> None:
        self.conflicts = tuple(conflicts)
        listed = "; ".join(conflict.format_text() for conflict in conflicts[:_MAX_LISTED])
        count = len(conflicts)
        more = f"; and {count - _MAX_LISTED:,} more" if count > _MAX_LISTED else ""
        super().__init__(
            f"the patch has {count:,} conflict{'s' if count > 1 else ''} with the head: {listed}{more}. Pass "
            "--on-conflict ours to keep what the head has, or theirs to take the patch's values; --json lists all."
        )


def make_conflict(change: PatchChange, column: str | None, base: Any, ours: Any, theirs: Any) -> ObjectConflict:
    """Return the conflict in a column of an object, or in all of it."""
    return ObjectConflict(
        change.table, dict(zip(KEYS[change.table], change.key, strict=True)), column, base, ours, theirs
    )
