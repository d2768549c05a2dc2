"""What commands print about a change: counts with nouns, settings last, nothing of what only JSON shows."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from geographer.base.errors import PluginError
from geographer.base.progress import show_activity
from geographer.base.text import format_count
from geographer.cli import output
from geographer.operations.add.events import ClassesAdded, FeatureIds, FeaturesAdded
from geographer.operations.cut.events import ChipsCut, CoverReport
from geographer.operations.download.events import RastersDownloaded, SceneCover
from geographer.operations.import_dataset.events import DatasetImported
from geographer.operations.label.events import LabelsMade
from geographer.operations.remove.events import RastersRemoved
from geographer.operations.split.events import PartSummary, SplitAssigned
from geographer.planning.recipe_events import RecipeEvent
from geographer.storage.events import ChangeResult, EventPayload
from geographer.storage.events.payload import RecipeRecord

DIGEST = "0123456789abcdef" * 4
RECIPE = RecipeRecord("near", "cut around", {})
EXAMPLES: dict[str, Any] = {
    "recipe": RECIPE,
    "cover": UNSET,
    "ids": FeatureIds("column", "id"),
    "unmet": {},
    "columns": {},
    "parts": {},
    "classes": [],
    "recipes": [],
    "collection": "source" * 9,
}


def make_payload(payload_class: type[EventPayload], **values: Any) -> EventPayload:
    """Return a payload with these fields; other required fields have empty values."""
    required = [field.name for field in msgspec.structs.fields(payload_class) if field.required]
    return payload_class(**{name: EXAMPLES.get(name, 0) for name in required} | values)


def print_summary(capsys: pytest.CaptureFixture[str], payload: EventPayload, **options: Any) -> str:
    summary = payload.list_summary() if isinstance(payload, RecipeEvent) else {}
    result = ChangeResult(4, DIGEST, "chips_cut", summary, payload=payload)._replace(**options)
    output.print_result(result, as_json=False)
    return capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "chip", "1 chip"),
        (2, "chip", "2 chips"),
        (0, "file", "0 files"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (3, "box", "3 boxes"),
        (1200, "feature", "1,200 features"),
    ],
)
def test_counts_agree_with_nouns(count, noun, text):
    assert format_count(count, noun) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (make_payload(FeaturesAdded, crs="EPSG:4326", features=2), "2 features, CRS EPSG:4326"),
        (make_payload(LabelsMade, masks=1, subpixel=1, dtype="uint8"),
         "1 mask, 1 feature smaller than a pixel, data type uint8"),
        (make_payload(ChipsCut, chips=2, unmet={"no raster contains it": 7}), "2 chips, 7 skipped: no raster contains it"),
        (make_payload(ChipsCut, boxes=2, retired=3), "3 retired, 2 boxes"),
        (make_payload(ChipsCut, cover=CoverReport(6, 6, 0, 6, 0, 0)), "6 chips in total (the proven minimum)"),
        (make_payload(ChipsCut, cover=CoverReport(1, None, None, 1, 0, 0)), ""),
        (make_payload(RastersDownloaded, cover=SceneCover(1, 1, 0)), "1 scene selected (the proven minimum)"),
        (make_payload(RastersDownloaded, cover=SceneCover(9, 8, 0.1)), "9 scenes selected (at least 8 needed)"),
        (make_payload(RastersDownloaded, cover=SceneCover(0, 0, 0), bytes=None), ""),
        (make_payload(RastersDownloaded, bytes=9_800_000, candidates=1, missing=2, cover=SceneCover(0, 0, 0)),
         "2 features without enough rasters, 1 candidate scene, 9.8 MB"),
        (make_payload(ClassesAdded, classes=["pond"]), "class pond"),
        (make_payload(DatasetImported, classes=["pond", "quarry"]), "classes pond, quarry"),
        (make_payload(DatasetImported, recipes=[RECIPE, RecipeRecord("tiles", "cut grid", {})]), "recipes near, tiles"),
        (make_payload(SplitAssigned, assigned=1, left_out=2, deviation=0.04),
         "1 raster assigned, 2 rasters left unassigned, at most 4% off target"),
        (make_payload(SplitAssigned, parts={"train": PartSummary(7, 0.6, 0.64, {}), "val": PartSummary(1, 0.2, 0.1, {})}),
         "at most 0% off target, train 7 rasters (64%, target 60%); val 1 raster (10%, target 20%)"),
    ],
)  # fmt: skip
def test_summaries_are_sentences(payload, text):
    assert payload.format_summary() == text


def test_recipes_are_named(capsys):
    assert print_summary(capsys, make_payload(ChipsCut, chips=1)) == "@4 0123456789ab chips_cut 'near': 1 chip"


def test_dry_runs_say_that_nothing_changed(capsys):
    printed = print_summary(capsys, make_payload(RastersRemoved, rasters=1), changed=False, would_change=True)
    assert printed == "would record chips_cut: 1 raster; nothing was changed"
    printed = print_summary(capsys, make_payload(RastersRemoved), changed=False, would_change=True)
    assert printed == "would record chips_cut: nothing new; nothing was changed"


def test_repetitions_name_the_head(capsys):
    printed = print_summary(capsys, make_payload(RastersRemoved), changed=False)
    assert printed == "chips_cut: nothing to do; the head is still @4 0123456789ab"


def test_runs_without_change_say_why(capsys):
    payload = make_payload(ChipsCut, features=3, unmet={"removed": 1})
    printed = print_summary(capsys, payload, changed=False)
    assert printed == "chips_cut 'near': nothing to do, 1 skipped: removed; the head is still @4 0123456789ab"
    printed = print_summary(capsys, payload, changed=False, error=PluginError("absent"))
    assert printed == "chips_cut 'near': skipped; the head is still @4 0123456789ab"


def test_swallowed_interruption_is_raised_at_next_progress():
    output.interrupted.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            output.show_progress("chips cut", 1, 2)
    finally:
        output.interrupted.clear()


def test_progress_shows_speed_and_activity(monkeypatch, capsys):
    times = iter([100.0, 102.0, 104.0])
    # Other threads of the test process read the clock, too: only the module gets another one.
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=lambda: next(times)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((110, 24)))
    show_activity("3 tasks done, 4 on 2 threads of workers")
    try:
        for done in (0, 50, 100):
            output.show_progress("chips cut", done, 100)
    finally:
        show_activity("")
    lines = capsys.readouterr().err.split("\r")
    assert lines[2] == (
        "[############............] chips cut: 50 of 100, 25.0 per second, 2 s left, 3 tasks done, 4 on 2 threads of w\033[K"
    )
    assert lines[3] == "\033[K"
