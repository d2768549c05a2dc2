"""DuckDB connections with pinned settings, and the files of the log and the state, attached while they are needed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary, WeakSet, finalize

import duckdb

from geographer.base.errors import (
    DamagedFileError,
    GeographerError,
    ReadOnlyError,
    StorageError,
    UnsupportedVersionError,
    UsageError,
)
from geographer.base.executors.executor import make_executor
from geographer.base.polling import acquire_with_timeout
from geographer.base.resource_limits import ResourceLimits, read_resource_limits
from geographer.storage.database.duckdb_errors import (
    can_mean_damage,
    is_commit_durable,
    is_damage_error,
    is_disk_error,
    is_interrupt,
    is_lock_error,
    is_newer_file_error,
    is_permission_error,
    is_wal_error,
)
from geographer.storage.database.spill_folder import explain_memory_error, limit_resources, set_limits

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.base.executors.executor import Executor, Workers

logger = logging.getLogger(__name__)

AttachMode = Literal["r", "w"]
FileName = Literal["log", "state"]

DEFAULT_BRANCH: Final = "main"
"""The first branch of a dataset, and the one that a connection reads unless it is set."""
LOCK_TIMEOUT_S: Final = 120.0
_ROW_GROUP_ROWS: Final = 12_288
"""How many rows DuckDB keeps together in a file. A commit writes the last, incomplete group of a table again: with the
default of 122,880 rows, one more event would cost up to 20 MB. Groups that a file has stay as they are."""
SETTINGS: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # The only extension comes from an installed wheel, like all code here; checking its signature costs 0.3 CPU s.
    "allow_unsigned_extensions": True,
    # A commit writes to the file itself, not only to the write-ahead log beside it: a copy of the file is a backup.
    "checkpoint_threshold": "0B",
}
_WAL_HEADER: Final = b"d\x00be\x00"
"""The first bytes of a write-ahead log of DuckDB 1.5, which ignores a file that begins otherwise."""

_REMEDIES: Final = {
    "log": (
        "Restore .geographer/log.duckdb from a backup; docs/recompute_digests.py checks a copy. The rasters are safe: "
        "DVC keeps them by checksum."
    ),
    "state": "It is derived from the log: run the command again, which rebuilds it.",
}
_WAL_REMEDY: Final = (
    "It may hold the event of a command that was killed. Restore it together with log.duckdb from a backup, or move it "
    "away to continue without that event."
)
_CONNECTIONS: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()
_BRANCHES: Final[WeakKeyDictionary[duckdb.DuckDBPyConnection, str]] = WeakKeyDictionary()
"""The branch of each connection that reads another one than `main`."""


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
        if is_commit_durable(error):
            raise StorageError(
                f"the change is recorded, but its file cannot be completed ({error}). Free some space; the next "
                "command completes it."
            ) from error
        if is_disk_error(error) and not isinstance(error, GeographerError):
            raise StorageError(error_message.format(error)) from error
        raise


def attach_file(connection: duckdb.DuckDBPyConnection, name: str, path: Path, mode: AttachMode) -> None:
    """Attach a database file to read ('r') or write ('w').

    Raises:
        DamagedFileError: the file is missing, or it is not a whole DuckDB file.
        ReadOnlyError: the file may not be written.
        StorageError: the file stays locked for over two minutes, or the disk fails.
        UnsupportedVersionError: a newer version of DuckDB wrote it.
    """
    options = "READ_ONLY" if mode == "r" else f"STORAGE_VERSION 'v1.5.0', ROW_GROUP_SIZE {_ROW_GROUP_ROWS}"
    if "?" in str(path):
        raise UsageError(f"DuckDB cannot use '{path}', because the path has a question mark. Rename the folder.")
    try:
        acquire_with_timeout(
            lambda: connection.execute(f"ATTACH '{escape_literal(str(path))}' AS {name} ({options})"),
            is_lock_error,
            LOCK_TIMEOUT_S,
            f"another process has held '{path}' for {LOCK_TIMEOUT_S:.0f} s. Run the command again later.",
            lambda: logger.warning("waiting for another process that holds '%s' …", path.name),
        )
    except duckdb.Error as error:
        raise _translate_attach_error(name, path, error) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"the path {str(path)!r} is not valid UTF-8. Rename the dataset's folder.") from error


def _translate_attach_error(name: str, path: Path, error: duckdb.Error) -> GeographerError:
    if is_newer_file_error(error):
        return UnsupportedVersionError(f"a newer version of DuckDB wrote '{path}'. Upgrade geographer.")
    if is_permission_error(error):
        return ReadOnlyError(f"cannot write '{path}' ({error}). Copy the dataset to a folder that you may change.")
    if not can_mean_damage(error):
        return StorageError(f"cannot open '{path}' ({error}). Fix the cause, then run the same command again.")
    return _make_damage_error(name, path, error)


def _make_damage_error(name: str, path: Path, error: object) -> DamagedFileError:
    reason = str(error).partition("\n")[0].rstrip(".")
    if isinstance(error, duckdb.Error) and is_wal_error(error):
        return DamagedFileError(
            f"'{path}.wal' does not fit '{path.name}', or is damaged ({reason}). {_WAL_REMEDY}", path
        )
    return DamagedFileError(f"'{path}' is damaged ({reason}). {_REMEDIES.get(name, _REMEDIES['log'])}", path)


def connect_memory(limits: ResourceLimits | None = None, folder: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection to a new in-memory database with the pinned settings.

    What exceeds the memory limit is written to a temporary folder in `folder`, by default in that of the system.
    """
    connection = duckdb.connect(":memory:", config=SETTINGS)
    limit_resources(connection, limits or read_resource_limits(), folder)
    _CONNECTIONS.add(connection)
    return connection


