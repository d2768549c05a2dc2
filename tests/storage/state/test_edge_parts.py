"""Edges that workers derive in parts are those that one query derives; a lost worker changes nothing."""

from __future__ import annotations

import os

import numpy as np
import pytest

from geographer.base.errors import UsageError
from geographer.base.executors.inline import InlineExecutor
from geographer.base.executors.processes import ProcessExecutor
from geographer.base.resource_limits import PARTS_VARIABLE, ResourceLimits, parse_part_setting
from geographer.storage.state.digest import compute_state_digest
from geographer.storage.state.edge_parts.choose_parts import choose_parts
from geographer.storage.state.edge_parts.join_part import EdgePart, join_part
from geographer.storage.state.update import rebuild_state, update_state
from tests.storage.state.test_edge_oracle import RASTERS, SPECIAL, Log, features_about

WORLD = [raster for raster in RASTERS if raster.id != "whole disk from space"]
"""That one takes most of the time; whether the others show parts of features is asked for, too."""


def append_events(log, features):
    """Append events whose versions are valid at different times."""
    log.append_change("added", features[::2])
    log.append_change("added", WORLD[::2])
    log.append_change("added", features[1::2])
    log.append_change("removed", WORLD[:9:4])
    log.append_change("added", WORLD[1::2])
    log.append_change("changed", [*features[:12], *features[30::17]])
    log.append_change("removed", features[20:29])


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(3)
    return SPECIAL + [feature for raster in WORLD for feature in features_about(raster, 4, random)]


@pytest.fixture(scope="module")
def log(tmp_path_factory, features):
    log = Log(tmp_path_factory.mktemp("parts"))
    append_events(log, features)
    return log


@pytest.fixture(scope="module")
def expected(log):
    """The rows that one query derives, and their digest."""
    rebuild_state(log.database)
    return read_rows(log)


@pytest.fixture(autouse=True)
def reset_workers(log):
    yield
    log.database.workers = None


def read_rows(log):
    with log.database.open_connection(state="r", spatial=True) as connection:
        digests = connection.execute("SELECT state_digest FROM state.meta").fetchall()
        return log.read_tables(), digests, compute_state_digest(connection)


def test_parts_inline_equal_whole_in_order(log, expected, monkeypatch):
    monkeypatch.setenv(PARTS_VARIABLE, "90")
    log.database.workers = 1
    rebuild_state(log.database)
    assert read_rows(log) == expected
    with log.database.open_connection(state="r", spatial=True) as connection:
        keys = connection.execute("SELECT feature_key, raster_key, valid_from FROM state.edge").fetchall()
    assert keys == sorted(keys)


def test_parts_in_processes_equal_whole(log, expected, monkeypatch):
    monkeypatch.setenv(PARTS_VARIABLE, "90")
    log.database.workers = 2
    rebuild_state(log.database)
    assert read_rows(log) == expected
    assert {path.name for path in log.database.folder_path.iterdir()} == {
        *("log.duckdb", "state.duckdb", "state.duckdb.stamp")
    }


def test_parts_of_each_update_equal_whole(tmp_path, features, expected, monkeypatch):
    monkeypatch.setenv(PARTS_VARIABLE, "90")
    log = Log(tmp_path)
    log.database.workers = 1
    monkeypatch.setattr(log, "append_change", lambda *args: (Log.append_change(log, *args), update_state(log.database)))
    append_events(log, features)
    assert read_rows(log)[0] == expected[0]


def kill_worker(part: EdgePart) -> list[int]:
    os.kill(os.getpid(), 9)
    return join_part(part)


def test_killed_process_leads_to_one_query(log, expected, monkeypatch, caplog):
    monkeypatch.setenv(PARTS_VARIABLE, "100000")
    monkeypatch.setattr("geographer.storage.state.edge_parts.derive_in_parts.join_part", kill_worker)
    log.database.workers = 2
    rebuild_state(log.database)
    assert "a worker process ended before its work was done" in caplog.text
    assert read_rows(log) == expected


@pytest.mark.parametrize("text", ["0", "-5", "1.5", "x", " 3", "٣", "1e6", "9" * 20])
def test_invalid_part_size_is_rejected(text):
    with pytest.raises(UsageError, match="Use auto, never or a number of features"):
        parse_part_setting(text, "--graph-parts")


def test_plan_follows_workers_and_memory(log, monkeypatch):
    database = log.database

    def plan_parts(parts, workers, memory, raster_bytes=1_000):
        monkeypatch.setenv(PARTS_VARIABLE, parts)
        monkeypatch.setattr("geographer.storage.state.edge_parts.choose_parts._RASTER_BYTES", raster_bytes)
        database.workers = workers
        database.set_limits(ResourceLimits(memory))
        with database.open_connection(state="r") as connection:
            return choose_parts(connection, database, 0)

    update_state(database)
    assert plan_parts("auto", None, 10**9) is None
    assert plan_parts("never", InlineExecutor(), 10**9, raster_bytes=10**9) is None
    two = plan_parts("1000", 2, 3 * 10**9)
    assert two is not None
    assert (type(two.executor), two.size, two.memory) == (ProcessExecutor, 1000, 10**9)
    bounded = plan_parts("auto", None, 10**9, raster_bytes=2 * 10**7)
    assert bounded is not None
    assert type(bounded.executor) is InlineExecutor
    assert bounded.size < 100
    database.set_limits(ResourceLimits(10**10))
