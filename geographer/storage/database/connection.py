"""One in-memory DuckDB engine, to which the log and the projection are attached for a step."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Literal

import duckdb

from geographer.base.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger("geographer")

Mode = Literal["r", "w"]

LOCK_TIMEOUT_S: Final = 120.0
SETTINGS: Final[dict[str, Any]] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
_HELD: Final = ("Could not set lock", "Unique file handle conflict", "Conflicting lock")


def spatial_extension() -> Path:
    """The spatial extension's binary inside its wheel: loaded from there, it needs neither network nor HOME."""
    spec = find_spec("duckdb_extension_spatial")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or [] for path in Path(folder).rglob("spatial.duckdb_extension")]
    if not found:
        raise StorageError("DuckDB's spatial extension is missing: pip install duckdb-extension-spatial")
    return found[0]


def load_spatial(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the spatial functions into `connection`."""
    connection.execute(f"LOAD '{escape_literal(str(spatial_extension()))}'")


def escape_literal(text: str) -> str:
    """`text` for use between single quotes, where SQL takes no bound value (ATTACH, LOAD, COPY)."""
    return text.replace("'", "''")


def quote_identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def run_script(connection: duckdb.DuckDBPyConnection, script: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run each statement of `script` with the parameters that it names.

    DuckDB binds parameters to the last statement of a script only, so the statements are run one by one.
    """
    for statement in connection.extract_statements(script):
        bound = {name: value for name, value in (parameters or {}).items() if name in statement.named_parameters}
        connection.execute(statement, bound or None)


@contextmanager
def open_transaction(connection: duckdb.DuckDBPyConnection, unwritten: str) -> Iterator[None]:
    """All or nothing of what the block writes.

    Raises:
        StorageError: it could not be written, for which `unwritten` is the text; `{}` in it stands for DuckDB's.
    """
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        # A COMMIT that failed has ended the transaction already.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        if isinstance(error, duckdb.IOException) or "No space left" in str(error):
            raise StorageError(unwritten.format(error)) from error
        raise


@contextmanager
def memory_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, with the spatial functions and no file: for a question about tables in memory."""
    with _in_memory().cursor() as connection:
        yield connection


@cache
def _in_memory() -> duckdb.DuckDBPyConnection:
    """One for the process: the spatial functions take a third of a second to load."""
    connection = duckdb.connect(":memory:", config=SETTINGS)
    load_spatial(connection)
    return connection


class Database:
    """A DuckDB engine for one dataset folder: `log` and `state` are attached for a step, then let go.

    DuckDB lets one process write a file, and nobody read it meanwhile. Attaching takes a millisecond, so each step
    attaches what it needs and detaches it; who finds a file held waits, and says so.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {"log": folder / "log.duckdb", "state": folder / "state.duckdb"}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._spatial = False
        self._attached: dict[str, Mode] = {}
        self._lock = RLock()

    def file_path(self, name: Literal["log", "state"]) -> Path:
        """Where the log or the projection lies."""
        return self._files[name]

    def clone_connection(self) -> Database:
        """Another engine for the same files, whose settings and views are its own."""
        return Database(self._files["log"].parent)

    @contextmanager
    def open_connection(
        self, *, log: Mode | None = None, state: Mode | None = None, spatial: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with the `log` and `state` files attached for reading ('r') or writing ('w').

        Raises:
            StorageError: another process held a file for longer than two minutes, or the disk is full.
        """
        with self._lock:
            connection = self._connect(spatial)
            mine = [
                name for name, mode in (("log", log), ("state", state)) if mode and self._attach(connection, name, mode)
            ]
            try:
                yield connection
            finally:
                for name in reversed(mine):
                    self._let_go(connection, name)

    def _connect(self, spatial: bool) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config=SETTINGS)
            self._connection.execute("SET TimeZone = 'UTC'")
        if spatial and not self._spatial:
            load_spatial(self._connection)
            self._spatial = True
        return self._connection

    def _attach(self, connection: duckdb.DuckDBPyConnection, name: str, mode: Mode) -> bool:
        held = self._attached.get(name)
        if held is not None:
            if mode == "w" and held == "r":
                raise AssertionError(f"'{name}' is attached for reading already")
            return False
        path = escape_literal(str(self._files[name]))
        options = "READ_ONLY" if mode == "r" else "STORAGE_VERSION 'v1.5.0'"
        _waiting(lambda: connection.execute(f"ATTACH '{path}' AS {name} ({options})"), self._files[name])
        self._attached[name] = mode
        return True

    def _let_go(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        del self._attached[name]
        try:
            connection.execute(f"DETACH {name}")
        except duckdb.IOException as error:
            # What was committed is in the write-ahead log, which whoever opens the file next reads.
            raise StorageError(
                f"'{self._files[name]}' can't be written ({error}): free some space; what geographer log shows is safe"
            ) from error


def _waiting(attach: Any, path: Path) -> None:
    """Call `attach`, waiting with back-off while another process holds the file."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    pause, told = 0.005, False
    while True:
        try:
            attach()
        except (duckdb.IOException, duckdb.BinderException) as error:
            if not any(sign in str(error) for sign in _HELD):
                raise
            if time.monotonic() > deadline:
                message = f"'{path}' is still held by another process after {LOCK_TIMEOUT_S:.0f} s: try again later"
                raise StorageError(message) from error
            if pause > 0.2 and not told:
                logger.warning("waiting for another process that holds '%s' …", path.name)
                told = True
            time.sleep(pause)
            pause = min(pause * 1.6, 0.5)
        else:
            return
