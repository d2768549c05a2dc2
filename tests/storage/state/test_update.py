"""The projection: the same whether it grew with the log or came from it at once, and never changed for the past."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from geographer import Dataset
from geographer.outputs.export import format_json_lines
from geographer.storage.database.connection import Database, spatial_extension
from geographer.storage.queries.revision import TABLES, open_revision
from geographer.storage.queries.tables import TableFilter
from geographer.storage.state.update import read_state_position, rebuild_state, update_state
from tests.sample_history import HEAD, V1

STATE = ("meta", "class", "feature", "raster", "edge", "label", "label_object", "split", "recipe", "own_column")


def state(folder):
    """Every row of every table of a projection, as text, sorted."""
    with duckdb.connect(str(folder / "state.duckdb"), read_only=True) as connection:
        connection.execute(f"LOAD '{spatial_extension()}'")
        names = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        assert {name for (name,) in names} == set(STATE)
        return {
            table: sorted(connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {table}").fetchall(), key=str)
            for table in STATE
        }


def tables(engine, position):
    """All that can be read of a revision, as JSON."""
    with open_revision(engine, position) as revision:
        read = {name: format_json_lines(revision, name, TableFilter()) for name in TABLES}
        return read | {"recipes": revision.fetch_rows("FROM recipes"), "content": revision.compute_content_digest()}


def cut_short(log, folder, position):
    """A copy of a log that ends at a position."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(log, folder / "log.duckdb")
    with duckdb.connect(str(folder / "log.duckdb")) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            connection.execute(f"DELETE FROM {table} WHERE position > ?", [position])
    return folder


@pytest.fixture(scope="module")
def log(story):
    return story.root / ".geographer" / "log.duckdb"


@pytest.fixture(scope="module")
def grown(story):
    """The projection as it grew, one command after the other."""
    return state(story.root / ".geographer")


def test_the_story_has_all_that_a_projection_can_hold(grown):
    assert [table for table in STATE if not grown[table]] == []
    ended = {table for table in STATE for row in grown[table] if table != "meta" and row[-1].isdigit()}
    assert {"feature", "raster", "label", "edge"} <= ended


def test_a_projection_rebuilt_at_once_equals_the_one_that_grew_row_for_row(log, grown, tmp_path):
    shutil.copy(log, tmp_path)
    assert update_state(Database(tmp_path)) == HEAD
    rebuilt = state(tmp_path)
    for table in STATE:
        assert rebuilt[table] == grown[table], table


@pytest.mark.parametrize("position", [1, 4, 9, 10, 12, 16])
def test_a_projection_that_stopped_anywhere_goes_on_to_the_same_rows(log, grown, tmp_path, position):
    """Several events at once after several at once: what one of them adds, another one of the batch may remove."""
    folder = cut_short(log, tmp_path / "short", position)
    engine = Database(folder)
    assert update_state(engine) == read_state_position(engine) == position
    shutil.copy(log, folder)
    assert update_state(engine) == HEAD
    went_on = state(folder)
    for table in STATE:
        assert went_on[table] == grown[table], table


def test_a_projection_at_the_head_is_not_touched(log, tmp_path):
    shutil.copy(log, tmp_path)
    engine = Database(tmp_path)
    assert read_state_position(engine) == 0
    update_state(engine)
    before = (tmp_path / "state.duckdb").stat().st_mtime_ns
    assert update_state(engine) == HEAD
    assert (tmp_path / "state.duckdb").stat().st_mtime_ns == before


def test_a_deleted_projection_is_rebuilt_by_the_next_command_and_a_spoilt_one_on_request(story, grown, tmp_path):
    root = shutil.copytree(story.root, tmp_path / "dataset")
    folder = root / ".geographer"
    (folder / "state.duckdb").unlink()
    assert Dataset.open(root).status()["features"] == 5
    assert state(folder) == grown
    with duckdb.connect(str(folder / "state.duckdb")) as connection:
        connection.execute("DELETE FROM label")
    assert state(folder) != grown
    rebuild_state(Database(folder))
    assert state(folder) == grown


def test_what_fails_in_the_middle_leaves_the_projection_where_it_was(log, tmp_path, monkeypatch):
    folder = cut_short(log, tmp_path / "short", 12)
    engine = Database(folder)
    update_state(engine)
    before = state(folder)
    shutil.copy(log, folder)
    broken = tmp_path / "070_broken.sql"
    broken.write_text("SELECT error('broken') FROM state.meta")
    steps = update_state.__globals__["_STEPS"]
    monkeypatch.setitem(update_state.__globals__, "_STEPS", [*steps, broken])
    with pytest.raises(duckdb.Error, match="broken"):
        update_state(engine)
    assert state(folder) == before


def test_every_revision_reads_the_same_after_later_ones(story, log, tmp_path):
    """Each position, read in the whole history, against a dataset whose history ends there."""
    whole, short = Database(story.root / ".geographer"), Database(tmp_path / "short")
    for position in (2, 4, 5, 8, 10, 11, 13, 16, 18, 19):
        cut_short(log, tmp_path / "short", position)
        rebuild_state(short)
        assert tables(short, position) == tables(whole, position), position


def test_what_v1_showed_when_it_was_the_head_is_what_it_shows_now(story):
    whole = Database(story.root / ".geographer")
    now = tables(whole, V1)
    assert tables(Database(story.at_v1 / ".geographer"), V1) == now
    tags = Dataset.open(story.root).tags().to_pylist()
    assert [tag["content_digest"] for tag in tags if tag["tag"] == "v1"] == [now["content"]]
    assert tables(whole, HEAD)["content"] != now["content"]
