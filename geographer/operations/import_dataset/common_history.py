"""Common history: the last revision that two datasets share, from the digests of events in both logs.

A copy of a dataset shares its first events. An import joins two histories: it records the digest of the revision that
it imported.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from geographer.operations.import_dataset.events import CollectionImported, DatasetImported
from geographer.storage.queries.revision import Revision

_IMPORTS: Final = (
    "SELECT position, payload->>'$.history.digest', payload->>'$.request' FROM chain_event "
    "WHERE kind IN ($kind, $collection_kind) AND position <= getvariable('position')"
)


class MergeBase(NamedTuple):
    """The last common revision: its position in this dataset's log (`is_ours`), or in that of the source dataset."""

    position: int
    is_ours: bool


class RecordedImport(NamedTuple):
    """An import in a log: its position, the digest of the imported revision, and what was imported by which names."""

    position: int
    digest: str
    prefix: str
    rename: Mapping[str, str]
    collection: str | None


def find_merge_base(
    ours: Revision, theirs: Revision, prefix: str, rename: Mapping[str, str], collection: str | None = None
) -> MergeBase | None:
    """Return the last common revision whose objects have the ids and names that an import gives them; None without one.

    An import with another prefix, other names or another collection made other objects, so it does not count.
    """
    our_positions, their_positions = _read_positions(ours), _read_positions(theirs)
    bases = {
        (their_positions[item.digest], item.position): MergeBase(their_positions[item.digest], is_ours=False)
        for item in _iter_imports(ours)
        if item.digest in their_positions and item[2:] == (prefix, dict(rename), collection)
    }
    if not prefix and collection is None:
        # The first events are equal up to the position where the histories part.
        shared = len(our_positions.keys() & their_positions.keys())
        imported = {item.position: item for item in _iter_imports(theirs) if item[2:] == ("", {}, None)}
        known = {position: our_positions.get(item.digest, 0) for position, item in imported.items()} | {shared: shared}
        bases |= {(position, here): MergeBase(here, is_ours=True) for position, here in known.items() if here}
    return bases[max(bases)] if bases else None


def _read_positions(revision: Revision) -> dict[str, int]:
    query = "SELECT digest, position FROM chain_event WHERE position <= getvariable('position')"
    return dict(revision.fetch_rows(query))


def _iter_imports(revision: Revision) -> Iterator[RecordedImport]:
    kinds = {"kind": DatasetImported.kind, "collection_kind": CollectionImported.kind}
    for position, digest, request in revision.fetch_rows(_IMPORTS, kinds):
        options = json.loads(request)
        yield RecordedImport(position, digest, options["prefix"], options["rename"], options.get("collection"))
