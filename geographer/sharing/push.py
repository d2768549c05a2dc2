"""Push: publish the events and the objects of a dataset on a remote, whose head only moves forward."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from geographer.base.errors import ConflictError, CorruptError, quote_names
from geographer.base.text import format_count
from geographer.planning.split_constraints.check import require_leak_free
from geographer.sharing.fetch import (
    FetchResult,
    describe_divergence,
    fetch_branch,
    list_published_segments,
    parse_listing,
)
from geographer.storage.dvc.dvc_check import read_dvc_file
from geographer.storage.dvc.dvc_files import compute_md5
from geographer.storage.dvc.remote import Remote
from geographer.storage.dvc.store import Store
from geographer.storage.events import Head
from geographer.storage.history.folder import HISTORY_DVC_FILE, HISTORY_FOLDER, HistoryFolder
from geographer.storage.history.published import (
    HEAD_FORMAT,
    KnownRemote,
    PublishedRevision,
    encode_published,
    read_known_remote,
    remember_remote,
)
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import ChainObjects, list_chain_objects, list_withdrawn_md5s
from geographer.storage.workspace.required_objects import RevisionSelection
from geographer.storage.workspace.roots import Reference, format_references, list_references

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
    work: UnitOfWork, remote: Remote, selection: RevisionSelection = "tags", *, dry_run: bool = False
) -> PushResult:
    """Publish the head of the branch in use with the objects of a selection of its revisions.

    Objects are sent before segments, and these before the head: a push that is killed leaves the remote as it was, and
    the next one sends the rest.

    Raises:
        ConflictError: the remote has events that this log lacks, a split leaks, or another push was faster.
        CorruptError: an object is neither on this machine nor on the remote.
        StorageError: the remote cannot be reached.
    """
    plan = _plan_push(work, remote, selection)
    result = plan.make_result()
    if plan.references:
        logger.warning("%s.", format_references(plan.references))
    if dry_run:
        return result._replace(changed=False)
    if result.changed:
        known = _publish_head(work, remote, plan)
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
        next_number: The number of the head that would be created.
        known: The newest head on the remote; None if there is none.
        published: The head to publish.
        needed: The objects of the selected revisions.
        withdrawn: The MD5s of withdrawn files.
        parcel: What the remote lacks.
        references: The rasters that are recorded in place.
    """

    branch: str
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
            events=self.published.position - (self.known.published.position if self.known else 0),
            objects=len(files),
            bytes=_count_bytes(files),
            references=[reference.raster_id for reference in self.references],
            changed=self.known is None or self.known.published != self.published,
        )


def _plan_push(work: UnitOfWork, remote: Remote, selection: RevisionSelection) -> _PushPlan:
    head = work.prepare_head(None)
    state = _require_ancestor(work, remote)
    known = read_known_remote(work.root, state.branch, remote.url)
    if known is None or known.published.head != head.digest:
        with work.open_revision(head.position) as revision:
            require_leak_free(revision)
    with work.database.open_connection(log="r") as connection:
        needed = list_chain_objects(connection, work.branch, head.position, selection)
        there = ChainObjects({}, {})
        if known:
            there = list_chain_objects(connection, work.branch, known.published.position, known.published.revisions)
        withdrawn = list_withdrawn_md5s(connection, work.branch, head.position)
    files = [md5 for md5 in needed.files if md5 not in there.files]
    listings = {md5: text for md5, text in needed.listings.items() if md5 not in there.listings}
    parcel = _pack_parcel(work, remote, files, listings, known)
    with work.open_revision(head.position) as revision:
        references = list_references(revision)
    published = _describe_head(work, head, selection)
    return _PushPlan(state.branch, state.last_number + 1, known, published, needed, withdrawn, parcel, references)


def _publish_head(work: UnitOfWork, remote: Remote, plan: _PushPlan) -> KnownRemote:
    """Send objects, then segments, then the head; `ConflictError` if another push was faster."""
    remote.upload_objects(plan.parcel.objects, work.progress)
    remote.upload_objects(plan.parcel.history, work.progress)
    if not remote.create_head(work.branch, plan.next_number, encode_published(plan.published)):
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


def _require_ancestor(work: UnitOfWork, remote: Remote) -> FetchResult:
    """Fetch the remote's branch, whose events `main` must have."""
    result = fetch_branch(work, remote, None)
    if result.behind and result.ahead:
        raise ConflictError(describe_divergence(result))
    if result.behind:
        count = format_count(result.behind, "event")
        raise ConflictError(f"{result.branch} has {count} that this log lacks. Run geographer pull, then push again.")
    return result


def _pack_parcel(
    work: UnitOfWork, remote: Remote, md5s: list[str], listings: Mapping[str, bytes], known: KnownRemote | None
) -> _Parcel:
    """Find and hash the bytes of what the remote lacks; `CorruptError` if an object is nowhere, or altered."""
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
        raise CorruptError(
            f"{count} of the revisions to push, such as {quote_names(lost, 3)}, are neither on this machine nor on "
            f"'{remote.name}'. Get them with geographer pull OTHER-REMOTE, or see geographer verify."
        )
    address, segments = list_history(store, work.root)
    sent = list_published_segments(store, remote, known.published) if known else set()
    folder = HistoryFolder(work.root).folder
    history = {md5: folder / name for name, md5 in segments.items() if md5 not in sent}
    if known is None or known.published.history != address:
        history[address] = store.find_object(address)
    paths = {md5: store.find_object(md5) for md5 in candidates}
    required = paths | {md5: folder / name for name, md5 in segments.items()} | {address: store.find_object(address)}
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


def _describe_head(work: UnitOfWork, head: Head, selection: RevisionSelection) -> PublishedRevision:
    memory = HistoryFolder(work.root).read_memory()
    if memory.head != head.digest or not memory.content_digest:
        raise CorruptError(f"'{HISTORY_FOLDER}' is not at the head @{head.position}. See geographer verify.")
    address, _ = list_history(work.file_store, work.root)
    dataset = work.read_dataset_id()
    return PublishedRevision(
        HEAD_FORMAT, dataset, work.branch, head.position, head.digest, memory.content_digest, address, selection
    )
