"""Push: publish the events and the objects of a dataset on a remote, whose head only moves forward."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, quote_names
from geographer.base.html import render_object
from geographer.base.text import format_count
from geographer.planning.split_constraints.check import require_leak_free
from geographer.sharing.comparison import count_missing, is_on_chain
from geographer.sharing.fetch import FetchResult, fetch_branch, read_newest
from geographer.sharing.pull import describe_divergence
from geographer.sharing.remote_history import list_published_segments, parse_listing
from geographer.storage.dvc.dvc_check import read_dvc_file
from geographer.storage.dvc.dvc_files import compute_md5
from geographer.storage.dvc.remote import Remote
from geographer.storage.dvc.store import Store
from geographer.storage.events import EMPTY_LOG_HEAD, Head
from geographer.storage.history.folder import HISTORY_DVC_FILE, HISTORY_FOLDER, HistoryFolder
from geographer.storage.history.ingest import copy_chain
from geographer.storage.history.published import (
    HEAD_FORMAT,
    KnownRemote,
    PublishedRevision,
    encode_published,
    read_known_remote,
    read_known_remotes,
    remember_remote,
)
from geographer.storage.history.segments import read_segment_digests
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import Location, find_chain_of, is_branch_name, read_chain_head
from geographer.storage.queries.open_conflicts import require_no_conflicts
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import ChainObjects, list_chain_objects, list_withdrawn_md5s
from geographer.storage.workspace.partial.absent_files import describe_partial_clone
from geographer.storage.workspace.required_objects import RevisionSelection
from geographer.storage.workspace.roots import Reference, format_references, list_references

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

_MANY: Final = 100
"""From so many objects on, the remote is asked which it has, to go on after an interrupted push."""


class PushResult(NamedTuple):
    """What was published.

    Attributes:
        branch: The branch as it is called here: `REMOTE/BRANCH`.
        position: The position of its head.
        digest: The digest of its head.
        events: The number of events that the remote lacked.
        objects: The number of objects that were sent, or in a dry run would be, segments included.
        bytes: Their size.
        references: The rasters that are recorded in place, which stay on this machine.
        changed: Whether a new head was published.
    """

    branch: str
    position: int
    digest: str
    events: int
    objects: int
    bytes: int
    references: list[str]
    changed: bool

    def _repr_html_(self) -> str:
        return render_object(self)


class _Parcel(NamedTuple):
    """The objects of a push, each with the path of its bytes.

    Attributes:
        objects: The data files and listings that the remote lacks.
        history: The segments that it lacks, and their listing.
        required: What the remote must have beside the objects of its last head: the above, and what it has already.
    """

    objects: dict[str, Path]
    history: dict[str, Path]
    required: dict[str, Path]


def push_branch(
    work: UnitOfWork,
    remote: Remote,
    selection: RevisionSelection = "tags",
    branch: str | None = None,
    *,
    dry_run: bool = False,
) -> PushResult:
    """Publish the head of a branch, by default the one in use, with the objects of a selection of its revisions.

    Objects are sent before segments, and these before the head: a push that is killed leaves the remote as it was, and
    the next one sends the rest.

    Raises:
        ConflictError: the remote has events that this log lacks, a conflict of a merge is open, a split leaks, or
            another push was faster.
        NotFoundError: there is no such branch.
        CorruptError: an object is neither on this machine nor on the remote.
        StorageError: the remote cannot be reached.
    """
    plan = _plan_push(work, remote, selection, work.branch_name if branch is None else branch)
    result = plan.make_result()
    if plan.references:
        logger.warning("%s.", format_references(plan.references))
    if dry_run:
        return result._replace(changed=False)
    if result.changed:
        known = _publish_head(work, remote, plan)
        copy_chain(work.database, plan.branch, plan.published.head)
    else:
        assert plan.known
        known, sent = plan.known, _restore_lost(work, remote, plan)
        result = result._replace(objects=len(sent), bytes=_count_bytes(sent))
    _delete_withdrawn(work, remote, plan.branch, known, plan.withdrawn - plan.needed.files.keys())
    return result


class _PushPlan(NamedTuple):
    """What a push would publish, and what it knows of the remote.

    Attributes:
        branch: The branch as it is called here: `REMOTE/BRANCH`.
        ahead: The number of events that the published branch lacks.
        next_number: The number of the head that would be created.
        known: The newest head on the remote; None if there is none.
        published: The head to publish.
        needed: The objects of the selected revisions.
        withdrawn: The MD5s of withdrawn files.
        parcel: What the remote lacks.
        references: The rasters that are recorded in place.
    """

    branch: str
    ahead: int
    next_number: int
    known: KnownRemote | None
    published: PublishedRevision
    needed: ChainObjects
    withdrawn: set[str]
    parcel: _Parcel
    references: list[Reference]

    def make_result(self) -> PushResult:
        """Return the result of the push, if it is carried out."""
        files = self.parcel.objects | self.parcel.history
        return PushResult(
            branch=self.branch,
            position=self.published.position,
            digest=self.published.head,
            events=self.ahead,
            objects=len(files),
            bytes=_count_bytes(files),
            references=[reference.raster_id for reference in self.references],
            changed=self.known is None or self.known.published != self.published,
        )


def _plan_push(work: UnitOfWork, remote: Remote, selection: RevisionSelection, name: str) -> _PushPlan:
    own_head = work.prepare_head(None)
    head = own_head if name == work.branch_name else _read_branch_head(work, name)
    state = _require_ancestor(work, remote, name)
    known = read_known_remote(work.root, state.branch, remote.url)
    with work.open_revision(Location(name, head.position)) as revision:
        require_no_conflicts(revision, "push")
        if known is None or known.published.head != head.digest:
            require_leak_free(revision)
        references = list_references(revision)
        published = _describe_head(work, name, head, selection, revision)
    others = [known] if known else _list_other_heads(work, remote)
    with work.database.open_connection(log="r") as connection:
        needed = list_chain_objects(connection, name, head.position, selection)
        there = [_list_published_objects(connection, other.published) for other in others]
        withdrawn = list_withdrawn_md5s(connection, name, head.position)
    files = [md5 for md5 in needed.files if not any(md5 in objects.files for objects in there)]
    listings = {
        md5: text for md5, text in needed.listings.items() if not any(md5 in objects.listings for objects in there)
    }
    sent = set[str]().union(
        *(list_published_segments(work.file_store, remote, other.published) for other in others),
    )
    parcel = _pack_parcel(work, remote, files, listings, published.history, sent)
    ahead = state.ahead if known else count_missing(work, head.digest, [other.published.head for other in others])
    return _PushPlan(
        state.branch, ahead, state.last_number + 1, known, published, needed, withdrawn, parcel, references
    )


def _read_branch_head(work: UnitOfWork, name: str) -> Head:
    with work.database.open_connection(log="r") as connection:
        head = read_chain_head(connection, name)
    if head == EMPTY_LOG_HEAD or not is_branch_name(name):
        raise NotFoundError(f"no branch '{name}'. See geographer branch.")
    return head


def _list_other_heads(work: UnitOfWork, remote: Remote) -> list[KnownRemote]:
    """Return the published heads of other branches that this machine knows and that the remote still has."""
    prefix, found = f"{remote.name}/", list[KnownRemote]()
    for tracked, known in read_known_remotes(work.root).items():
        if tracked.startswith(prefix) and known.url == remote.url:
            newest, _ = read_newest(work, remote, tracked.removeprefix(prefix), known)
            if newest is not None and newest.published == known.published:
                found.append(known)
    return found


def _list_published_objects(connection: duckdb.DuckDBPyConnection, published: PublishedRevision) -> ChainObjects:
    """Return the objects that a published head says to be on the remote; none if the log lacks it."""
    place = find_chain_of(connection, published.head)
    if place is None:
        return ChainObjects({}, {})
    return list_chain_objects(connection, *place, published.revisions)


def _publish_head(work: UnitOfWork, remote: Remote, plan: _PushPlan) -> KnownRemote:
    """Send objects, then segments, then the head; `ConflictError` if another push was faster."""
    remote.upload_objects(plan.parcel.objects, work.progress)
    remote.upload_objects(plan.parcel.history, work.progress)
    if not remote.create_head(plan.published.branch, plan.next_number, encode_published(plan.published)):
        raise ConflictError(
            f"another push to '{remote.name}' was faster. Nothing of it was replaced. Run geographer pull, then push "
            "again."
        )
    # A garbage collection that has not seen this head may have deleted what the push relies on.
    _send_missing(work, remote, plan.parcel.required)
    known = KnownRemote(plan.next_number, plan.published, remote.url, plan.known.withdrawn if plan.known else "")
    remember_remote(work.root, plan.branch, known)
    return known


def _restore_lost(work: UnitOfWork, remote: Remote, plan: _PushPlan) -> dict[str, Path]:
    """Send again what the remote lost, such as by dvc gc, and return it: nothing is left to send if it has all."""
    for address, content in plan.needed.listings.items():
        work.file_store.write_listing(address, content)
    objects = [*plan.needed.files, *plan.needed.listings]
    return _send_missing(
        work, remote, {md5: work.file_store.find_object(md5) for md5 in objects} | plan.parcel.required
    )


def _count_bytes(files: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in files.values())


def _send_missing(work: UnitOfWork, remote: Remote, required: Mapping[str, Path]) -> dict[str, Path]:
    """Ask the remote for objects, send those that it lacks, and return them; `CorruptError` if one is nowhere."""
    missing = remote.find_missing(required)
    if lost := sorted(md5 for md5 in missing if not required[md5].is_file()):
        raise CorruptError(
            f"the remote '{remote.name}' lacks {format_count(len(lost), 'object')}, such as {quote_names(lost, 3)}, "
            "which this machine lacks, too. Run geographer push where they are."
        )
    sent = {md5: required[md5] for md5 in missing}
    if sent:
        remote.upload_objects(sent, work.progress)
    return sent


def _delete_withdrawn(
    work: UnitOfWork, remote: Remote, branch: str, known: KnownRemote, withdrawn: Collection[str]
) -> None:
    """Delete withdrawn files on the remote, unless this machine has done so before."""
    digest = hashlib.sha256("\n".join(sorted(withdrawn)).encode()).hexdigest() if withdrawn else ""
    if digest == known.withdrawn:
        return
    if withdrawn:
        remote.delete_objects(withdrawn)
    remember_remote(work.root, branch, msgspec.structs.replace(known, withdrawn=digest))


def _require_ancestor(work: UnitOfWork, remote: Remote, name: str) -> FetchResult:
    """Fetch the remote's branch, whose events the branch `name` must have, at their positions."""
    result = fetch_branch(work, remote, None, name)
    if result.behind and result.ahead:
        raise ConflictError(describe_divergence(result))
    if result.behind:
        count, option = format_count(result.behind, "event"), "" if name == work.branch_name else f" --branch {name}"
        raise ConflictError(
            f"{result.branch} has {count} that this log lacks. Run geographer pull{option}, then push again."
        )
    if result.position and not is_on_chain(work, name, Head(result.position, result.digest)):
        raise ConflictError(
            f"the events of {result.branch} were merged into the branch '{name}', where they have other positions. "
            f"Published positions never change: run geographer merge {result.branch}, then push again."
        )
    return result


