"""Where a product fails for good, others are fetched in its place; where it is offline, it is ordered once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.archives.download_pool import fetch_products
from geographer.base.errors import OrderRequiredError, SourceError, UnsupportedProductError
from geographer.base.retry import RetryPolicy
from geographer.operations.download.events import RastersDownloaded
from geographer.storage.events.payload import parse_payload
from tests.folder_source import FolderSource, add_scene, list_fetched, list_orders, restore_scene, set_product_offline
from tests.sample_history import point_geometry, square_geometry, write_features

REASON = "the product is missing"


@pytest.fixture
def archive_folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def add_features(dataset: Dataset, folder: Path, **features):
    path = folder / f"{'-'.join(features)}.geojson"
    write_features(path, {name: ("pond", shape) for name, shape in features.items()})
    dataset.add_features(path, crs="EPSG:32633")


def download(dataset: Dataset, archive_folder: Path, **parameters: Any):
    parameters = {"fall_back": True, "source": FolderSource, **parameters}
    return dataset.download("scenes", source_options={"folder": str(archive_folder)}, **parameters)


def list_raster_ids(dataset: Dataset) -> list[str]:
    return sorted(dataset.rasters()["raster_id"].to_pylist())


def test_failed_scene_is_replaced_by_fewest(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(20, 20), c=point_geometry(200, 5))
    add_scene(archive_folder, "both", is_missing=True, cloud_cover=0)
    add_scene(archive_folder, "a-only", column=-50)
    add_scene(archive_folder, "b-only", column=15)
    add_scene(archive_folder, "b-cloudy", column=16, cloud_cover=90)
    add_scene(archive_folder, "far", column=190)

    result = download(dataset, archive_folder)

    assert list_raster_ids(dataset) == ["a-only", "b-only", "far"]
    assert list_fetched(archive_folder) == ["a-only", "b-only", "both", "far"]
    replacement = {"product": "both", "reason": REASON, "replaced_by": ["a-only", "b-only"], "uncovered": 0}
    event = dataset.log()[-1]
    assert (event.version, event.payload["replacements"], event.payload["failed"]) == (2, [replacement], 1)
    assert event.payload["recipe"]["parameters"]["fall_back"] is True
    assert result.payload.format_summary().endswith("1 failed product replaced by others")
    assert result.summary["warnings"] == [f"'both' failed and was replaced by 'a-only', 'b-only' ({REASON})."]
    assert not result.payload.is_incomplete
    assert not download(dataset, archive_folder).changed


def test_fall_back_ends_when_nothing_is_left(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=point_geometry(5, 5), b=point_geometry(60, 60))
    add_scene(archive_folder, "best", is_missing=True, cloud_cover=0)
    add_scene(archive_folder, "second", is_missing=True, cloud_cover=1)
    add_scene(archive_folder, "b-only", column=20, row=20, cloud_cover=2)

    result = download(dataset, archive_folder)

    assert list_raster_ids(dataset) == ["b-only"]
    assert result.summary["replacements"] == [
        {"product": "best", "reason": REASON, "replaced_by": ["second"], "uncovered": 0},
        {"product": "second", "reason": REASON, "replaced_by": ["b-only"], "uncovered": 1},
    ]
    assert result.payload.is_incomplete
    assert result.summary["warnings"][0].startswith("1 product could not be downloaded or read ('second': the product")
    restore_scene(archive_folder, "best")
    dataset.update()
    assert list_raster_ids(dataset) == ["b-only", "best"]


@pytest.mark.usefixtures("one_pond")
def test_nothing_is_replaced_without_option(dataset, archive_folder):
    for name, cloud_cover in (("best", 0), ("second", 1)):
        add_scene(archive_folder, name, is_missing=name == "best", cloud_cover=cloud_cover)

    with pytest.raises(SourceError, match="'best': the product is missing"):
        download(dataset, archive_folder, fall_back=False)

    assert list_fetched(archive_folder) == ["best"]


@pytest.mark.usefixtures("one_pond")
@pytest.mark.parametrize("parameters", [{"union": True}, {"target_count": 2}])
def test_replacements_count_what_is_there(dataset, archive_folder, parameters):
    for number, name in enumerate(("first", "gone", "third", "fourth")):
        add_scene(archive_folder, name, is_missing=name == "gone", cloud_cover=number)

    download(dataset, archive_folder, **parameters)

    assert list_raster_ids(dataset) == (["first"] if "union" in parameters else ["first", "third"])


def test_replacements_cover_pieces_together(dataset, archive_folder, tmp_path):
    add_features(dataset, tmp_path, a=square_geometry(10, 10, 80))
    add_scene(archive_folder, "west", n_pixels=100, is_missing=True)
    add_scene(archive_folder, "north-west", n_pixels=64)
    for name, column, row in (("north-east", 40, 0), ("south-west", 0, 40), ("south-east", 40, 40)):
        add_scene(archive_folder, name, column=column, row=row)

    result = download(dataset, archive_folder, union=True)

    assert list_raster_ids(dataset) == ["north-east", "north-west", "south-east", "south-west"]
    assert [len(entry["replaced_by"]) for entry in result.summary["replacements"]] == [4]


@pytest.mark.usefixtures("one_pond")
def test_older_processing_replaces_newest(dataset, archive_folder):
    shared: dict[str, Any] = {"datatake": "GS2A_1", "tile": "32TPT"}
    add_scene(archive_folder, "new", is_missing=True, processing_baseline="05.10", **shared)
    add_scene(archive_folder, "old", processing_baseline="05.09", **shared)
    add_scene(archive_folder, "cloudy", cloud_cover=99)

    download(dataset, archive_folder)

    assert list_raster_ids(dataset) == ["old"]


@pytest.mark.usefixtures("one_pond")
def test_damaged_products_are_replaced_unreadable_ones_not(dataset, archive_folder):
    for number, name in enumerate(("one", "two", "three")):
        add_scene(archive_folder, name, cloud_cover=number)
    (archive_folder / "one.tif").write_bytes((archive_folder / "one.tif").read_bytes()[:200])

    with pytest.raises(UnsupportedProductError, match="1 product could not be downloaded or read"):
        download(dataset, archive_folder, reader="tests.folder_source:FailingReader")
    assert list_fetched(archive_folder) == ["one"]

    download(dataset, archive_folder)
    assert list_raster_ids(dataset) == ["two"]


class DownSource(FolderSource):
    """An archive that answers searches, and delivers nothing."""

    def fetch(self, product, folder, on_progress):
        super().fetch(product, folder, on_progress)
        raise SourceError("the archive did not answer in time", retryable=True)


@pytest.mark.usefixtures("one_pond")
def test_archive_that_is_down_is_not_asked_for_others(dataset, archive_folder, monkeypatch):
    monkeypatch.setattr("geographer.archives.download_pool.RetryPolicy", lambda: RetryPolicy(max_attempts=1))
    for number, name in enumerate(("one", "two")):
        add_scene(archive_folder, name, cloud_cover=number)

    with pytest.raises(SourceError, match="1 product could not be downloaded"):
        download(dataset, archive_folder, source=DownSource)

    assert list_fetched(archive_folder) == ["one"]


@pytest.mark.usefixtures("one_pond")
def test_update_falls_back_as_recorded(dataset, archive_folder, tmp_path, monkeypatch):
    workers = []

    def record_workers(*args, **options):
        workers.append(options["workers"])
        return fetch_products(*args, **options)

    monkeypatch.setattr("geographer.operations.download.fetch.fetch_products", record_workers)
    add_scene(archive_folder, "one")
    download(dataset, archive_folder, workers=7)
    add_features(dataset, tmp_path, b=point_geometry(405, 5))
    add_scene(archive_folder, "gone", column=400, is_missing=True, cloud_cover=0)
    add_scene(archive_folder, "there", column=400)

    (result,) = dataset.update(workers=5, fetch_workers=3)

    assert workers == [7, 3, 3]
    assert list_raster_ids(dataset) == ["one", "there"]
    assert [entry["product"] for entry in result.summary["replacements"]] == ["gone"]


@pytest.mark.usefixtures("one_pond")
def test_offline_product_is_ordered_and_fetched_later(dataset, archive_folder):
    add_scene(archive_folder, "cold")
    set_product_offline(archive_folder, "cold")

    first = download(dataset, archive_folder)

    assert (first.summary["rasters"], first.summary["failed"], first.summary["ordered"]) == (0, 0, 1)
    assert first.payload.is_incomplete
    assert "1 product is ordered ('cold': in the archive's cellar). Run the command" in first.summary["warnings"][0]
    with pytest.raises(OrderRequiredError, match="1 product is ordered"):
        download(dataset, archive_folder)
    add_scene(archive_folder, "warm", cloud_cover=0)
    (waiting,) = dataset.update()
    assert (waiting.changed, waiting.summary["incomplete"]) == (False, True)
    assert list_orders(archive_folder) == ["cold"]

    set_product_offline(archive_folder, "cold", offline=False)
    (fetched,) = dataset.update()

    assert list_raster_ids(dataset) == ["cold"]
    assert "ordered" not in fetched.summary
    assert list_orders(archive_folder) == ["cold"]
    assert not list((dataset.root / ".geographer" / "downloads").glob("*.order.json"))
    assert dataset.verify() == []


def test_version_1_of_event_is_read():
    recorded: dict[str, Any] = {
        "collection": "source",
        "rasters": 0,
        "failed": 2,
        "features": 3,
        "missing": 2,
        "candidates": 2,
    }
    recorded |= {"cover": {"scenes": 2, "bound": 2, "gap": 0.0}, "bytes": None, "unmet": {}, "searches": []}
    recorded |= {"columns": {}, "recipe": {"name": "s2", "kind": "download", "parameters": {}}}
    payload = parse_payload("rasters_downloaded", 1, json.loads(json.dumps(recorded)))
    assert payload.is_incomplete
    current = payload.to_current_version()
    assert isinstance(current, RastersDownloaded)
    assert (current.version, current.failed, current.is_incomplete) == (2, 2, True)
