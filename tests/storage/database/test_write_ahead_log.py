"""Write-ahead logs: a recorded event is in the log's file itself; what killed processes left is folded in or named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from geographer.base.errors import DamagedFileError
from geographer.operations.add.events import ClassesAdded
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo
from geographer.storage.log.append import append_event, create_log

LEAVE_WAL = """
import os, sys, duckdb
connection = duckdb.connect()
connection.execute(f"ATTACH '{sys.argv[1]}' AS log")
connection.execute("INSERT INTO log.meta VALUES (7, 'left')")
os._exit(0)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    create_log(Database(tmp_path))
    return tmp_path / "log.duckdb"


def leave_wal(log: Path) -> Path:
    """Commit a row to the write-ahead log only, as a killed process does, and return its path."""
    subprocess.run([sys.executable, "-c", LEAVE_WAL, str(log)], check=True)
    return log.with_name("log.duckdb.wal")


def count_rows(log: Path, table: str = "meta") -> int:
    with duckdb.connect(str(log), read_only=True) as connection:
        ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return count


def test_recorded_event_is_in_copy_of_log(log, tmp_path):
    database = Database(tmp_path)
    with database.open_connection(log="w") as connection:
        event = ClassesAdded(request={"classes": ["pond"]}, classes=["pond"])
        rows = {"class_change": "(VALUES ('added', 'pond', 1)) AS new_class (change, class, value)"}
        append_event(database, event, rows, CommitInfo("Ada"), EMPTY_LOG_HEAD)
        # The file is still attached: nothing has completed it but the commit.
        assert not log.with_name("log.duckdb.wal").exists()
        backup = tmp_path / "backup.duckdb"
        subprocess.run(["cp", log, backup], check=True)
        assert count_rows(backup, "event") == 1
        assert connection.execute("SELECT count(*) FROM log.event").fetchone() == (1,)


def test_reader_folds_leftover_in(log, tmp_path):
    wal = leave_wal(log)
    assert wal.exists()
    with Database(tmp_path).open_connection(log="r") as connection:
        assert connection.execute("SELECT count(*) FROM log.meta").fetchone() == (2,)
        assert not wal.exists()
    shutil.copy(log, tmp_path / "backup.duckdb")
    assert count_rows(tmp_path / "backup.duckdb") == 2


def test_torn_first_transaction_is_dropped(log, tmp_path):
    """It was killed before its commit was complete."""
    wal = leave_wal(log)
    wal.write_bytes(wal.read_bytes()[:60])
    for mode in ("r", "w", "r"):
        with Database(tmp_path).open_connection(log=mode) as connection:
            assert connection.execute("SELECT count(*) FROM log.meta").fetchone() == (1,)


def flip_bit(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"notes " * 100,
        lambda content: flip_bit(content, 0),
        lambda content: flip_bit(content, 20),
        lambda content: flip_bit(content, len(content) - 3),
    ],
    ids=["text", "header", "database", "entry"],
)
@pytest.mark.parametrize("mode", ["r", "w"])
def test_damaged_leftover_is_named(log, tmp_path, damage, mode):
    """DuckDB alone would ignore some of these, and delete them at the next commit."""
    wal = leave_wal(log)
    wal.write_bytes(damage(wal.read_bytes()))
    before = wal.read_bytes(), log.read_bytes()
    with (
        pytest.raises(DamagedFileError, match=r"log\.duckdb\.wal' .*move it away") as error,
        Database(tmp_path).open_connection(log=mode),
    ):
        pass
    assert error.value.path == log
    assert (wal.read_bytes(), log.read_bytes()) == before


def test_leftover_of_other_log_is_named(log, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    create_log(Database(other))
    shutil.copy(leave_wal(other / "log.duckdb"), tmp_path)
    with (
        pytest.raises(DamagedFileError, match=r"does not fit 'log\.duckdb'"),
        Database(tmp_path).open_connection(log="r"),
    ):
        pass
