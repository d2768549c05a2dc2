"""Collect garbage: delete the objects that no retained revision needs, on this machine or on a remote."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, islice, takewhile
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, NamedTuple

from geographer.base.errors import ConflictError
from geographer.base.html import render_object
from geographer.storage.database.dataset_folder import exclude_staging
from geographer.storage.dvc.dvc_check import read_listing
from geographer.storage.dvc.remote import Remote, open_remote
from geographer.storage.dvc.store import Store
from geographer.storage.dvc.used_objects import TrackedOutput, expand_output, list_tracked_outputs
from geographer.storage.history.folder import HISTORY_FOLDER
from geographer.storage.history.published import PublishedRevision, parse_published, read_known_remotes
from geographer.storage.history.segments import SUFFIX
from geographer.storage.log.ancestry import has_merge, read_ancestry
from geographer.storage.log.branches import find_chain_of, read_branch, read_chain_heads
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import list_chain_objects, list_merged_tags
from geographer.storage.workspace.required_objects import (
    RequiredObjects,
    iter_folder_listings,
    list_recorded_files,
    list_required_objects,
    list_retained_positions,
    list_tagged_positions,
)
from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

RetainedRevisions = Literal["tags", "all"]
"""The revisions whose objects are kept: the head and all tags, or every one."""

_OWN_FOLDERS: Final = re.compile(r"rasters/[^/]+|labels/[^/]+/[^/]+|history")
_MAX_HISTORY_LISTING_BYTES: Final = 1 << 16


class ObjectCount(NamedTuple):
    """A number of objects, and the sum of their known sizes in bytes."""

    objects: int
    bytes: int


class GarbageReport(NamedTuple):
    """What a garbage collection did, or would do in a dry run.

    Attributes:
        kept: The objects that stay because something needs them.
        deleted: The objects that were deleted.
        unknown: The objects that stay because this dataset does not know them, or not whether a tag of another one
            needs them: the store may be shared.
    """

    kept: ObjectCount
    deleted: ObjectCount
    unknown: ObjectCount

    def _repr_html_(self) -> str:
        return render_object(self)


class _Needs(NamedTuple):
    """What retained revisions, DVC and Git need."""

    required: RequiredObjects
    objects: set[str]
    outputs: set[TrackedOutput]


def collect_garbage(
    work: UnitOfWork, *, remote: str | None = None, revisions: RetainedRevisions = "tags", dry_run: bool = False
) -> GarbageReport:
    """Delete the objects that nothing needs: of this machine (cached or retained), or of the remote of that name.

    Needed are the objects of the heads and tags of all branches, also of fetched ones and of what was never merged,
    and of the revision that the workspace shows, with `revisions` "all" those of every revision; the files and the
    listing of `history/`; and whatever other `.dvc` files and `dvc.lock` of the workspace or of a Git commit use. A
    cache outside the dataset's folder, and a remote, may be shared: objects that this dataset does not know stay there,
    and so do retained objects of such a cache, which tags of another dataset may need, unless they were withdrawn.

    Raises:
        ConflictError: another command is storing files; DVC cannot read a `.dvc` file, so that it is not known what it
            needs; or the remote's head is not in this log.
        NotFoundError: there is no remote of that name.
        StorageError: the disk or the remote cannot be read or written.
    """
    with exclude_staging(work.root), work.file_store.hold_lock(), work.open_revision() as head:
        store = work.file_store
        positions = {*list_retained_positions(head, revisions)}
        shown = work.read_marker(work.read_head()).position
        if shown is not None:
            positions.add(shown)
        if remote is None:
            report = _collect_local(head, store, _list_needs(head, store, positions, revisions), dry_run=dry_run)
            if not dry_run:
                _retain_tags(head, store)
            return report
        with open_remote(work.root, remote) as opened:
            published = _read_published(head, opened)
            needs = _list_needs(head, store, positions, revisions)
            for item in published.values():
                needs.objects.update(_list_published_objects(head, store, opened, item))
            return _collect_remote(head, store, opened, needs, published, dry_run=dry_run)


def _list_needs(head: Revision, store: Store, positions: Iterable[int], selection: RetainedRevisions) -> _Needs:
    withdrawn = list_withdrawn_md5s(head)
    required = list_required_objects(head, positions, excluded_md5s=withdrawn)
    objects = {*required.files, *required.listings}
    known = read_known_remotes(store.root)
    for branch, last in _list_other_chains(head).items():
        fetched = list_chain_objects(head.connection, branch, last, selection)
        objects |= fetched.files.keys() | fetched.listings.keys()
        if branch in known:
            objects |= set(expand_output(store, known[branch].published.history))
    if has_merge(head.connection):
        merged = list_chain_objects(head.connection, read_branch(head.connection), head.position, selection)
        objects |= merged.files.keys() | merged.listings.keys()
    outputs = list_tracked_outputs(store)
    for output in outputs:
        # In the workspace, a .dvc file of this dataset may also come from a colleague, whose events are not yet here.
        is_own = _OWN_FOLDERS.fullmatch(output.path) is not None
        if output.address not in required.listings and not (is_own and output.commit):
            objects |= expand_output(store, output.address)
    return _Needs(required, objects - withdrawn, outputs)


def _list_other_chains(head: Revision) -> dict[str, int]:
    """Return the last positions of the chains whose objects are kept, beside the branch in use.

    These are the branches, the fetched ones, and hidden chains that were not merged: what a user may go back to.
    """
    own = read_branch(head.connection)
    heads = read_chain_heads(head.connection)
    visible = {chain: item for chain, item in heads.items() if "@" not in chain}
    hidden = {chain: item for chain, item in heads.items() if "@" in chain}
    if hidden:
        reached = read_ancestry(head.connection).list_ancestors(item.digest for item in visible.values())
        visible |= {chain: item for chain, item in hidden.items() if item.digest not in reached}
    return {chain: item.position for chain, item in visible.items() if chain != own}


def _collect_local(head: Revision, store: Store, needs: _Needs, *, dry_run: bool) -> GarbageReport:
    sizes = store.retained_objects.list_objects()
    garbage, unknown = sizes.keys() - needs.objects, set[str]()
    if not store.retained_objects.cache_folder.resolve().is_relative_to(store.root):
        retained = store.retained_objects.list_retained() - list_withdrawn_md5s(head)
        unknown = (garbage - _list_known_objects(head, store, needs).keys()) | (garbage & retained)
        garbage -= unknown
    if not dry_run:
        store.retained_objects.delete_objects(garbage)
    return _make_report(sizes.keys() & needs.objects, garbage, unknown, sizes)


def _retain_tags(head: Revision, store: Store) -> None:
    """Retain the objects of all tags: those that came from a remote, or were set by version 0.1, are not yet."""
    tagged = list_tagged_positions(head, head.position)
    objects = {*list_required_objects(head, tagged).object_sizes}
    for place in list_merged_tags(head.connection, read_branch(head.connection), head.position):
        merged = list_chain_objects(head.connection, *place, "current")
        objects |= merged.files.keys() | merged.listings.keys()
    store.retain_objects(sorted(objects))


def _collect_remote(
    head: Revision,
    store: Store,
    remote: Remote,
    needs: _Needs,
    published: dict[str, PublishedRevision],
    *,
    dry_run: bool,
) -> GarbageReport:
    present, sizes = remote.list_objects(), _list_known_objects(head, store, needs) | needs.required.object_sizes
    earlier, pushed = _list_remote_history(head, remote, present - needs.objects - sizes.keys())
    sizes |= dict.fromkeys(earlier, 0)
    garbage = ((present - needs.objects) & sizes.keys()) - pushed
    unknown = present - needs.objects - garbage
    if not dry_run and garbage:
        if _read_published(head, remote) != published:
            raise ConflictError(f"another push moved a head of '{remote.name}'. Nothing was deleted; run it again.")
        remote.delete_objects(sorted(garbage))
    return _make_report(present & needs.objects, garbage, unknown, sizes)


def _list_known_objects(head: Revision, store: Store, needs: _Needs) -> dict[str, int]:
    """Return the sizes of all objects that this dataset ever recorded or tracked; 0 if the size is not known."""
    known = dict.fromkeys(_list_history_objects(head, store, needs.outputs), 0) | list_recorded_files(head)
    for listing in iter_folder_listings(head, range(1, head.position + 1)):
        known[listing.address] = len(listing.content)
    for branch, item in read_chain_heads(head.connection).items():
        if branch != read_branch(head.connection):
            listings = list_chain_objects(head.connection, branch, item.position, "all").listings
            known |= {address: len(content) for address, content in listings.items()}
    return known


def _list_history_objects(head: Revision, store: Store, outputs: Iterable[TrackedOutput]) -> set[str]:
    """Return the segments, and the listings of the history folder, that this machine has or Git commits name."""
    tracked = {output.address for output in outputs if output.path == HISTORY_FOLDER}
    sizes, chains = store.retained_objects.list_objects(), _list_chains(head)
    small = [name for name, size in sizes.items() if name.endswith(".dir") and size <= _MAX_HISTORY_LISTING_BYTES]
    listings = {name: read_listing(store.find_object(name), name) or {} for name in small}
    addresses = {name for name, listing in listings.items() if _begins_history(listing, chains)}
    return {md5 for address in tracked | addresses for md5 in expand_output(store, address)}


def _list_remote_history(head: Revision, remote: Remote, unknown: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the segments and listings of earlier heads, and those of pushes that are not complete yet.

    They are found among objects that only the remote has. The listing of an earlier head names segments of events that
    this log has; that of a push which still runs also names others, and needs all that it names.
    """
    earlier, pushed = set[str](), set[str]()
    chains = _list_chains(head)
    with TemporaryDirectory() as folder:
        paths = {address: Path(folder, address) for address in unknown if address.endswith(".dir")}
        if error := remote.download_objects(paths):
            raise remote.make_error(error) from error
        for address, path in paths.items():
            listing = read_listing(path, address) or {}
            if _begins_history(listing, chains):
                objects = earlier if _has_known_events(listing, chains) else pushed
                objects |= {address, *listing.values()}
    return earlier, pushed


