"""Fetch and pull: get the events and the objects that others published, check them, and follow them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import ConflictError, CorruptError, quote_names
from geographer.base.text import format_count
from geographer.storage.dvc.remote import Remote, open_remote
from geographer.storage.dvc.store import Store
from geographer.storage.history.agreement import LockRelation
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.history.ingest import IngestResult, copy_chain, fast_forward, ingest_segments
from geographer.storage.history.published import (
    KnownRemote,
    PublishedRevision,
    forget_remote,
    parse_published,
    read_known_remote,
    read_known_remotes,
    remember_remote,
)
from geographer.storage.history.segments import SUFFIX
from geographer.storage.log.chain import create_chain_views
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import list_chain_objects
from geographer.storage.workspace.required_objects import (
    RevisionSelection,
    list_required_objects,
    list_retained_positions,
)

_ONE_THREAD_ROWS: Final = 1_000
_LARGE_TABLES: Final = ("feature_change", "raster_change", "label_object_change")
_MAX_SEGMENTS: Final = 10_000
"""A listing with more segments is not read: n events lie in O(log n) of them."""


class FetchResult(NamedTuple):
    """What was fetched.

    Attributes:
        branch: The branch as it is called here: `REMOTE/BRANCH`.
        position: The position of its head; 0: nothing is published yet.
        digest: The digest of its head.
        events: The number of events that the log lacked.
        objects: The number of objects that the cache lacked.
        ahead: The number of events of this log that the remote lacks.
        behind: The number of events of the remote that `main` lacks.
        last_number: The last number of a head that is taken on the remote.
        updated: Whether `main` was moved forward, and the workspace shows the new head.
    """

    branch: str
    position: int
    digest: str
    events: int
    objects: int
    ahead: int
    behind: int
    last_number: int
    updated: bool = False


def fetch_branch(work: UnitOfWork, remote: Remote, selection: RevisionSelection | None = "tags") -> FetchResult:
    """Get the events of a remote's branch into the log, and the objects of a selection of its revisions into the cache.

    With no selection, no object is fetched. The events become the chain `REMOTE/BRANCH`; `main` and the workspace stay
    as they are.

    Raises:
        ConflictError: the remote has another dataset.
        CorruptError: what the remote delivers is not as it should be; nothing of that was taken in.
        StorageError: the remote cannot be reached.
    """
    branch = f"{remote.name}/{work.branch}"
    known = read_known_remote(work.root, branch, remote.url)
    newest, last_number = _read_newest(work, remote, known)
    if newest is None:
        forget_remote(work.root, branch)
        return FetchResult(branch, 0, "", 0, 0, work.read_head().position, 0, last_number)
    events = 0
    published, position = newest.published, newest.published.position
    if known is None or published.history != known.published.history or not _has_chain(work, branch, published):
        if _has_event(work, published):
            copy_chain(work.database, branch, published.head)
        else:
            events = _ingest_published(work, remote, published, branch).events
    remember_remote(work.root, branch, newest)
    objects = fetch_objects(work, remote, branch, position, selection) if selection else 0
    ahead, behind = compare_chains(work, branch, position)
    return FetchResult(branch, position, published.head, events, objects, ahead, behind, last_number)


def pull_branch(work: UnitOfWork, remote: Remote, selection: RevisionSelection = "tags") -> FetchResult:
    """Fetch, let `main` follow the remote's branch, and check the new head out.

    Raises:
        ConflictError: both have events that the other one lacks, or the workspace shows an older revision on request.
        Other errors are those of `fetch_branch`. What was fetched stays.
    """
    agreement = work.compare_lock()
    if agreement.relation in (LockRelation.BEHIND, LockRelation.UNREADABLE):
        raise ConflictError(agreement.problem or agreement.relation)
    work.omit_lock_warning()
    result = fetch_branch(work, remote, selection)
    if not result.behind:
        if agreement.relation is LockRelation.CATCH_UP:
            work.prepare_head(None)
        return result
    if result.ahead:
        raise ConflictError(describe_divergence(result))
    marker = work.read_marker()
    if marker.is_requested:
        raise ConflictError(
            f"the workspace is at @{marker.position}, which was checked out. Run geographer checkout HEAD, then "
            "geographer pull again."
        )
    known = read_known_remotes(work.root)[result.branch]
    fast_forward(work.database, result.branch)
    adopt_segments(work, known)
    # Few rows are derived on one thread: more only cost CPU time.
    with work.database.use_one_thread() if _count_new_rows(work, result) <= _ONE_THREAD_ROWS else nullcontext():
        head = work.prepare_head(None)
        retain_tags(work, head.position)
    return result._replace(updated=True)


def _count_new_rows(work: UnitOfWork, result: FetchResult) -> int:
    """Return the number of rasters and features that the events which `main` lacked change."""
    with work.database.open_connection(log="r") as connection:
        create_chain_views(connection)
        counts = " + ".join(f"(SELECT count(*) FROM chain_{table} WHERE position > $after)" for table in _LARGE_TABLES)  # noqa: S608
        after = {"after": result.position - result.behind}
        ((count,),) = connection.execute(f"SELECT {counts}", after).fetchall()
    return int(count)


def retain_tags(work: UnitOfWork, position: int) -> None:
    """Retain the objects of all tags of the head, at `position`, that this machine has; see `retained.py`."""
    with work.open_revision(position) as revision:
        positions = list_retained_positions(revision, "tags")
        required = list_required_objects(revision, [tagged for tagged in positions if tagged != position])
    if required.files:
        work.file_store.retain_objects(required.object_sizes)


def describe_divergence(result: FetchResult) -> str:
    """Return what to do if both histories have events that the other one lacks."""
    mine, theirs = format_count(result.ahead, "event"), format_count(result.behind, "event")
    return (
        f"the histories have diverged: this log has {mine} that {result.branch} lacks, and {result.branch} has "
        f"{theirs} that this log lacks. Both are kept. Clone the published history into another folder (geographer "
        "clone), and bring your changes there with geographer import dataset."
    )


def fetch_objects(work: UnitOfWork, remote: Remote, branch: str, position: int, selection: RevisionSelection) -> int:
    """Download the objects that revisions of a chain need and this machine lacks; return their number.

    `CorruptError` if the remote lacks some, or delivers other bytes; those that came are kept.
    """
    with work.database.open_connection(log="r") as connection:
        needed = list_chain_objects(connection, branch, position, selection)
    store = work.file_store
    missing = store.list_missing_objects([*needed.files, *needed.listings])
    damages = store.fetch_files(missing, remote) if missing else {}
    for address, content in needed.listings.items():
        if damages.pop(address, None):
            store.write_listing(address, content)
    if lost := [md5 for md5 in damages if md5 in needed.files]:
        altered = sum(damages[md5] == "altered" for md5 in lost)
        counts = f"{len(lost):,} of {format_count(len(missing), 'object')}"
        reason = f" ({altered:,} of them altered)" if altered else ""
        raise CorruptError(
            f"the remote '{remote.name}' lacks {counts}{reason}, such as {quote_names(lost, 3)}. The others are here. "
            "Run geographer push where they are."
        )
    return len(missing)


def fetch_clone_objects(work: UnitOfWork, remote_name: str | None, selection: RevisionSelection) -> int:
    """Download the objects of a selection of the revisions of `main` into the cache of a new clone."""
    with open_remote(work.root, remote_name) as remote:
        return fetch_objects(work, remote, work.branch, work.read_head().position, selection)


def download_segments(store: Store, remote: Remote, address: str) -> dict[str, Path]:
    """Download the segments of a history listing into the cache; return the objects' paths by file name.

    Raises:
        CorruptError: the listing is not one of segments, or the remote lacks one or delivers other bytes.
        StorageError: the remote cannot be reached.
    """
    if damage := store.fetch_files([address], remote).get(address):
        raise CorruptError(f"the list of segments {address} is {damage} on the remote '{remote.name}'. {_ASK}")
    md5_of_name = parse_listing(store.find_object(address), address)
    if damages := store.fetch_files([*md5_of_name.values()], remote):
        md5, damage = next(iter(damages.items()))
        raise CorruptError(f"the segment {md5} is {damage} on the remote '{remote.name}'. {_ASK}")
    return {name: store.find_object(md5) for name, md5 in md5_of_name.items()}


def list_published_segments(store: Store, remote: Remote, published: PublishedRevision) -> set[str]:
    """Return the MD5s of the segments that a published head names; none if its listing is missing or damaged."""
    store.fetch_files([published.history], remote)
    try:
        return {*parse_listing(store.find_object(published.history), published.history).values()}
    except CorruptError:
        return set()


def adopt_segments(work: UnitOfWork, known: KnownRemote) -> None:
    """Put a remote's segments into the history folder, so that equal events lie in equal segments everywhere."""
    listing = work.file_store.find_object(known.published.history)
    folder = HistoryFolder(work.root)
    for name, md5 in parse_listing(listing, known.published.history).items():
        folder.add_file(work.file_store.find_object(md5), name)