def _pack_parcel(
    work: UnitOfWork,
    remote: Remote,
    md5s: list[str],
    listings: Mapping[str, bytes],
    history_address: str,
    sent: set[str],
) -> _Parcel:
    """Find and hash the bytes of what the remote lacks; `CorruptError` if an object is nowhere, or altered.

    `history_address` is that of the listing of segments, and `sent` has the MD5s of those that the remote has.
    """
    store = work.file_store
    for address, content in listings.items():
        store.write_listing(address, content)
    candidates = [*md5s, *listings]
    absent = store.list_missing_objects(md5s)
    if len(candidates) > _MANY:
        lacking = remote.find_missing(candidates)
    else:
        # To send an object again costs less than to ask for each.
        lacking = {*candidates}.difference(absent) | (remote.find_missing(absent) if absent else set())
    if lost := sorted(lacking.intersection(absent)):
        count = format_count(len(lost), "object")
        if partial := describe_partial_clone(work.root):
            raise ConflictError(
                f"{count} of the revisions to push, such as {quote_names(lost, 3)}, are absent on purpose: {partial}, "
                f"and '{remote.name}' lacks them, too. A published head promises its files: push to the remote of the "
                "clone, or get all files with geographer fetch --all first."
            )
        raise CorruptError(
            f"{count} of the revisions to push, such as {quote_names(lost, 3)}, are neither on this machine nor on "
            f"'{remote.name}'. Get them with geographer pull OTHER-REMOTE, or see geographer verify."
        )
    _, segments = list_history(store, work.root)
    folder = HistoryFolder(work.root).folder
    history = {md5: folder / name for name, md5 in segments.items() if md5 not in sent}
    if history_address not in sent:
        history[history_address] = store.find_object(history_address)
    paths = {md5: store.find_object(md5) for md5 in candidates}
    required = paths | {md5: folder / name for name, md5 in segments.items()}
    required[history_address] = store.find_object(history_address)
    parcel = _Parcel({md5: path for md5, path in paths.items() if md5 in lacking}, history, required)
    for md5, path in (parcel.objects | parcel.history).items():
        if compute_md5(path) != md5.removesuffix(".dir"):
            raise CorruptError(f"'{path}' is altered, so nothing was sent. Run geographer verify for the way out.")
    return parcel


