"""Queries obey the limits of memory and of temporary files, and no process leaves such files for ever."""

from __future__ import annotations

import os
import subprocess
import sys

import duckdb
import pytest

from geographer.base.errors import StorageError
from geographer.base.resource_limits import ResourceLimits
from geographer.storage.database import spill_folder
from geographer.storage.database.connection import Database, connect_memory
from geographer.storage.database.spill_folder import choose_spill_folder, explain_memory_error, list_abandoned_folders
from geographer.storage.log.append import create_log

SORT = """
import re, sys
from pathlib import Path
from geographer.storage.database.connection import Database

database = Database(Path(sys.argv[1]))
with database.open_connection() as connection:
    connection.execute("SET enable_progress_bar = false")
    query = "SELECT hash(i) AS key, repeat(md5(i::VARCHAR), 20) AS text FROM range(900_000) AS t(i) ORDER BY key"
    connection.execute(f"CREATE TABLE wide AS {query}")
    spilled = any(path.name.startswith("spill-") for path in Path(sys.argv[1]).iterdir())
    # Not ru_maxrss: a new process begins with the peak of the one that started it.
    peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(spilled, int(peak_kb) // 1000)
"""


def run_sort(folder, **limits):
    command = [sys.executable, "-c", SORT, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **limits}, check=False)


def test_queries_spill_below_memory_limit(tmp_path):
    spilled, peak_mb = run_sort(tmp_path, GEOGRAPHER_MEMORY_LIMIT="700MB").stdout.split()
    assert spilled == "True"
    assert int(peak_mb) < 700
    assert [*tmp_path.iterdir()] == []


def test_spilling_beyond_disk_limit_is_explained(tmp_path):
    database = Database(tmp_path)
    create_log(database)
    database.set_limits(ResourceLimits(300_000_000, 1_000_000))
    query = "CREATE TEMP TABLE wide AS SELECT repeat(md5(i::VARCHAR), 10) FROM range(500_000) AS t(i)"
    with (
        pytest.raises(StorageError, match=r"more than the disk limit, 1 MB\. Nothing was changed\. .*--disk-limit"),
        database.open_connection(log="r") as connection,
    ):
        connection.execute(query)
    database.set_limits(ResourceLimits(300_000_000, 1_000_000_000))
    with database.open_connection(log="r") as connection:
        connection.execute(query)


def test_memory_error_names_limit():
    limits, error = ResourceLimits(2_000_000_000), duckdb.OutOfMemoryException("could not allocate block")
    assert "more memory than the limit, 2 GB. Nothing was changed. Raise it (--memory-limit" in (
        explain_memory_error(error, limits)
    )


def test_folders_of_ended_processes_are_deleted(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    own = choose_spill_folder(tmp_path)
    prefix = own.name.rpartition(f"{os.getpid()}-")[0]
    abandoned, foreign, old = (tmp_path / name for name in (f"{prefix}{ended.pid}-1", "spill-b-0-1-1", "spill-c-0-1-1"))
    for folder in (own, abandoned, foreign, old):
        folder.mkdir()
        (folder / "duckdb_temp_storage-0.tmp").touch()
    os.utime(old, (0, 0))
    (tmp_path / f"{prefix}x").mkdir()
    (tmp_path / f"{prefix}{ended.pid}-2").symlink_to(foreign)
    assert {*list_abandoned_folders(tmp_path)} == {abandoned, old}
    spill_folder._delete_abandoned_folders.cache_clear()
    choose_spill_folder(tmp_path)
    assert not abandoned.exists()
    assert not old.exists()
    assert own.exists()
    assert foreign.exists()


def test_read_only_folder_spills_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert choose_spill_folder(tmp_path).parent != tmp_path


def test_connection_has_limits(monkeypatch):
    monkeypatch.setenv("GEOGRAPHER_MEMORY_LIMIT", "1.25GB")
    monkeypatch.setenv("GEOGRAPHER_DISK_LIMIT", "2000000000")
    query = "SELECT name, value FROM duckdb_settings() WHERE name IN ('memory_limit', 'max_temp_directory_size')"
    assert dict(connect_memory().execute(query).fetchall()) == {
        "memory_limit": "762.9 MiB",
        "max_temp_directory_size": "1.8 GiB",
    }
