"""State: equal whether it grew with the log or was rebuilt, and unchanged for earlier revisions."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from geographer import Dataset
from geographer.outputs.export import format_json_lines
from geographer.storage.database.connection import Database, find_spatial_extension
from geographer.storage.queries.read_tables import TableFilter
from geographer.storage.queries.revision import TABLES, open_revision
from geographer.storage.state.update import read_state_position, rebuild_state, update_state
from tests.sample_history import HEAD, V1

STATE = ("meta", "class", "feature", "raster", "edge", "label", "label_object", "split", "recipe", "user_column")


def read_state(folder):
    """Read every row of every table of the state, as text, sorted."""
    with duckdb.connect(str(folder / "state.duckdb"), read_only=True) as connection:
        connection.execute(f"LOAD '{find_spatial_extension()}'")
        names = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        assert {name for (name,) in names} == set(STATE)
        return {
            table: sorted(connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {table}").fetchall(), key=str)
            for table in STATE
        }


def read_revision(database, position):
    """Read all tables of a revision, as JSON."""
    with open_revision(database, position) as revision:
        tables = {name: format_json_lines(revision, name, TableFilter()) for name in TABLES}
        return tables | {"recipes": revision.fetch_rows("FROM recipes"), "content": revision.compute_content_digest()}


def copy_truncated_log(log, folder, position):
    """Copy a log up to a position."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(log, folder / "log.duckdb")
    with duckdb.connect(str(folder / "log.duckdb")) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            connection.execute(f"DELETE FROM {table} WHERE position > ?", [position])
    return folder


@pytest.fixture(scope="module")
def log(sample_history):
    return sample_history.root / ".geographer" / "log.duckdb"


@pytest.fixture(scope="module")
def grown_state(sample_history):
    """The state as it was updated by one command after the other."""
    return read_state(sample_history.root / ".geographer")


def test_sample_history_fills_all_tables(grown_state):
    assert [table for table in STATE if not grown_state[table]] == []
    ended = {table for table in STATE for row in grown_state[table] if table != "meta" and row[-1].isdigit()}
    assert {"feature", "raster", "label", "edge"} <= ended


def test_rebuilt_state_equals_grown_state(log, grown_state, tmp_path):
    shutil.copy(log, tmp_path)
    assert update_state(Database(tmp_path)) == HEAD
    rebuilt = read_state(tmp_path)
    for table in STATE:
        assert rebuilt[table] == grown_state[table], table


@pytest.mark.parametrize("position", [1, 4, 9, 10, 12, 16])
def test_update_continues_from_any_position(log, grown_state, tmp_path, position):
    """Two updates of several events each: an event may remove what an earlier one of the same update added."""
    folder = copy_truncated_log(log, tmp_path / "short", position)
    database = Database(folder)
    assert update_state(database) == read_state_position(database) == position
    shutil.copy(log, folder)
    assert update_state(database) == HEAD
    continued = read_state(folder)
    for table in STATE:
        assert continued[table] == grown_state[table], table


def test_update_at_head_changes_nothing(log, tmp_path):
    shutil.copy(log, tmp_path)
    database = Database(tmp_path)
    assert read_state_position(database) == 0
    update_state(database)
    before = (tmp_path / "state.duckdb").stat().st_mtime_ns
    assert update_state(database) == HEAD
    assert (tmp_path / "state.duckdb").stat().st_mtime_ns == before


def test_deleted_state_is_rebuilt(sample_history, grown_state, tmp_path):
    root = shutil.copytree(sample_history.root, tmp_path / "dataset")
    folder = root / ".geographer"
    (folder / "state.duckdb").unlink()
    assert Dataset.open(root).status()["features"] == 5
    assert read_state(folder) == grown_state
    with duckdb.connect(str(folder / "state.duckdb")) as connection:
        connection.execute("DELETE FROM label")
    assert read_state(folder) != grown_state
    rebuild_state(Database(folder))
    assert read_state(folder) == grown_state


def test_failed_update_is_rolled_back(log, tmp_path, monkeypatch):
    folder = copy_truncated_log(log, tmp_path / "short", 12)
    database = Database(folder)
    update_state(database)
    before = read_state(folder)
    shutil.copy(log, folder)
    broken = tmp_path / "070_broken.sql"
    broken.write_text("-- needs: log.event · makes: nothing\nSELECT error('broken') FROM state.meta")
    steps = update_state.__globals__["_STEPS"]
    monkeypatch.setitem(update_state.__globals__, "_STEPS", [*steps, broken])
    with pytest.raises(duckdb.Error, match="broken"):
        update_state(database)
    assert read_state(folder) == before


def test_revisions_unchanged_by_later_events(sample_history, log, tmp_path):
    """Each revision, read in the full history, equals that of a log that ends there."""
    full, truncated = Database(sample_history.root / ".geographer"), Database(tmp_path / "short")
    for position in (2, 4, 5, 8, 10, 11, 13, 16, 18, 19):
        copy_truncated_log(log, tmp_path / "short", position)
        rebuild_state(truncated)
        assert read_revision(truncated, position) == read_revision(full, position), position


def test_v1_equals_earlier_copy(sample_history):
    database = Database(sample_history.root / ".geographer")
    revision = read_revision(database, V1)
    assert read_revision(Database(sample_history.at_v1 / ".geographer"), V1) == revision
    tags = Dataset.open(sample_history.root).tags().to_pylist()
    assert [tag["content_digest"] for tag in tags if tag["tag"] == "v1"] == [revision["content"]]
    assert read_revision(database, HEAD)["content"] != revision["content"]