def list_history(store: Store, root: Path) -> tuple[str, dict[str, str]]:
    """Return the address of the history folder's listing, and the MD5s of its segments by file name.

    `CorruptError` if there is no listing, or one that every other machine would refuse.
    """
    address = read_dvc_file(root / HISTORY_DVC_FILE).address
    tracked = store.list_tracked_files(HISTORY_DVC_FILE)
    if tracked is None:
        raise CorruptError(f"the list of segments of '{HISTORY_DVC_FILE}' is missing. Run geographer verify --repair.")
    try:
        return address, parse_listing(store.find_object(address), address)
    except CorruptError as error:
        raise CorruptError(
            f"'{HISTORY_DVC_FILE}' tracks other files than segments, so nothing was sent. Move them out of "
            f"'{HISTORY_FOLDER}', and run a command that changes the dataset."
        ) from error


def _describe_head(
    work: UnitOfWork, name: str, head: Head, selection: RevisionSelection, revision: Revision
) -> PublishedRevision:
    address, _ = list_history(work.file_store, work.root)
    if name == work.branch_name:
        memory = HistoryFolder(work.root).read_memory()
        content_digest = memory.content_digest
        if memory.head != head.digest or not content_digest:
            raise CorruptError(f"'{HISTORY_FOLDER}' is not at the head @{head.position}. See geographer verify.")
    else:
        _require_segments(work, name, head)
        content_digest = revision.compute_content_digest()
    dataset = work.read_dataset_id()
    return PublishedRevision(HEAD_FORMAT, dataset, name, head.position, head.digest, content_digest, address, selection)


def _require_segments(work: UnitOfWork, name: str, head: Head) -> None:
    """Raise `ConflictError` unless the history folder has all events of a branch that is not in use."""
    with work.database.open_connection(log="r") as connection:
        missing = read_ancestry(connection).list_ancestors([head.digest])
        for path in HistoryFolder(work.root).list_segment_paths():
            missing.difference_update(read_segment_digests(connection, path))
    if missing:
        raise ConflictError(
            f"'{HISTORY_FOLDER}' lacks events of the branch '{name}'. Run geographer switch {name}, then push again."
        )
