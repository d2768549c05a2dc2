"""Segments from strangers: each forged, damaged or foreign one is refused, and the log stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from geographer.base.errors import ConflictError, CorruptError, GeographerError, NotFoundError, UnsupportedVersionError
from geographer.storage.database.connection import Database
from geographer.storage.history.ingest import ingest_segments
from geographer.storage.history.segments import write_segment
from geographer.storage.log.append import create_log
from geographer.storage.log.check import find_log_faults
from tests.storage.history.forged_segments import SegmentRows, write_table
from tests.storage.log.digest_oracle import canonical_json

CLASS_ADDED = "classes_added"
CLASSES = {"classes": ["reed"]}


@pytest.fixture(scope="module")
def segment(team_template, tmp_path_factory):
    """One segment with all events of Ada's dataset."""
    path = tmp_path_factory.mktemp("segment") / "all.parquet"
    with Database(team_template.ada / ".geographer").open_connection(log="r") as connection:
        write_segment(connection, 1, 5, path)
    return path


@pytest.fixture
def rows(segment):
    """The rows of the segment, to change."""
    return SegmentRows(segment)


def create_empty_log(folder):
    folder.mkdir()
    database = Database(folder)
    create_log(database)
    return database


@pytest.fixture
def log(tmp_path):
    """An empty log."""
    return create_empty_log(tmp_path / "log")


@pytest.fixture(scope="module")
def empty_log(tmp_path_factory):
    """An empty log, into which no test takes an event."""
    return create_empty_log(tmp_path_factory.mktemp("empty") / "log")


def ingest(log, *paths, head, dataset, branch="main"):
    return ingest_segments(log, paths, head, dataset, branch)


def count_rows(log):
    """Return the number of rows in all tables of a log, but for that of its format."""
    with log.open_connection(log="r") as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'log'").fetchall()
        names = [name for (name,) in tables if name != "meta"]
        return sum(connection.execute(f"SELECT count(*) FROM log.{name}").fetchall()[0][0] for name in names)


def test_ingest_takes_equal_rows(segment, rows, log):
    result = ingest(log, segment, head=rows.digests[-1], dataset=rows.digests[0])
    assert (result.events, result.position, result.common) == (5, 5, 0)
    again = ingest(log, segment, segment, head=rows.digests[-1], dataset=rows.digests[0])
    assert (again.events, again.common) == (0, 5)


def test_ingest_takes_overlapping_segments(segment, rows, log, team_template, tmp_path):
    """Branches share segments, so two files can have the same events: each is taken once, with its own rows."""
    part = tmp_path / "part.parquet"
    with Database(team_template.ada / ".geographer").open_connection(log="r") as connection:
        write_segment(connection, 2, 3, part)
    result = ingest(log, part, segment, head=rows.digests[-1], dataset=rows.digests[0])
    assert (result.events, result.position) == (5, 5)
    with log.open_connection(log="r") as connection:
        assert find_log_faults(connection) == []


def test_ingest_takes_forged_segment_that_is_right(rows, log, tmp_path):
    """The forge of the other tests makes segments that are taken in when nothing is wrong with them."""
    head = rows.add_event(CLASS_ADDED, CLASSES, [{"row_table": "class_change", "class": "reed", "value": 9}])
    path = rows.write(tmp_path)
    assert ingest(log, path, head=head, dataset=rows.digests[0]).position == 6


def alter_row(rows):
    next(row for row in rows.rows if row["row_table"] == "feature_change")["class"] = "lake"


def remove_row(rows):
    rows.rows.remove(next(row for row in rows.rows if row["row_table"] == "feature_change"))


def repeat_row(rows):
    rows.rows.append(dict(next(row for row in rows.rows if row["row_table"] == "class_change")))


def insert_row_without_ordinal(rows):
    rows.rows.append({"row_table": "class_change", "event": 1, "change": "added", "class": "x", "value": 7})


def insert_row_without_change(rows):
    rows.rows.append({"row_table": "class_change", "event": 1, "ordinal": 99, "class": "x", "value": 7})


def alter_ordinal(rows):
    next(row for row in rows.rows if row["row_table"] == "feature_change")["ordinal"] = 1000


def swap_rows(rows):
    first, second = [row for row in rows.rows if row["row_table"] == "raster_change"][:2]
    first["ordinal"], second["ordinal"] = second["ordinal"], first["ordinal"]


def alter_message(rows):
    content = rows.contents[3] | {"message": "altered"}
    rows.events[3]["content"] = canonical_json(content)


def cut_events(rows):
    rows.events = rows.events[2:]
    rows.rows = [row for row in rows.rows if row["event"] >= 2]


def repeat_number(rows):
    rows.events[1]["event"] = 2


def format_json_otherwise(rows):
    rows.events[2]["content"] = json.dumps(json.loads(rows.events[2]["content"]))


def write_content_without_json(rows):
    rows.events[2]["content"] = "{"


