"""Required objects: what DVC's cache or a remote must hold so that revisions can be restored, also by plain DVC.

These are the data files of the revisions, and the listing of each tracked folder at each of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.storage.database.connection import run_script
from geographer.storage.dvc.dvc_files import compute_address, encode_listing
from geographer.storage.history.published import RevisionSelection as RevisionSelection
from geographer.storage.log.chain import list_row_tables
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.paths import FILES_SQL

_REQUIRED_FILES_SQL: Final = Path(__file__).with_name("required_files.sql")
_FILES: Final = "SELECT md5, any_value(size) FROM required_version GROUP BY md5 ORDER BY md5"
_VERSIONS: Final = (
    "SELECT folder, name, md5, size, valid_from, valid_to FROM required_version ORDER BY folder, name, md5"
)
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_STORED_FILES: Final = {"raster_change": "storage = 'dvc'", "label_change": "true"}
"""Which rows of a row table name a file in DVC."""
_TAGGED: Final = (
    "SELECT DISTINCT tagged_position FROM state.tag WHERE position <= $at AND tagged_position BETWEEN 1 AND $at"
)


class RequiredObjects(NamedTuple):
    """The objects that revisions need, each with its size in bytes: data files by MD5, listings by `MD5.dir`."""

    files: dict[str, int]
    listings: dict[str, int]

    @property
    def object_sizes(self) -> dict[str, int]:
        """The sizes of all objects."""
        return self.files | self.listings


class FolderListing(NamedTuple):
    """The listing of a tracked folder at a revision: the folder, its object's address, and the object's bytes."""

    folder: str
    address: str
    content: bytes


def list_retained_positions(revision: Revision, selection: RevisionSelection, head: int | None = None) -> list[int]:
    """Return the positions of a selection of the revisions up to `head`, in ascending order.

    `head` is the position of `revision` if None, or an earlier one, at which the selection was made.
    """
    last = revision.position if head is None else head
    if selection == "all":
        return list(range(1, last + 1))
    return sorted({last, *(list_tagged_positions(revision, last) if selection == "tags" else [])})


def list_tagged_positions(revision: Revision, head: int) -> list[int]:
    """Return the positions that tags name, which were set up to position `head`, in ascending order."""
    return sorted(position for (position,) in revision.fetch_rows(_TAGGED, {"at": head}))


def list_required_objects(
    revision: Revision, positions: Iterable[int], *, excluded_md5s: Collection[str] = ()
) -> RequiredObjects:
    """Return the objects of the revisions at `positions`, none of which is after `revision`.

    Args:
        revision: A revision whose state has the positions, such as the head.
        positions: The positions, in any order.
        excluded_md5s: Data files to leave out, such as withdrawn ones; listings name them all the same.
    """
    positions = sorted(set(positions))
    files = list_required_files(revision, positions, excluded_md5s=excluded_md5s)
    listings = {listing.address: len(listing.content) for listing in _iter_staged_listings(revision, positions)}
    return RequiredObjects(files, listings)


def list_required_files(
    revision: Revision, positions: Iterable[int], *, excluded_md5s: Collection[str] = ()
) -> dict[str, int]:
    """Return the data files of the revisions at `positions`, as `list_required_objects` does, without listings."""
    _stage_required_versions(revision, sorted(set(positions)))
    return {md5: size for md5, size in revision.fetch_rows(_FILES) if md5 not in excluded_md5s}


def list_recorded_files(revision: Revision) -> dict[str, int]:
    """Return the sizes of all data files in DVC that events of any chain record, by MD5."""
    tables = sorted(set(list_row_tables(revision.plain_connection)) & _STORED_FILES.keys())
    queries = [f"SELECT md5, size FROM log.{table} WHERE {_STORED_FILES[table]}" for table in tables]  # noqa: S608
    rows = revision.fetch_rows(" UNION ".join(queries)) if queries else []
    return {md5: size or 0 for md5, size in rows if _MD5.fullmatch(md5 or "")}


def iter_folder_listings(revision: Revision, positions: Iterable[int]) -> Iterator[FolderListing]:
    """Yield the listings of the tracked folders at `positions`, each version of a folder once, by folder and position.

    Read them all, or close the iterator, before the connection is used for another list of objects.
    """
    positions = sorted(set(positions))
    _stage_required_versions(revision, positions)
    yield from _iter_staged_listings(revision, positions)


def _stage_required_versions(revision: Revision, positions: list[int]) -> None:
    """Create the temporary table `required_version`."""
    revision.plain_connection.execute(FILES_SQL.read_text())
    run_script(revision.plain_connection, _REQUIRED_FILES_SQL.read_text(), {"positions": positions})


def _iter_staged_listings(revision: Revision, positions: list[int]) -> Iterator[FolderListing]:
    yield from iter_listings(revision.fetch_rows(_VERSIONS), positions)


def iter_listings(versions: Iterable[tuple[Any, ...]], positions: list[int]) -> Iterator[FolderListing]:
    """Yield the listings of folders at the sorted `positions`, each version of a folder once.

    `versions` are those of files, ordered by folder: folder, name, MD5, size, and the positions from and to which the
    folder has it.
    """
    for folder, rows in groupby(versions, key=itemgetter(0)):
        entries = [tuple(row[1:]) for row in rows]
        for position in _select_distinct_positions(positions, {change for entry in entries for change in entry[3:]}):
            content = encode_listing(
                [(name, md5, size) for name, md5, size, start, end in entries if start <= position < end]
            )
            if len(content) > len(b"[]"):
                yield FolderListing(folder, compute_address(content), content)


def _select_distinct_positions(positions: list[int], changes: Collection[int]) -> list[int]:
    """Return the first of the sorted `positions` of each interval between two changes."""
    ordered = sorted(changes)
    first_of_interval: dict[int, int] = {}
    for position in positions:
        first_of_interval.setdefault(bisect_right(ordered, position), position)
    return list(first_of_interval.values())
