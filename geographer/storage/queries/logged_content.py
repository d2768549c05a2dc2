"""The content of revisions as the log alone gives it: digests that need neither the state nor spatial functions."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import duckdb

from geographer.storage.database.connection import open_cursor, run_script
from geographer.storage.log.chain import create_chain_views

DigestKind = Literal["content digest", "Merkle root"]

_FOLDER: Final = Path(__file__).parent
_QUERIES: Final[dict[DigestKind, str]] = {"content digest": "content_digest.sql", "Merkle root": "merkle_root.sql"}


class LoggedContent:
    """The digests of the content of any revision, computed from the log that `connection` has attached."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        # The views are a cursor's: the connection has a view of that name which reads the state.
        self._cursor = open_cursor(connection)
        self._digests: dict[tuple[DigestKind, int], str] = {}
        create_chain_views(self._cursor)
        run_script(self._cursor, (_FOLDER / "logged_content.sql").read_text())

    def compute_digest(self, kind: DigestKind, position: int) -> str:
        """Return the content digest or the Merkle root of the revision at `position`, in hex."""
        if (kind, position) not in self._digests:
            self._cursor.execute("SET VARIABLE position = $position", {"position": position})
            ((digest,),) = self._cursor.execute((_FOLDER / _QUERIES[kind]).read_text()).fetchall()
            self._digests[kind, position] = str(digest)
        return self._digests[kind, position]

    def list_positions(self) -> list[int]:
        """Return the positions of the events that changed the content, newest first."""
        rows = self._cursor.execute("SELECT DISTINCT position FROM content_change ORDER BY position DESC").fetchall()
        return [position for (position,) in rows]
