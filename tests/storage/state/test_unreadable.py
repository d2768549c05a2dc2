"""Unreadable rows: refused before they are recorded; a log that has some opens without them, and they can be removed."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import UsageError
from geographer.operations.add.events import FeatureIds, FeaturesAdded, RastersAdded
from geographer.operations.label.events import LabelsMade
from geographer.storage.database.connection import Database
from geographer.storage.events import CommitInfo, EventPayload, Head
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.log.append import StateDeriver, append_event
from geographer.storage.log.read import read_head
from geographer.storage.state.steps import STEPS
from geographer.storage.state.update import derive_pending_state, read_state_position, rebuild_state, update_state
from tests.reliability.forging import edit_database, edit_table, recompute_log, remove_history
from tests.reliability.oracles import LOG

LOCAL_CRS = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
FEATURE = {
    **{"feature_id": "f", "id_is_integer": False, "class": "pond", "geometry": shapely.Point(15, 47).wkb},
    **{"crs": "EPSG:4326", "properties": '{"depth":3}'},
}
RASTER = {
    **{"raster_id": "r", "collection": "source", "path": "rasters/source/r.tif", "storage": "dvc"},
    **{"crs": "EPSG:32633", "width": 2, "height": 2, "transform": "[1,0,500000,0,-1,5200000]", "bands": 1},
    **{"dtype": "uint8", "size": 9, "md5": "a" * 32, "sha256": "b" * 64, "pixel_digest": "c" * 64},
    "outline": shapely.box(500000, 5199998, 500002, 5200000).wkb,
}
LABEL = {
    **{"label": "mask", "raster_id": "r", "path": "labels/mask/source/r.tif", "size": 9},
    **{"md5": "a" * 32, "sha256": "b" * 64, "pixel_digest": "c" * 64},
}
FEATURES_ADDED = FeaturesAdded(
    source="x",
    columns={"depth": "BIGINT"},
    features=1,
    skipped=0,
    classes=[],
    crs="EPSG:4326",
    ids=FeatureIds("column", "id"),
)
RASTERS_ADDED = RastersAdded(rasters=1, skipped=0, collection="source", columns={})
LABELS_MADE = LabelsMade(recipe=RecipeRecord("mask", "mask", {}), masks=1, retired=0)
EVENTS: dict[str, tuple[EventPayload, dict[str, Any]]] = {
    "feature_change": (FEATURES_ADDED, FEATURE),
    "raster_change": (RASTERS_ADDED, RASTER),
    "label_change": (LABELS_MADE, LABEL),
}
PROBLEMS: list[tuple[str, dict[str, Any], str]] = [
    ("feature_change", {"properties": "[1]"}, "properties are not a JSON object"),
    ("feature_change", {"properties": "{"}, "properties are not a JSON object"),
    ("feature_change", {"properties": '{"depth":"deep"}'}, "does not have the type of its column"),
    ("feature_change", {"geometry": b"\x01"}, "geometry is not WKB"),
    ("feature_change", {"geometry": None}, "geometry is not WKB"),
    ("feature_change", {"crs": LOCAL_CRS}, "CRS cannot be transformed"),
    ("feature_change", {"crs": "nowhere"}, "CRS cannot be transformed"),
    ("raster_change", {"crs": LOCAL_CRS}, "CRS cannot be transformed"),
    ("raster_change", {"crs": None}, "CRS cannot be transformed"),
    ("raster_change", {"path": "rasters/../../r.tif"}, "a part of the path"),
    ("raster_change", {"path": "/r.tif"}, "the path is absolute"),
    ("raster_change", {"path": None}, "the path is missing"),
    ("raster_change", {"storage": "cloud"}, "no known kind of storage"),
    ("raster_change", {"md5": None}, "checksums are not valid"),
    ("raster_change", {"md5": "../" + "a" * 29}, "checksums are not valid"),
    ("raster_change", {"sha256": "b" * 63}, "checksums are not valid"),
    ("raster_change", {"size": -1}, "checksums are not valid"),
    ("raster_change", {"outline": b"\x01"}, "outline is not a polygon"),
    ("raster_change", {"outline": shapely.Point(0, 0).wkb}, "outline is not a polygon"),
    ("raster_change", {"parent_id": "r"}, "its own parent"),
    ("raster_change", {"collection": "a/b"}, "a name that no folder can have"),
    ("raster_change", {"collection": ".."}, "a name that no folder can have"),
    ("raster_change", {"transform": "[1,2]"}, "transform, bands or data type is missing or out of bounds"),
    ("raster_change", {"storage": "catalogue", "transform": "[1,2]"}, "transform is not six"),
    ("raster_change", {"width": None}, "missing or out of bounds"),
    ("raster_change", {"height": 2**31}, "missing or out of bounds"),
    ("raster_change", {"bands": 0}, "missing or out of bounds"),
    ("raster_change", {"dtype": None}, "missing or out of bounds"),
    ("raster_change", {"nodata": "none"}, "nodata value is not a number"),
    ("raster_change", {"acquired": "yesterday"}, "acquisition time is not a time"),
    ("label_change", {"path": "labels/mask/r.tif"}, "the path is not"),
    ("label_change", {"md5": ""}, "checksums are not valid"),
]
FORGED = {
    "feature_change": "feature_id = NULL WHERE feature_id = 'g'",
    "class_change": "value = -1 WHERE class = 'lake'",
}
"""Changes of a log's row tables that no command makes."""


