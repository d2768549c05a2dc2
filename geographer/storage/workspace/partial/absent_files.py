"""Absent files: those of a partial clone that this machine lacks on purpose; no command fetches them by itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.errors import NotFoundError, quote_objects
from geographer.base.text import format_count
from geographer.storage.database.connection import open_cursor
from geographer.storage.dvc.store import Store
from geographer.storage.workspace.partial.selected_files import FileEvaluator
from geographer.storage.workspace.partial.selection import PartialClone, read_partial_clone
from geographer.storage.workspace.paths import FILES_SQL

TableOpener = Callable[[], AbstractContextManager[tuple[duckdb.DuckDBPyConnection, int]]]
"""Opens log and state of the branch in use; yields the connection and the position of the head."""

_LAST_VERSIONS: Final = (
    "SELECT md5, any_value(path), any_value(raster_id), max(least(valid_to - 1, $head)) AS position FROM stored_file "
    "WHERE md5 IN (SELECT unnest($md5s::VARCHAR[])) AND valid_from <= $head GROUP BY md5 ORDER BY 2"
)


class AbsentFile(NamedTuple):
    """A file that a partial clone lacks on purpose: its path, and the raster that it is of, or a label of."""

    md5: str
    path: str
    raster_id: str


def list_absent_files(open_tables: TableOpener, root: Path, md5s: Collection[str]) -> list[AbsentFile]:
    """Return those of some files that a partial clone does not take, by path; none in a clone that takes all.

    A file counts as selected if it is at the last revision of the branch in use that has it.
    """
    clone = read_partial_clone(root)
    if clone is None or not md5s:
        return []
    with open_tables() as (connection, head):
        with closing(open_cursor(connection)) as cursor:
            cursor.execute(FILES_SQL.read_text())
            rows = cursor.execute(_LAST_VERSIONS, {"md5s": [*md5s], "head": head}).fetchall()
        selected = _list_selected_md5s(connection, clone, {position for *_, position in rows})
    return [AbsentFile(*row) for *row, _ in rows if row[0] not in selected]


def reject_absent_files(open_tables: TableOpener, root: Path, md5s: Collection[str]) -> None:
    """Raise `NotFoundError` if a partial clone does not take one of the files: it is not fetched on demand."""
    if absent := list_absent_files(open_tables, root, md5s):
        raise make_absent_error(root, absent)


def make_absent_error(root: Path, absent: Sequence[AbsentFile]) -> NotFoundError:
    """Return the error for files that a partial clone lacks on purpose: which ones, and how to get them."""
    others = f" and {format_count(len(absent) - 1, 'other file')}" if len(absent) > 1 else ""
    return NotFoundError(
        f"'{absent[0].path}' of raster '{absent[0].raster_id}'{others} {'are' if others else 'is'} absent on purpose: "
        f"{describe_partial_clone(root)}. {_name_growth(file.raster_id for file in absent)}"
    )


def reject_missing_rasters(root: Path, raster_ids: Collection[str], noun: str = "raster") -> None:
    """Raise `NotFoundError` if the workspace of a partial clone lacks files of rasters, which a command needs."""
    if raster_ids and (partial := describe_partial_clone(root)):
        names = quote_objects(noun, [*raster_ids], "is|are")
        raise NotFoundError(f"{names} not on this machine: {partial}. {_name_growth(raster_ids)}")


def describe_partial_clone(root: Path) -> str:
    """Return that a dataset is a partial clone, and of what; an empty text if it takes all files."""
    clone = read_partial_clone(root)
    return f"this is a partial clone ({clone.format_selections()})" if clone else ""


class EnsuredObjects(NamedTuple):
    """The objects that only the remote has, and those that are nowhere, by MD5."""

    remote_only: set[str]
    lost: set[str]


def ensure_objects(store: Store, md5s: Collection[str]) -> EnsuredObjects:
    """Fetch the objects that an event will name and the cache lacks; in a partial clone, only ask the remote for them.

    `StorageError` if it cannot be reached.
    """
    if read_partial_clone(store.root) is None:
        return EnsuredObjects(set(), {*store.fetch_files([*md5s])})
    missing = {*store.list_missing_objects(md5s)}
    lost = {*store.find_missing_objects(missing)}
    return EnsuredObjects(missing - lost, lost)


def _name_growth(raster_ids: Iterable[str]) -> str:
    """Return how to get the files of rasters into a partial clone."""
    ids = [*dict.fromkeys(raster_ids)]
    options = " ".join(f"--raster {shlex.quote(raster_id)}" for raster_id in ids[:3])
    return f"Get {'it' if len(ids) == 1 else 'them'} with geographer fetch {options}, or all files with --all."


def _list_selected_md5s(
    connection: duckdb.DuckDBPyConnection, clone: PartialClone, positions: Collection[int]
) -> set[str]:
    with FileEvaluator(connection, clone) as evaluator:
        return set[str]().union(*(evaluator.list_selected_md5s(position) for position in sorted(positions)))