class _Chain(NamedTuple):
    """A chain of the log.

    Attributes:
        digests: The digests of its events.
        first_segments: The names that its first segment can have, whichever events it ends with.
        forks: The positions after which another chain has other events, where a segment of merged events begins.
    """

    digests: list[str]
    first_segments: set[str]
    forks: set[int]


def _list_chains(head: Revision) -> list[_Chain]:
    query = "SELECT branch, digest FROM log.chain JOIN log.event USING (event_key) ORDER BY branch, position"
    chains = [[digest for _, digest in rows] for _, rows in groupby(head.fetch_rows(query), key=itemgetter(0))]
    chains = [list(digests) for digests in dict.fromkeys(map(tuple, chains))]
    return [
        _Chain(chain, set(_iter_segment_names(chain)), {_count_common(chain, other) for other in chains})
        for chain in chains
    ]


def _count_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many digests two chains have in common, before they part."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _iter_segment_names(digests: Iterable[str]) -> Iterator[str]:
    """Yield what `compute_segment_name` returns for the first 1, 2, 3 … digests."""
    names = hashlib.sha256()
    for digest in digests:
        names.update(f"{digest}\n".encode())
        yield names.hexdigest()


def _begins_history(listing: Collection[str], chains: Iterable[_Chain]) -> bool:
    """Return whether a listing, by file name, is that of a history that begins with events of this log."""
    return any(name.removesuffix(SUFFIX) in chain.first_segments for name in listing for chain in chains)


