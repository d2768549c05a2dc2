"""Merge into the branch in use: by an event, or by moving the branch where no event is needed; take a merge back."""

from typing import NamedTuple

import msgspec

from geographer.base.errors import ConflictError, NotFoundError
from geographer.operations.merge.files import fetch_needed_files, list_files_of_events
from geographer.operations.merge.request import MergeRevision
from geographer.storage.events import ChangeResult, Event, Head
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import find_chain_of, read_chain_heads, read_location_digest
from geographer.storage.log.read import read_event
from geographer.storage.unit_of_work import UnitOfWork

_KIND = "branch_merged"


class _Relation(NamedTuple):
    """How the merged revision is related to the head.

    Attributes:
        has_theirs: Whether nothing is to do: the head has it.
        follows: Whether the branch can move forward to it.
        onto: Its chain, if it is the published branch in use.
        left_behind: A published branch in use that moving forward would leave: its head is merged on the other side.
    """

    has_theirs: bool
    follows: bool
    onto: str | None
    left_behind: str | None


def merge_branch(work: UnitOfWork, request: MergeRevision) -> ChangeResult:
    """Merge a revision into the branch in use.

    If the head has it, nothing happens. If it follows the head, the branch moves forward without an event; also if it
    is the published branch and has the head among its merged events. The summary then has `moved`.

    Raises:
        ConflictError: conflicts of an earlier merge are open, or the head is not the expected one.
        NotFoundError: there is no such revision.
        CorruptError: files that the merged revision needs are neither on this machine nor on the remote.
    """
    head, revision = work.read_head(), str(request.revision)
    relation = _find_relation(work, revision, head)
    summary = {"revision": revision, "moved": relation.follows, "conflicts": 0}
    if relation.has_theirs or relation.follows:
        work.prepare_head(request.expected_head)
    if relation.has_theirs or (relation.follows and request.dry_run):
        summary |= {"moved": False, "would_move": relation.follows}
        return ChangeResult(*head, _KIND, summary, changed=False, would_change=relation.follows)
    if relation.follows:
        _require_published_positions(revision, relation)
        location = work.locate_revision(revision)
        with work.database.open_connection(log="r") as connection:
            needed = list_files_of_events(connection, location)
        fetch_needed_files(work.root, needed, f"merge {revision}")
        moved = work.move_branch(location, head)
        return ChangeResult(*moved, _KIND, summary)
    return work.run_request(msgspec.structs.replace(request, onto=relation.onto))


def _find_relation(work: UnitOfWork, revision: str, head: Head) -> _Relation:
    with work.database.open_connection(log="r") as connection:
        theirs = read_location_digest(connection, work.locate_revision(revision))
        ancestry, chains = read_ancestry(connection), read_chain_heads(connection)
        is_published = revision in chains and revision.partition("/")[2] == work.branch_name
        own_chain, their_chain = ({*ancestry.list_chain(digest)} for digest in (head.digest, theirs))
        has_theirs = ancestry.is_ancestor(theirs, head.digest)
        follows = not has_theirs and (
            ancestry.is_ancestor(head.digest, theirs) and (is_published or head.digest in their_chain)
        )
        # Published positions must not change: a published head that was merged here must come first, too.
        has_theirs = has_theirs and not (is_published and theirs not in own_chain)
        left = [
            name
            for name, published in chains.items()
            if name.partition("/")[2] == work.branch_name
            and published.digest not in their_chain
            and ancestry.is_ancestor(published.digest, theirs)
        ]
        return _Relation(has_theirs, follows, revision if is_published else None, next(iter(left), None))


def _require_published_positions(revision: str, relation: _Relation) -> None:
    """Raise if the branch would move to a chain that has its published head only as a merged one."""
    if relation.left_behind is not None:
        raise ConflictError(
            f"{revision} has merged {relation.left_behind}, so that its positions differ from the published ones. Run "
            f"geographer merge {relation.left_behind} first, then geographer merge {revision}."
        )


def abort_merge(work: UnitOfWork) -> Head:
    """Take the last merge back, which left conflicts; its events stay in a hidden chain of the log.

    Raises:
        NotFoundError: the branch does not end with such a merge, and resolutions of its conflicts.
        ConflictError: the merge is published.
    """
    head = work.prepare_head(None)
    with work.database.open_connection(log="r") as connection:
        event = read_event(connection, head.position)
        while event.kind == "conflicts_resolved":
            event = read_event(connection, event.position - 1)
        _require_aborted_merge(event)
        query = (
            "SELECT branch FROM log.chain JOIN log.event USING (event_key) WHERE digest = $digest "
            "AND contains(branch, '/')"
        )
        if published := connection.execute(query, {"digest": event.digest}).fetchone():
            raise ConflictError(
                f"the merge @{event.position} is published as {published[0]}, so it stays. Undo what it changed with: "
                f"geographer revert @{event.position}"
            )
        before = event.parents[1 if event.payload["follows_published"] else 0]
        target = find_chain_of(connection, before)
    assert target is not None
    return work.move_branch(target, head)


def _require_aborted_merge(event: Event) -> None:
    if event.kind != _KIND or not event.payload["conflicts"]:
        raise NotFoundError(
            "no merge to abort: the last event is not a merge that left conflicts. Undo another event with: geographer "
            "revert"
        )