def write_deep_json(rows):
    rows.events[2]["content"] = "[" * 200_000


def write_array(rows):
    rows.events[2]["content"] = "[]"


def write_null(rows):
    rows.events[2]["content"] = None


def write_content_of_other_types(rows):
    rows.events[2]["content"] = canonical_json(rows.contents[2] | {"author": ["Ada"]})


def write_unknown_field(rows):
    rows.events[2]["content"] = canonical_json(rows.contents[2] | {"position": 3})


ALTERATIONS = [
    *(
        alter_row,
        remove_row,
        repeat_row,
        insert_row_without_ordinal,
        insert_row_without_change,
        alter_ordinal,
        swap_rows,
    ),
    *(alter_message, cut_events, repeat_number, format_json_otherwise, write_content_without_json, write_deep_json),
    *(write_array, write_null, write_content_of_other_types, write_unknown_field),
]


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda function: function.__name__)
def test_ingest_refuses_altered_segment(alter, rows, empty_log, tmp_path):
    """A change without new digests is found, also under the name that the segment then has."""
    head, dataset = rows.digests[-1], rows.digests[0]
    alter(rows)
    path = rows.write(tmp_path) if rows.events[2]["content"] else write_null_content(rows, tmp_path)
    with pytest.raises((CorruptError, NotFoundError)):
        ingest(empty_log, path, head=head, dataset=dataset)
    assert count_rows(empty_log) == 0


def write_null_content(rows, folder):
    table = pa.Table.from_pylist([*rows.events, *rows.rows], rows.schema)
    return write_table(table, folder / f"{'0' * 64}.parquet")


