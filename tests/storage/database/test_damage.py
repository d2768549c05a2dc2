"""Damaged files: of the log, an error that names the file; the state is derived again."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import DamagedFileError
from geographer.storage.database.connection import Database, attach_file, connect_memory
from geographer.storage.log.check import check_indexes
from tests.cli.runner import run_command

BLOCK, FIRST_BLOCK = 262_144, 12_288
"""The sizes in bytes of a block of a DuckDB file and of its headers."""


@pytest.fixture(scope="module")
def template(tmp_path_factory, empty_dataset) -> Path:
    """A dataset with three events, to copy."""
    root = shutil.copytree(empty_dataset, tmp_path_factory.mktemp("damage") / "dataset")
    dataset = Dataset.open(root)
    for name in ("pond", "lake"):
        dataset.add_classes([name])
    return root


@pytest.fixture
def root(template, tmp_path) -> Path:
    return shutil.copytree(template, tmp_path / "dataset")


def flip_bit(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "main header": lambda path: flip_bit(path, 100),
    "header": lambda path: flip_bit(path, 4_200),
    "first block": lambda path: flip_bit(path, FIRST_BLOCK + 100),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "headers only": lambda path: path.write_bytes(path.read_bytes()[:FIRST_BLOCK]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("notes " * 10_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_log_is_named(root, damage):
    log = root / ".geographer" / "log.duckdb"
    damage(log)
    before = log.read_bytes()
    with pytest.raises(DamagedFileError, match=r"log\.duckdb' is damaged .*Restore .*backup") as error:
        Dataset.open(root).verify()
    assert (error.value.path, error.value.exit_code) == (log, 5)
    assert log.read_bytes() == before


@pytest.mark.parametrize("damage", [*DAMAGES.values(), replace_by_folder], ids=[*DAMAGES.keys(), "folder"])
def test_damaged_state_is_derived_again(root, damage):
    damage(root / ".geographer" / "state.duckdb")
    assert Dataset.open(root).classes().to_pylist() == [
        {"class": "pond", "value": 1, "features": 0, "is_context": False},
        {"class": "lake", "value": 2, "features": 0, "is_context": False},
    ]
    assert Dataset.open(root).add_classes(["river"]).position == 4


def test_damage_met_by_query_names_file(root):
    """A damaged block of rows is met only when they are read."""
    path = root / ".geographer" / "log.duckdb"
    for offset in range(FIRST_BLOCK + BLOCK + 100, path.stat().st_size, BLOCK):
        flip_bit(path, offset)
    database = Database(path.parent)
    with pytest.raises(DamagedFileError) as error, database.open_connection(log="r") as connection:
        connection.execute("FROM log.event").fetchall()
    assert error.value.path == path


def test_damaged_state_met_by_query_is_deleted(root):
    path = root / ".geographer" / "state.duckdb"
    for offset in range(FIRST_BLOCK + BLOCK + 100, path.stat().st_size, BLOCK):
        flip_bit(path, offset)
    database = Database(path.parent)
    with (
        pytest.raises(DamagedFileError, match="run the command again") as error,
        database.open_connection(log="r", state="r") as connection,
    ):
        connection.execute("FROM state.class").fetchall()
    assert (error.value.path, path.exists()) == (path, False)


def end_fatally(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave the connection as DuckDB does after a fatal error: it rejects every query."""
    connection.close()
    raise duckdb.FatalException("the database has been invalidated")


def test_database_works_after_fatal_error(root):
    database = Database(root / ".geographer")
    with pytest.raises(duckdb.FatalException), database.open_connection(log="r") as connection:
        end_fatally(connection)
    with database.open_connection(log="r") as connection:
        assert connection.execute("SELECT count(*) FROM log.event").fetchone() == (3,)


def is_index_damage_found(path: Path) -> bool:
    try:
        check_indexes(Database(path.parent))
    except DamagedFileError as error:
        return error.path == path and f"'{path}' is damaged" in str(error)
    return False


def is_row_damage_found(path: Path) -> bool:
    try:
        with Database(path.parent).open_connection(log="r") as connection:
            for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                connection.execute(f"SELECT hash(row) FROM log.{table} AS row").fetchall()
    except DamagedFileError:
        return True
    return False


def test_damaged_index_is_found(root):
    """Each block is read by a scan of the rows or by an append, unless it is free."""
    path = root / ".geographer" / "log.duckdb"
    intact, in_indexes, in_rows = path.read_bytes(), set(), set()
    for offset in range(FIRST_BLOCK + 100, len(intact), BLOCK):
        flip_bit(path, offset)
        in_indexes |= {offset} if is_index_damage_found(path) else set()
        in_rows |= {offset} if is_row_damage_found(path) else set()
        path.write_bytes(intact)
    with closing(connect_memory()) as connection:
        attach_file(connection, "log", path, "r")
        query = "SELECT used_blocks FROM pragma_database_size() WHERE database_name = 'log'"
        assert connection.execute(query).fetchone() == (len(in_indexes | in_rows),)
    assert in_indexes - in_rows


def test_log_without_events_is_refused(root):
    path = root / ".geographer" / "log.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM chain; DELETE FROM event")
    with pytest.raises(DamagedFileError, match=r"holds no events.*geographer init"):
        Dataset.open(root)
    path.unlink()
    duckdb.connect(str(path)).close()
    with pytest.raises(DamagedFileError, match="holds no events"):
        Dataset.open(root)


def test_edited_log_is_blamed_for_unexpected_error(root):
    """The parser of payloads does not expect text that geographer cannot have written."""
    with duckdb.connect(str(root / ".geographer" / "log.duckdb")) as connection:
        connection.execute("UPDATE event SET payload = '{' WHERE event_key = 2")
    with pytest.raises(DamagedFileError, match=r"damaged \(event @2: edited event"):
        Dataset.open(root).log()


def test_error_of_other_cause_is_kept(root):
    database = Dataset.open(root)._unit_of_work.database
    with pytest.raises(ZeroDivisionError), database.open_connection(log="r"):
        raise ZeroDivisionError


def test_status_of_intact_copy(root):
    assert "position   3" in run_command(root, "status")
