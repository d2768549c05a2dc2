"""Downloads from end to end: the command, the real eodag, real servers on loopback, trouble, and a kill in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio
from rasterio.warp import transform_bounds

from geographer import Dataset
from geographer.errors import SourceError
from geographer.sources.patience import Patience
from tests.archives import Fault, asset_of, faulty_archive, file_server, multihash, stac_item, stac_server
from tests.products import write_safe
from tests.rasters.scenes import pixels, write_scene

BOXES = {"one": (10.0, 50.0, 10.2, 50.2), "two": (20.0, 50.0, 20.2, 50.2), "three": (30.0, 50.0, 30.2, 50.2)}
"""Scenes, by their boxes in degrees; in the middle of each lie two features."""

SECRET = "hunter2-not-for-anyone"


def scene(folder: Path, name: str) -> bytes:
    """A GeoTIFF that fills the box of a scene."""
    west, _, _, north = BOXES[name]
    place = {"crs": "EPSG:4326", "transform": (0.002, 0.0, west, 0.0, -0.002, north)}
    return write_scene(folder / f"{name}.tif", pixels(2, 100, 100, seed=len(name)), **place).read_bytes()


@pytest.fixture
def features(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A dataset with two features in each scene's middle."""
    members = []
    for name, (west, south, _, _) in BOXES.items():
        for number in range(2):
            place = {"type": "Point", "coordinates": [west + 0.09 + 0.01 * number, south + 0.1]}
            members.append({"type": "Feature", "properties": {"id": f"{name}-{number}"}, "geometry": place})
    path = tmp_path / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path)
    return dataset


@pytest.fixture
def archive(tmp_path: Path):
    """An archive that has the three scenes, each in one GeoTIFF, and keeps a log of what it is asked."""
    folder = tmp_path / "archive"
    folder.mkdir()
    with faulty_archive() as served:
        for name, box in BOXES.items():
            served.add(name, box, {"data.tif": scene(folder, name)})
        yield served


def command(root: Path, url: str, *more: str) -> list[str]:
    wanted = ["--provider", "local", "--collection", "scenes", "--source-option", f"url={url}"]
    return [sys.executable, "-m", "geographer", "-C", str(root), "download", "scenes", *wanted, *more]


def download(dataset: Dataset, url: str, source_options=None, **wanted):
    options = {"url": url, **(source_options or {})}
    return dataset.download("scenes", provider="local", collection="scenes", source_options=options, **wanted)


def rasters(dataset: Dataset):
    return sorted(dataset.rasters()["raster_id"].to_pylist())


def fetched(archive) -> list[str]:
    return sorted(
        one.path.split("/")[2] for one in archive.log if one.path.startswith("/files/") and one.method == "GET"
    )


def test_a_real_stac_server_is_searched_and_every_feature_gets_its_scene(features, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    with file_server(folder) as files:
        items = [
            stac_item(
                name, box, {"data": asset_of(f"{files}/{name}.tif", scene(folder, name))}, cloud=3.5, platform="x1"
            )
            for name, box in BOXES.items()
        ]
        with stac_server(items, tmp_path) as url:
            arguments = command(features.root, url, "--start", "2023-01-01", "--end", "2023-12-31", "--json")
            told = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)

    assert told.returncode == 0, told.stderr
    summary = json.loads(told.stdout)
    assert (summary["missing"], summary["rasters"], len(summary["searches"])) == (6, 3, 3)
    assert rasters(features) == ["one", "three", "two"]
    row = features.rasters(where="raster_id = 'one'").to_pylist()[0]
    assert (row["provider"], row["product_collection"], row["cloud_cover"]) == ("local", "scenes", 3.5)
    assert len(features.edges(relation="contains")) == 6
    assert features.verify() == []


def test_searches_grow_with_clusters_and_nothing_is_fetched_twice(features, archive):
    download(features, archive.url)
    assert len(archive.searches()) == 3
    assert fetched(archive) == ["one", "three", "two"]

    again = download(features, archive.url)

    assert not again.changed
    assert fetched(archive) == ["one", "three", "two"]


def test_trouble_that_passes_is_waited_for(features, archive):
    archive.fail("/search", Fault(429, {"Retry-After": "0"}))
    archive.fail("/files/one/data.tif", Fault(503, {"Retry-After": "0"}), Fault(only=1000))
    archive.fail("/files/two/data.tif", Fault(None, reset=True))

    download(features, archive.url)

    assert rasters(features) == ["one", "three", "two"]


