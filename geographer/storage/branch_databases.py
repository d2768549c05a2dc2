"""Branch databases: read revisions of other chains than that of the branch in use, each with a state of its own."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import temporary_sibling
from geographer.storage.database.connection import Database
from geographer.storage.log.branches import read_chain_heads

_FOLDER: Final = "branches"


class BranchDatabases:
    """The databases of the chains that a process reads beside the branch in use.

    Their states are files in `.geographer/branches`. A new one begins as a copy of the state of the branch in use,
    which is then rewound to the last common event: so it costs a copy, and what differs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened: dict[str, Database] = {}

    def open_database(self, chain: str) -> Database:
        """Return the database of a chain; its state may have to be updated."""
        if chain not in self._opened:
            self._opened[chain] = self._make_database(chain)
        return self._opened[chain]

    def delete_states(self, *, keep_known: bool = True) -> None:
        """Delete the states of chains that the log no longer has, or all."""
        known: set[str] = set()
        if keep_known:
            with self._database.open_connection(log="r") as connection:
                known = {_name_state(chain) for chain in read_chain_heads(connection)}
        for path in (self._database.folder_path / _FOLDER).glob("*.duckdb*"):
            if path.name.removesuffix(".wal") not in known:
                path.unlink(missing_ok=True)
        self._opened.clear()

    def _make_database(self, chain: str) -> Database:
        database = self._database.clone_database()
        database.change_branch(chain)
        if not self._database.is_writable:
            database.use_temporary_file("state")
        else:
            folder = self._database.folder_path / _FOLDER
            folder.mkdir(exist_ok=True)
            database.use_file("state", folder / _name_state(chain))
        path = database.file_path("state")
        if not path.exists():
            self._copy_state(path)
        return database

    def _copy_state(self, target: Path) -> None:
        source = self._database.file_path("state")
        if not source.exists():
            return
        # No other process writes to the state while it is attached.
        with self._database.open_connection(state="r"), temporary_sibling(target) as temporary:
            shutil.copyfile(source, temporary)
            temporary.replace(target)


def _name_state(chain: str) -> str:
    return f"{hashlib.sha256(chain.encode()).hexdigest()[:16]}.duckdb"
