"""The event `rasters_downloaded`: its summary in one line, and its columns."""

from __future__ import annotations

from msgspec import UNSET, structs

from geographer.operations.download.events import ArchiveSearch, RastersDownloaded, SceneCover
from geographer.storage.events.payload import RecipeRecord, UserColumn, parse_payload

EVENT = RastersDownloaded(
    recipe=RecipeRecord("s2", "download", {}),
    collection="source",
    rasters=2,
    failed=1,
    features=9,
    missing=7,
    candidates=40,
    cover=SceneCover(3, 2, 0.333333),
    bytes=2_345_678,
    unmet={"no scene of the archive shows it": 2},
    short=1,
    searches=[ArchiveSearch([1.0, 2.0, 3.0, 4.0], 1, 40, UNSET, "2026-06-30T23:59:59.999Z")],
    columns={"cloud_cover": "DOUBLE"},
)


def test_summary_lists_counts_then_collection():
    assert EVENT.format_summary() == (
        "2 rasters, 1 product failed, 9 features, 7 features without enough rasters, 40 candidate scenes, 3 scenes "
        "selected (at least 2 needed), 2.3 MB, 2 skipped: no scene of the archive shows it, 1 feature not contained by "
        "the scenes fetched for them, collection source"
    )


def test_summary_leaves_out_what_is_nothing():
    nothing = structs.replace(
        EVENT, rasters=0, failed=0, missing=0, candidates=0, cover=SceneCover(0, 0, 0.0), bytes=0, unmet={}, short=UNSET
    )

    assert nothing.format_summary() == "9 features, collection source"
    assert EVENT.is_incomplete
    assert not nothing.is_incomplete


def test_payload_is_read_back():
    content = EVENT.to_json()

    assert content["searches"] == [
        {"box": [1.0, 2.0, 3.0, 4.0], "pages": 1, "found": 40, "end": "2026-06-30T23:59:59.999Z"}
    ]
    assert parse_payload("rasters_downloaded", 2, content) == EVENT
    assert list(EVENT.iter_user_columns()) == [UserColumn("raster", "cloud_cover", "DOUBLE")]
