"""DuckDB connections with pinned settings, and the files of the log and the state, attached while they are needed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal

import duckdb

from geographer.base.errors import StorageError
from geographer.base.polling import acquire_with_timeout
from geographer.storage.database.duckdb_errors import is_disk_error, is_lock_error

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

AttachMode = Literal["r", "w"]

LOCK_TIMEOUT_S: Final = 120.0
SETTINGS: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # The only extension comes from an installed wheel, like all code here; checking its signature costs 0.3 CPU s.
    "allow_unsigned_extensions": True,
}


class _LazyPandas(ModuleType):
    """What DuckDB takes for pandas: it imports pandas only when DuckDB needs more of it than NaT and NA."""

    def __getattr__(self, name: str) -> object:
        if name in ("NaT", "NA") and sys.modules.get("pandas") in (None, self):
            raise AttributeError(name)
        return getattr(import_module("pandas"), name)


def _delay_pandas_import() -> None:
    """Let DuckDB keep `_LazyPandas` as its reference to pandas; nothing else ever sees it.

    DuckDB compares each query parameter with pandas' NaT and NA, and imports pandas for that, which takes longer than
    `geographer log`. While pandas is not imported, no value can be NaT or NA. Other uses of pandas get the real one.
    """
    if "pandas" not in sys.modules:
        sys.modules["pandas"] = _LazyPandas("pandas")
        try:
            duckdb.ConstantExpression(0)
        finally:
            del sys.modules["pandas"]


_delay_pandas_import()


def find_spatial_extension() -> Path:
    """Find the binary of DuckDB's spatial extension in its wheel: loading it needs neither network nor HOME."""
    spec = find_spec("duckdb_extension_spatial")
    folders = spec.submodule_search_locations if spec else None
    binaries = [path for folder in folders or [] for path in Path(folder).rglob("spatial.duckdb_extension")]
    if not binaries:
        raise StorageError("DuckDB's spatial extension is missing. Run pip install duckdb-extension-spatial.")
    return binaries[0]


def load_spatial(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the spatial functions into `connection`."""
    connection.execute(f"LOAD '{escape_literal(str(find_spatial_extension()))}'")


def escape_literal(text: str) -> str:
    """Escape `text` for use between single quotes, in statements that take no parameters (ATTACH, LOAD, COPY)."""
    return text.replace("'", "''")


def quote_identifier(name: str) -> str:
    """Quote `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def run_script(connection: duckdb.DuckDBPyConnection, script: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Run the statements of `script` one by one, each with the parameters that it names, which DuckDB does not do."""
    for statement in connection.extract_statements(script):
        bound = {name: value for name, value in (parameters or {}).items() if name in statement.named_parameters}
        connection.execute(statement, bound or None)


@contextmanager
def register_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[str]:
    """Let the block's queries read an Arrow table by `name`."""
    connection.register(name, table)
    try:
        yield name
    finally:
        connection.unregister(name)


@contextmanager
def open_transaction(connection: duckdb.DuckDBPyConnection, error_message: str) -> Iterator[None]:
    """Commit what the block writes, or else roll it back; an I/O error is a `StorageError` with `error_message`."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        # A failed COMMIT has already ended the transaction.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        if is_disk_error(error):
            raise StorageError(error_message.format(error)) from error
        raise


def attach_file(connection: duckdb.DuckDBPyConnection, name: str, path: Path, mode: AttachMode) -> None:
    """Attach a database file to read ('r') or write ('w'); `StorageError` if it stays locked for over two minutes."""
    options = "READ_ONLY" if mode == "r" else "STORAGE_VERSION 'v1.5.0'"
    acquire_with_timeout(
        lambda: connection.execute(f"ATTACH '{escape_literal(str(path))}' AS {name} ({options})"),
        is_lock_error,
        LOCK_TIMEOUT_S,
        f"another process has held '{path}' for {LOCK_TIMEOUT_S:.0f} s. Run the command again later.",
        lambda: logger.warning("waiting for another process that holds '%s' …", path.name),
    )


@contextmanager
def memory_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the spatial functions and no file, to query tables in memory."""
    with _open_memory_database().cursor() as connection:
        yield connection


@cache
def _open_memory_database() -> duckdb.DuckDBPyConnection:
    """Return one database for the process, because loading the spatial functions takes a third of a second."""
    connection = duckdb.connect(":memory:", config=SETTINGS)
    load_spatial(connection)
    return connection


class Database:
    """An in-memory DuckDB database for one `.geographer` folder, which attaches the files `log` and `state` on demand.

    While a process writes a DuckDB file, no other process can open it. Attaching takes a millisecond, so each step
    attaches the files that it needs and detaches them; a process that finds a file locked logs a warning and waits.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {"log": folder / "log.duckdb", "state": folder / "state.duckdb"}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._spatial = False
        self._attached: dict[str, AttachMode] = {}
        self._lock = RLock()

    def file_path(self, name: Literal["log", "state"]) -> Path:
        """Return the path of the log or the state."""
        return self._files[name]

    def clone_database(self) -> Database:
        """Return another database for the same files, with separate settings and views."""
        return Database(self._files["log"].parent)

    @contextmanager
    def open_connection(
        self, *, log: AttachMode | None = None, state: AttachMode | None = None, spatial: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the connection with the `log` and `state` files attached for reading ('r') or writing ('w').

        Raises:
            StorageError: another process held a file for more than two minutes, or the disk is full.
        """
        with self._lock:
            connection = self._get_connection(spatial)
            with ExitStack() as stack:
                for name, mode in (("log", log), ("state", state)):
                    if mode and self._attach_file(connection, name, mode):
                        stack.callback(self._detach_file, connection, name)
                yield connection

    @contextmanager
    def use_one_thread(self) -> Iterator[None]:
        """Run the block's queries on one thread: for few rows, more threads only cost CPU time."""
        with self.open_connection() as connection:
            connection.execute("SET threads = 1")
            try:
                yield
            finally:
                connection.execute("RESET threads")

    def _get_connection(self, spatial: bool) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config=SETTINGS)
            self._connection.execute("SET TimeZone = 'UTC'")
        if spatial and not self._spatial:
            load_spatial(self._connection)
            self._spatial = True
        return self._connection

    def _attach_file(self, connection: duckdb.DuckDBPyConnection, name: str, mode: AttachMode) -> bool:
        """Attach a file unless it is attached; return whether the caller must detach it."""
        if attached_mode := self._attached.get(name):
            assert mode == "r" or attached_mode == "w", f"'{name}' is already attached for reading"
            return False
        attach_file(connection, name, self._files[name], mode)
        self._attached[name] = mode
        return True

    def _detach_file(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        del self._attached[name]
        try:
            connection.execute(f"DETACH {name}")
        except duckdb.IOException as error:
            # Committed rows are in the write-ahead log, which the next process that opens the file reads.
            raise StorageError(
                f"cannot write '{self._files[name]}' ({error}). Free some space; recorded events are safe."
            ) from error
