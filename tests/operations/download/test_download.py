"""Downloads fetch each missing scene once, use the fewest scenes, and record the origin of each raster."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rasterio
from pyproj import Transformer

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, SourceError, UsageError
from tests.folder_source import FolderSource, add_scene, count_searches, list_fetched, restore_scene, set_offline
from tests.sample_history import point_geometry, square_geometry, write_features, write_scenes
from tests.sample_rasters import make_pixels, write_scene

FOLDER_SOURCE = "tests.folder_source:FolderSource"


@pytest.fixture
def archive_folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def add_features(dataset: Dataset, folder: Path, **features):
    path = write_features(
        folder / f"{'-'.join(features)}.geojson", {name: ("pond", shape) for name, shape in features.items()}
    )
    dataset.add_features(path, crs="EPSG:32633")


def download(dataset: Dataset, archive_folder: Path, **parameters):
    return dataset.download(
        "scenes", source=FOLDER_SOURCE, source_options={"folder": str(archive_folder)}, **parameters
    )


def list_raster_ids(dataset: Dataset, **filters):
    return sorted(dataset.rasters(**filters)["raster_id"].to_pylist())


def list_contained(dataset: Dataset):
    edges = dataset.edges(relation="contains")
    return sorted(zip(edges["feature_id"].to_pylist(), edges["raster_id"].to_pylist(), strict=True))


def test_one_scene_covers_cluster(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(20, 20), c=point_geometry(200, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own", offset=4))
    for name, column in (("left", 0), ("a-only", -50), ("b-only", 15), ("far", 190)):
        add_scene(archive_folder, name, column=column)

    result = download(dataset, archive_folder)

    assert list_raster_ids(dataset) == ["left", "own"]
    assert list_fetched(archive_folder) == ["left"]
    assert result.summary["missing"] == 2
    assert result.summary["cover"] == {"scenes": 1, "bound": 1, "gap": 0}
    assert list_contained(dataset) == [("a", "left"), ("b", "left"), ("c", "own")]


@pytest.mark.usefixtures("one_pond")
def test_second_run_changes_nothing(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)

    second = download(dataset, archive_folder)

    assert not second.changed
    assert list_fetched(archive_folder) == ["one"]
    assert count_searches(archive_folder) == 1


@pytest.mark.usefixtures("one_pond")
def test_cheapest_scene_is_selected(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "cloudy", cloud_cover=80.0)
    add_scene(archive_folder, "late", acquired="2026-08-30T10:00:00")
    add_scene(archive_folder, "large", n_pixels=80)
    add_scene(archive_folder, "best")

    download(dataset, archive_folder, near="2026-06-02")

    assert list_raster_ids(dataset) == ["best"]


@pytest.mark.usefixtures("one_pond")
def test_cloud_and_dates_filter_scenes(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "cloudy", cloud_cover=30.5)
    add_scene(archive_folder, "early", acquired="2026-05-31T23:59:59")
    add_scene(archive_folder, "late", acquired="2026-07-01T00:00:00")
    add_scene(archive_folder, "last", acquired="2026-06-30T23:59:59")

    download(dataset, archive_folder, start="2026-06-01", end="2026-06-30", max_cloud=30)

    assert list_raster_ids(dataset) == ["last"]


def test_target_count_selects_different_scenes(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(30, 30))
    for name, column in (("one", 0), ("two", 1), ("right", 20)):
        add_scene(archive_folder, name, column=column)

    result = download(dataset, archive_folder, target_count=2)

    assert list_raster_ids(dataset) == ["one", "two"]
    assert result.summary["cover"]["bound"] == 2


def test_unmet_features_are_counted_by_reason(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(900, 900))
    add_scene(archive_folder, "one")

    result = download(dataset, archive_folder, target_count=2)

    assert result.summary["unmet"] == {
        "no scene of the archive shows it": 1,
        "too few scenes of the archive show it": 1,
    }
    assert result.summary["rasters"] == 1


@pytest.mark.usefixtures("one_pond")
def test_update_downloads_before_cutting(dataset, archive_folder, tmp_path):
    """Whatever was declared first."""
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    dataset.cut_around_features("chips", size=16)
    add_scene(archive_folder, "two", column=400)
    download(dataset, archive_folder)
    add_features(dataset, tmp_path, b=point_geometry(410, 5))

    assert [result.kind for result in dataset.update()] == ["rasters_downloaded", "chips_cut"]
    assert list_fetched(archive_folder) == ["two"]
    assert len(dataset.chips()) == 2
    assert not any(result.changed for result in dataset.update())


def test_only_failed_product_is_retried(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(405, 5))
    add_scene(archive_folder, "good")
    add_scene(archive_folder, "gone", column=400, is_missing=True)

    first = download(dataset, archive_folder)

    assert (first.summary["rasters"], first.summary["failed"]) == (1, 1)
    assert "'gone': the product is missing" in first.summary["warnings"][0]
    restore_scene(archive_folder, "gone")
    assert download(dataset, archive_folder).summary["rasters"] == 1
    assert list_fetched(archive_folder) == ["gone", "gone", "good"]
    assert list_raster_ids(dataset) == ["gone", "good"]


@pytest.mark.usefixtures("one_pond")
def test_total_failure_records_nothing(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "gone", is_missing=True)
    head = dataset.log()[-1].position

    with pytest.raises(SourceError, match="'gone': the product is missing"):
        download(dataset, archive_folder)

    assert dataset.log()[-1].position == head


@pytest.mark.usefixtures("one_pond")
def test_failed_search_does_not_stop_update(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)
    add_features(dataset, tmp_path, b=point_geometry(30, 30), c=point_geometry(405, 5))
    set_offline(archive_folder)

    with pytest.raises(SourceError, match="the archive is offline"):
        download(dataset, archive_folder)
    dataset.cut_around_features("chips", size=16)
    add_features(dataset, tmp_path, d=point_geometry(40, 50))
    results = dataset.update()

    assert [result.changed for result in results] == [False, True]
    assert "the archive is offline" in results[0].summary["warnings"][0]


@pytest.mark.usefixtures("one_pond")
def test_event_and_rows_record_origin(dataset, archive_folder, tmp_path):
    add_scene(
        archive_folder,
        "one",
        platform="S2A",
        relative_orbit=22,
        processing_baseline="05.09",
        datatake="GS2A_1",
        tile="32TPT",
    )

    download(dataset, archive_folder, start="2026-05-01", end="2026-06-30")

    row = dataset.rasters().to_pylist()[0]
    product_path = archive_folder / "one.tif"
    expected = {
        "provider": "folder",
        "product_collection": "scenes",
        "product_id": "one",
        "cloud_cover": 5.0,
        "licence": "CC0",
        "platform": "S2A",
        "relative_orbit": 22,
        "processing_baseline": "05.09",
        "arrived_bytes": product_path.stat().st_size,
        "search": 0,
        "reader": "geotiff",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["acquired"] == datetime(2026, 6, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    assert row["arrived_sha256"] == row["sha256"]
    event = dataset.log()[-1]
    assert event.kind == "rasters_downloaded"
    [search] = event.payload["searches"]
    west, south, east, north = search["box"]
    lon, lat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(
        *point_geometry(5, 5)["coordinates"]
    )
    assert west < lon < east
    assert south < lat < north
    assert (search["start"], search["end"]) == ("2026-05-01T00:00:00.000Z", "2026-06-30T23:59:59.999Z")
    assert (search["pages"], search["found"]) == (1, 1)


@pytest.mark.usefixtures("one_pond")
def test_product_properties_cannot_replace_columns(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one", Product_ID="another", size="large", tags=["a", "b"], gap=float("nan"))

    download(dataset, archive_folder, target_count=2)

    row = dataset.rasters().to_pylist()[0]
    assert (row["product_id"], row["Product_ID_"], row["size_"], row["tags"]) == (
        "one",
        "another",
        "large",
        "['a', 'b']",
    )
    assert "gap" not in row
    assert not download(dataset, archive_folder, target_count=2).changed
    assert list_fetched(archive_folder) == ["one"]


@pytest.mark.usefixtures("one_pond")
def test_nan_cloud_cover_is_unknown(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "untold", cloud_cover=float("nan"))
    add_scene(archive_folder, "clear", cloud_cover=20.0)

    download(dataset, archive_folder, max_cloud=30, target_count=2)

    rows = {row["raster_id"]: row["cloud_cover"] for row in dataset.rasters().to_pylist()}
    assert rows == {"untold": None, "clear": 20.0}


@pytest.mark.usefixtures("one_pond")
def test_invalid_acquisition_time_is_an_error(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one", acquired="last summer")

    with pytest.raises(
        SourceError, match="product 'one' has the acquisition time 'last summer', which is not ISO 8601"
    ):
        download(dataset, archive_folder)


@pytest.mark.usefixtures("one_pond")
def test_geotiff_is_copied_and_cache_cleared(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")

    download(dataset, archive_folder)

    assert (dataset.root / "rasters" / "source" / "one.tif").read_bytes() == (archive_folder / "one.tif").read_bytes()
    assert not list((dataset.root / ".geographer" / "downloads").rglob("*.tif"))
    assert dataset.verify() == []


def test_valid_pixels_limit_coverage(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(60, 5))
    add_scene(archive_folder, "half", valid_columns=32)
    add_scene(archive_folder, "right", column=50)

    download(dataset, archive_folder)

    assert list_contained(dataset) == [("a", "half"), ("b", "right")]


def test_feature_filling_scene_is_contained(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=square_geometry(0, 0, 64))
    add_scene(archive_folder, "one")

    download(dataset, archive_folder)

    assert list_contained(dataset) == [("a", "one")]


def test_overstated_footprint_gets_second_scene(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(60, 5))
    add_scene(archive_folder, "overstated", valid_columns=32)
    index = json.loads((archive_folder / "index.json").read_text())
    add_scene(archive_folder, "whole", cloud_cover=50.0)
    edited_index = json.loads((archive_folder / "index.json").read_text())
    edited_index["products"][0]["footprint"] = edited_index["products"][1]["footprint"]
    (archive_folder / "index.json").write_text(json.dumps(edited_index))
    assert index

    download(dataset, archive_folder)
    download(dataset, archive_folder)

    assert list_fetched(archive_folder) == ["overstated", "whole"]
    assert list_contained(dataset) == [("a", "whole")]


def test_overstated_footprint_is_reported(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(60, 5), b=point_geometry(5, 5))
    add_scene(archive_folder, "overstated", valid_columns=32)
    index = json.loads((archive_folder / "index.json").read_text())
    index["products"][0]["footprint"] = "POLYGON ((14 46, 16 46, 16 48, 14 48, 14 46))"
    (archive_folder / "index.json").write_text(json.dumps(index))

    result = download(dataset, archive_folder)

    assert result.summary["short"] == 1
    assert result.summary["warnings"][0].startswith("1 feature is not within the valid pixels of the downloaded scenes")


@pytest.mark.usefixtures("one_pond")
def test_failing_reader_keeps_download(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")

    with pytest.raises(UsageError, match=r"reader 'failing' failed \(KeyError: 'nothing'\)"):
        download(dataset, archive_folder, reader="tests.folder_source:FailingReader")
    with pytest.raises(UsageError, match="reader 'idle' did not write a GeoTIFF"):
        download(dataset, archive_folder, reader="tests.folder_source:IdleReader")
    download(dataset, archive_folder)

    assert list_fetched(archive_folder) == ["one"]


@pytest.mark.usefixtures("one_pond")
def test_unreadable_product_does_not_stop_update(dataset, archive_folder, tmp_path):
    download(dataset, archive_folder=make_empty_archive(archive_folder), reader="tests.folder_source:FailingReader")
    dataset.add_rasters(write_scenes(tmp_path / "own", "own", offset=2))
    dataset.cut_around_features("chips", size=16)
    add_features(dataset, tmp_path, b=point_geometry(110, 5))
    add_scene(archive_folder, "one")

    download_result, cut = dataset.update()

    assert not download_result.changed
    assert "reader 'failing' failed" in download_result.summary["warnings"][0]
    assert cut.changed


def make_empty_archive(archive_folder: Path) -> Path:
    archive_folder.mkdir()
    (archive_folder / "index.json").write_text('{"products": []}')
    return archive_folder


@pytest.mark.usefixtures("one_pond")
def test_failing_custom_source_is_reported(dataset, archive_folder, tmp_path):
    archive_folder.mkdir()
    (archive_folder / "index.json").write_text("no JSON")

    with pytest.raises(SourceError, match="source 'FolderSource' failed"):
        download(dataset, archive_folder)


@pytest.mark.usefixtures("one_pond")
def test_product_id_is_unique_per_collection(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)

    dataset.download(
        "other",
        source=FOLDER_SOURCE,
        collection="other",
        source_options={"folder": str(archive_folder)},
        target_count=2,
    )

    assert len(list_raster_ids(dataset)) == 2


@pytest.mark.usefixtures("one_pond")
def test_clear_scene_beats_nearer_cloudy_scene(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "cloudy", acquired="2026-07-15T10:00:00", cloud_cover=90.0)
    add_scene(archive_folder, "clear", acquired="2026-06-15T10:00:00", cloud_cover=0.0)

    download(dataset, archive_folder, start="2026-06-01", end="2026-08-31")

    assert list_raster_ids(dataset) == ["clear"]


def test_union_covers_large_feature(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=square_geometry(10, 10, 100))
    for column in (0, 60):
        for row in (0, 60):
            add_scene(archive_folder, f"{column}-{row}", column=column, row=row)
    add_scene(archive_folder, "middle", column=30, row=30)

    nothing = download(dataset, archive_folder)
    assert nothing.summary["unmet"] == {"no scene of the archive shows it": 1}
    result = dataset.download(
        "together", source=FolderSource, source_options={"folder": str(archive_folder)}, union=True
    )

    assert list_raster_ids(dataset) == ["0-0", "0-60", "60-0", "60-60"]
    assert result.summary["cover"] == {"scenes": 4, "bound": 4, "gap": 0}
    assert not dataset.download(
        "together", source=FolderSource, source_options={"folder": str(archive_folder)}, union=True
    ).changed


def test_union_counts_contained_features(dataset, archive_folder, tmp_path):
    grid: dict[str, Any] = {"transform": (1700.0, 0.0, 445_000.0, 0.0, -1700.0, 5_609_800.0)}
    dataset.add_rasters(write_scene(tmp_path / "big.tif", make_pixels(1, 64, 64, "uint8", seed=1), **grid))
    corners = [(0, 0), (0.3, 0), (0.3, 0.3), (0, 0.3), (0, 0)]
    ring = [[502_800 + x, 5_609_799.6 + y] for x, y in corners]
    add_features(dataset, tmp_path, tiny={"type": "Polygon", "coordinates": [ring]})
    add_scene(archive_folder, "one")

    assert list_contained(dataset) == [("tiny", "big")]
    assert download(dataset, archive_folder, union=True).summary["missing"] == 0


@pytest.mark.usefixtures("one_pond")
def test_newest_processing_is_fetched(dataset, archive_folder, tmp_path):
    properties: dict[str, Any] = {
        "datatake": "GS2A_20260601T100000_000001_N05.09",
        "tile": "33TWN",
        "processing_level": "L2A",
    }
    add_scene(archive_folder, "old", processing_baseline="05.09", cloud_cover=0.0, **properties)
    add_scene(archive_folder, "new", processing_baseline="05.10", cloud_cover=9.0, **properties)

    download(dataset, archive_folder, target_count=2)
    download(dataset, archive_folder, target_count=2)

    assert list_fetched(archive_folder) == ["new"]


@pytest.mark.usefixtures("one_pond")
def test_keep_reprocessed_fetches_all_processings(dataset, archive_folder, tmp_path):
    properties: dict[str, Any] = {"datatake": "GS2A_1", "tile": "33TWN"}
    add_scene(archive_folder, "old", processing_baseline="05.09", **properties)
    add_scene(archive_folder, "new", processing_baseline="05.10", **properties)

    download(dataset, archive_folder, target_count=2, keep_reprocessed=True)

    assert list_fetched(archive_folder) == ["new", "old"]


@pytest.mark.usefixtures("one_pond")
def test_removed_raster_is_not_fetched_again(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "bad")
    add_scene(archive_folder, "good", cloud_cover=40.0)
    download(dataset, archive_folder)
    dataset.remove_rasters(["bad"])

    dataset.update()
    dataset.download(
        "others", source=FOLDER_SOURCE, source_options={"folder": str(archive_folder)}, max_cloud=90, target_count=2
    )

    assert list_raster_ids(dataset) == ["good"]
    assert list_fetched(archive_folder) == ["bad", "good"]


def test_union_reports_uncovered_part(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=square_geometry(10, 10, 100), b=square_geometry(300, 0, 10))
    add_scene(archive_folder, "one")

    result = download(dataset, archive_folder, union=True)

    assert list_raster_ids(dataset) == ["one"]
    assert result.summary["unmet"] == {
        "no scene of the archive shows it": 1,
        "too few scenes of the archive show it": 1,
    }
    assert not download(dataset, archive_folder, union=True).changed


@pytest.mark.usefixtures("one_pond")
def test_redeclared_recipe_fetches_again(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)
    dataset.remove_recipe("scenes")
    assert list_raster_ids(dataset) == []

    download(dataset, archive_folder)

    assert list_raster_ids(dataset) == ["one"]


@pytest.mark.usefixtures("one_pond")
def test_recipe_removal_can_keep_rasters(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)
    set_offline(archive_folder)

    dataset.remove_recipe("scenes", keep=True)

    assert list_raster_ids(dataset) == ["one"]
    assert dataset.update() == []
    set_offline(archive_folder, offline=False)
    download(dataset, archive_folder)
    assert list_fetched(archive_folder) == ["one"]


def test_filters_limit_features_and_rasters(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(405, 5))
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    add_scene(archive_folder, "one")
    add_scene(archive_folder, "two", column=400)

    download(dataset, archive_folder, where="feature_id = 'a'", rasters_where="raster_id <> 'own'")

    assert list_raster_ids(dataset) == ["one", "own"]


@pytest.mark.usefixtures("one_pond")
def test_filter_may_name_future_columns(dataset, archive_folder, tmp_path):
    dataset.add_rasters(write_scenes(tmp_path / "own", "own"))
    add_scene(archive_folder, "one")
    parameters = {"rasters_where": "provider = 'folder' AND cloud_cover < 10 AND coalesce(relative_orbit, 1) = 1"}

    download(dataset, archive_folder, **parameters)

    assert list_raster_ids(dataset) == ["one", "own"]
    assert not download(dataset, archive_folder, **parameters).changed


@pytest.mark.usefixtures("one_pond")
def test_into_other_collection(dataset, archive_folder, tmp_path):
    dataset.add_rasters(write_scenes(tmp_path / "own", "one"))
    add_scene(archive_folder, "one")

    download(dataset, archive_folder, into="elsewhere")

    assert sorted(list_raster_ids(dataset)) == ["one", "one.elsewhere"]
    assert (dataset.root / "rasters" / "elsewhere" / "one.elsewhere.tif").is_file()


def test_plan_and_dry_run_fetch_nothing(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(6, 6))
    add_scene(archive_folder, "one")
    head = dataset.log()[-1].position
    parameters = {"source": FOLDER_SOURCE, "source_options": {"folder": str(archive_folder)}}

    with pytest.raises(ConflictError, match="not the expected"):
        dataset.plan_download("scenes", expected_head="0" * 64, **parameters)
    scenes, summary = dataset.plan_download("scenes", **parameters)
    dry_run = dataset.download("scenes", dry_run=True, **parameters)

    assert scenes.to_pylist() == [
        {
            "product_id": "one",
            "provider": "folder",
            "acquired": "2026-06-01T10:00:00",
            "cloud_cover": 5.0,
            "bytes": (archive_folder / "one.tif").stat().st_size,
            "shows": 2,
            "cost": pytest.approx(0.15),
        }
    ]
    assert summary["bytes"] == dry_run.summary["bytes"] == (archive_folder / "one.tif").stat().st_size
    assert list_fetched(archive_folder) == []
    assert dataset.log()[-1].position == head


@pytest.mark.usefixtures("one_pond")
def test_concurrent_event_keeps_downloads(dataset, archive_folder, tmp_path, monkeypatch):
    add_scene(archive_folder, "one")
    fetch = FolderSource.fetch

    def tag_then_fetch(self, product, folder, expected):
        Dataset.open(dataset.root).tag("meanwhile")
        fetch(self, product, folder, expected)

    monkeypatch.setattr(FolderSource, "fetch", tag_then_fetch)
    result = download(dataset, archive_folder)

    assert [event.kind for event in dataset.log()][-2:] == ["revision_tagged", "rasters_downloaded"]
    assert result.position == dataset.log()[-1].position


@pytest.mark.usefixtures("one_pond")
def test_checkout_restores_downloaded_raster(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)
    dataset.tag("v1")
    dataset.remove_rasters(["one"])

    dataset.checkout("v1", to=tmp_path / "back")

    assert (tmp_path / "back" / "rasters" / "source" / "one.tif").read_bytes() == (
        archive_folder / "one.tif"
    ).read_bytes()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"start": "May"}, UsageError, "invalid time 'May' for --start"),
        ({"start": "2026-06-02", "end": "2026-06-01"}, UsageError, "is after --end"),
        ({"target_count": 0}, UsageError, "--target-count 0"),
        ({"resolution": float("nan")}, UsageError, "invalid --resolution nan. Use a number above 0"),
        ({"max_cloud": float("inf")}, UsageError, "invalid --max-cloud inf. Use a number from 0 to 100"),
        ({"bands": ["B02", "B02"]}, UsageError, "--bands B02,B02 repeats a band"),
        ({"union": True, "target_count": 2}, UsageError, "--union"),
        ({"query": {"api_key": "1234"}}, UsageError, r"--query api_key=\*\*\* looks like a credential"),
        ({"query": {"auth": [{"password": "x"}]}}, UsageError, "--query auth=… looks like a credential"),
        ({"query": {"at": "http://x.org/a?b=c"}}, UsageError, "--query at=… contains a URL with a query or fragment"),
        ({"rasters_where": "no_such = 1"}, NotFoundError, "--rasters-where: no column 'no_such'"),
        ({"where": "no_such = 1"}, NotFoundError, "no_such"),
        ({"into": "a/b"}, UsageError, "invalid collection name 'a/b'"),
        ({"reader": "no-such-reader"}, NotFoundError, "no-such-reader"),
    ],
)
@pytest.mark.usefixtures("one_pond")
def test_invalid_parameters_change_nothing(dataset, archive_folder, tmp_path, parameters, error, message):
    add_scene(archive_folder, "one")
    head = dataset.log()[-1].position

    with pytest.raises(error, match=message):
        download(dataset, archive_folder, **parameters)

    assert dataset.log()[-1].position == head


@pytest.mark.usefixtures("one_pond")
def test_source_option_cannot_replace_provider(dataset):
    with pytest.raises(UsageError, match=r"invalid --source-option provider\. Use --provider instead"):
        dataset.download("scenes", source=FOLDER_SOURCE, provider="a", source_options={"provider": "b"})


def test_unknown_source_is_named(dataset):
    with pytest.raises(NotFoundError, match="source 'nowhere' not found"):
        dataset.download("scenes", source="nowhere")


@pytest.mark.usefixtures("one_pond")
def test_recipe_name_is_unique(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)

    with pytest.raises(ConflictError, match="recipe 'scenes' exists as a download recipe with --max-cloud none"):
        download(dataset, archive_folder, max_cloud=10)


@pytest.mark.usefixtures("one_pond")
def test_replace_keeps_downloaded_rasters(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "one", cloud_cover=20)
    add_scene(archive_folder, "two", cloud_cover=40)
    download(dataset, archive_folder, max_cloud=10)
    download(dataset, archive_folder, max_cloud=30, replace=True)
    first = (dataset.root / "rasters" / "source" / "one.tif").stat().st_mtime_ns

    result = download(dataset, archive_folder, target_count=2, replace=True)

    assert result.summary["rasters"] == 1
    assert result.summary["recipe"]["parameters"]["target_count"] == 2
    assert list_raster_ids(dataset) == ["one", "two"]
    assert list_fetched(archive_folder) == ["one", "two"]
    assert (dataset.root / "rasters" / "source" / "one.tif").stat().st_mtime_ns == first
    assert not download(dataset, archive_folder, target_count=2).changed
    assert dataset.verify() == []


@pytest.mark.usefixtures("one_pond")
def test_replaced_recipe_skips_removed_raster(dataset, archive_folder, tmp_path):
    add_scene(archive_folder, "bad")
    add_scene(archive_folder, "good", cloud_cover=40.0)
    download(dataset, archive_folder)
    dataset.remove_rasters(["bad"])

    download(dataset, archive_folder, max_cloud=30, replace=True)
    dataset.update()

    assert list_raster_ids(dataset) == []


@pytest.mark.usefixtures("one_pond")
def test_imported_download_recipe_works(dataset, archive_folder, tmp_path, empty_dataset):
    add_scene(archive_folder, "one")
    download(dataset, archive_folder)
    other = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "other"))

    other.import_dataset(dataset.root, rename={"source": "theirs"})

    assert other.rasters()["product_id"].to_pylist() == ["one"]
    assert not any(result.changed for result in other.update())
    assert not download(other, archive_folder, into="theirs").changed
    assert not any(result.changed for result in other.update())
    with rasterio.open(other.root / "rasters" / "theirs" / "one.tif") as raster:
        assert raster.count == 2
    other.remove_rasters(["one"])
    other.update()
    assert list_raster_ids(other) == []
    assert list_fetched(archive_folder) == ["one"]
