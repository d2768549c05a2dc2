"""Upgrade: open a log of an older layout by a checked copy, which then replaces it."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.errors import CorruptError, StorageError
from geographer.storage.database.connection import (
    LOCK_TIMEOUT_S,
    SETTINGS,
    Database,
    attach_file,
    open_transaction,
    run_script,
)
from geographer.storage.events.payload import load_payload_classes
from geographer.storage.events.row_tables import CORE_TABLES, ROW_TABLES, build_table_sql
from geographer.storage.log.append import create_tables
from geographer.storage.log.check import find_log_faults
from geographer.storage.log.read import require_supported_log

_COPY_EVENTS: Final = Path(__file__).with_name("copy_events.sql")
_WRITE_ERROR: Final = "cannot upgrade the log, which stays as it was: {}"


def open_database(folder: Path) -> Database:
    """Return the database of a `.geographer` folder; upgrade its log if version 0.1 of geographer wrote it.

    Raises:
        UnsupportedVersionError: a newer version wrote the log.
        CorruptError: a digest in the old log does not match; the log is not touched.
        StorageError: the upgraded log cannot be written, or another process held the log for over two minutes.
    """
    database = Database(folder)
    if database.file_path("log").exists():
        with database.open_connection(log="r") as connection:
            tables = _list_tables(connection, "log")
            if "meta" in tables:
                require_supported_log(connection)
        if tables - {*CORE_TABLES, "event", "chain", "meta"}:
            # Some kind has row tables of its own.
            load_payload_classes()
        if "meta" not in tables:
            _upgrade_log(database)
        elif missing := [table for table in ROW_TABLES if table not in tables]:
            with database.open_connection(log="w") as connection:
                for table in missing:
                    connection.execute(build_table_sql(table))
    return database


def _list_tables(connection: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1"
    return {table for (table,) in connection.execute(query, [name]).fetchall()}


def _upgrade_log(database: Database) -> None:
    """Replace the log by a checked copy. A process that is killed leaves the old log or the new one, complete."""
    from filelock import FileLock, Timeout

    path = database.file_path("log")
    copy, lock = (path.with_name(f"{path.name}.{ending}") for ending in ("upgrade", "upgrade.lock"))
    try:
        with FileLock(lock, timeout=LOCK_TIMEOUT_S):
            try:
                _replace_by_copy(database, path, copy)
            finally:
                _delete_file(copy)
            # Who waits for the lock still finds the upgraded log.
            lock.unlink(missing_ok=True)
    except Timeout as error:
        raise StorageError(f"another process has upgraded '{path}' for {LOCK_TIMEOUT_S:.0f} s. Run again.") from error
    except duckdb.ConstraintException as error:
        raise CorruptError(_WRITE_ERROR.format(error)) from error
    except (duckdb.IOException, OSError) as error:
        raise StorageError(_WRITE_ERROR.format(error)) from error


def _replace_by_copy(database: Database, path: Path, copy: Path) -> None:
    wal = path.with_name(f"{path.name}.wal")
    if wal.exists():
        # Fold the write-ahead log in: beside the new file it would be taken for part of that.
        with database.open_connection(log="w") as connection:
            connection.execute("CHECKPOINT log")
    with closing(duckdb.connect(":memory:", config=SETTINGS)) as connection:
        # While a process reads the old file, no other can write to it.
        attach_file(connection, "old", path, "r")
        if "meta" in _list_tables(connection, "old"):
            return
        if wal.exists():
            raise StorageError(f"another process writes to '{path}'. Run the command again later.")
        _delete_file(copy)
        attach_file(connection, "log", copy, "w")
        _copy_log(connection)
        _check_copy(connection, path)
        connection.execute("CHECKPOINT log")
        connection.execute("DETACH log")
        shutil.copymode(path, copy)
        _sync_file(copy)
        copy.replace(path)
        _sync_file(path.parent)


def _copy_log(connection: duckdb.DuckDBPyConnection) -> None:
    old_tables = _list_tables(connection, "old")
    with open_transaction(connection, _WRITE_ERROR):
        create_tables(connection)
        run_script(connection, _COPY_EVENTS.read_text())
        for table in [table for table in ROW_TABLES if table in old_tables]:
            columns = ", ".join(f'"{column}"' for column in ("ordinal", "change", *ROW_TABLES[table], "row_digest"))
            connection.execute(
                f"INSERT INTO log.{table} (event_key, {columns}) SELECT position, {columns} FROM old.{table}"  # noqa: S608
            )


def _check_copy(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    faults = find_log_faults(connection)
    if faults:
        first = min(faults, key=lambda fault: fault.position or sys.maxsize)
        event = f"event @{first.position}: " if first.position else ""
        raise CorruptError(
            f"cannot upgrade the log '{path}', which stays as it was: {event}{first.kind} {first.subject}: "
            f"{first.detail}. Restore the log from a copy; docs/recompute_digests.py lists all that differs."
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
