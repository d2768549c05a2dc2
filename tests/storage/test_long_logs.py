"""Long logs: what the last events cost does not grow with the log, and the answers are those of a plain reading."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import UsageError
from geographer.storage.database.connection import Database, run_script
from geographer.storage.log.check import find_log_faults
from geographer.storage.queries.revision import open_revision
from geographer.storage.state.steps import STEPS
from geographer.storage.state.update import rebuild_state
from tests.benchmarks.long_log_writer import SELDOM_CHANGED, write_events
from tests.storage.state.test_update import read_state

EVENTS = 260
"""So many events of 50 changes: the rows fill a row group of the log and begin another one."""

_COLUMN_RECORDS = [
    *(("feature", "visit", "BIGINT", 0, 1), ("feature", "name", "VARCHAR", 1, 1), ("feature", "visit", "BIGINT", 0, 2)),
    *(("feature", "visit", "DOUBLE", 0, 3), ("raster", "visit", "BIGINT", 0, 3), ("feature", "visit", None, 0, 4)),
    *(("feature", "visit", "BIGINT", 0, 5), ("feature", "name", "VARCHAR", 1, 5), ("feature", "visit", "BIGINT", 0, 6)),
]


@pytest.fixture(scope="module")
def long_log(tmp_path_factory):
    root = tmp_path_factory.mktemp("long") / "dataset"
    Dataset.init(root, classes=["pond", "quarry", "field"], scm=False)
    write_events(root, EVENTS)
    rebuild_state(Database(root / ".geographer"))
    return root


@pytest.fixture(scope="module")
def dataset(long_log):
    return Dataset.open(long_log)


def test_long_log_is_valid(long_log):
    with Database(long_log / ".geographer").open_connection(log="r") as connection:
        assert find_log_faults(connection) == []


@pytest.mark.parametrize("at", [None, "@40", "HEAD~3"])
def test_last_events_equal_the_end_of_all(dataset, at):
    assert list(dataset.log(7, at)) == list(dataset.log(at=at))[-7:]
    assert list(dataset.log(10_000, at)) == list(dataset.log(at=at))


def test_prefix_of_a_digest_names_its_event(dataset):
    events = list(dataset.log())
    for event in events[::40]:
        assert dataset.show(event.digest[:12]).position == dataset.show(event.digest).position == event.position
    starts = [event.digest[:6] for event in events]
    assert [dataset.show(start).digest[:6] for start in starts[:3] if starts.count(start) == 1] == starts[:3]


def test_history_of_a_seldom_changed_feature(dataset):
    positions = [row["position"] for row in dataset.history(SELDOM_CHANGED)]
    assert positions == [2, *(2 + number for number in range(EVENTS // 20, EVENTS + 1, EVENTS // 20))]


def test_state_is_equal_in_steps(long_log, tmp_path, monkeypatch):
    shutil.copytree(long_log / ".geographer", tmp_path / ".geographer")
    monkeypatch.setitem(rebuild_state.__globals__, "_MAX_EVENTS", 87)
    rebuild_state(Database(tmp_path / ".geographer"))
    assert read_state(tmp_path / ".geographer") == read_state(long_log / ".geographer")


def test_append_keeps_complete_row_groups(long_log, tmp_path):
    root = tmp_path / "dataset"
    shutil.copytree(long_log, root)
    before = {name: list_complete_blocks(root, name) for name in ("log", "state")}
    Dataset.open(root).add_classes(["lake"])
    write_events(root, 1)
    assert all(before.values())
    assert {name: blocks & list_complete_blocks(root, name) for name, blocks in before.items()} == before
    # A commit writes the last group again, so groups are small.
    with duckdb.connect(str(root / ".geographer/log.duckdb"), read_only=True) as connection:
        segments = (
            "FROM pragma_storage_info('feature_change') WHERE column_name = 'ordinal' AND segment_type <> 'VALIDITY'"
        )
        groups = connection.execute(f"SELECT sum(count) {segments} GROUP BY row_group_id").fetchall()
    assert max(rows for (rows,) in groups) <= 12_288
    assert sum(rows for (rows,) in groups) == 2 * 2_000 + (EVENTS + 1) * 50


def list_complete_blocks(root, name):
    """Return the segments of the first row group of the largest table, with the blocks in which they lie."""
    table = {"log": "feature_change", "state": "feature"}[name]
    query = f"SELECT column_id, segment_id, block_id, block_offset, count FROM pragma_storage_info('{table}')"
    with duckdb.connect(str(root / ".geographer" / f"{name}.duckdb"), read_only=True) as connection:
        # The ends of versions are changed in place.
        return {*connection.execute(f"{query} WHERE row_group_id = 0 AND column_name <> 'valid_to'").fetchall()}


def test_user_columns_are_kept_once_for_each_type(dataset):
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA state")
        for table in ("state.user_column", "user_column_fact"):
            columns = "subject VARCHAR, name VARCHAR, type VARCHAR, ordinal BIGINT, position BIGINT"
            connection.execute(f"CREATE TABLE {table} ({columns})")
        (step,) = [step for step in STEPS if step.name == "006_user_column.sql"]
        for records in (_COLUMN_RECORDS[:4], _COLUMN_RECORDS[4:7], _COLUMN_RECORDS[7:]):
            connection.execute("DELETE FROM user_column_fact")
            connection.executemany("INSERT INTO user_column_fact VALUES (?, ?, ?, ?, ?)", records)
            run_script(connection, step.read_text())
        kept = connection.execute("FROM state.user_column ORDER BY position, subject, ordinal").fetchall()
    assert kept == [_COLUMN_RECORDS[number] for number in (0, 1, 3, 4, 5, 6)]
    with open_revision(dataset._unit_of_work.database, 2) as revision:
        assert revision.list_user_columns("feature") == {"visit": "BIGINT"}
        assert revision.fetch_rows("SELECT position FROM state.user_column") == [(2,)]


def test_ambiguous_prefix_is_refused(dataset, monkeypatch):
    monkeypatch.setattr("geographer.storage.log.read._list_digests", lambda *_: ["a" * 64, "b" * 64])
    with pytest.raises(UsageError, match="matches 2 events"):
        dataset.show("aaaaaa")
