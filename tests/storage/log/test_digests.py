"""Every digest against an oracle in plain Python that was written from the words alone."""

from __future__ import annotations

import pytest

from geographer.base.canonical_json import canonical_json
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, EventDraft, Head
from geographer.storage.log.append import append_event, create_log
from geographer.storage.log.digests import EMPTY, rows_digests
from geographer.storage.log.row_tables import TABLES, make_row_table
from tests.storage.log import digest_oracle as oracle


@pytest.fixture
def engine(tmp_path):
    opened = Database(tmp_path)
    create_log(opened)
    return opened


def row_of(engine, table, **columns):
    """One row, appended with these columns and read back with plain DuckDB."""
    rows = {table: make_row_table(table, {name: [value] for name, value in columns.items()})}
    append_event(engine, EventDraft("features_added", {}, rows), CommitInfo("Ada"), EMPTY_LOG_HEAD)
    return oracle.read_log(engine.file("log"))[1][table][0]


def test_the_digests_of_a_whole_history_are_those_that_the_words_describe(story):
    path = story.root / ".geographer" / "log.duckdb"
    events, rows = oracle.read_log(path)
    assert len(events) > 15
    assert {table for table in rows if rows[table]} == set(oracle.ROW_TABLES) == set(TABLES)
    assert oracle.faults(path) == []


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
def test_unusual_values_enter_a_row_digest_as_the_words_say(engine, table, columns):
    row = row_of(engine, table, **columns)
    assert {name: row[name] for name in columns} == columns
    assert oracle.faults(engine.file("log")) == []


def test_no_value_can_pass_for_the_one_beside_it(tmp_path):
    pairs = [("ab", "c"), ("a", "bc"), ("a", None), ("a", "-"), ("a,1:b", ""), ("a", "1:b,")]
    digests = set()
    for number, (kind, crs) in enumerate(pairs):
        folder = tmp_path / str(number)
        folder.mkdir()
        create_log(Database(folder))
        columns = {"feature_id": "7", "class": kind, "crs": crs}
        digests.add(row_of(Database(folder), "feature_change", **columns)["row_digest"])
    assert len(digests) == len(pairs)


def test_the_order_of_rows_counts_also_beyond_ten(engine):
    names = [f"n{number}" for number in range(25, 0, -1)]
    rows = {
        "skipped_input": make_row_table(
            "skipped_input", {"input": ["f"] * 25, "name": names, "reason": ["empty"] * 25}
        ),
        "class_change": make_row_table("class_change", {"class": ["b", "a"], "value": [1, 2]}),
    }
    event = append_event(engine, EventDraft("features_added", {}, rows), CommitInfo("Ada"), EMPTY_LOG_HEAD)
    kept = oracle.read_log(engine.file("log"))[1]
    assert [row["name"] for row in sorted(kept["skipped_input"], key=lambda row: row["ordinal"])] == names
    assert oracle.faults(engine.file("log")) == []
    for row in kept["skipped_input"]:
        row["ordinal"] = 24 - row["ordinal"]
    assert oracle.rows_digest(kept, 1) != event.rows_digest


def test_events_of_thousands_of_rows_are_hashed_as_the_words_say(engine):
    """More rows than are joined at a time, in two tables and two events."""
    head = EMPTY_LOG_HEAD
    for first in (0, 9000):
        names = [f"n{(number * 7919) % 9001 + first}" for number in range(9000)]
        rows = {
            "skipped_input": make_row_table("skipped_input", {"input": ["f"] * 9000, "name": names, "reason": names}),
            "class_change": make_row_table("class_change", {"class": names[:5000], "value": [*range(5000)]}),
        }
        event = append_event(engine, EventDraft("features_added", {}, rows), CommitInfo("Ada"), head)
        head = Head(event.position, event.digest)
    assert oracle.faults(engine.file("log")) == []
    with engine.attached(log="r") as connection:
        assert rows_digests(connection) == {
            event["position"]: event["rows_digest"] for event in oracle.read_log(engine.file("log"))[0]
        }


def test_an_event_without_rows_has_the_digest_of_nothing(engine):
    event = append_event(engine, EventDraft("revision_tagged", {}), CommitInfo("Ada"), EMPTY_LOG_HEAD)
    assert event.rows_digest == EMPTY == oracle.sha256("")


def test_a_payload_is_hashed_as_canonical_json(engine):
    payload = {
        "\u20ac": 1.0,
        "\U0001f600": 0.1,
        "\ufb33": [1e-7, -0.0, 123456789.5, 1e20],
        "b": {"z": None, "a": [True, False, 2**53 - 1]},
        "a\n\x01": '\u2028 \u00e9 / \\ "',
    }
    event = append_event(engine, EventDraft("revision_tagged", payload), CommitInfo("Ada"), EMPTY_LOG_HEAD)
    assert canonical_json(payload) == oracle.canonical(payload)
    assert oracle.faults(engine.file("log")) == []
    assert event.payload["\u20ac"] == 1