_ASK: Final = "Nothing was taken in. Ask the one who published it to push again."


def parse_listing(path: Path, address: str) -> dict[str, str]:
    """Return the MD5s of the segments in a listing by file name; `CorruptError` if it lists something else."""
    try:
        md5_of_name = {row["relpath"]: row["md5"] for row in json.loads(path.read_bytes())}
        is_valid = len(md5_of_name) <= _MAX_SEGMENTS and all(map(_is_segment, md5_of_name, md5_of_name.values()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        is_valid = False
    if not is_valid:
        raise CorruptError(f"the list of segments {address} is not one of a dataset's history. {_ASK}")
    return md5_of_name


def _is_segment(name: object, md5: object) -> bool:
    hexadecimal = set("0123456789abcdef")
    stem = str(name).removesuffix(SUFFIX)
    is_name = isinstance(name, str) and name.endswith(SUFFIX) and len(stem) == 64 and hexadecimal.issuperset(stem)
    return is_name and isinstance(md5, str) and len(md5) == 32 and hexadecimal.issuperset(md5)


def _read_newest(work: UnitOfWork, remote: Remote, known: KnownRemote | None) -> tuple[KnownRemote | None, int]:
    """Return the newest head on the remote, None if it has none, and the last number that is taken.

    The search begins with the head that is known: where that is missing, the remote was emptied or replaced.
    """
    head = remote.read_head(work.branch, max(known.number - 1, 0)) if known else None
    if head is None:
        known, head = None, remote.read_head(work.branch)
    if head is None or not head.content:
        return None, head.last_number if head else 0
    published = parse_published(head.content, remote.name, work.branch)
    with work.database.open_connection(log="r") as connection:
        ((dataset,),) = connection.execute(_FIRST_EVENT, [work.branch]).fetchall()
    if published.dataset != dataset:
        raise ConflictError(
            f"the remote '{remote.name}' has another dataset, which begins with event {published.dataset[:12]}; this "
            f"one begins with {dataset[:12]}. Use another folder or URL for the remote."
        )
    return KnownRemote(head.number, published, remote.url, known.withdrawn if known else ""), head.last_number


_FIRST_EVENT: Final = "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $1 AND position = 1"


def _has_chain(work: UnitOfWork, branch: str, published: PublishedRevision) -> bool:
    query = (
        "SELECT digest, position FROM log.chain JOIN log.event USING (event_key) WHERE branch = $1 "
        "ORDER BY position DESC LIMIT 1"
    )
    with work.database.open_connection(log="r") as connection:
        return connection.execute(query, [branch]).fetchall() == [(published.head, published.position)]


def _has_event(work: UnitOfWork, published: PublishedRevision) -> bool:
    """Return whether `main` has the published head at its position, as after a push."""
    query = "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $1 AND position = $2"
    with work.database.open_connection(log="r") as connection:
        return connection.execute(query, [work.branch, published.position]).fetchall() == [(published.head,)]


def _ingest_published(work: UnitOfWork, remote: Remote, published: PublishedRevision, branch: str) -> IngestResult:
    paths = download_segments(work.file_store, remote, published.history)
    return ingest_segments(
        work.database, paths.values(), published.head, published.dataset, branch, position=published.position
    )


def compare_chains(work: UnitOfWork, branch: str, position: int) -> tuple[int, int]:
    """Return how many events `main` has that a chain, which ends at `position`, lacks, and the other way round."""
    query = (
        "SELECT count(*) FROM log.chain AS own JOIN log.chain AS other USING (position, event_key) "
        "WHERE own.branch = $1 AND other.branch = $2"
    )
    with work.database.open_connection(log="r") as connection:
        ((common,),) = connection.execute(query, [work.branch, branch]).fetchall()
    return work.read_head().position - common, position - common
