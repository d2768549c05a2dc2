"""Appending: chained, once for a key, one writer at a time, and whole or not at all whatever kills it."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, EventDraft, Head
from geographer.storage.log.append import append_event, create_log
from geographer.storage.state.update import update_state
from tests import REPOSITORY
from tests.sample_history import FIRST, write_features
from tests.storage.log import digest_oracle as oracle
from tests.storage.log.writer_process import append_class, draft, head

ADA = CommitInfo("Ada")


@pytest.fixture
def engine(tmp_path):
    opened = Database(tmp_path)
    create_log(opened)
    return opened


def writer(*arguments):
    """A process that writes: see `tests.storage.log.writer_process`."""
    command = [sys.executable, "-m", "tests.storage.log.writer_process", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def classes(engine):
    """The classes in the log, by position."""
    rows = oracle.read_log(engine.file("log"))[1]["class_change"]
    return {row["position"]: row["class"] for row in rows}


def test_each_event_holds_the_digest_of_the_one_before_it(engine):
    events = [append_class(engine, name) for name in ("pond", "quarry", "quay")]
    assert [event.position for event in events] == [1, 2, 3]
    assert [event.parents for event in events] == [[], [events[0].digest], [events[1].digest]]
    assert oracle.faults(engine.file("log")) == []
    assert head(engine) == (3, events[2].digest)


def test_what_is_appended_is_what_is_answered_and_what_is_read(engine):
    signature = CommitInfo("Ada", "why", "geographer add classes pond", "key")
    event = append_event(engine, draft("pond"), signature, EMPTY_LOG_HEAD)
    (kept,), _ = oracle.read_log(engine.file("log"))
    assert event.to_dict() == kept
    assert event.author == "Ada"
    assert (event.message, event.command, event.idempotency_key) == signature[1:]
    assert (event.kind, event.version, event.payload) == ("classes_added", 1, {"request": {"classes": ["pond"]}})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event.event_id)


@pytest.mark.parametrize("expected", [EMPTY_LOG_HEAD, Head(1, "0" * 64), Head(2, "0" * 64), Head(3, "0" * 64)])
def test_a_head_that_is_not_the_expected_one_is_refused_and_nothing_is_written(engine, expected):
    append_class(engine, "pond")
    append_class(engine, "quarry")
    before = oracle.read_log(engine.file("log"))
    with pytest.raises(ConflictError, match="run it again"):
        append_event(engine, draft("quay"), ADA, expected)
    assert oracle.read_log(engine.file("log")) == before


def test_rows_that_cannot_be_inserted_leave_nothing_behind(engine):
    append_class(engine, "pond")
    before = oracle.read_log(engine.file("log"))
    nameless = "(SELECT 'added' AS change, NULL AS class, 1 AS value)"
    with pytest.raises(duckdb.ConstraintException):
        append_event(engine, EventDraft("classes_added", {}, {"class_change": nameless}), ADA, head(engine))
    assert oracle.read_log(engine.file("log")) == before
    assert append_class(engine, "quay").position == 2


@pytest.mark.parametrize("number", [2**53, float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_refused_by_name(engine, number):
    with pytest.raises(UsageError, match="can't be recorded"):
        append_event(engine, EventDraft("chips_cut", {"seed": number}), ADA, EMPTY_LOG_HEAD)
    assert head(engine) == EMPTY_LOG_HEAD


# --- idempotency keys ---------------------------------------------------------------------------------------------


def test_a_key_that_is_known_answers_its_event_though_the_head_has_moved(engine):
    keyed = CommitInfo("Ada", idempotency_key="k")
    first = append_event(engine, draft("pond"), keyed, EMPTY_LOG_HEAD)
    append_class(engine, "quarry")
    before = oracle.read_log(engine.file("log"))
    assert append_event(engine, draft("pond"), CommitInfo("Eve", "again", "", "k"), EMPTY_LOG_HEAD) == first
    assert oracle.read_log(engine.file("log")) == before


@pytest.mark.parametrize("other", [draft("quarry"), EventDraft("features_added", {"request": {"classes": ["pond"]}})])
def test_a_key_that_belongs_to_another_request_is_refused(engine, other):
    keyed = CommitInfo("Ada", idempotency_key="k")
    append_event(engine, draft("pond"), keyed, EMPTY_LOG_HEAD)
    with pytest.raises(ConflictError, match=r"'k' belongs to @1 \(classes_added\).*use a new key"):
        append_event(engine, other, keyed, head(engine))
    assert head(engine).position == 1


def test_events_without_a_key_are_never_taken_for_each_other(engine):
    assert [append_event(engine, draft("pond"), ADA, head(engine)).position for _ in range(2)] == [1, 2]


def test_a_request_through_the_dataset_is_done_once_for_its_key(dataset, tmp_path):
    first = write_features(tmp_path / "first.geojson", FIRST)
    asked = {"crs": "EPSG:32633", "on_error": "skip", "idempotency_key": "survey"}
    done = dataset.add_features(first, **asked)
    dataset.add_classes(["quay"])
    again = Dataset.open(dataset.root).add_features(first, message="other words", **asked)
    assert done.changed
    assert again == done._replace(changed=False)
    with pytest.raises(ConflictError, match="use a new key"):
        dataset.add_features(first, **{**asked, "where": "id = 'p1'"})
    with pytest.raises(ConflictError, match="use a new key"):
        dataset.add_classes(["dock"], idempotency_key="survey")
    assert [event.position for event in dataset.log()] == [1, 2, 3]


def test_a_change_is_refused_when_the_head_is_not_the_one_that_the_person_saw(dataset):
    seen = dataset.log()[-1].digest
    assert dataset.add_classes(["pond"], expected_head=seen[:8]).position == 2
    for expected in (seen, seen[:8], ""):
        with pytest.raises(ConflictError, match="look again"):
            dataset.add_classes(["quay"], expected_head=expected)
    assert dataset.status()["position"] == 2


def test_a_request_that_another_process_records_meanwhile_is_not_recorded_twice(dataset, monkeypatch):
    """Between looking the key up and appending, the same request is recorded, and something else after it."""
    other = Dataset.open(dataset.root)
    planned = dataset._recorder.planning_head

    def overtaken(expected):
        head = planned(expected)
        other.add_classes(["pond"], idempotency_key="k")
        other.add_classes(["quay"])
        return head

    monkeypatch.setattr(dataset._recorder, "planning_head", overtaken)
    assert dataset.add_classes(["pond"], idempotency_key="k").position == 2
    assert [event.position for event in dataset.log()] == [1, 2, 3]
    assert dataset.status()["workspace"] == 3


# --- several processes --------------------------------------------------------------------------------------------


def test_processes_that_append_at_once_wait_for_each_other_and_all_events_land(engine):
    writers = [writer("append", engine.file("log").parent, name, 8) for name in ("ada", "eve")]
    told = [[int(line) for line in process.communicate(timeout=60)[0].split()] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sorted(told[0] + told[1]) == list(range(1, 17))
    assert all(positions == sorted(positions) for positions in told)
    kept = classes(engine)
    for name, positions in zip(("ada", "eve"), told, strict=True):
        assert [kept[position] for position in positions] == [f"{name}{number}" for number in range(8)]
    assert oracle.faults(engine.file("log")) == []


def test_who_finds_the_log_held_says_so_waits_and_then_appends(engine, caplog):
    with writer("hold", engine.file("log").parent, 1) as holder:
        assert holder.stdout.readline() == "held\n"
        assert append_event(engine, draft("pond"), ADA, EMPTY_LOG_HEAD).position == 1
        assert holder.stdout.readline() == "released\n"
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for another process that holds 'log.duckdb' …"
    ]
    assert classes(engine) == {1: "pond"}


def test_a_reader_waits_while_a_writer_holds_and_never_sees_its_unfinished_append(engine, caplog):
    append_class(engine, "pond")
    with writer("hold", engine.file("log").parent, 1) as holder:
        assert holder.stdout.readline() == "held\n"
        assert head(engine).position == 1
        assert holder.stdout.readline() == "released\n"
    assert len(caplog.records) == 1
    assert classes(engine) == {1: "pond"}


def test_a_writer_waits_for_a_reader_in_another_process(engine):
    with engine.attached(log="r") as connection:
        process = writer("append", engine.file("log").parent, "ada", 1)
        time.sleep(0.7)
        assert process.poll() is None
        assert connection.execute("SELECT count(*) FROM log.event").fetchone() == (0,)
    assert process.communicate(timeout=60)[0] == "1\n"


# --- kill -9 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["_insert_rows", "_event", "_insert_event"])
def test_an_append_that_is_killed_at_any_step_leaves_no_trace(engine, step):
    append_class(engine, "pond")
    before = oracle.read_log(engine.file("log"))
    with writer("die", engine.file("log").parent, step) as process:
        assert process.wait(timeout=60) == -9
    assert head(engine).position == 1
    assert append_class(engine, "quay").position == 2
    assert oracle.faults(engine.file("log")) == []
    events, rows = oracle.read_log(engine.file("log"))
    assert events[:1] == before[0]
    assert [row["class"] for row in rows["class_change"]] == ["pond", "quay"]


@pytest.mark.parametrize("trial", range(4))
def test_kill_9_among_appends_loses_no_event_that_was_acknowledged(engine, trial):
    append_class(engine, "pond")
    update_state(engine)
    with writer("append", engine.file("log").parent, "c", "endless") as process:
        for _ in range(3 + 4 * trial):
            assert process.stdout.readline()
        time.sleep(0.003 * trial)
        process.kill()
        told = [int(line) for line in process.stdout.read().split()]
    last = max(told, default=4 + 4 * trial)
    # One more may be durable than was told.
    assert head(engine).position in (last, last + 1)
    assert oracle.faults(engine.file("log")) == []
    assert append_class(engine, "after").position in (last + 1, last + 2)
    assert update_state(engine) == head(engine).position
    with engine.attached(state="r") as connection:
        projected = dict(connection.execute("SELECT valid_from, class FROM state.class").fetchall())
    assert projected == classes(engine)
    assert projected[last] == f"c{last - 2}"