def append_row(database: Database, table: str, changed: dict[str, Any], *, is_checked: bool = False) -> None:
    event, row = EVENTS[table]
    rows = make_row_table(table, {name: [value] for name, value in {**row, **changed}.items()})
    derive_state: StateDeriver = partial(derive_pending_state, database) if is_checked else nullcontext
    head = read_current_head(database)
    append_event(database, event, {table: rows}, CommitInfo("Ada"), head, derive_state=derive_state)


def read_current_head(database: Database) -> Head:
    with database.open_connection(log="r") as connection:
        return read_head(connection)


def read_unreadable_of(dataset: Dataset) -> list[tuple]:
    dataset.features()
    return read_unreadable(dataset._unit_of_work.database)


def make_text_with(value: bytes) -> pa.Array:
    """Return a text column with bytes that are not UTF-8, as a driver that does not check them returns it."""
    offsets = pa.array([0, len(value)], pa.int32()).buffers()[1]
    return pa.StringArray.from_buffers(1, offsets, pa.py_buffer(value))


def read_unreadable(database: Database) -> list[tuple]:
    with database.open_connection(state="r") as connection:
        return connection.execute("SELECT position, object, problem FROM state.unreadable_row ORDER BY ALL").fetchall()


@pytest.fixture
def database(dataset: Dataset) -> Database:
    return dataset._unit_of_work.database


def test_unusable_rows_are_refused_before_the_append(database):
    head = read_current_head(database)
    for table, changed, problem in PROBLEMS:
        name = "mask/r" if table == "label_change" else EVENTS[table][1][f"{table[:-7]}_id"]
        with pytest.raises(UsageError, match=f"'{name}': .*{problem}"):
            append_row(database, table, changed, is_checked=True)
        assert read_current_head(database) == head
    assert (read_state_position(database), read_unreadable(database)) == (head.position, [])
    for table in EVENTS:
        append_row(database, table, {}, is_checked=True)
    assert read_state_position(database) == head.position + len(EVENTS)


def test_text_that_is_not_utf8_is_refused(database):
    event, row = EVENTS["feature_change"]
    rows = make_row_table("feature_change", {name: [value] for name, value in row.items()})
    rows = rows.set_column(rows.schema.get_field_index("class"), "class", make_text_with(b"L\xe4ke"))
    with pytest.raises(UsageError, match=r"cannot record rows of feature_change: .*unicode"):
        append_event(
            *(database, event, {"feature_change": rows}, CommitInfo("Ada"), read_current_head(database)),
            derive_state=partial(derive_pending_state, database),
        )


def test_log_with_unreadable_rows_opens_without_them(dataset, database, caplog):
    """What an older version recorded is left out, said, and removed by an event; the log keeps it."""
    for number, (table, changed, _) in enumerate(PROBLEMS):
        key = {"label_change": "raster_id"}.get(table, f"{table[:-7]}_id")
        name = f"bad{number}"
        append_row(database, table, {**changed, key: name, **({"parent_id": name} if "parent_id" in changed else {})})
    append_row(database, "feature_change", {})
    last = read_current_head(database).position
    assert dataset.features()["feature_id"].to_pylist() == ["f"]
    assert (
        f"cannot show {len(PROBLEMS)} rows of the log: feature 'bad0' of @2 (its properties are not a JSON object)"
        in caplog.text
    )
    assert f"and {len(PROBLEMS) - 3} more. Run geographer remove unreadable" in caplog.text
    grown = read_unreadable(database)
    assert [position for position, *_ in grown] == list(range(2, 2 + len(PROBLEMS)))
    assert all(expected in problem for (*_, expected), (*_, problem) in zip(PROBLEMS, grown, strict=True))
    caplog.clear()
    result = dataset.remove_unreadable(message="recorded with another encoding")
    assert (result.position, result.payload.rows, result.payload.restored) == (last + 1, len(PROBLEMS), 0)
    assert Dataset.open(dataset.root).features()["feature_id"].to_pylist() == ["f"]
    assert caplog.text == ""
    assert not dataset.remove_unreadable().changed
    assert len(Dataset.open(dataset.root).rasters(at=last)) == 0
    assert f"cannot show {len(PROBLEMS)} rows" in caplog.text
    rebuild_state(database)
    assert read_unreadable(database) == grown


