"""Absences: which files `verify` does not miss in a partial clone: those that it does not take and a remote has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import closing
from functools import cached_property
from typing import Final

import duckdb

from geographer.base.errors import GeographerError, StorageError
from geographer.base.text import format_count
from geographer.storage.database.connection import Database, open_cursor
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.partial.selected_files import FileEvaluator
from geographer.storage.workspace.partial.selection import read_partial_clone
from geographer.storage.workspace.tag_objects import list_published_files

_STATE_ERRORS: Final = (GeographerError, duckdb.Error, ValueError)


class Absences:
    """Tells which files a clone may lack; none if it takes all files.

    A file that is neither selected nor on this machine is absent on purpose if a remote is known to have it, or has it
    when it is asked. `not_checked` says why a remote could not be asked.
    """

    def __init__(self, database: Database, store: Store, head: int) -> None:
        """Use the chain of a database up to the position `head`."""
        self._database, self._store, self._head = database, store, head
        self._clone = read_partial_clone(store.root)
        self.selections = self._clone.format_selections() if self._clone else ""
        self.not_checked: list[str] = []

    def list_unneeded_md5s(self, position: int, md5s: Collection[str]) -> set[str]:
        """Return those of the files of the revision at a position that this machine need not have."""
        if self._clone is None:
            return set()
        unselected = {*md5s} - self._list_selected_md5s(position)
        return unselected - self._list_lost_md5s({*self._store.list_missing_objects(unselected)})

    def _list_selected_md5s(self, position: int) -> set[str]:
        """Return the selected files; none if the state cannot be derived, which is a finding."""
        assert self._clone
        try:
            with (
                self._database.open_connection(log="r", state="r", spatial=True) as connection,
                FileEvaluator(connection, self._clone) as evaluator,
            ):
                return evaluator.list_selected_md5s(position)
        except _STATE_ERRORS:
            return set()

    def _list_lost_md5s(self, missing: Iterable[str]) -> set[str]:
        """Return those of the files, which this machine lacks, that no remote has."""
        unknown = {*missing} - self._published_md5s
        try:
            return {*self._store.find_missing_objects(unknown)}
        except StorageError as error:
            count = format_count(len(unknown), "file")
            self.not_checked.append(f"whether the remote has {count} that this partial clone lacks: {error}")
            return set()

    @cached_property
    def _published_md5s(self) -> set[str]:
        """The files that remotes are known to have, without asking them."""
        try:
            with (
                self._database.open_connection(log="r", state="r", spatial=True) as connection,
                closing(open_cursor(connection)) as cursor,
            ):
                return list_published_files(Revision(cursor, self._head), self._store.root)
        except _STATE_ERRORS:
            return set()
