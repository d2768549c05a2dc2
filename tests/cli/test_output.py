"""What commands print about a change: counts with nouns, settings last, nothing of what only JSON shows."""

from __future__ import annotations

import pytest

from geographer.base.text import format_count
from geographer.cli import output
from geographer.storage.events import ChangeResult

DIGEST = "0123456789abcdef" * 4


def print_summary(capsys: pytest.CaptureFixture[str], summary: dict, **options: bool) -> str:
    changed = options.pop("changed", True)
    output.print_result(ChangeResult(4, DIGEST, "chips_cut", summary, changed), as_json=False, **options)
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
    ("summary", "text"),
    [
        ({"crs": "EPSG:4326", "features": 2, "skipped": 0}, "2 features, CRS EPSG:4326"),
        ({"dtype": "uint8", "masks": 1, "smaller than a pixel": 1}, "1 mask, 1 feature smaller than a pixel, data type uint8"),
        ({"chips": 2, "unmet": {"no raster contains it": 7}}, "2 chips, 7 skipped: no raster contains it"),
        ({"boxes": 2, "retired": 3, "too little of it visible": 2},
         "2 boxes, 3 retired, 2 features dropped because too little is visible"),
        ({"cover": {"chips": 6, "bound": 6}}, "6 chips in total (the proven minimum)"),
        ({"cover": {"chips": 1, "bound": None}}, ""),
        ({"cover": {"scenes": 1, "bound": 1}}, "1 scene selected (the proven minimum)"),
        ({"cover": {"scenes": 9, "bound": 8}}, "9 scenes selected (at least 8 needed)"),
        ({"cover": {"scenes": 0, "bound": 0}, "bytes": None}, ""),
        ({"bytes": 9_800_000, "candidates": 1, "missing": 2}, "9.8 MB, 1 candidate scene, 2 features without enough rasters"),
        ({"classes": ["pond"]}, "class pond"),
        ({"classes": ["pond", "quarry"], "recipes": []}, "classes pond, quarry"),
        ({"recipes": [{"name": "near"}, {"name": "tiles"}]}, "recipes near, tiles"),
        ({"assigned": 1, "left out": 2, "deviation": 0.04, "cost": 1.5, "largest": 0.3, "proven": True},
         "1 raster assigned, 2 rasters left unassigned, at most 4% off target"),
        ({"parts": {"train": {"rasters": 7, "got": 0.64, "asked": 0.6}, "val": {"rasters": 1, "got": 0.1, "asked": 0.2}}},
         "train 7 rasters (64%, target 60%); val 1 raster (10%, target 20%)"),
    ],
)  # fmt: skip
def test_summaries_are_sentences(capsys, summary, text):
    assert print_summary(capsys, summary) == f"@4 0123456789ab chips_cut{': ' + text if text else ''}"


def test_recipes_are_named(capsys):
    summary = {"recipe": {"name": "near", "kind": "cut around"}, "chips": 1}
    assert print_summary(capsys, summary) == "@4 0123456789ab chips_cut 'near': 1 chip"


def test_dry_runs_say_that_nothing_changed(capsys):
    printed = print_summary(capsys, {"chips": 1}, changed=False, dry_run=True)
    assert printed == "would record chips_cut: 1 chip; nothing was changed"
    printed = print_summary(capsys, {"chips": 0}, changed=False, dry_run=True)
    assert printed == "would record chips_cut: nothing new; nothing was changed"


def test_repetitions_name_the_head(capsys):
    printed = print_summary(capsys, {"chips": 0}, changed=False)
    assert printed == "chips_cut: nothing to do; the head is still @4 0123456789ab"


def test_long_cells_are_shortened():
    lines = output.format_table(("id", "text"), [("a", "x" * 65), (None, b"12345")])
    assert lines == ["id  text", "a   " + "x" * 63 + "…", "    (5 bytes)"]


def test_swallowed_interruption_is_raised_at_next_progress():
    output.interrupted.set()
    try:
        with pytest.raises(KeyboardInterrupt):
            output.show_progress("chips cut", 1, 2)
    finally:
        output.interrupted.clear()
