"""Import a history: take the events and the objects of another folder's dataset, which began as this one did, in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import ConflictError, CorruptError, UsageError, quote_names
from geographer.base.text import format_count
from geographer.storage.database.dataset_folder import find_dataset_root, make_staging_folder
from geographer.storage.history.ingest import ingest_segments
from geographer.storage.history.runs import iter_runs, write_run
from geographer.storage.history.segments import SUFFIX
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import find_chain_of, read_location_digest
from geographer.storage.log.chain import create_chain_views
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chain_objects import list_chain_objects
from geographer.storage.workspace.required_objects import RevisionSelection
from geographer.storage.workspace.roots import list_used_roots, read_roots, set_roots
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

logger = logging.getLogger(__name__)

_CHAIN: Final = "import"
_SELECTIONS: Final[tuple[RevisionSelection, RevisionSelection]] = ("current", "tags")


class OtherHistory(NamedTuple):
    """A revision of another folder's dataset with common history: its digest, and the events that this log lacks."""

    digest: str
    missing: set[str]


def find_common_history(work: UnitOfWork, path: str | Path, at: str | int | None = None) -> OtherHistory | None:
    """Return the revision `at` of the dataset in the folder `path`; None if it began with another event.

    Nothing is changed in either.

    Raises:
        UsageError: it is this dataset.
        NotFoundError: there is no dataset, or no such revision.
    """
    other = _open_other(work, path)
    if other.read_dataset_id() != work.read_dataset_id():
        return None
    digest = _read_digest(other, at)
    with other.database.open_connection(log="r") as connection:
        lacking = read_ancestry(connection).list_ancestors([digest])
    with work.database.open_connection(log="r") as connection:
        lacking -= read_ancestry(connection).nodes.keys()
    return OtherHistory(digest, lacking)


def import_history(work: UnitOfWork, path: str | Path, history: OtherHistory) -> None:
    """Take the events that lead to a revision of another folder's dataset into the log, and its files into the cache.

    The events are checked as those of a remote are, and become a hidden chain: a merge of the digest follows. Files of
    its tags come along where they are there. Roots of references that only the other dataset has set are set here, too.

    Raises:
        CorruptError: an event is not as it should be, or a file of the revision is missing or altered there; nothing of
            that was taken in.
        UnsupportedVersionError: a newer version of geographer recorded an event.
        StorageError: the disk is full or cannot be written.
    """
    other = _open_other(work, path)
    _copy_objects(work, other, history.digest)
    if history.missing:
        _ingest_missing(work, other, history)
    _adopt_roots(work, other)


def _open_other(work: UnitOfWork, path: str | Path) -> UnitOfWork:
    other = UnitOfWork(find_dataset_root(Path(path)))
    if other.root == work.root:
        raise UsageError(f"'{path}' is this dataset. Name another one.")
    return other


def _read_digest(other: UnitOfWork, at: str | int | None) -> str:
    location = other.locate_revision(at)
    with other.database.open_connection(log="r") as connection:
        return read_location_digest(connection, location)


def _ingest_missing(work: UnitOfWork, other: UnitOfWork, history: OtherHistory) -> None:
    dataset = work.read_dataset_id()
    with make_staging_folder(work.root) as staging:
        with other.database.open_connection(log="r") as connection:
            runs = [*iter_runs(connection, history.missing)]
            paths = [staging / f"{number}{SUFFIX}" for number in range(len(runs))]
            for run, path in zip(runs, paths, strict=True):
                write_run(connection, run, path)
        ingest_segments(work.database, paths, history.digest, dataset, f"{_CHAIN}@{history.digest[:12]}")


def _copy_objects(work: UnitOfWork, other: UnitOfWork, digest: str) -> None:
    """Copy what the revision and its tags need; files that were withdrawn here are left out."""
    with other.database.open_connection(log="r") as connection:
        place = find_chain_of(connection, digest)
        assert place is not None
        required, wanted = (list_chain_objects(connection, *place, name) for name in _SELECTIONS)
        gone = [file for md5, file in list_withdrawn_files(connection).items() if md5 in required.files]
    if gone:
        file = min(gone, key=lambda item: item.raster_id)
        raise ConflictError(
            f"raster '{file.raster_id}' was {file.format_reason()}, in '{other.root}'. Import a revision after that."
        )
    with work.database.open_connection(log="r") as connection:
        withdrawn = list_withdrawn_files(connection)
    store = work.file_store
    for address, content in (wanted.listings | required.listings).items():
        store.write_listing(address, content)
    missing = store.list_missing_objects((wanted.files | required.files).keys() - withdrawn.keys())
    with other.file_store as source:
        damaged = store.copy_objects(source, missing)
    if lost := sorted(required.files.keys() & damaged.keys()):
        raise CorruptError(
            f"{format_count(len(lost), 'file')} of the revision, such as {quote_names(lost, 3)}, "
            f"{'is' if len(lost) == 1 else 'are'} missing or altered in '{other.root}'. Restore them: see geographer "
            "verify in that dataset."
        )
    if damaged:
        count = format_count(len(damaged), "file")
        logger.warning("%s of tags of '%s' could not be taken in: missing or altered there", count, other.root)


def _adopt_roots(work: UnitOfWork, other: UnitOfWork) -> None:
    theirs, ours = read_roots(other.root), read_roots(work.root)
    if new := {name: folder for name, folder in theirs.items() if name not in ours}:
        with other.database.open_connection(log="r") as connection:
            create_chain_views(connection)
            used = {*list_used_roots(connection)}
        if adopted := {name: folder for name, folder in new.items() if name in used}:
            set_roots(work.root, adopted)