def _has_known_events(listing: Collection[str], chains: Iterable[_Chain]) -> bool:
    """Return whether the segments of a listing have events of chains of this log alone."""
    names = {name.removesuffix(SUFFIX) for name in listing}
    for chain in chains:
        names -= _find_segments(chain, names)
    return not names


def _find_segments(chain: _Chain, names: set[str]) -> set[str]:
    """Return those of the segments that hold a run of a chain's events: from a fork, or after another segment."""
    found, starts, seen = set[str](), {0, *chain.forks}, set[int]()
    while starts:
        start = starts.pop()
        seen.add(start)
        for end, name in enumerate(_iter_segment_names(islice(chain.digests, start, None)), start + 1):
            if name in names:
                found.add(name)
                starts |= {end} - seen
                break
    return found


def _read_published(head: Revision, remote: Remote) -> dict[str, PublishedRevision]:
    """Return the remote's heads by branch.

    `ConflictError` if this log lacks one: its objects are not known. `UsageError` for HTTP.
    """
    published: dict[str, PublishedRevision] = {}
    for branch in remote.list_branches() or [read_branch(head.connection)]:
        newest = remote.read_head(branch)
        if newest is None or not newest.content:
            continue
        item = parse_published(newest.content, remote.name, branch)
        if find_chain_of(head.connection, item.head) is None:
            command = "pull" if branch == read_branch(head.connection) else "fetch"
            raise ConflictError(
                f"the head of the branch '{branch}' of the remote '{remote.name}' ({item.head[:12]}) is not in this "
                f"log, so what it needs is not known. Run geographer {command} {remote.name} first."
            )
        published[branch] = item
    return published


def _list_published_objects(head: Revision, store: Store, remote: Remote, published: PublishedRevision) -> set[str]:
    """Return the objects that a head of the remote says to be there, on which the next push relies."""
    place = find_chain_of(head.connection, published.head)
    assert place is not None
    claimed = list_chain_objects(head.connection, *place, published.revisions)
    store.fetch_files([published.history], remote)
    return {*claimed.files, *claimed.listings, *expand_output(store, published.history)} - list_withdrawn_md5s(head)


def _make_report(
    kept: Collection[str], deleted: Collection[str], unknown: Collection[str], sizes: dict[str, int]
) -> GarbageReport:
    counts = (ObjectCount(len(group), sum(sizes.get(md5, 0) for md5 in group)) for group in (kept, deleted, unknown))
    return GarbageReport(*counts)
