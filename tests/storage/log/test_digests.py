"""Digests of the log, compared with an oracle that was written from the specification alone."""

from __future__ import annotations

import pytest

from geographer.base.canonical_json import canonical_json
from geographer.operations.add.events import ClassesAdded
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, Head
from geographer.storage.events.row_tables import ROW_TABLES, make_row_table
from geographer.storage.log.append import append_event, create_log
from geographer.storage.log.digests import EMPTY_ROWS_DIGEST, compute_rows_digests
from tests.storage.log import digest_oracle as oracle

EVENT = ClassesAdded(classes=["a"])


@pytest.fixture
def database(tmp_path):
    created = Database(tmp_path)
    create_log(created)
    return created


def append_row(database, table, **columns):
    """Append one row with these columns and read it back with plain DuckDB."""
    rows = {table: make_row_table(table, {name: [value] for name, value in columns.items()})}
    append_event(database, EVENT, rows, CommitInfo("Ada"), EMPTY_LOG_HEAD)
    return oracle.read_log(database.file_path("log"))[1][table][0]


def test_history_digests_follow_specification(sample_history):
    path = sample_history.root / ".geographer" / "log.duckdb"
    events, rows = oracle.read_log(path)
    assert len(events) > 15
    assert set(oracle.ROW_TABLES) == set(ROW_TABLES)
    assert [table for table in rows if not rows[table]] == [
        "command_file",
        "label_source",
        "merge_conflict",
        "object_order",
        "withdrawn_file",
    ]
    assert oracle.find_faults(path) == []


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("feature_change", {"feature_id": "", "geometry": b"", "properties": None}),
        ("feature_change", {"feature_id": "Gl\u00e4rnisch \U0001f3d4 \u0301", "class": "-,", "geometry": b"\x00\xff"}),
        ("feature_change", {"feature_id": "7", "id_is_integer": True, "class": "1:7,", "crs": 'a "b"\n\t'}),
        ("raster_change", {"raster_id": "a", "col": -12, "row": 0, "size": 2**53, "outline": b"\x01" * 99}),
        ("class_change", {"class": "water", "value": 0}),
        ("label_change", {"label": "mask", "raster_id": "a/b", "size": 0}),
        ("split_change", {"split": "s", "raster_id": "a", "part": None}),
        ("skipped_input", {"input": "f.geojson", "name": "7", "reason": "it has no geometry"}),
    ],
)
def test_row_digest_of_unusual_values(database, table, columns):
    row = append_row(database, table, **columns)
    assert {name: row[name] for name in columns} == columns
    assert oracle.find_faults(database.file_path("log")) == []


def test_row_digest_separates_fields(tmp_path):
    pairs = [("ab", "c"), ("a", "bc"), ("a", None), ("a", "-"), ("a,1:b", ""), ("a", "1:b,")]
    digests = set()
    for number, (kind, crs) in enumerate(pairs):
        folder = tmp_path / str(number)
        folder.mkdir()
        create_log(Database(folder))
        columns = {"feature_id": "7", "class": kind, "crs": crs}
        digests.add(append_row(Database(folder), "feature_change", **columns)["row_digest"])
    assert len(digests) == len(pairs)


def test_rows_digest_depends_on_row_order(database):
    names = [f"n{number}" for number in range(25, 0, -1)]
    rows = {
        "skipped_input": make_row_table(
            "skipped_input", {"input": ["f"] * 25, "name": names, "reason": ["empty"] * 25}
        ),
        "class_change": make_row_table("class_change", {"class": ["b", "a"], "value": [1, 2]}),
    }
    event = append_event(database, EVENT, rows, CommitInfo("Ada"), EMPTY_LOG_HEAD)
    rows = oracle.read_log(database.file_path("log"))[1]
    assert [row["name"] for row in sorted(rows["skipped_input"], key=lambda row: row["ordinal"])] == names
    assert oracle.find_faults(database.file_path("log")) == []
    for row in rows["skipped_input"]:
        row["ordinal"] = 24 - row["ordinal"]
    assert oracle.compute_rows_digest(rows, 1) != event.rows_digest


def test_rows_digest_of_many_rows(database):
    """The events have more rows than a block has, in two tables."""
    head = EMPTY_LOG_HEAD
    for first in (0, 9000):
        names = [f"n{(number * 7919) % 9001 + first}" for number in range(9000)]
        rows = {
            "skipped_input": make_row_table("skipped_input", {"input": ["f"] * 9000, "name": names, "reason": names}),
            "class_change": make_row_table("class_change", {"class": names[:5000], "value": [*range(5000)]}),
        }
        event = append_event(database, EVENT, rows, CommitInfo("Ada"), head)
        head = Head(event.position, event.digest)
    assert oracle.find_faults(database.file_path("log")) == []
    with database.open_connection(log="r") as connection:
        assert compute_rows_digests(connection) == {
            event["position"]: event["rows_digest"] for event in oracle.read_log(database.file_path("log"))[0]
        }


def test_rows_digest_without_rows(database):
    event = append_event(database, EVENT, {}, CommitInfo("Ada"), EMPTY_LOG_HEAD)
    assert event.rows_digest == EMPTY_ROWS_DIGEST == oracle.sha256("")


def test_payload_hashed_as_canonical_json(database):
    payload = {
        "\u20ac": 1.0,
        "\U0001f600": 0.1,
        "\ufb33": [1e-7, -0.0, 123456789.5, 1e20],
        "b": {"z": None, "a": [True, False, 2**53 - 1]},
        "a\n\x01": '\u2028 \u00e9 / \\ "',
    }
    event = append_event(database, ClassesAdded(request=payload, classes=["a"]), {}, CommitInfo("Ada"), EMPTY_LOG_HEAD)
    assert canonical_json(payload) == oracle.canonical_json(payload)
    assert oracle.find_faults(database.file_path("log")) == []
    assert event.payload["request"]["\u20ac"] == 1
