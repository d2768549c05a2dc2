"""State: equal whether it grew with the log or was rebuilt, and unchanged for earlier revisions."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import CorruptError
from geographer.outputs.table_text import format_json_lines
from geographer.storage.database.connection import Database, find_spatial_extension
from geographer.storage.events.row_tables import CORE_TABLES
from geographer.storage.log.append import create_log
from geographer.storage.queries.revision import TABLES, open_revision
from geographer.storage.queries.selection import TableFilter
from geographer.storage.state import facts
from geographer.storage.state.facts import EventFact, RecipeFact, RecipeRemovalFact, TagFact
from geographer.storage.state.update import is_state_unaltered, read_state_position, rebuild_state, update_state
from tests.sample_history import HEAD, V1
from tests.storage.log.writer_process import append_class

STATE = (
    *("meta", "class", "feature", "raster", "edge", "label", "label_object", "split", "recipe", "recipe_record"),
    *("user_column", "event", "tag", "renaming", "unreadable_row", "object_change"),
)


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
        for table in (*CORE_TABLES, "event", "chain"):
            connection.execute(f"DELETE FROM {table} WHERE event_key > ?", [position])
    return folder


@pytest.fixture(scope="module")
def log(sample_history):
    return sample_history.root / ".geographer" / "log.duckdb"


@pytest.fixture(scope="module")
def grown_state(sample_history):
    """The state as it was updated by one command after the other."""
    return read_state(sample_history.root / ".geographer")


def test_sample_history_fills_all_tables(grown_state):
    assert [table for table in STATE if not grown_state[table]] == ["renaming", "unreadable_row"]
    with_end = set(STATE) - {"meta", "recipe_record", "renaming", "user_column", "event", "tag", "object_change"}
    ended = {table for table in with_end for row in grown_state[table] if row[-1] != str(2**63 - 1)}
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
    shutil.copy(copy_truncated_log(log, tmp_path / "longer", 14) / log.name, folder)
    broken = tmp_path / "070_broken.sql"
    broken.write_text("-- needs: event_fact · makes: nothing\nSELECT error('broken') FROM state.meta")
    steps = update_state.__globals__["STEPS"]
    monkeypatch.setitem(update_state.__globals__, "STEPS", [*steps, broken])
    with pytest.raises(CorruptError, match="broken"):
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


# --- the state's digests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [1, 2, 10, 16])
def test_state_digest_grows_with_updates(log, tmp_path, position):
    database = Database(copy_truncated_log(log, tmp_path / "short", position))
    update_state(database)
    assert is_state_unaltered(database)
    shutil.copy(log, tmp_path / "short")
    update_state(database)
    assert is_state_unaltered(database)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_state_of_another_log_is_rebuilt(log, tmp_path, count):
    """The log was replaced by a shorter one, one that is as long, or a longer one, with the same first events."""
    own, other = (copy_truncated_log(log, tmp_path / name, 3) for name in ("own", "other"))
    for number in range(2):
        append_class(Database(own), f"quay{number}")
    for number in range(count):
        append_class(Database(other), f"canal{number}")
    assert (update_state(Database(own)), update_state(Database(other))) == (5, 3 + count)
    shutil.copy(other / "log.duckdb", own)
    database = Database(own)
    assert read_state_position(database) == 0
    assert update_state(database) == 3 + count
    assert read_state(own) == read_state(other)


def test_state_of_other_duckdb_is_rebuilt(log, tmp_path, monkeypatch):
    shutil.copy(log, tmp_path)
    database = Database(tmp_path)
    update_state(database)
    update_state.__globals__["_hash_files"].cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(duckdb, "__version__", "1.6.0")
        assert read_state_position(database) == 0
        update_state.__globals__["_hash_files"].cache_clear()
    assert read_state_position(database) == HEAD


def test_state_shows_one_chain(log, grown_state, tmp_path):
    """The tables hold a second chain, whose rows change the same objects."""
    shutil.copy(log, tmp_path)
    with duckdb.connect(str(tmp_path / "log.duckdb")) as connection:
        connection.execute(
            "INSERT INTO event SELECT * REPLACE (event_key + 100 AS event_key, 'x' || digest[2:] AS digest) FROM event"
        )
        connection.execute("INSERT INTO chain SELECT 'other', position, event_key + 100 FROM chain")
        for table in CORE_TABLES:
            connection.execute(f"INSERT INTO {table} SELECT * REPLACE (event_key + 100 AS event_key) FROM {table}")
    database = Database(tmp_path)
    assert update_state(database) == HEAD
    assert read_state(tmp_path) == grown_state
    before = read_revision(Database(log.parent), HEAD)
    assert read_revision(database, HEAD) == before


# --- facts --------------------------------------------------------------------------------------------------------

GRID, WIDE, OTHER = '{"size":1}', '{"size":2}', "{}"
FACTS = {
    1: [RecipeFact("grid", "cut grid", GRID, 1, 0, 1, "", 0)],
    2: [RecipeFact("grid", "cut grid", GRID, 2, 0, 2, "", 0)],
    3: [RecipeFact("split", "split", OTHER, 3, 0, 3, "", 0), RecipeFact("grid", "cut grid", WIDE, 3, 1, 3, "", 1)],
    4: [RecipeFact("grid", "cut around", WIDE, 4, 0, 4, "", 0)],
    5: [RecipeRemovalFact("grid", 5)],
    6: [RecipeFact("grid", "cut grid", WIDE, 6, 0, 6, "", 0)],
    7: [RecipeFact("grid", "cut grid", GRID, 7, 0, 7, "", 0)],
    8: [RecipeRemovalFact("grid", 8), RecipeRemovalFact("split", 8)],
}
SPLIT = ("split", "split", OTHER, 3)
RECIPES = {
    1: [("grid", "cut grid", GRID, 1)],
    2: [("grid", "cut grid", GRID, 1)],
    3: [("grid", "cut grid", WIDE, 1), SPLIT],
    4: [("grid", "cut around", WIDE, 1), SPLIT],
    5: [SPLIT],
    6: [SPLIT, ("grid", "cut grid", WIDE, 6)],
    7: [SPLIT, ("grid", "cut grid", GRID, 6)],
    8: [],
}


def read_listed_facts(facts_by_position):
    """Return a function that reads the facts of an event from a table instead of its payload."""
    return lambda event: [
        EventFact(event.position, event.digest, False, event.generation),
        *facts_by_position.get(event.position, []),
    ]


@pytest.mark.parametrize("updates", [{8}, {2, 8}, {3, 5, 8}, {4, 6, 7, 8}, set(range(1, 9))])
def test_recipe_versions(tmp_path, monkeypatch, updates):
    """A recipe keeps its place while its parameters change, until it is removed."""
    monkeypatch.setattr(facts, "read_facts", read_listed_facts(FACTS))
    database = Database(tmp_path)
    create_log(database)
    for position in RECIPES:
        append_class(database, f"class{position}")
        if position in updates:
            update_state(database)
    for position, expected in RECIPES.items():
        with open_revision(database, position) as revision:
            assert revision.fetch_rows("FROM recipes") == expected, position
            assert revision.fetch_value("SELECT count(*) FROM state.recipe") == 6
    assert is_state_unaltered(database)


def test_tag_names_the_event_of_its_digest(tmp_path, monkeypatch):
    database = Database(tmp_path)
    create_log(database)
    digests = [append_class(database, name).digest for name in ("pond", "quay", "dock")]
    tag = TagFact("v1", 3, 1, digests[1], "c" * 64, None, "1.0.0")
    monkeypatch.setattr(facts, "read_facts", read_listed_facts({3: [tag]}))
    update_state(database)
    for position, expected in ((2, []), (3, [("v1", 2, digests[1], "c" * 64, None, "1.0.0")])):
        with open_revision(database, position) as revision:
            assert (
                revision.fetch_rows("SELECT * EXCLUDE (recorded_at, author, message, log_root) FROM tags") == expected
            )
