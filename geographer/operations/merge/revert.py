"""Plan a reverted event: compare the revision before it with the head, from the event on."""

from typing import Final

from geographer.base.errors import ConflictError, UsageError
from geographer.operations.merge.combine import combine_sides
from geographer.operations.merge.events import EventReverted, RevertedEvent
from geographer.operations.merge.merge import CombinedPlan, make_plan, read_digest
from geographer.operations.merge.sides import FIRST, stage_sides
from geographer.planning.merge_conflicts import format_conflicts
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.read import locate_revision, read_event
from geographer.storage.queries.open_conflicts import require_no_conflicts
from geographer.storage.queries.revision import Revision

_LASTING: Final = {
    "dataset_initialised": "the first event",
    "revision_tagged": "a tag does not move",
    "revisions_reviewed": "a review stays as it was given",
    "rasters_withdrawn": "withdrawn bytes are deleted",
    "dataset_exported": "an export stays as it was written",
}
_SET_BACK: Final = {
    "attributes_changed": "attributes set NAME=VALUE, or attributes remove NAME",
    "context_classes_changed": "classes context NAME, or classes context --remove NAME",
    "dataset_described": "describe; an empty text takes a text back",
}
"""The commands that set back what events of a kind say of the whole dataset, which no row has."""


def plan_revert(revision: Revision, name: str | int) -> CombinedPlan:
    """Plan the event that undoes what an event changed; what changed since in other objects and columns stays.

    Raises:
        UsageError: nothing can undo an event of that kind, or the head does not descend from it.
        ConflictError: later events changed the same, or conflicts of a merge are open.
    """
    location = locate_revision(revision.connection, name)
    digest = read_digest(revision, location)
    head = read_event(revision.connection, revision.position)
    kind = str(revision.fetch_value("SELECT kind FROM log.event WHERE digest = $digest", {"digest": digest}))
    ancestry = read_ancestry(revision.connection)
    _require_revertible(name, kind, is_ancestor=ancestry.is_ancestor(digest, head.digest))
    require_no_conflicts(revision, "reverting")
    before = ancestry.nodes[digest].parents[0]
    sides = stage_sides(revision, head.digest, before, [digest], ours=FIRST)
    combined = combine_sides(revision, sides, "ours")
    if combined.conflicts:
        raise ConflictError(
            f"cannot revert {name}: later events changed the same: {format_conflicts(combined.conflicts)}. Revert "
            "those first, or change the objects yourself."
        )
    combined.payload["tags"] = []
    event = EventReverted(reverted=RevertedEvent(location.position, digest, kind), **combined.payload)
    if kind in _SET_BACK and event.is_empty and not combined.rows:
        raise UsageError(f"cannot revert {name}: no object changed. Set the values back: geographer {_SET_BACK[kind]}.")
    return make_plan(revision, event, combined, f"revert {name}")


def _require_revertible(name: str | int, kind: str, *, is_ancestor: bool) -> None:
    if reason := _LASTING.get(kind):
        raise UsageError(f"cannot revert {name}: {reason}. Name another event; see geographer log.")
    if not is_ancestor:
        raise UsageError(f"cannot revert {name}: the branch in use does not have it. See geographer log.")
