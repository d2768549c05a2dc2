"""History on a remote: the segments that a published head names, and the listing that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from geographer.base.errors import CorruptError
from geographer.storage.dvc.remote import Remote
from geographer.storage.dvc.store import Store
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.history.published import PublishedRevision
from geographer.storage.history.segments import SUFFIX
from geographer.storage.unit_of_work import UnitOfWork

_MAX_SEGMENTS: Final = 10_000
"""A listing with more segments is not read: n events lie in O(log n) of them."""
_ASK: Final = "Nothing was taken in. Ask the one who published it to push again."


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
    """Return the segments that a published head names, and their listing; none if that is missing or damaged."""
    store.fetch_files([published.history], remote)
    try:
        listing = parse_listing(store.find_object(published.history), published.history)
        return {published.history, *listing.values()}
    except CorruptError:
        return set()


def adopt_segments(work: UnitOfWork, remote: Remote, published: PublishedRevision) -> None:
    """Put a head's segments into the history folder, so that equal events lie in equal segments everywhere."""
    folder = HistoryFolder(work.root)
    for name, path in download_segments(work.file_store, remote, published.history).items():
        folder.add_file(path, name)


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
