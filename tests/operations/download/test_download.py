"""Downloads: what is missing is found and fetched, once, in the fewest scenes, and the event tells where it came from."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rasterio
from pyproj import Transformer

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, SourceError, UsageError
from tests.folder_source import Shelf, bring_back, close, fetched, searches, shelve
from tests.sample_history import point, square, write_features, write_scenes
from tests.sample_rasters import pixels, write_scene

SHELF = "tests.folder_source:Shelf"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


def add(dataset: Dataset, folder: Path, **features):
    path = write_features(
        folder / f"{'-'.join(features)}.geojson", {name: ("pond", shape) for name, shape in features.items()}
    )
    dataset.add_features(path, crs="EPSG:32633")


def download(dataset: Dataset, shelf: Path, **wanted):
    return dataset.download("scenes", source=SHELF, source_options={"folder": str(shelf)}, **wanted)


def ids(dataset: Dataset, **where):
    return sorted(dataset.rasters(**where)["raster_id"].to_pylist())


def contained(dataset: Dataset):
    edges = dataset.edges(relation="contains")
    return sorted(zip(edges["feature_id"].to_pylist(), edges["raster_id"].to_pylist(), strict=True))


def test_a_cluster_gets_one_scene_and_what_is_shown_already_none(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(20, 20), c=point(200, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own", beside=4))
    for name, column in (("left", 0), ("a-only", -50), ("b-only", 15), ("far", 190)):
        shelve(shelf, name, column=column)

    recorded = download(dataset, shelf)

    assert ids(dataset) == ["left", "own"]
    assert fetched(shelf) == ["left"]
    assert recorded.summary["missing"] == 2
    assert recorded.summary["cover"] == {"scenes": 1, "bound": 1, "gap": 0}
    assert contained(dataset) == [("a", "left"), ("b", "left"), ("c", "own")]


def test_a_second_run_fetches_nothing_and_appends_nothing(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)

    again = download(dataset, shelf)

    assert not again.changed
    assert fetched(shelf) == ["one"]
    assert searches(shelf) == 1


def test_of_equally_few_scenes_the_clearest_smallest_and_nearest_in_time_is_taken(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "cloudy", cloud=80.0)
    shelve(shelf, "late", acquired="2026-08-30T10:00:00")
    shelve(shelf, "large", side=80)
    shelve(shelf, "best")

    download(dataset, shelf, near="2026-06-02")

    assert ids(dataset) == ["best"]


def test_scenes_are_refused_by_cloud_and_by_date(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "cloudy", cloud=30.5)
    shelve(shelf, "early", acquired="2026-05-31T23:59:59")
    shelve(shelf, "late", acquired="2026-07-01T00:00:00")
    shelve(shelf, "last", acquired="2026-06-30T23:59:59")

    download(dataset, shelf, start="2026-06-01", end="2026-06-30", max_cloud=30)

    assert ids(dataset) == ["last"]


def test_every_feature_is_shown_as_often_as_asked_by_different_scenes(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(30, 30))
    for name, column in (("one", 0), ("two", 1), ("right", 20)):
        shelve(shelf, name, column=column)

    recorded = download(dataset, shelf, target_count=2)

    assert ids(dataset) == ["one", "two"]
    assert recorded.summary["cover"]["bound"] == 2


def test_what_the_archive_has_not_is_told_by_reason(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(900, 900))
    shelve(shelf, "one")

    recorded = download(dataset, shelf, target_count=2)

    assert recorded.summary["unmet"] == {
        "no scene of the archive shows it": 1,
        "too few scenes of the archive show it": 1,
    }
    assert recorded.summary["rasters"] == 1


def test_features_added_later_are_served_by_update_before_they_are_cut(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    shelve(shelf, "two", column=400)
    download(dataset, shelf)
    dataset.cut_around_features("chips", size=16)
    add(dataset, tmp_path, b=point(410, 5))

    kinds = [recorded.kind for recorded in dataset.update() if recorded.changed]

    assert kinds == ["rasters_downloaded", "chips_cut"]
    assert fetched(shelf) == ["one", "two"]
    assert len(dataset.chips()) == 2
    assert not any(recorded.changed for recorded in dataset.update())


def test_downloads_declared_after_cuts_run_before_them_in_update(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    dataset.cut_around_features("chips", size=16)
    shelve(shelf, "two", column=400)
    download(dataset, shelf)
    add(dataset, tmp_path, b=point(410, 5))

    assert [recorded.kind for recorded in dataset.update()] == ["rasters_downloaded", "chips_cut"]
    assert len(dataset.chips()) == 2


def test_a_product_that_fails_does_not_stop_the_others_and_only_it_is_tried_again(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(405, 5))
    shelve(shelf, "good")
    shelve(shelf, "gone", column=400, missing=True)

    first = download(dataset, shelf)

    assert (first.summary["rasters"], first.summary["failed"]) == (1, 1)
    assert "'gone': it has fallen off the shelf" in first.summary["warnings"][0]
    bring_back(shelf, "gone")
    assert download(dataset, shelf).summary["rasters"] == 1
    assert fetched(shelf) == ["gone", "gone", "good"]
    assert ids(dataset) == ["gone", "good"]


def test_when_nothing_can_be_had_nothing_is_recorded(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "gone", missing=True)
    head = dataset.log()[-1].position

    with pytest.raises(SourceError, match="'gone': it has fallen off the shelf"):
        download(dataset, shelf)

    assert dataset.log()[-1].position == head


def test_a_search_that_fails_is_an_error_and_update_goes_on_with_the_rest(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)
    add(dataset, tmp_path, b=point(30, 30), c=point(405, 5))
    close(shelf)

    with pytest.raises(SourceError, match="the shelf is closed"):
        download(dataset, shelf)
    dataset.cut_around_features("chips", size=16)
    add(dataset, tmp_path, d=point(40, 50))
    results = dataset.update()

    assert [recorded.changed for recorded in results] == [False, True]
    assert "the shelf is closed" in results[0].summary["warnings"][0]


def test_the_event_and_the_rows_tell_where_each_raster_came_from(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(
        shelf, "one", platform="S2A", relative_orbit=22, processing_baseline="05.09", datatake="GS2A_1", tile="32TPT"
    )

    download(dataset, shelf, start="2026-05-01", end="2026-06-30")

    row = dataset.rasters().to_pylist()[0]
    sent = shelf / "one.tif"
    told = {
        "provider": "shelf",
        "product_collection": "scenes",
        "product_id": "one",
        "cloud_cover": 5.0,
        "licence": "CC0",
        "platform": "S2A",
        "relative_orbit": 22,
        "processing_baseline": "05.09",
        "arrived_bytes": sent.stat().st_size,
        "search": 0,
        "reader": "geotiff",
    }
    assert {name: row[name] for name in told} == told
    assert row["acquired"] == datetime(2026, 6, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    assert row["arrived_sha256"] == row["sha256"]
    event = dataset.log()[-1]
    assert event.kind == "rasters_downloaded"
    [search] = event.payload["searches"]
    west, south, east, north = search["box"]
    lon, lat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(*point(5, 5)["coordinates"])
    assert west < lon < east
    assert south < lat < north
    assert (search["start"], search["end"]) == ("2026-05-01T00:00:00.000Z", "2026-06-30T23:59:59.999Z")
    assert (search["pages"], search["found"]) == (1, 1)


def test_no_property_of_a_product_takes_the_name_by_which_it_is_known_again(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one", Product_ID="another", size="large", tags=["a", "b"], gap=float("nan"))

    download(dataset, shelf, target_count=2)

    row = dataset.rasters().to_pylist()[0]
    assert (row["product_id"], row["Product_ID_"], row["size_"], row["tags"]) == (
        "one",
        "another",
        "large",
        "['a', 'b']",
    )
    assert "gap" not in row
    assert not download(dataset, shelf, target_count=2).changed
    assert fetched(shelf) == ["one"]


def test_what_a_table_has_for_nothing_is_nothing(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "untold", cloud=float("nan"))
    shelve(shelf, "clear", cloud=20.0)

    download(dataset, shelf, max_cloud=30, target_count=2)

    rows = {row["raster_id"]: row["cloud_cover"] for row in dataset.rasters().to_pylist()}
    assert rows == {"untold": None, "clear": 20.0}


def test_a_time_that_can_not_be_read_is_named_with_its_product(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one", acquired="last summer")

    with pytest.raises(SourceError, match="product 'one' was acquired at 'last summer', which is not ISO 8601"):
        download(dataset, shelf)


def test_what_arrived_is_kept_byte_for_byte_and_cleared_away_once_it_is_recorded(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")

    download(dataset, shelf)

    assert (dataset.root / "rasters" / "source" / "one.tif").read_bytes() == (shelf / "one.tif").read_bytes()
    assert not list((dataset.root / ".geographer" / "downloads").rglob("*.tif"))
    assert dataset.verify() == []


def test_a_scene_whose_pixels_end_before_its_edge_shows_only_what_they_show(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(60, 5))
    shelve(shelf, "half", valid_columns=32)
    shelve(shelf, "right", column=50)

    download(dataset, shelf)

    assert contained(dataset) == [("a", "half"), ("b", "right")]


def test_a_feature_that_fills_a_scene_to_its_edges_is_shown_by_it(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=square(0, 0, 64))
    shelve(shelf, "one")

    download(dataset, shelf)

    assert contained(dataset) == [("a", "one")]


def test_a_scene_that_shows_less_than_it_claimed_is_followed_by_another(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(60, 5))
    shelve(shelf, "boaster", valid_columns=32)
    index = json.loads((shelf / "index.json").read_text())
    shelve(shelf, "whole", cloud=50.0)
    both = json.loads((shelf / "index.json").read_text())
    both["products"][0]["footprint"] = both["products"][1]["footprint"]
    (shelf / "index.json").write_text(json.dumps(both))
    assert index

    download(dataset, shelf)
    download(dataset, shelf)

    assert fetched(shelf) == ["boaster", "whole"]
    assert contained(dataset) == [("a", "whole")]


def test_what_a_scene_does_not_show_after_all_is_told(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(60, 5), b=point(5, 5))
    shelve(shelf, "boaster", valid_columns=32)
    index = json.loads((shelf / "index.json").read_text())
    index["products"][0]["footprint"] = "POLYGON ((14 46, 16 46, 16 48, 14 48, 14 46))"
    (shelf / "index.json").write_text(json.dumps(index))

    recorded = download(dataset, shelf)

    assert recorded.summary["short"] == 1
    assert recorded.summary["warnings"][0].startswith("1 feature is not shown by what was fetched for it")


def test_a_reader_of_ones_own_that_fails_is_told_and_what_arrived_is_kept(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")

    with pytest.raises(UsageError, match=r"reader 'broken' failed \(KeyError: 'nothing'\)"):
        download(dataset, shelf, reader="tests.folder_source:Broken")
    with pytest.raises(UsageError, match="reader 'idle' made no GeoTIFF"):
        download(dataset, shelf, reader="tests.folder_source:Idle")
    download(dataset, shelf)

    assert fetched(shelf) == ["one"]


def test_what_can_not_be_read_does_not_stop_what_comes_after_it_in_an_update(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    download(dataset, shelf=_empty(shelf), reader="tests.folder_source:Broken")
    dataset.add_rasters(write_scenes(tmp_path / "own", "own", beside=2))
    dataset.cut_around_features("chips", size=16)
    add(dataset, tmp_path, b=point(110, 5))
    shelve(shelf, "one")

    unread, cut = dataset.update()

    assert not unread.changed
    assert "reader 'broken' failed" in unread.summary["warnings"][0]
    assert cut.changed


def _empty(shelf: Path) -> Path:
    shelf.mkdir()
    (shelf / "index.json").write_text('{"products": []}')
    return shelf


def test_a_source_of_ones_own_that_fails_in_a_search_is_told(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelf.mkdir()
    (shelf / "index.json").write_text("no JSON")

    with pytest.raises(SourceError, match="source 'Shelf' failed"):
        download(dataset, shelf)


def test_products_of_one_id_in_two_collections_are_two(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)

    dataset.download("other", source=SHELF, collection="other", source_options={"folder": str(shelf)}, target_count=2)

    assert len(ids(dataset)) == 2


def test_clear_sky_counts_more_than_a_month(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "cloudy", acquired="2026-07-15T10:00:00", cloud=90.0)
    shelve(shelf, "clear", acquired="2026-06-15T10:00:00", cloud=0.0)

    download(dataset, shelf, start="2026-06-01", end="2026-08-31")

    assert ids(dataset) == ["clear"]


def test_a_feature_larger_than_any_scene_is_covered_by_several_together(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=square(10, 10, 100))
    for column in (0, 60):
        for row in (0, 60):
            shelve(shelf, f"{column}-{row}", column=column, row=row)
    shelve(shelf, "middle", column=30, row=30)

    nothing = download(dataset, shelf)
    assert nothing.summary["unmet"] == {"no scene of the archive shows it": 1}
    recorded = dataset.download("together", source=Shelf, source_options={"folder": str(shelf)}, union=True)

    assert ids(dataset) == ["0-0", "0-60", "60-0", "60-60"]
    assert recorded.summary["cover"] == {"scenes": 4, "bound": 4, "gap": 0}
    assert not dataset.download("together", source=Shelf, source_options={"folder": str(shelf)}, union=True).changed


def test_what_one_raster_contains_is_covered_however_its_edge_is_drawn_in_degrees(dataset, shelf, tmp_path):
    big = {"transform": (1700.0, 0.0, 445_000.0, 0.0, -1700.0, 5_609_800.0)}
    dataset.add_rasters(write_scene(tmp_path / "big.tif", pixels(1, 64, 64, "uint8", seed=1), **big))
    corners = [(0, 0), (0.3, 0), (0.3, 0.3), (0, 0.3), (0, 0)]
    ring = [[502_800 + x, 5_609_799.6 + y] for x, y in corners]
    add(dataset, tmp_path, tiny={"type": "Polygon", "coordinates": [ring]})
    shelve(shelf, "one")

    assert contained(dataset) == [("tiny", "big")]
    assert download(dataset, shelf, union=True).summary["missing"] == 0


def test_of_two_processings_the_newest_is_fetched_and_later_the_other_neither(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    acquisition = {"datatake": "GS2A_20260601T100000_000001_N05.09", "tile": "33TWN", "processing_level": "L2A"}
    shelve(shelf, "old", processing_baseline="05.09", cloud=0.0, **acquisition)
    shelve(shelf, "new", processing_baseline="05.10", cloud=9.0, **acquisition)

    download(dataset, shelf, target_count=2)
    download(dataset, shelf, target_count=2)

    assert fetched(shelf) == ["new"]


def test_both_processings_are_fetched_when_asked(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    acquisition = {"datatake": "GS2A_1", "tile": "33TWN"}
    shelve(shelf, "old", processing_baseline="05.09", **acquisition)
    shelve(shelf, "new", processing_baseline="05.10", **acquisition)

    download(dataset, shelf, target_count=2, keep_twins=True)

    assert fetched(shelf) == ["new", "old"]


def test_a_raster_that_a_person_removed_is_not_fetched_again(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "bad")
    shelve(shelf, "good", cloud=40.0)
    download(dataset, shelf)
    dataset.remove_rasters(["bad"])

    dataset.update()

    assert ids(dataset) == ["good"]
    assert fetched(shelf) == ["bad", "good"]


def test_nor_does_another_recipe_for_the_same_collection_fetch_it(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "bad")
    shelve(shelf, "good", cloud=40.0)
    download(dataset, shelf)
    dataset.remove_rasters(["bad"])

    dataset.download("others", source=SHELF, source_options={"folder": str(shelf)}, max_cloud=90)

    assert ids(dataset) == ["good"]


def test_of_a_feature_that_is_shown_in_part_that_part_is_fetched_and_the_rest_is_told(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=square(10, 10, 100), b=square(300, 0, 10))
    shelve(shelf, "one")

    recorded = download(dataset, shelf, union=True)

    assert ids(dataset) == ["one"]
    assert recorded.summary["unmet"] == {
        "no scene of the archive shows it": 1,
        "too few scenes of the archive show it": 1,
    }
    assert not download(dataset, shelf, union=True).changed


def test_a_recipe_removed_and_declared_anew_fetches_anew(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)
    dataset.remove_recipe("scenes")
    assert ids(dataset) == []

    download(dataset, shelf)

    assert ids(dataset) == ["one"]


def test_a_recipe_can_go_without_its_rasters(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)
    close(shelf)

    dataset.remove_recipe("scenes", keep=True)

    assert ids(dataset) == ["one"]
    assert dataset.update() == []
    close(shelf, closed=False)
    download(dataset, shelf)
    assert fetched(shelf) == ["one"]


def test_only_the_chosen_features_and_rasters_count(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(405, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    shelve(shelf, "one")
    shelve(shelf, "two", column=400)

    download(dataset, shelf, where="feature_id = 'a'", rasters_where="raster_id <> 'own'")

    assert ids(dataset) == ["one", "own"]


def test_what_downloads_tell_of_rasters_may_be_named_before_the_first_one_ran(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    shelve(shelf, "one")
    wanted = {"rasters_where": "provider = 'shelf' AND cloud_cover < 10 AND coalesce(relative_orbit, 1) = 1"}

    download(dataset, shelf, **wanted)

    assert ids(dataset) == ["one", "own"]
    assert not download(dataset, shelf, **wanted).changed


def test_another_collection_is_another_matter(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "one"))
    shelve(shelf, "one")

    download(dataset, shelf, into="elsewhere")

    assert sorted(ids(dataset)) == ["one", "one.elsewhere"]
    assert (dataset.root / "rasters" / "elsewhere" / "one.elsewhere.tif").is_file()


def test_a_dry_run_and_a_plan_search_and_fetch_nothing(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5), b=point(6, 6))
    shelve(shelf, "one")
    head = dataset.log()[-1].position
    wanted = {"source": SHELF, "source_options": {"folder": str(shelf)}}

    with pytest.raises(ConflictError, match="not the expected"):
        dataset.plan_download("scenes", expected_head="0" * 64, **wanted)
    scenes, summary = dataset.plan_download("scenes", **wanted)
    planned = dataset.download("scenes", dry_run=True, **wanted)

    assert scenes.to_pylist() == [
        {
            "product_id": "one",
            "provider": "shelf",
            "acquired": "2026-06-01T10:00:00",
            "cloud_cover": 5.0,
            "bytes": (shelf / "one.tif").stat().st_size,
            "shows": 2,
            "cost": pytest.approx(0.15),
        }
    ]
    assert summary["bytes"] == planned.summary["bytes"] == (shelf / "one.tif").stat().st_size
    assert fetched(shelf) == []
    assert dataset.log()[-1].position == head


def test_what_was_fetched_is_not_lost_when_the_dataset_moved_on_meanwhile(dataset, shelf, tmp_path, monkeypatch):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    fetch = Shelf.fetch

    def slowly(self, product, folder, told):
        Dataset.open(dataset.root).tag("meanwhile")
        fetch(self, product, folder, told)

    monkeypatch.setattr(Shelf, "fetch", slowly)
    recorded = download(dataset, shelf)

    assert [event.kind for event in dataset.log()][-2:] == ["revision_tagged", "rasters_downloaded"]
    assert recorded.position == dataset.log()[-1].position


def test_it_can_be_checked_out_and_its_bytes_come_back(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)
    dataset.tag("v1")
    dataset.remove_rasters(["one"])

    dataset.checkout("v1", to=tmp_path / "back")

    assert (tmp_path / "back" / "rasters" / "source" / "one.tif").read_bytes() == (shelf / "one.tif").read_bytes()


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        ({"start": "May"}, UsageError, "--start May is no moment"),
        ({"start": "2026-06-02", "end": "2026-06-01"}, UsageError, "is after --end"),
        ({"target_count": 0}, UsageError, "--target-count 0"),
        ({"resolution": float("nan")}, UsageError, "--resolution nan is no number"),
        ({"bands": ["B02", "B02"]}, UsageError, "--bands B02,B02 names a band twice"),
        ({"union": True, "target_count": 2}, UsageError, "--union"),
        ({"query": {"api_key": "1234"}}, UsageError, "--query api_key=… looks like a credential"),
        ({"query": {"auth": [{"password": "x"}]}}, UsageError, "--query auth=… looks like a credential"),
        ({"query": {"at": "http://x.org/a?b=c"}}, UsageError, "--query at=… holds a URL with a query or fragment"),
        ({"rasters_where": "no_such = 1"}, NotFoundError, "--rasters-where names 'no_such'"),
        ({"where": "no_such = 1"}, NotFoundError, "no_such"),
        ({"into": "a/b"}, UsageError, "can't name a collection"),
        ({"reader": "no-such-reader"}, NotFoundError, "no-such-reader"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(dataset, shelf, tmp_path, wanted, error, says):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    head = dataset.log()[-1].position

    with pytest.raises(error, match=says):
        download(dataset, shelf, **wanted)

    assert dataset.log()[-1].position == head


def test_a_source_that_nobody_knows_is_named(dataset):
    with pytest.raises(NotFoundError, match=r"no 'nowhere' among the entry points of geographer\.sources"):
        dataset.download("scenes", source="nowhere")


def test_the_name_of_a_download_stands_for_one_recipe(dataset, shelf, tmp_path):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)

    with pytest.raises(ConflictError, match="'scenes' is a download recipe with max_cloud null"):
        download(dataset, shelf, max_cloud=10)


def test_a_download_comes_with_an_import(dataset, shelf, tmp_path, empty_dataset):
    add(dataset, tmp_path, a=point(5, 5))
    shelve(shelf, "one")
    download(dataset, shelf)
    other = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "other"))

    other.import_dataset(dataset.root, rename={"source": "theirs"})

    assert other.rasters()["product_id"].to_pylist() == ["one"]
    assert not any(recorded.changed for recorded in other.update())
    assert not download(other, shelf, into="theirs").changed
    assert not any(recorded.changed for recorded in other.update())
    with rasterio.open(other.root / "rasters" / "theirs" / "one.tif") as raster:
        assert raster.count == 2
    other.remove_rasters(["one"])
    other.update()
    assert ids(other) == []
    assert fetched(shelf) == ["one"]