def test_unreadable_change_leaves_the_earlier_version(dataset, database):
    append_row(database, "feature_change", {})
    before = dataset.content_digest()
    append_row(database, "feature_change", {"change": "changed", "class": "lake", "crs": "nowhere"})
    assert dataset.features()["class"].to_pylist() == ["pond"]
    # The digest is that of the log, as docs/log-format.md describes it.
    assert dataset.content_digest() != before
    assert dataset.remove_unreadable().payload.restored == 1
    assert dataset.features()["class"].to_pylist() == ["pond"]
    assert dataset.content_digest() == before
    assert read_unreadable(database) == [(3, "f", "its CRS cannot be transformed to longitude/latitude")]


def test_rows_without_id_or_with_a_bad_value_are_removed(dataset, database):
    """Only a log that was forged has them."""
    dataset.add_classes(["pond", "lake"])
    append_row(database, "feature_change", {})
    append_row(database, "feature_change", {"feature_id": "g"})
    with edit_database(dataset.root / LOG) as connection:
        for table, change in FORGED.items():
            edit_table(connection, table, f"UPDATE {table} SET {change}")
        recompute_log(connection)
    remove_history(dataset.root)
    assert [row[1:] for row in read_unreadable_of(dataset)] == [
        ("lake", "its value is missing or negative"),
        (None, "it has no id"),
    ]
    assert {finding.subject for finding in dataset.verify()} == {"feature without an id", "class lake"}
    assert dataset.remove_unreadable().payload.rows == 2
    assert dataset.verify() == []
    assert dataset.features()["feature_id"].to_pylist() == ["f"]
    assert not dataset.remove_unreadable().changed


@pytest.mark.parametrize("wkb", [b"", bytes.fromhex("0106000000ffffffff"), FEATURE["geometry"][:-1]])
def test_wkb_that_stops_duckdb_is_left_out(dataset, database, wkb):
    """Wrong counts in WKB are internal errors of DuckDB, after which a process cannot use it."""
    append_row(database, "feature_change", {"feature_id": "g", "geometry": wkb})
    append_row(database, "feature_change", {})
    assert dataset.features()["feature_id"].to_pylist() == ["f"]
    assert read_unreadable(database) == [(2, "g", "its geometry is not WKB")]


def test_later_change_ends_an_unreadable_row(dataset, database, caplog):
    append_row(database, "feature_change", {"crs": "nowhere"})
    append_row(database, "feature_change", {"change": "changed"}, is_checked=True)
    assert dataset.features()["class"].to_pylist() == ["pond"]
    assert caplog.text == ""
    assert not dataset.remove_unreadable().changed
    rebuild_state(database)
    assert dataset.features()["class"].to_pylist() == ["pond"]
    assert not dataset.remove_unreadable().changed


def test_edited_state_file_is_derived_again(dataset, database, caplog):
    """The size and times of the file are not those of the last check, so its rows are checked."""
    append_row(database, "feature_change", {}, is_checked=True)
    assert read_state_position(database) == 2
    with database.open_connection(state="w", spatial=True) as connection:
        connection.execute("UPDATE state.feature SET class = 'lake'")
    assert read_state_position(database) == 0
    assert "'state.duckdb' was altered. It is derived from the log again." in caplog.text
    assert update_state(database) == 2
    assert dataset.features()["class"].to_pylist() == ["pond"]


def test_known_state_file_is_not_read(database, monkeypatch):
    append_row(database, "feature_change", {}, is_checked=True)
    monkeypatch.setattr("geographer.storage.state.update.compute_state_digest", lambda *_: 0 / 0)
    assert read_state_position(database) == 2
    database.file_path("state").touch()
    with pytest.raises(ZeroDivisionError):
        read_state_position(database)


@pytest.mark.parametrize("bad", [[2], [0, 4], [0, 1, 2, 3, 4]])
def test_rows_that_break_the_derivation_are_left_out(dataset, database, monkeypatch, tmp_path, bad):
    for number in range(5):
        append_row(database, "feature_change", {"feature_id": f"f{number}"})
    names = [f"f{number}" for number in bad]
    broken = tmp_path / "070_broken.sql"
    broken.write_text(
        "-- needs: event_fact · makes: nothing\n"
        f"SELECT error('broken') FROM state.feature WHERE feature_id IN ({str(names)[1:-1]})"
    )
    monkeypatch.setattr("geographer.storage.state.update.STEPS", [*STEPS, broken])
    assert dataset.features()["feature_id"].to_pylist() == [f"f{number}" for number in range(5) if number not in bad]
    expected = [(number + 2, f"f{number}", "the state cannot be derived from it") for number in bad]
    assert read_unreadable(database) == expected
