"""Conflicts of a merge: what both parents changed differently, as rows that stay until they are resolved."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.text import format_count, quote_start
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS: Final = ("conflict", "subject", "object_id", "column_name", "base", "ours", "theirs", "remedy")
_MAX_LISTED: Final = 3
_OPEN: Final = """
    SELECT conflict, subject, object_id, column_name, base, ours, theirs, remedy FROM chain_merge_conflict
    WHERE position <= getvariable('position')
    QUALIFY position = max(position) OVER (PARTITION BY conflict) AND change = 'added'
    ORDER BY length(conflict), conflict
"""


class Conflict(NamedTuple):
    """What two parents of a merge, or an event and later ones, changed differently.

    Attributes:
        subject: 'class', 'feature', 'raster', 'recipe', 'user_column', 'removal', 'tag' or 'split'.
        object_id: The id or name of the object.
        column: What both changed of it; None: one removed it, or both added it.
        base: The value before as JSON text; None: there was none, or the last common events differ in it.
        ours: Our value, which the merged dataset has until the conflict is resolved.
        theirs: Theirs.
        remedy: A proposal, as JSON text.
    """

    subject: str
    object_id: str
    column: str | None
    base: str | None
    ours: str | None
    theirs: str | None
    remedy: str | None = None

    def format_text(self) -> str:
        """Return the conflict in words, without the values."""
        noun, name = self.subject.replace("_", " "), quote_start(self.object_id)
        if self.subject == "split":
            return f"split '{name}' would leak"
        if self.column is not None:
            return f"{self.column.removeprefix('properties.')} of {noun} '{name}' was changed on both sides"
        if self.ours is None:
            return f"{noun} '{name}' was removed here and changed there"
        if self.theirs is None:
            return f"{noun} '{name}' was changed here and removed there"
        return f"{noun} '{name}' was {'added' if self.base is None else 'changed'} on both sides"


class NumberedConflict(NamedTuple):
    """A conflict that is not resolved yet, with its number."""

    number: str
    conflict: Conflict


def fetch_conflicts(revision: Revision) -> list[NumberedConflict]:
    """Return the conflicts that are open at a revision, by number."""
    return [NumberedConflict(number, Conflict(*fields)) for number, *fields in revision.fetch_rows(_OPEN)]


def fetch_conflict_table(revision: Revision) -> "pa.Table":
    """Return the conflicts that are open at a revision as a table: the number, then the fields of `Conflict`."""
    return revision.fetch_arrow(_OPEN.replace("column_name", 'column_name AS "column"', 1))


def format_conflicts(conflicts: Sequence[Conflict]) -> str:
    """Return the number of conflicts and the first ones in words."""
    listed = "; ".join(conflict.format_text() for conflict in conflicts[:_MAX_LISTED])
    more = f"; and {len(conflicts) - _MAX_LISTED:,} more" if len(conflicts) > _MAX_LISTED else ""
    return f"{format_count(len(conflicts), 'conflict')}: {listed}{more}"


def make_conflict_rows(conflicts: Iterable[Conflict], last_number: int) -> "pa.Table":
    """Return the rows of new conflicts, numbered after `last_number`."""
    rows = [(str(last_number + index), *conflict) for index, conflict in enumerate(conflicts, start=1)]
    return make_row_table("merge_conflict", dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def make_resolved_rows(conflicts: Iterable[NumberedConflict]) -> "pa.Table":
    """Return the rows that end conflicts; they name what the conflicts were about."""
    rows = [("removed", number, *conflict[:3]) for number, conflict in conflicts]
    names = ("change", *_COLUMNS[:4])
    return make_row_table("merge_conflict", dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
