"""A new kind of event is one class and one SQL file: nothing else lists kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa
import pytest

from geographer import Dataset
from geographer.base.errors import UsageError
from geographer.dataset.reader import DatasetReader
from geographer.planning.event_schemas import make_payload_schema
from geographer.storage.events import EventPayload, payload
from geographer.storage.events import row_tables as declared_tables
from geographer.storage.events.payload import Count, Counted, parse_payload
from geographer.storage.request import Change, Request
from geographer.storage.state.update import rebuild_state
from tests.sample_rasters import make_pixels, write_scene


@pytest.fixture
def notes_class(monkeypatch):
    """The class of a trial kind; it exists for one test."""
    for module, name in ((payload, "_CLASSES"), (declared_tables, "KEY_COLUMNS"), (declared_tables, "ROW_TABLES")):
        for key, value in list(getattr(module, name).items()):
            monkeypatch.setitem(getattr(module, name), key, value)
    before = {name: dict(getattr(declared_tables, name)) for name in ("KEY_COLUMNS", "ROW_TABLES")}

    class RastersNoted(EventPayload, kw_only=True, frozen=True):
        """People wrote notes on rasters."""

        kind: ClassVar[str] = "rasters_noted"
        row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = (("raster_note", "raster_id", "note"),)
        state_sql: ClassVar[Path | None] = Path(__file__).with_name("raster_note.sql")

        notes: Annotated[Count, Counted("note", "written")]

    yield RastersNoted
    del payload._CLASSES["rasters_noted", 1]
    for name, tables in before.items():
        for table in getattr(declared_tables, name).keys() - tables.keys():
            del getattr(declared_tables, name)[table]


def write_notes(dataset: Dataset, notes_class: Any, texts: dict[str, str], count: int | None = None):
    """Record notes through the unit of work."""
    rows = pa.table({"change": ["added"] * len(texts), "raster_id": [*texts], "note": [*texts.values()]})

    class WriteNotes(Request, kw_only=True, frozen=True):
        event: ClassVar[type[EventPayload]] = notes_class

        def make_plan(self, revision, context, /):
            return Change(notes_class(notes=len(texts) if count is None else count), {"raster_note": rows})

    return dataset.run(WriteNotes(message="seen"))


def read_notes(dataset: Dataset) -> list[tuple]:
    with dataset._unit_of_work.open_revision() as revision:
        return revision.fetch_rows("FROM state.raster_note ORDER BY ALL")


def test_new_kind_needs_one_class_and_sql_file(tmp_path, notes_class):
    dataset = Dataset.init(tmp_path / "ponds", scm=False)
    dataset.add_rasters(write_scene(tmp_path / "s1.tif", make_pixels(1, 8, 8)))
    result = write_notes(dataset, notes_class, {"s1": "hazy"})
    assert (result.kind, result.position, result.summary) == ("rasters_noted", 3, {"notes": 1})
    assert result.payload.format_summary() == "1 note written"
    write_notes(dataset, notes_class, {"s1": "clear", "s2": "x"})
    assert read_notes(dataset) == [("s1", "clear", 4), ("s1", "hazy", 3), ("s2", "x", 4)]
    rebuild_state(dataset._unit_of_work.database)
    assert read_notes(dataset) == [("s1", "clear", 4), ("s1", "hazy", 3), ("s2", "x", 4)]
    assert dataset.verify() == []
    event = dataset.show()
    assert parse_payload(event.kind, event.version, event.payload).to_json()["notes"] == 2
    assert "notes" in make_payload_schema(notes_class)["properties"]


def test_kind_refuses_what_its_class_does_not_declare(tmp_path, notes_class):
    dataset = Dataset.init(tmp_path / "ponds", scm=False)
    with pytest.raises(UsageError, match=r"cannot record the 'rasters_noted' event: Expected `int` >= 0"):
        write_notes(dataset, notes_class, {"s1": "hazy"}, count=-1)
    assert dataset.show().position == 1


def test_log_without_the_table_gets_it(tmp_path, notes_class, monkeypatch):
    with monkeypatch.context() as context:
        context.delitem(declared_tables.ROW_TABLES, "raster_note")
        root = Dataset.init(tmp_path / "ponds", scm=False).root
    assert write_notes(Dataset.open(root), notes_class, {"s1": "hazy"}).position == 2
    assert Dataset.open(root).verify() == []


def test_reading_process_loads_the_class(tmp_path, notes_class):
    """A process that has not imported the class reads the dataset and keeps the state."""
    root = Dataset.init(tmp_path / "ponds", scm=False).root
    write_notes(Dataset.open(root), notes_class, {"s1": "hazy"})
    before = (root / ".geographer" / "state.duckdb").stat().st_ino
    declared = [declared_tables.KEY_COLUMNS.pop("raster_note"), declared_tables.ROW_TABLES.pop("raster_note")]
    del payload._CLASSES["rasters_noted", 1]

    def load_class():
        payload._CLASSES["rasters_noted", 1] = notes_class
        declared_tables.KEY_COLUMNS["raster_note"], declared_tables.ROW_TABLES["raster_note"] = declared

    payload.add_class_loader(load_class)
    reader = DatasetReader.open(root)
    assert len(reader.features()) == 0
    assert reader.verify() == []
    assert (root / ".geographer" / "state.duckdb").stat().st_ino == before
