"""Fetch: get the events and the objects that others published, and check them; head and workspace stay."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from geographer.base.atomic_files import FileDamage
from geographer.base.errors import ConflictError, CorruptError, UnsupportedVersionError, UsageError, quote_names
from geographer.base.html import render_object
from geographer.base.text import format_count
from geographer.sharing.comparison import compare_with_branch
from geographer.sharing.partial_clone import select_objects
from geographer.sharing.remote_history import download_segments
from geographer.storage.dvc.remote import Remote, open_remote
from geographer.storage.history.ingest import copy_chain, ingest_segments
from geographer.storage.history.published import (
    KnownRemote,
    PublishedRevision,
    forget_remote,
    parse_published,
    read_known_remote,
    read_known_remotes,
    remember_remote,
)
from geographer.storage.log.branches import Location, find_chain_of, read_chain_head, validate_branch_name
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import list_chain_objects, list_merged_tags
from geographer.storage.workspace.partial.selection import PartialClone, read_partial_clone
from geographer.storage.workspace.required_objects import (
    RevisionSelection,
    list_required_objects,
    list_retained_positions,
)

logger = logging.getLogger(__name__)


class FetchResult(NamedTuple):
    """What was fetched.

    Attributes:
        branch: The branch as it is called here: `REMOTE/BRANCH`.
        position: The position of its head; 0: nothing is published yet.
        digest: The digest of its head.
        events: The number of events that the log lacked.
        objects: The number of objects that the cache lacked.
        ahead: The number of events of this log that the remote lacks.
        behind: The number of events of the remote that this log lacks.
        last_number: The last number of a head that is taken on the remote.
        compared_branch: The branch that `ahead` and `behind` are about: that of the same name, or the one in use.
        updated: Whether the branch was moved forward, and the workspace shows the new head.
        others: The other branches of the remote, whose events were fetched, too.
        bytes: The size of the data files among the objects.
    """

    branch: str
    position: int
    digest: str
    events: int
    objects: int
    ahead: int
    behind: int
    last_number: int
    compared_branch: str
    updated: bool = False
    others: tuple[FetchResult, ...] = ()
    bytes: int = 0

    def _repr_html_(self) -> str:
        return render_object(self)


class FetchedObjects(NamedTuple):
    """The number of objects that were downloaded, and the size of the data files among them, in bytes."""

    objects: int
    bytes: int


def fetch_branches(
    work: UnitOfWork, remote: Remote, selection: RevisionSelection = "tags", branch: str | None = None
) -> FetchResult:
    """Fetch one branch with its objects; if `branch` is None, the branch in use, and the events of all others.

    The files of the other branches come when they are shown. HTTP cannot list branches: there, the others are those
    that were fetched before. A branch that cannot be taken in is warned of, and does not keep the others from coming.

    Raises:
        Errors of the chosen branch are those of `fetch_branch`.
    """
    result = fetch_branch(work, remote, selection, branch)
    return result if branch is not None else result._replace(others=fetch_other_branches(work, remote))


def fetch_other_branches(work: UnitOfWork, remote: Remote) -> tuple[FetchResult, ...]:
    """Fetch the events of all branches of a remote but the one in use; see `fetch_branches`."""
    results = []
    for name in list_published_branches(work, remote):
        if name == work.branch_name:
            continue
        try:
            result = fetch_branch(work, remote, None, name)
        except (ConflictError, CorruptError, UnsupportedVersionError) as error:
            logger.warning("the branch '%s' of the remote '%s' was not fetched: %s", name, remote.name, error)
            continue
        if result.position:
            results.append(result)
    return tuple(results)


def fetch_branch(
    work: UnitOfWork, remote: Remote, selection: RevisionSelection | None = "tags", branch: str | None = None
) -> FetchResult:
    """Get the events of a remote's branch into the log, and the objects of a selection of its revisions into the cache.

    With no selection, no object is fetched. The events become the chain `REMOTE/BRANCH`; the branches of this dataset
    and the workspace stay as they are. `branch` is its name on the remote; None: that of the branch in use.

    Raises:
        ConflictError: the remote has another dataset.
        CorruptError: what the remote delivers is not as it should be; nothing of that was taken in.
        StorageError: the remote cannot be reached.
        UsageError: the branch has an invalid name.
    """
    name = work.branch_name if branch is None else validate_branch_name(branch)
    tracked = f"{remote.name}/{name}"
    known = read_known_remote(work.root, tracked, remote.url)
    newest, last_number = read_newest(work, remote, name, known)
    if newest is None:
        forget_remote(work.root, tracked)
        compared, ahead, behind = compare_with_branch(work, name, None)
        return FetchResult(tracked, 0, "", 0, 0, ahead, behind, last_number, compared)
    published = newest.published
    events = _take_in(work, remote, published, tracked)
    remember_remote(work.root, tracked, newest)
    objects, size = FetchedObjects(0, 0)
    if selection:
        clone = read_partial_clone(work.root)
        objects, size = fetch_objects(work, remote, tracked, published.position, selection, clone)
    compared, ahead, behind = compare_with_branch(work, name, published.head)
    return FetchResult(
        *(tracked, published.position, published.head, events, objects, ahead, behind, last_number, compared),
        bytes=size,
    )


def list_published_branches(work: UnitOfWork, remote: Remote) -> list[str]:
    """Return the branches of a remote by name; of one that has no listings, those that were fetched before.

    A name that this dataset could not give to a branch is left out.
    """
    names = list_valid_branches(remote)
    if names is None:
        known = read_known_remotes(work.root).items()
        tracked = [branch for branch, item in known if item.url == remote.url]
        names = [branch.removeprefix(f"{remote.name}/") for branch in tracked if branch.startswith(f"{remote.name}/")]
    return names


def list_valid_branches(remote: Remote) -> list[str] | None:
    """Return the branches of a remote whose names a dataset can have; None if the remote has no listings."""
    names = remote.list_branches()
    return None if names is None else sorted(filter(_is_valid_name, names))


def read_newest(
    work: UnitOfWork, remote: Remote, name: str, known: KnownRemote | None = None
) -> tuple[KnownRemote | None, int]:
    """Return the newest head of a branch on the remote, None if it has none, and the last number that is taken.

    The search begins with the head that is known: where that is missing, the remote was emptied or replaced.
    `ConflictError` if it is the head of another dataset.
    """
    head = remote.read_head(name, max(known.number - 1, 0)) if known else None
    if head is None:
        known, head = None, remote.read_head(name)
    if head is None or not head.content:
        return None, head.last_number if head else 0
    published, dataset = parse_published(head.content, remote.name, name), work.read_dataset_id()
    if published.dataset != dataset:
        raise ConflictError(
            f"the remote '{remote.name}' has another dataset, which begins with event {published.dataset[:12]}; this "
            f"one begins with {dataset[:12]}. Use another folder or URL for the remote."
        )
    return KnownRemote(head.number, published, remote.url, known.withdrawn if known else ""), head.last_number


def fetch_objects(
    work: UnitOfWork,
    remote: Remote,
    branch: str,
    position: int,
    selection: RevisionSelection,
    clone: PartialClone | None,
) -> FetchedObjects:
    """Download the objects that revisions of a chain need and this machine lacks.

    Of the data files, only those are downloaded that `clone` takes; None: all. A partial clone writes the listings of
    folders from the log: they name all files.

    `CorruptError` if the remote lacks some, or delivers other bytes; those that came are kept.
    """
    with work.database.open_connection(log="r") as connection:
        needed = list_chain_objects(connection, branch, position, selection)
    if clone is not None:
        needed = select_objects(work, clone, needed, Location(branch, position), selection)
    store = work.file_store
    missing = store.list_missing_objects([*needed.files, *needed.listings])
    wanted = [md5 for md5 in missing if clone is None or md5 in needed.files]
    damages = store.fetch_files(wanted, remote) if wanted else {}
    for address, content in needed.listings.items():
        if damages.pop(address, None) or (clone is not None and address in missing):
            store.write_listing(address, content)
    if lost := [md5 for md5 in damages if md5 in needed.files]:
        raise _make_lost_error(remote, damages, lost, len(missing))
    return FetchedObjects(len(wanted), sum(needed.files.get(md5, 0) for md5 in wanted))


def _make_lost_error(remote: Remote, damages: Mapping[str, FileDamage], lost: list[str], count: int) -> CorruptError:
    altered = sum(damages[md5] == "altered" for md5 in lost)
    counts = f"{len(lost):,} of {format_count(count, 'object')}"
    reason = f" ({altered:,} of them altered)" if altered else ""
    return CorruptError(
        f"the remote '{remote.name}' lacks {counts}{reason}, such as {quote_names(lost, 3)}. The others are here. "
        "Run geographer push where they are."
    )


def fetch_clone_objects(work: UnitOfWork, remote_name: str | None, selection: RevisionSelection) -> FetchedObjects:
    """Download the objects of a selection of the revisions of the branch in use into the cache of a new clone."""
    clone = read_partial_clone(work.root)
    with open_remote(work.root, remote_name) as remote:
        return fetch_objects(work, remote, work.branch_name, work.read_head().position, selection, clone)


def retain_tags(work: UnitOfWork, position: int) -> None:
    """Retain the objects of all tags of the head, at `position`, that this machine has; see `retained.py`."""
    with work.open_revision(position) as revision:
        positions = list_retained_positions(revision, "tags")
        required = list_required_objects(revision, [tagged for tagged in positions if tagged != position])
        merged = [
            list_chain_objects(revision.connection, *place, "current")
            for place in list_merged_tags(revision.connection, work.branch_name, position)
        ]
    objects = {*required.object_sizes}.union(*(item.files.keys() | item.listings.keys() for item in merged))
    if required.files or merged:
        work.file_store.retain_objects(sorted(objects))


def _take_in(work: UnitOfWork, remote: Remote, published: PublishedRevision, tracked: str) -> int:
    """Let the chain `tracked` have the events up to a published head; return how many the log lacked."""
    with work.database.open_connection(log="r") as connection:
        head = read_chain_head(connection, tracked)
        known = find_chain_of(connection, published.head)
    if known is None:
        paths = download_segments(work.file_store, remote, published.history)
        result = ingest_segments(
            *(work.database, paths.values(), published.head, published.dataset, tracked), position=published.position
        )
        return result.events
    if known.position != published.position:
        raise CorruptError(
            f"{tracked} says that it is at @{published.position}, and its event {published.head[:12]} is "
            f"@{known.position}. Nothing was taken in. Ask the one who published it to push again."
        )
    if head.digest != published.head:
        copy_chain(work.database, tracked, published.head)
    return 0


def _is_valid_name(name: str) -> bool:
    try:
        validate_branch_name(name)
    except UsageError:
        return False
    return True
