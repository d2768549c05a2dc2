"""Open conflicts: what a merge left for a user to decide, which blocks what others would build on."""

from __future__ import annotations

from typing import Final, NamedTuple

from geographer.base.errors import ConflictError
from geographer.base.text import format_count, quote_start
from geographer.storage.queries.revision import Revision

_OPEN: Final = (
    "SELECT conflict, subject, object_id FROM chain_merge_conflict WHERE position <= getvariable('position') "
    "QUALIFY row_number() OVER (PARTITION BY conflict ORDER BY position DESC, ordinal DESC) = 1 AND change = 'added' "
    "ORDER BY length(conflict), conflict"
)
_MAX_LISTED: Final = 3


class OpenConflict(NamedTuple):
    """A conflict that is not resolved: its id, and the kind and the id or name of its object."""

    conflict: str
    subject: str
    object_id: str


def list_open_conflicts(revision: Revision) -> list[OpenConflict]:
    """Return the conflicts that are open at a revision, in the order of their ids."""
    return [OpenConflict(*row) for row in revision.fetch_rows(_OPEN)]


def require_no_conflicts(revision: Revision, action: str) -> None:
    """Raise `ConflictError` if a conflict is open; `action` is what cannot be done meanwhile, such as 'push'."""
    if conflicts := list_open_conflicts(revision):
        names = [f"{item.subject.replace('_', ' ')} '{quote_start(item.object_id)}'" for item in conflicts]
        listed = ", ".join(names[:_MAX_LISTED]) + (" …" if len(names) > _MAX_LISTED else "")
        raise ConflictError(
            f"{format_count(len(conflicts), 'conflict')} of a merge must be resolved before {action}: {listed}. See "
            "geographer conflicts, then geographer resolve, or geographer merge --abort."
        )
