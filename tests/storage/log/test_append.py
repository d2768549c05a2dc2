"""Append: events are chained, recorded once for a key, by one writer at a time, atomically even if killed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.operations.add.events import ClassesAdded
from geographer.operations.remove.events import FeaturesRemoved
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, Head
from geographer.storage.log.append import append_event, create_log
from geographer.storage.state.update import update_state
from tests import REPOSITORY
from tests.sample_history import FIRST_FEATURES, write_features
from tests.storage.log import digest_oracle as oracle
from tests.storage.log.writer_process import append_class, make_class_event, read_current_head

ADA = CommitInfo("Ada")


@pytest.fixture
def database(tmp_path):
    created = Database(tmp_path)
    create_log(created)
    return created


def start_writer(*arguments):
    """Start a writer process; see `tests.storage.log.writer_process`."""
    command = [sys.executable, "-m", "tests.storage.log.writer_process", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def read_classes(database):
    """Read the classes in the log, by position."""
    rows = oracle.read_log(database.file_path("log"))[1]["class_change"]
    return {row["position"]: row["class"] for row in rows}


def test_append_chains_events(database):
    events = [append_class(database, name) for name in ("pond", "quarry", "quay")]
    assert [event.position for event in events] == [1, 2, 3]
    assert [event.parents for event in events] == [[], [events[0].digest], [events[1].digest]]
    assert oracle.find_faults(database.file_path("log")) == []
    assert read_current_head(database) == (3, events[2].digest)


def test_append_returns_stored_event(database):
    commit_info = CommitInfo("Ada", "why", "geographer add classes pond", "key")
    event = append_event(database, *make_class_event("pond"), commit_info, EMPTY_LOG_HEAD)
    (stored,), _ = oracle.read_log(database.file_path("log"))
    assert event.to_dict() == stored
    assert event.author == "Ada"
    assert (event.message, event.command, event.idempotency_key) == commit_info[1:]
    payload = {"request": {"classes": ["pond"]}, "classes": ["pond"]}
    assert (event.kind, event.version, event.payload) == ("classes_added", 1, payload)
    assert (event.format, event.generation) == (2, 1)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event.event_id)


@pytest.mark.parametrize("expected", [EMPTY_LOG_HEAD, Head(1, "0" * 64), Head(2, "0" * 64), Head(3, "0" * 64)])
def test_append_rejects_stale_head(database, expected):
    append_class(database, "pond")
    append_class(database, "quarry")
    before = oracle.read_log(database.file_path("log"))
    with pytest.raises(ConflictError, match="Run the command again"):
        append_event(database, *make_class_event("quay"), ADA, expected)
    assert oracle.read_log(database.file_path("log")) == before


def test_append_rolls_back_invalid_rows(database):
    head = append_class(database, "pond")
    before = oracle.read_log(database.file_path("log"))
    invalid_rows = "(SELECT 'added' AS change, NULL AS class, 1 AS value)"
    with pytest.raises(duckdb.ConstraintException):
        append_event(database, ClassesAdded(classes=["x"]), {"class_change": invalid_rows}, ADA, Head(1, head.digest))
    assert oracle.read_log(database.file_path("log")) == before
    assert append_class(database, "quay").position == 2


@pytest.mark.parametrize("number", [2**53, float("nan"), float("inf")])
def test_append_rejects_non_json_number(database, number):
    with pytest.raises(UsageError, match="cannot be recorded"):
        append_event(database, ClassesAdded(request={"seed": number}, classes=["x"]), {}, ADA, EMPTY_LOG_HEAD)
    assert read_current_head(database) == EMPTY_LOG_HEAD


# --- idempotency keys ---------------------------------------------------------------------------------------------


def test_append_returns_event_of_known_key(database):
    keyed = CommitInfo("Ada", idempotency_key="k")
    first = append_event(database, *make_class_event("pond"), keyed, EMPTY_LOG_HEAD)
    append_class(database, "quarry")
    before = oracle.read_log(database.file_path("log"))
    assert (
        append_event(database, *make_class_event("pond"), CommitInfo("Eve", "again", "", "k"), EMPTY_LOG_HEAD) == first
    )
    assert oracle.read_log(database.file_path("log")) == before


@pytest.mark.parametrize(
    "other", [make_class_event("quarry"), (FeaturesRemoved(request={"classes": ["pond"]}, features=1), {})]
)
def test_append_rejects_key_of_other_request(database, other):
    payload, rows = other
    keyed = CommitInfo("Ada", idempotency_key="k")
    append_event(database, *make_class_event("pond"), keyed, EMPTY_LOG_HEAD)
    with pytest.raises(ConflictError, match=r"'k' was used for another request: @1 classes_added. Use a new key"):
        append_event(database, payload, rows, keyed, read_current_head(database))
    assert read_current_head(database).position == 1


def test_append_without_key_repeats_events(database):
    assert [
        append_event(database, *make_class_event("pond"), ADA, read_current_head(database)).position for _ in range(2)
    ] == [1, 2]


def test_dataset_runs_keyed_request_once(dataset, tmp_path):
    first = write_features(tmp_path / "first.geojson", FIRST_FEATURES)
    options: dict[str, Any] = {"crs": "EPSG:32633", "on_error": "skip", "idempotency_key": "survey"}
    result = dataset.add_features(first, **options)
    dataset.add_classes(["quay"])
    again = Dataset.open(dataset.root).add_features(first, message="other words", **options)
    assert result.changed
    assert again == result._replace(changed=False)
    with pytest.raises(ConflictError, match="Use a new key"):
        dataset.add_features(first, **{**options, "where": "id = 'p1'"})
    with pytest.raises(ConflictError, match="Use a new key"):
        dataset.add_classes(["dock"], idempotency_key="survey")
    assert [event.position for event in dataset.log()] == [1, 2, 3]


def test_change_rejects_unexpected_head(dataset):
    old_digest = dataset.log()[-1].digest
    assert dataset.add_classes(["pond"], expected_head=old_digest[:8]).position == 2
    for expected in (old_digest, old_digest[:8], ""):
        with pytest.raises(ConflictError, match="not the expected"):
            dataset.add_classes(["quay"], expected_head=expected)
    assert dataset.status()["position"] == 2


def test_concurrent_equal_requests_recorded_once(dataset, monkeypatch):
    """Another process records the same request and another one between the look-up of the key and the append."""
    other = Dataset.open(dataset.root)
    prepare_head = dataset._unit_of_work.prepare_head

    def prepare_head_late(expected):
        head = prepare_head(expected)
        other.add_classes(["pond"], idempotency_key="k")
        other.add_classes(["quay"])
        return head

    monkeypatch.setattr(dataset._unit_of_work, "prepare_head", prepare_head_late)
    assert dataset.add_classes(["pond"], idempotency_key="k").position == 2
    assert [event.position for event in dataset.log()] == [1, 2, 3]
    assert dataset.status()["workspace"] == 3


# --- several processes --------------------------------------------------------------------------------------------


def test_concurrent_writers_append_all_events(database):
    writers = [start_writer("append", database.file_path("log").parent, name, 8) for name in ("ada", "eve")]
    positions_of_writers = [[int(line) for line in process.communicate(timeout=60)[0].split()] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sorted(positions_of_writers[0] + positions_of_writers[1]) == list(range(1, 17))
    assert all(positions == sorted(positions) for positions in positions_of_writers)
    recorded = read_classes(database)
    for name, positions in zip(("ada", "eve"), positions_of_writers, strict=True):
        assert [recorded[position] for position in positions] == [f"{name}{number}" for number in range(8)]
    assert oracle.find_faults(database.file_path("log")) == []


def test_writer_warns_and_waits_for_lock(database, caplog):
    with start_writer("hold", database.file_path("log").parent, 1) as holder:
        assert holder.stdout.readline() == "held\n"
        assert append_event(database, *make_class_event("pond"), ADA, EMPTY_LOG_HEAD).position == 1
        assert holder.stdout.readline() == "released\n"
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for another process that holds 'log.duckdb' …"
    ]
    assert read_classes(database) == {1: "pond"}


def test_reader_waits_for_writer(database, caplog):
    append_class(database, "pond")
    with start_writer("hold", database.file_path("log").parent, 1) as holder:
        assert holder.stdout.readline() == "held\n"
        assert read_current_head(database).position == 1
        assert holder.stdout.readline() == "released\n"
    assert len(caplog.records) == 1
    assert read_classes(database) == {1: "pond"}


def test_writer_waits_for_reader(database):
    with database.open_connection(log="r") as connection:
        process = start_writer("append", database.file_path("log").parent, "ada", 1)
        time.sleep(0.7)
        assert process.poll() is None
        assert connection.execute("SELECT count(*) FROM log.event").fetchone() == (0,)
    assert process.communicate(timeout=60)[0] == "1\n"


# --- kill -9 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["stage_rows", "_make_event", "_insert_event"])
def test_killed_append_leaves_no_trace(database, step):
    append_class(database, "pond")
    before = oracle.read_log(database.file_path("log"))
    with start_writer("die", database.file_path("log").parent, step) as process:
        assert process.wait(timeout=60) == -9
    assert read_current_head(database).position == 1
    assert append_class(database, "quay").position == 2
    assert oracle.find_faults(database.file_path("log")) == []
    events, rows = oracle.read_log(database.file_path("log"))
    assert events[:1] == before[0]
    assert [row["class"] for row in rows["class_change"]] == ["pond", "quay"]


@pytest.mark.parametrize("trial", range(4))
def test_sigkill_loses_no_acknowledged_event(database, trial):
    append_class(database, "pond")
    update_state(database)
    with start_writer("append", database.file_path("log").parent, "c", "endless") as process:
        for _ in range(3 + 4 * trial):
            assert process.stdout.readline()
        time.sleep(0.003 * trial)
        process.kill()
        positions = [int(line) for line in process.stdout.read().split()]
    last = max(positions, default=4 + 4 * trial)
    # The last durable append may not have been printed.
    assert read_current_head(database).position in (last, last + 1)
    assert oracle.find_faults(database.file_path("log")) == []
    assert append_class(database, "after").position in (last + 1, last + 2)
    assert update_state(database) == read_current_head(database).position
    with database.open_connection(state="r") as connection:
        classes = dict(connection.execute("SELECT valid_from, class FROM state.class").fetchall())
    assert classes == read_classes(database)
    assert classes[last] == f"c{last - 2}"