FORGERIES: dict[str, dict[str, Any]] = {
    "unknown kind": {"kind": "dataset_deleted"},
    "newer version": {"version": 99},
    "newer format": {"format": 3},
    "wrong payload": {"payload": {"classes": "all of them", "evil": True}},
    "wrong generation": {"generation": 2},
    "generation zero": {"generation": 0},
    "huge generation": {"generation": 1 << 40},
    "unknown kind of strange software": {"kind": "dataset_deleted", "payload": {"software": 5}},
    "no time": {"recorded_at": "yesterday"},
    "impossible time": {"recorded_at": "2026-13-41T25:61:61.000000Z"},
    "no id": {"event_id": "1"},
    "without an author": {"author": ""},
    "two parents, one unknown": {"parents": ["0" * 64, "1" * 64]},
    "no parents": {"parents": [], "generation": 1},
    "text as parents": {"parents": "ab"},
    "number as key": {"idempotency_key": 5},
    "other rows digest": {"rows_digest": "0" * 64},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_ingest_refuses_forged_event(name, rows, empty_log, tmp_path):
    """An event with right digests, and yet not one that geographer records."""
    dataset = rows.digests[0]
    head = rows.add_event(**{"kind": CLASS_ADDED, "payload": CLASSES} | FORGERIES[name])
    path = rows.write(tmp_path)
    with pytest.raises((CorruptError, ConflictError, NotFoundError)):
        ingest(empty_log, path, head=head, dataset=dataset)
    assert count_rows(empty_log) == 0


RASTER = {
    "row_table": "raster_change", "raster_id": "evil", "collection": "source", "path": "rasters/source/evil.tif",
    "storage": "dvc", "size": 4, "md5": "0" * 32, "sha256": "0" * 64, "pixel_digest": "0" * 64, "properties": "{}",
}  # fmt: skip
LABEL = {
    "row_table": "label_change", "label": "mask", "raster_id": "a", "path": "labels/mask/source/a.tif", "size": 4,
    "md5": "0" * 32, "sha256": "0" * 64, "pixel_digest": "0" * 64,
}  # fmt: skip
PATHS = [
    *("../outside.tif", "rasters/../../outside.tif", "rasters/source/../../../outside.tif", "/tmp/outside.tif", ""),
    *(".git/hooks/post-checkout", "rasters/.git/hooks", ".dvc/config", "geographer.lock", "history/x.parquet", None),
    *(
        "rasters/source/.dvc",
        "rasters/source/x.dvc",
        "rasters/source/.gitignore",
        "rasters/source/a\0b.tif",
        "rasters/./a",
    ),
    *("rasters/source/a\\..\\b.tif", "rasters//a.tif", f"rasters/source/{'a' * 300}.tif", "labels/a/b/../c"),
]


@pytest.mark.parametrize(("row", "path"), [*((RASTER, path) for path in PATHS), *((LABEL, path) for path in PATHS[:3])])
def test_ingest_refuses_forged_path(row, path, rows, empty_log, tmp_path):
    """Each digest is right, and yet a checkout would write outside the folders of rasters and labels."""
    dataset = rows.digests[0]
    head = rows.add_event(CLASS_ADDED, CLASSES, [row | {"path": path}])
    with pytest.raises(CorruptError):
        ingest(empty_log, rows.write(tmp_path), head=head, dataset=dataset)
    assert count_rows(empty_log) == 0


def test_ingest_refuses_rows_that_cannot_be_cast(rows, empty_log, tmp_path):
    """A column of numbers may be text in the file, and not be a number there."""
    head, dataset = rows.digests[-1], rows.digests[0]
    table = pa.Table.from_pylist([*rows.events, *rows.rows], rows.schema)
    texts = ["1e400" if value is not None else None for value in table["width"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("width"), "width", pa.array(texts))
    with pytest.raises(CorruptError):
        ingest(empty_log, write_table(table, tmp_path / "s.parquet"), head=head, dataset=dataset)
    assert count_rows(empty_log) == 0


def replace_column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)


STRANGE_TABLES = {
    "without content": lambda table: table.drop_columns(["content"]),
    "without numbers of events": lambda table: table.drop_columns(["event"]),
    "numbers as text": lambda table: replace_column(table, "event", table["event"].cast(pa.string())),
    "nested content": lambda table: replace_column(table, "content", pa.array([["x"]] * len(table))),
    "changes as numbers": lambda table: replace_column(table, "change", pa.array([1] * len(table))),
    "a row table unknown": lambda table: replace_column(table, "row_table", pa.array(["secret"] * len(table))),
    "row tables missing": lambda table: replace_column(table, "row_table", pa.nulls(len(table), pa.string())),
    "no rows": lambda table: table.slice(0, 0),
    "geometry as text": lambda table: replace_column(table, "geometry", pa.array(["x"] * len(table))),
    "list as class": lambda table: replace_column(table, "class", pa.array([["x"]] * len(table))),
}


@pytest.mark.parametrize("name", STRANGE_TABLES)
def test_ingest_refuses_strange_table(name, rows, empty_log, tmp_path):
    head, dataset = rows.digests[-1], rows.digests[0]
    table = pa.Table.from_pylist([*rows.events, *rows.rows], rows.schema)
    path = write_table(STRANGE_TABLES[name](table), tmp_path / "s.parquet")
    with pytest.raises((CorruptError, UnsupportedVersionError, NotFoundError)):
        ingest(empty_log, path, head=head, dataset=dataset)
    assert count_rows(empty_log) == 0


def test_ingest_refuses_damaged_files(segment, rows, empty_log, tmp_path):
    """Truncated, empty and foreign files, and a format that is newer, none or strange."""
    content = segment.read_bytes()
    damaged = [content[:length] for length in (0, 3, 100, len(content) // 2, len(content) - 1)]
    damaged += [b"PAR1" + b"\0" * 100 + b"PAR1", b"<html>", b"version https://git-lfs.github.com/spec/v1\n"]
    path = tmp_path / "s.parquet"
    for changed in damaged:
        path.write_bytes(changed)
        with pytest.raises(CorruptError):
            ingest(empty_log, path, head=rows.digests[-1], dataset=rows.digests[0])
    for metadata in (
        {"geographer_segment": "2"},
        {"geographer_segment": "one"},
        {},
        {"geographer_segment": "9" * 5000},
    ):
        with pytest.raises((CorruptError, UnsupportedVersionError)):
            ingest(empty_log, rows.write(tmp_path, metadata), head=rows.digests[-1], dataset=rows.digests[0])
    assert count_rows(empty_log) == 0


def test_ingest_survives_altered_bytes(segment, rows, tmp_path):
    """A file with altered bytes is refused, unless they mean nothing: then the log has the right digests."""
    content = segment.read_bytes()
    path = tmp_path / "s.parquet"
    database = create_empty_log(tmp_path / "log")
    for number, start in enumerate(range(0, len(content) - 8, len(content) // 30)):
        path.write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
        try:
            ingest(database, path, head=rows.digests[-1], dataset=rows.digests[0])
        except GeographerError:
            continue
        with database.open_connection(log="r") as connection:
            assert find_log_faults(connection) == []
        database = create_empty_log(tmp_path / f"log {number}")


def test_ingest_refuses_other_dataset(rows, segment, empty_log):
    with pytest.raises(ConflictError, match="different"):
        ingest(empty_log, segment, head=rows.digests[-1], dataset="0" * 64)
    with pytest.raises(NotFoundError):
        ingest(empty_log, segment, head="0" * 64, dataset=rows.digests[0])
    assert count_rows(empty_log) == 0


def test_ingest_takes_one_copy_of_repeated_events(rows, log, tmp_path):
    """The same event in two segments, and twice in one, is one event."""
    head, dataset = rows.digests[-1], rows.digests[0]
    first = rows.write(tmp_path / "first")
    rows.events.append({**rows.events[3], "event": len(rows.events)})
    result = ingest(log, rows.write(tmp_path / "second"), first, head=head, dataset=dataset)
    assert result.events == 5
    assert ingest(log, head=head, dataset=dataset).events == 0