def open_cursor(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return another connection to the same in-memory database, with a transaction of its own, for the same branch."""
    cursor = connection.cursor()
    _CONNECTIONS.add(cursor)
    if branch := _BRANCHES.get(connection):
        set_branch(cursor, branch)
    return cursor


def set_branch(connection: duckdb.DuckDBPyConnection, branch: str) -> None:
    """Let the queries of a connection read the chain of a branch."""
    connection.execute("SET VARIABLE branch = $branch", {"branch": branch})
    _BRANCHES[connection] = branch


def interrupt_queries() -> None:
    """End the running queries of this process: on Ctrl-C, DuckDB waits for queries of its other threads."""
    for connection in tuple(_CONNECTIONS):
        with suppress(duckdb.Error):
            connection.interrupt()


@contextmanager
def memory_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the spatial functions and no file, to query tables in memory."""
    with closing(open_cursor(_open_memory_database())) as connection:
        try:
            yield connection
        except duckdb.OutOfMemoryException as error:
            raise StorageError(explain_memory_error(error, read_resource_limits())) from error


@cache
def _open_memory_database() -> duckdb.DuckDBPyConnection:
    """Return one database for the process, because loading the spatial functions takes a third of a second."""
    connection = connect_memory()
    load_spatial(connection)
    return connection


class Database:
    """An in-memory DuckDB database for one `.geographer` folder, which attaches the files `log` and `state` on demand.

    While a process writes a DuckDB file, no other process can open it. Attaching takes a millisecond, so each step
    attaches the files that it needs and detaches them; a process that finds a file locked logs a warning and waits.
    If the dataset is read-only, files in a temporary folder take the place of those that would have to be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[FileName, Path] = {"log": folder / "log.duckdb", "state": folder / "state.duckdb"}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._spatial = False
        self._attached: dict[FileName, AttachMode] = {}
        self._lock = RLock()
        self._original: Database | None = None
        self._limits: ResourceLimits | None = None
        self.branch = DEFAULT_BRANCH
        """The branch in use: queries read its chain."""
        self.workers: Workers = None
        """Who joins the parts of a large graph."""
        self.make_executor: Callable[[Workers], Executor] = make_executor
        """Makes the executor for them."""
        self.find_log_fault: Callable[[duckdb.DuckDBPyConnection], str | None] | None = None
        """Finds out why the attached log does not hold what was recorded, to explain an unexpected error."""

    @property
    def folder_path(self) -> Path:
        """The folder of the files, `.geographer`."""
        return self._folder

    def change_folder(self, folder: Path) -> None:
        """Use the files in `folder`, to which they were moved."""
        self._folder = folder
        self._files = {"log": folder / "log.duckdb", "state": folder / "state.duckdb"}

    def file_path(self, name: FileName) -> Path:
        """Return the path of the log or the state."""
        return self._files[name]

    def clone_database(self) -> Database:
        """Return another database for the same files, with separate settings and views."""
        clone = Database(self._folder)
        clone._files, clone._original, clone.find_log_fault = dict(self._files), self, self.find_log_fault
        clone.branch, clone._limits = self.branch, self._limits
        clone.workers, clone.make_executor = self.workers, self.make_executor
        return clone

    @property
    def resource_limits(self) -> ResourceLimits:
        """The limits of memory and of temporary files: those that were set, or else the process's."""
        return self._limits or read_resource_limits()

    def set_limits(self, limits: ResourceLimits) -> None:
        """Limit the memory and the temporary files of this database."""
        with self._lock:
            self._limits = limits
            if self._connection is not None:
                set_limits(self._connection, limits, self._folder)

    def change_branch(self, branch: str) -> None:
        """Let queries read the chain of another branch."""
        with self._lock:
            if branch != self.branch and self._connection is not None:
                set_branch(self._connection, branch)
            self.branch = branch

    @contextmanager
    def open_connection(
        self, *, log: AttachMode | None = None, state: AttachMode | None = None, spatial: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the connection with the `log` and `state` files attached for reading ('r') or writing ('w').

        A state that may not be written is a new one in a temporary folder. An error that damage to one of the files
        caused is raised as one that names the file.

        Raises:
            DamagedFileError: a file is damaged.
            ReadOnlyError: the log may not be written.
            StorageError: another process held a file for more than two minutes, or the disk is full.
        """
        with self._lock:
            if log == "r":
                self._fold_write_ahead_log()
            connection = self._get_connection(spatial)
            with ExitStack() as stack:
                modes: dict[FileName, AttachMode | None] = {"log": log, "state": state}
                is_attached = False
                for name, mode in modes.items():
                    if mode and self._attach_file(connection, name, mode):
                        stack.push(partial(self._detach_file, connection, name))
                        is_attached = True
                try:
                    yield connection
                except Exception as error:
                    is_explained = is_attached or isinstance(error, duckdb.OutOfMemoryException)
                    if is_explained and (explained := self._explain_error(connection, error)):
                        raise explained from error
                    raise

    @contextmanager
    def use_one_thread(self) -> Iterator[None]:
        """Run the block's queries on one thread: for few rows, more threads only cost CPU time."""
        with self.open_connection() as connection:
            connection.execute("SET threads = 1")
            try:
                yield
            finally:
                with suppress(duckdb.Error):
                    connection.execute("RESET threads")

    @property
    def is_writable(self) -> bool:
        """Whether the user may write the log."""
        path = self._files["log"]
        return path.parent == self._folder and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)

    def require_writable(self) -> None:
        """Raise `ReadOnlyError` if the user may not write the log."""
        if not self.is_writable:
            raise ReadOnlyError(f"'{self._folder}' is read-only. Copy the dataset to a folder that you may change.")

    def delete_state(self) -> None:
        """Delete the state and its write-ahead log; if they may not be deleted, use a new state elsewhere."""
        with self._lock:
            if self._connection and "state" in self._attached:
                self._detach_file(self._connection, "state")
            path = self._files["state"]
            try:
                for file in (path, _wal_path(path)):
                    file.unlink(missing_ok=True)
            except OSError:
                self.use_temporary_file("state")

    def use_file(self, name: FileName, path: Path) -> Path:
        """Use another file in the place of the log or the state, and return its path."""
        self._files[name] = path
        return path

    def use_temporary_file(self, name: FileName) -> Path:
        """Use a file in a temporary folder in the place of the log or the state, and return its path.

        `StorageError` if no folder can be written.
        """
        import shutil
        import tempfile

        try:
            folder = tempfile.mkdtemp(prefix="geographer-")
        except OSError as error:
            raise StorageError(
                f"the dataset is read-only, and there is no temporary folder ({error}). Set TMPDIR to a folder that "
                "you may change."
            ) from error
        finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._files[name] = Path(folder) / self._files[name].name
        return self._files[name]

    def _get_connection(self, spatial: bool) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = connect_memory(self.resource_limits, self._folder)
            self._connection.execute("SET TimeZone = 'UTC'")
            if self.branch != DEFAULT_BRANCH:
                set_branch(self._connection, self.branch)
        if spatial and not self._spatial:
            load_spatial(self._connection)
            self._spatial = True
        return self._connection

    def _fold_write_ahead_log(self) -> None:
        """Write what a killed process left in the write-ahead log into the log, so that a copy of the log holds it."""
        wal = _wal_path(self._files["log"])
        if "log" not in self._attached and wal.exists():
            with suppress(ReadOnlyError), self.open_connection(log="w"):
                pass

    def _attach_file(self, connection: duckdb.DuckDBPyConnection, name: FileName, mode: AttachMode) -> bool:
        """Attach a file unless it is attached; return whether the caller must detach it."""
        if attached_mode := self._attached.get(name):
            assert mode == "r" or attached_mode == "w", f"'{name}' is already attached for reading"
            return False
        if name == "log":
            _check_wal_header(self._files[name])
            if mode == "w" and self._files[name].parent != self._folder:
                self.require_writable()
        try:
            attach_file(connection, name, self._files[name], mode)
        except ReadOnlyError:
            if (name, mode) != ("state", "w"):
                raise
            attach_file(connection, name, self.use_temporary_file(name), mode)
        self._attached[name] = mode
        return True

    def _detach_file(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: FileName,
        _kind: object = None,
        error: object = None,
        *_: object,
    ) -> None:
        if connection is not self._connection or self._attached.pop(name, None) is None:
            return
        try:
            connection.execute(f"DETACH {name}")
        except duckdb.Error as detach_error:
            if error is None:
                # Committed rows are in the write-ahead log, which the next process that opens the file reads.
                raise StorageError(
                    f"cannot write '{self._files[name]}' ({detach_error}). Free some space; recorded events are safe."
                ) from detach_error

    def _explain_error(self, connection: duckdb.DuckDBPyConnection, error: Exception) -> GeographerError | None:
        """Return the error to raise instead, if an attached file is damaged or does not hold what was recorded."""
        causes = [error]
        while causes[-1].__cause__ is not None and isinstance(causes[-1].__cause__, Exception):
            causes.append(causes[-1].__cause__)
        if isinstance(error, duckdb.OutOfMemoryException):
            return StorageError(explain_memory_error(error, self.resource_limits))
        if any(can_mean_damage(cause) for cause in causes):
            damage = self._find_damage(connection)
            if damage is None and any(is_damage_error(cause) for cause in causes):
                # Reading all rows does not read the indexes, which only the log has.
                damage = _make_damage_error("log", self._files["log"], causes[-1])
        elif isinstance(error, GeographerError | OSError) or is_interrupt(error):
            damage = None
        else:
            damage = self._find_fault(connection)
        if damage and damage.path == self._files["state"]:
            self.delete_state()
        return damage

    def _find_damage(self, connection: duckdb.DuckDBPyConnection) -> DamagedFileError | None:
        """Read all of the attached files; after a fatal error of DuckDB, in a new in-memory database."""
        files = [(name, self._files[name]) for name in self._attached]
        damages = [_scan_file(connection, name, path) for name, path in files] if _is_usable(connection) else []
        if not _is_usable(connection):
            self._connection, self._spatial, self._attached = None, False, {}
            connection.close()
            with closing(connect_memory()) as new_connection:
                damages += [_scan_file(new_connection, name, path, attach=True) for name, path in files]
        return next(filter(None, damages), None)

    def _find_fault(self, connection: duckdb.DuckDBPyConnection) -> DamagedFileError | None:
        """Compare the log with its digests: what was edited can cause any error."""
        if self.find_log_fault is None or "log" not in self._attached:
            return None
        try:
            with closing(open_cursor(connection)) as cursor:
                fault = self.find_log_fault(cursor)
        except Exception as error:
            fault = f"its digests cannot be computed: {error}"
        return _make_damage_error("log", self._files["log"], fault) if fault else None


def _wal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _check_wal_header(path: Path) -> None:
    """Raise `DamagedFileError` if DuckDB would silently ignore the write-ahead log of a file."""
    try:
        with _wal_path(path).open("rb") as file:
            header = file.read(len(_WAL_HEADER))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot read '{_wal_path(path)}' ({error.strerror}). Move it away.") from error
    if not _WAL_HEADER.startswith(header):
        raise DamagedFileError(f"'{_wal_path(path)}' is not a write-ahead log of DuckDB. {_WAL_REMEDY}", path)


def _is_usable(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the in-memory database can run queries: after a fatal error, it rejects all of them."""
    try:
        with closing(open_cursor(connection)) as cursor:
            cursor.execute("SELECT 1")
    except duckdb.Error:
        return False
    return True


def _scan_file(
    connection: duckdb.DuckDBPyConnection, name: FileName, path: Path, *, attach: bool = False
) -> DamagedFileError | None:
    """Read all rows of a file; return the error if that fails."""
    try:
        with closing(open_cursor(connection)) as cursor:
            if attach:
                attach_file(cursor, name, path, "r")
            query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1"
            for (table,) in cursor.execute(query, [name]).fetchall():
                cursor.execute(f"SELECT bit_xor(hash(row)) FROM {name}.{quote_identifier(table)} AS row").fetchall()  # noqa: S608
    except DamagedFileError as error:
        return error
    except duckdb.Error as error:
        return _make_damage_error(name, path, error)
    return None
