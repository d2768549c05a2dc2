"""Upgrade: the log of version 0.1.0 is replaced by a checked copy; killed or refused, the old log stays complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import duckdb
import pytest

from geographer.base.errors import CorruptError, StorageError
from geographer.storage.log import upgrade
from geographer.storage.log.read import read_event
from geographer.storage.log.upgrade import open_database
from tests import REPOSITORY
from tests.sample_team import select_cases
from tests.storage.log import digest_oracle as oracle
from tests.storage.log.writer_process import append_class

ARCHIVE = REPOSITORY / "tests" / "compatibility" / "dataset-0.1.0.tar.gz"
HEAD = 54


@pytest.fixture(scope="module")
def old_log(tmp_path_factory):
    """The log that version 0.1.0 wrote."""
    path = tmp_path_factory.mktemp("old") / "log.duckdb"
    with tarfile.open(ARCHIVE) as archive:
        source = archive.extractfile("ponds/.geographer/log.duckdb")
        assert source is not None
        path.write_bytes(source.read())
    return path


@pytest.fixture
def log(old_log, tmp_path):
    """A copy of that log, alone in its folder."""
    return Path(shutil.copy(old_log, tmp_path))


RELEASED_TABLES = [
    table
    for table in oracle.ROW_TABLES
    if table not in {"command_file", "label_source", "withdrawn_file", "merge_conflict", "object_order"}
]
"""The row tables of version 0.1."""


def read_rows(path, table, key):
    """Read the rows of a table in their order, as text; the column `key` first."""
    with duckdb.connect(str(path), read_only=True) as connection:
        query = f"SELECT {key}, * EXCLUDE ({key}) FROM {table} ORDER BY {key}, ordinal"
        return connection.execute(query).fetchall()


def list_files(folder):
    return sorted(path.name for path in folder.iterdir())


def start_process(action, log, *arguments):
    command = [sys.executable, "-m", "tests.storage.log.writer_process", action, log.parent, *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def check_upgraded(log, old_log, count=HEAD):
    """Check that the log has the first events of the old one, with equal digests and rows, and nothing beside it."""
    events, _ = oracle.read_log(log)
    assert oracle.find_faults(log) == []
    with duckdb.connect(str(old_log), read_only=True) as connection:
        old = connection.execute("SELECT position, digest, parents FROM event ORDER BY position").fetchall()
    assert [(event["position"], event["digest"], event["parents"]) for event in events[:count]] == old[:count]
    assert {event["format"] for event in events[:count]} == {1}
    if count == HEAD:
        for table in RELEASED_TABLES:
            expected = read_rows(old_log, table, "position")
            assert read_rows(log, table, "event_key")[: len(expected)] == expected
    assert list_files(log.parent) == ["log.duckdb"]


def test_old_log_is_upgraded(log, old_log):
    log.chmod(0o640)
    database = open_database(log.parent)
    check_upgraded(log, old_log)
    assert log.stat().st_mode & 0o777 == 0o640
    with database.open_connection(log="r") as connection:
        assert read_event(connection, 19).to_dict().keys() == read_event(connection, 1).to_dict().keys()
        assert not read_event(connection, 19).to_dict().keys() & {"format", "generation"}
    inode = log.stat().st_ino
    open_database(log.parent)
    assert log.stat().st_ino == inode


def test_upgraded_log_is_extended(log, old_log):
    database = open_database(log.parent)
    old_head = oracle.read_log(log)[0][-1]
    event = append_class(database, "quay")
    assert (event.format, event.position, event.generation) == (2, HEAD + 1, HEAD + 1)
    assert event.parents == [old_head["digest"]]
    assert event.to_dict() == oracle.read_log(log)[0][-1]
    check_upgraded(log, old_log)


def test_old_log_without_a_row_table(log, old_log):
    """A log is older than a row table that it lacks."""
    with duckdb.connect(str(log)) as connection:
        connection.execute("DELETE FROM event WHERE position > 1")
        for table in RELEASED_TABLES:
            connection.execute(f"DELETE FROM {table} WHERE position > 1")
        connection.execute("DROP TABLE skipped_input")
    open_database(log.parent)
    check_upgraded(log, old_log, 1)
    assert oracle.read_log(log)[1]["skipped_input"] == []


def test_write_ahead_log_is_folded_in(log, old_log):
    with duckdb.connect(str(log)) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute(f"DELETE FROM event WHERE position = {HEAD}")
    assert list_files(log.parent) == ["log.duckdb", "log.duckdb.wal"]
    open_database(log.parent)
    check_upgraded(log, old_log, HEAD - 1)
    assert len(oracle.read_log(log)[0]) == HEAD - 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE feature_change SET class = 'nothing' WHERE position IN (3, 20)",
            "event @3: edited row feature .*: its columns .* do not match their digest",
        ),
        (
            "UPDATE feature_change SET row_digest = repeat('0', 64) WHERE rowid = 3",
            "event @3: altered rows @3 features_added",
        ),
        ("DELETE FROM raster_change WHERE rowid = 0", "altered rows @4 rasters_added"),
        (
            "UPDATE event SET author = 'Eve' WHERE position IN (30, 40)",
            "event @30: edited event @30 .* does not match its digest",
        ),
        ("UPDATE event SET payload = payload || ' ' WHERE position = 7", "edited event @7 .* not the canonical JSON"),
        ("DELETE FROM event WHERE position = 9", "dropped event @9"),
        ("INSERT INTO class_change SELECT * REPLACE (99 AS position) FROM class_change LIMIT 1", "rows without event"),
        ("UPDATE event SET digest = (SELECT digest FROM event WHERE position = 3) WHERE position = 4", "[Dd]uplicate"),
    ],
)
def test_altered_log_is_not_upgraded(log, statement, expected):
    with duckdb.connect(str(log)) as connection:
        connection.execute(statement)
    before = log.read_bytes()
    for _ in range(2):
        with pytest.raises(CorruptError, match=f"cannot upgrade the log.*{expected}"):
            open_database(log.parent)
    assert log.read_bytes() == before
    assert set(list_files(log.parent)) <= {"log.duckdb", "log.duckdb.upgrade.lock"}


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("_copy_log", duckdb.IOException("No space left on device")),
        ("describe_first_fault", duckdb.IOException("No space left on device")),
        ("_sync_file", OSError(28, "No space left")),
    ],
)
def test_full_disk_leaves_old_log(log, old_log, monkeypatch, step, error):
    def fail(*_):
        raise error

    before = log.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(upgrade, step, fail)
        with pytest.raises(StorageError, match=r"cannot upgrade the log, which stays as it was: .*No space left"):
            open_database(log.parent)
    assert log.read_bytes() == before
    assert set(list_files(log.parent)) <= {"log.duckdb", "log.duckdb.upgrade.lock"}
    open_database(log.parent)
    check_upgraded(log, old_log)


BEFORE = [("_sync_file", 1), ("_copy_log", 1), ("attach_file", 1), ("attach_file", 2), ("describe_first_fault", 1)]
AFTER = [("_sync_file", 2), ("_delete_file", 1), ("_delete_file", 2), ("unlink", 3)]
"""Calls before and after the one that puts the new log in the place of the old one."""


@pytest.mark.parametrize(("step", "call"), [*select_cases(BEFORE, 2), ("replace", 1), *select_cases(AFTER, 2)])
def test_killed_upgrade_loses_nothing(log, old_log, step, call):
    with start_process("die-in-upgrade", log, step, call) as process:
        assert process.wait(timeout=60) == -9
    if (step, call) not in AFTER:
        assert log.read_bytes() == old_log.read_bytes()
    open_database(log.parent)
    append_class(open_database(log.parent), "quay")
    (log.parent / "log.duckdb.upgrade.lock").unlink(missing_ok=True)
    check_upgraded(log, old_log)
    assert len(oracle.read_log(log)[0]) == HEAD + 1


def test_concurrent_processes_upgrade_once(log, old_log):
    writers = [start_process("append", log, name, 3) for name in ("ada", "eve", "joe")]
    positions = [int(line) for process in writers for line in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in writers] == [0, 0, 0]
    assert sorted(positions) == list(range(HEAD + 1, HEAD + 10))
    check_upgraded(log, old_log)


def test_upgrade_waits_for_writer(log, old_log):
    """A command of version 0.1.0 holds the log."""
    with duckdb.connect(str(log)) as connection:
        process = start_process("append", log, "ada", 1)
        time.sleep(1)
        connection.execute("UPDATE event SET digest = digest WHERE position = 1")
        assert process.poll() is None
    assert process.communicate(timeout=60)[0] == f"{HEAD + 1}\n"
    check_upgraded(log, old_log)
