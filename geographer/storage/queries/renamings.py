"""Renamings: what had another name before, so that what was made under that name counts as the same thing's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision

_RENAMINGS_SQL: Final = Path(__file__).with_name("renamings.sql")
_RENAMINGS: Final = (
    "SELECT subject, old_name, name, position FROM state.renaming WHERE position <= getvariable('position') "
    "ORDER BY position"
)


class RecordedRenaming(NamedTuple):
    """A renaming of a `class`, `collection` or `recipe` (`subject`), and the position of its event."""

    subject: str
    old_name: str
    name: str
    position: int


def list_renamings(revision: Revision) -> list[RecordedRenaming]:
    """Return the renamings up to a revision, oldest first."""
    return [RecordedRenaming(*row) for row in revision.fetch_rows(_RENAMINGS)]


def find_later_name(renamings: Sequence[RecordedRenaming], subject: str, name: str, since: int) -> str | None:
    """Return the name that something has which had `name` at the position `since`; None if it was not renamed."""
    later = name
    for renaming in renamings:
        if renaming.position > since and (renaming.subject, renaming.old_name) == (subject, later):
            later = renaming.name
    return later if later != name else None


def stage_renamings(revision: Revision) -> None:
    """Create temporary tables of what was renamed and of the names that recipes have had; see `renamings.sql`."""
    run_script(revision.connection, _RENAMINGS_SQL.read_text())
