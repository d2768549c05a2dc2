"""Upgrade: open a log of an older layout by a checked copy, which then replaces it."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.errors import CorruptError, DamagedFileError, ReadOnlyError, StorageError
from geographer.storage.database.connection import (
    LOCK_TIMEOUT_S,
    Database,
    attach_file,
    connect_memory,
    open_transaction,
    run_script,
)
from geographer.storage.database.duckdb_errors import can_mean_damage, is_disk_error
from geographer.storage.events.payload import load_payload_classes
from geographer.storage.events.row_tables import CORE_TABLES, ROW_TABLES, build_table_sql
from geographer.storage.log.read import require_supported_log

_COPY_EVENTS: Final = Path(__file__).with_name("copy_events.sql")
_WRITE_ERROR: Final = "cannot upgrade the log, which stays as it was: {}"
_RESTORE: Final = "Restore the log from a copy; docs/recompute_digests.py lists all that differs."


def open_database(folder: Path, *, must_have_events: bool = False) -> Database:
    """Return the database of a `.geographer` folder; upgrade its log if version 0.1 of geographer wrote it.

    Every dataset has an event, unless its creation was interrupted: then `must_have_events` rejects its log. A log
    that may not be written is upgraded in a temporary folder, as long as the database is in use.

    Raises:
        UnsupportedVersionError: a newer version wrote the log.
        CorruptError: the log is damaged or empty, or a digest in an old log does not match; the log is not touched.
        StorageError: the upgraded log cannot be written, or another process held the log for over two minutes.
    """
    database = Database(folder)
    path = database.file_path("log")
    if os.path.lexists(path):
        database.find_log_fault = describe_first_fault
        with database.open_connection(log="r") as connection:
            tables = _list_tables(connection, "log")
            if "meta" in tables:
                require_supported_log(connection)
            if "event" not in tables or (
                must_have_events and not connection.execute("SELECT 1 FROM log.event LIMIT 1").fetchone()
            ):
                raise DamagedFileError(
                    f"'{path}' holds no events. Restore it from a backup; if geographer init was interrupted here, "
                    f"delete '{folder}' and run it again.",
                    path,
                )
        if tables - {*CORE_TABLES, "event", "chain", "meta"}:
            # Some kind has row tables of its own.
            load_payload_classes()
        if "meta" not in tables:
            _upgrade_log(database)
        elif missing := [table for table in CORE_TABLES if table not in tables]:
            _add_tables(database, missing)
    return database


def describe_first_fault(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return what is wrong with the first event that does not match its digests, if any."""
    from geographer.storage.log.check import find_log_faults

    faults = find_log_faults(connection)
    if not faults:
        return None
    first = min(faults, key=lambda fault: fault.position or sys.maxsize)
    event = f"event @{first.position}: " if first.position else ""
    return f"{event}{first.kind} {first.subject}: {first.detail}"


def _list_tables(connection: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1"
    return {table for (table,) in connection.execute(query, [name]).fetchall()}


def _add_tables(database: Database, tables: list[str]) -> None:
    """Create the row tables that the log is older than; in a copy, if the log may not be written."""
    path = database.file_path("log")
    with closing(connect_memory()) as connection:
        try:
            attach_file(connection, "log", path, "w")
        except ReadOnlyError:
            copy = database.use_temporary_file("log")
            shutil.copyfile(path, copy)
            attach_file(connection, "log", copy, "w")
        for table in tables:
            connection.execute(build_table_sql(table))
        connection.execute("DETACH log")


def _upgrade_log(database: Database) -> None:
    """Replace the log by a checked copy. A process that is killed leaves the old log or the new one, complete."""
    from filelock import FileLock, Timeout

    path = database.file_path("log").resolve()
    copy, lock = (path.with_name(f"{path.name}.{ending}") for ending in ("upgrade", "upgrade.lock"))
    try:
        if not database.is_writable:
            with closing(connect_memory()) as connection:
                attach_file(connection, "old", path, "r")
                _write_checked_copy(connection, path, database.use_temporary_file("log"))
            return
        with FileLock(lock, timeout=LOCK_TIMEOUT_S):
            try:
                _replace_by_copy(database, path, copy)
            finally:
                _delete_file(copy)
            # Who waits for the lock still finds the upgraded log.
            lock.unlink(missing_ok=True)
    except Timeout as error:
        raise StorageError(f"another process has upgraded '{path}' for {LOCK_TIMEOUT_S:.0f} s. Run again.") from error
    except OSError as error:
        raise StorageError(_WRITE_ERROR.format(error)) from error
    except duckdb.Error as error:
        if is_disk_error(error) and not can_mean_damage(error):
            raise StorageError(_WRITE_ERROR.format(error)) from error
        raise CorruptError(f"{_WRITE_ERROR.format(error)}. {_RESTORE}") from error


def _replace_by_copy(database: Database, path: Path, copy: Path) -> None:
    wal = path.with_name(f"{path.name}.wal")
    if wal.exists():
        # Fold the write-ahead log in: beside the new file it would be taken for part of that.
        with database.open_connection(log="w") as connection:
            connection.execute("CHECKPOINT log")
    with closing(connect_memory()) as connection:
        # While a process reads the old file, no other can write to it.
        attach_file(connection, "old", path, "r")
        if "meta" in _list_tables(connection, "old"):
            return
        if wal.exists():
            raise StorageError(f"another process writes to '{path}'. Run the command again later.")
        _delete_file(copy)
        _write_checked_copy(connection, path, copy)
        shutil.copymode(path, copy)
        _sync_file(copy)
        copy.replace(path)
        _sync_file(path.parent)


def _write_checked_copy(connection: duckdb.DuckDBPyConnection, path: Path, copy: Path) -> None:
    """Write the events of the attached log `old` to a new file, and check it."""
    attach_file(connection, "log", copy, "w")
    _copy_log(connection)
    if fault := describe_first_fault(connection):
        raise CorruptError(f"cannot upgrade the log '{path}', which stays as it was: {fault}. {_RESTORE}")
    connection.execute("CHECKPOINT log")
    connection.execute("DETACH log")


def _copy_log(connection: duckdb.DuckDBPyConnection) -> None:
    from geographer.storage.log.append import create_tables

    old_tables = _list_tables(connection, "old")
    with open_transaction(connection, _WRITE_ERROR):
        create_tables(connection)
        run_script(connection, _COPY_EVENTS.read_text())
        for table in [table for table in ROW_TABLES if table in old_tables]:
            columns = ", ".join(f'"{column}"' for column in ("ordinal", "change", *ROW_TABLES[table], "row_digest"))
            connection.execute(build_table_sql(table))
            connection.execute(
                f"INSERT INTO log.{table} (event_key, {columns}) SELECT position, {columns} FROM old.{table}"  # noqa: S608
            )


def _delete_file(path: Path) -> None:
    for file in (path, path.with_name(f"{path.name}.wal")):
        file.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