def test_a_wrong_checksum_is_never_taken_and_the_rest_goes_on(features, archive, monkeypatch):
    monkeypatch.setattr(Patience, "pause", lambda self, attempt, wait=None: 0.01)
    right = archive.files["two/data.tif"]
    archive.files["two/data.tif"] = right[:-1] + bytes([right[-1] ^ 1])

    recorded = download(features, archive.url)

    assert recorded.summary["failed"] == 1
    assert "'two'" in recorded.summary["warnings"][0]
    assert rasters(features) == ["one", "three"]
    archive.files["two/data.tif"] = right
    before = fetched(archive)
    download(features, archive.url)
    assert len(fetched(archive)) == len(before) + 1
    assert fetched(archive).count("one") == fetched(archive).count("three") == 1
    assert rasters(features) == ["one", "three", "two"]


def test_a_page_that_fails_is_never_taken_for_the_end(features, archive):
    for number in range(2):
        archive.add(f"more-{number}", BOXES["one"], {"data.tif": archive.files["one/data.tif"]})
    archive.always("page=2", Fault(404))
    head = features.log()[-1].position

    with pytest.raises(SourceError):
        download(features, archive.url, {"page_size": 2})

    assert features.log()[-1].position == head
    assert fetched(archive) == []


def test_a_kill_in_the_middle_costs_only_what_was_under_way(features, archive):
    archive.always("/files/three/data.tif", Fault(drip=0.5))
    process = subprocess.Popen(
        command(features.root, archive.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    downloads = features.root / ".geographer" / "downloads"
    deadline = time.monotonic() + 60
    while sum(manifest.parent.suffix != ".part" for manifest in downloads.glob("*/manifest.json")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    archive.always("/files/three/data.tif", None)

    download(features, archive.url)

    assert rasters(features) == ["one", "three", "two"]
    assert fetched(archive) == ["one", "three", "three", "two"]
    assert not list(downloads.rglob("*.tif"))


def test_a_sentinel_2_product_in_a_zip_becomes_one_geotiff(features, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    safe = write_safe(folder, level="L2A", tile="32TPT", size_10m=120)
    packed = Path(shutil.make_archive(str(folder / safe.stem), "zip", folder, safe.name))
    content = packed.read_bytes()
    with rasterio.open(next(safe.rglob("*_B02_10m.jp2"))) as band:
        crs, bounds, blue = band.crs, band.bounds, band.read(1)
    middle = {"type": "Point", "coordinates": [(bounds.left + bounds.right) / 2, (bounds.bottom + bounds.top) / 2]}
    place = tmp_path / "place.geojson"
    place.write_text(json.dumps({"type": "Feature", "properties": {"id": "inside"}, "geometry": middle}))
    features.add_features(place, crs=crs.to_string())
    box = transform_bounds(crs, "EPSG:4326", *bounds)
    with file_server(folder) as files:
        asset = {
            "href": f"{files}/{packed.name}",
            "file:size": len(content),
            "file:checksum": multihash(content),
            "roles": ["data"],
        }
        item = stac_item(safe.stem, box, {"product": {**asset, "type": "application/zip"}})
        with stac_server([item], tmp_path) as url:
            wanted = {"where": "feature_id = 'inside'", "bands": ["B02", "SCL"], "resolution": 20}
            download(features, url, reader_options={"offset": "record"}, **wanted)

    [raster] = (features.root / "rasters" / "source").glob("*.tif")
    with rasterio.open(raster) as read:
        assert read.descriptions == ("B02", "SCL")
        assert read.res == (20, 20)
        assert read.nodata == 0
        assert read.shape == (blue.shape[0] // 2, blue.shape[1] // 2)
    row = features.rasters().to_pylist()[0]
    assert (row["tile"], row["reader"], row["processing_level"]) == ("32TPT", "safe", "L2A")
    assert row["acquisition"].endswith("/32TPT/L2A")
    assert json.loads(row["reading"])["bands"]


def test_no_secret_gets_into_the_log_an_error_or_a_file(features, archive, tmp_path, monkeypatch):
    config = tmp_path / "eodag.yml"
    config.write_text(f"peps:\n  auth:\n    credentials:\n      username: ada\n      password: {SECRET}\n")
    monkeypatch.setenv("EODAG_CFG_FILE", str(config))
    monkeypatch.setenv("EODAG__COP_DATASPACE__AUTH__CREDENTIALS__PASSWORD", SECRET)
    for item in archive.items:
        item["assets"]["data"]["href"] += f"?sig={SECRET}"
    archive.always("/files/two/data.tif", Fault(403, body=f"no {SECRET}".encode()))

    told = subprocess.run(
        command(features.root, archive.url, "--json"), capture_output=True, text=True, timeout=120, check=False
    )

    assert told.returncode == 6
    assert rasters(features) == ["one", "three"]
    assert SECRET not in told.stdout + told.stderr
    kept = [path for path in features.root.rglob("*") if path.is_file()]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
