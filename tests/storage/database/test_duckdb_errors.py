"""Errors of DuckDB that its message alone tells apart, made by DuckDB itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from geographer.storage.database.duckdb_errors import is_disk_error, is_interrupt, is_lock_error


def test_file_of_other_process_is_locked(tmp_path: Path):
    path = tmp_path / "held.duckdb"
    script = f"import duckdb; held = duckdb.connect({str(path)!r}); print('held', flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with duckdb.connect() as connection, pytest.raises(duckdb.Error) as error:
            connection.execute(f"ATTACH '{path}' AS log (READ_ONLY)")
        holder.communicate("\n")
    assert is_lock_error(error.value)


def test_file_of_other_database_is_locked(tmp_path: Path):
    path = tmp_path / "held.duckdb"
    with duckdb.connect() as first, duckdb.connect() as second:
        first.execute(f"ATTACH '{path}' AS log")
        with pytest.raises(duckdb.Error) as error:
            second.execute(f"ATTACH '{path}' AS log")
        assert is_lock_error(error.value)


def test_missing_and_unreadable_files_are_not_locked(tmp_path: Path):
    (tmp_path / "text.duckdb").write_text("not a database " * 1000)
    for name in ("missing.duckdb", "text.duckdb"):
        with duckdb.connect() as connection, pytest.raises(duckdb.Error) as error:
            connection.execute(f"ATTACH '{tmp_path / name}' AS log (READ_ONLY)")
        assert not is_lock_error(error.value)


def test_full_disk_is_a_disk_error():
    with duckdb.connect() as connection, pytest.raises(duckdb.Error) as error:
        connection.execute("COPY (SELECT * FROM range(1000000)) TO '/dev/full' (FORMAT csv)")
    assert is_disk_error(error.value)
    assert not is_disk_error(duckdb.ConversionException("x"))


def test_ctrl_c_during_a_query_is_an_interrupt():
    # With more threads, DuckDB 1.5.5 can wait for another thread to finish the query.
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    with duckdb.connect(config={"threads": 1}) as connection:
        timer.start()
        with pytest.raises(RuntimeError) as error:
            connection.execute("SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1").fetchall()
    assert is_interrupt(error.value)
    assert not is_interrupt(RuntimeError("x"))
