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

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from geographer import Dataset
from geographer.base.errors import SourceError
from geographer.base.retry import RetryPolicy
from tests.sample_products import write_band_files, write_safe, zip_of
from tests.sample_rasters import pixels, write_scene
from tests.stac_servers import (
    Fault,
    asset_of,
    faulty_archive,
    file_server,
    ftp_server,
    multihash,
    stac_item,
    stac_server,
)

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
    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt, wait=None: 0.01)
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


def wait_for_two(dataset: Dataset) -> None:
    """Until two products are there, whole."""
    deadline = time.monotonic() + 60
    folder = dataset.root / ".geographer" / "downloads"
    while len([one for one in folder.glob("*/manifest.json") if one.parent.suffix != ".part"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_kill_in_the_middle_costs_only_what_was_under_way(features, archive):
    archive.always("/files/three/data.tif", Fault(drip=0.5))
    process = subprocess.Popen(
        command(features.root, archive.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_two(features)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    archive.always("/files/three/data.tif", None)

    download(features, archive.url)

    assert rasters(features) == ["one", "three", "two"]
    assert fetched(archive) == ["one", "three", "three", "two"]
    assert not list((features.root / ".geographer" / "downloads").rglob("*.tif"))
    assert not list((features.root / ".geographer" / "staging").iterdir())
    assert features.verify() == []


def test_a_batch_system_that_ends_it_leaves_no_half_of_anything(features, archive):
    archive.always("/files/three/data.tif", Fault(drip=0.5))
    process = subprocess.Popen(command(features.root, archive.url), stderr=subprocess.PIPE, text=True)
    wait_for_two(features)
    process.terminate()

    assert process.wait(timeout=30) == 130
    assert "the same command goes on" in process.stderr.read()
    process.stderr.close()
    assert features.verify() == []
    assert rasters(features) == []


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


def test_tiles_of_the_elevation_model_come_over_ftp(dataset, tmp_path):
    model = tmp_path / "model"
    (model / "N045E010").mkdir(parents=True)
    for west in (10, 11):
        place = {"crs": "EPSG:4326", "transform": (0.01, 0.0, float(west), 0.0, -0.01, 48.0)}
        tile, inside = f"N047E{west:03d}", {}
        for layer in ("DSM", "MSK"):
            path = write_scene(tmp_path / f"{layer}.tif", pixels(1, 100, 100, "int16", seed=west), **place)
            inside[f"{tile}/ALPSMLC30_{tile}_{layer}.tif"] = path.read_bytes()
        zip_of(model / "N045E010" / f"{tile}.zip", inside)
    shapes = {
        "summit": {"type": "Point", "coordinates": [10.5, 47.5]},
        "ridge": {"type": "LineString", "coordinates": [[10.9, 47.2], [11.1, 47.2]]},
        "sea": {"type": "Point", "coordinates": [12.5, 47.5]},
    }
    members = [{"type": "Feature", "properties": {"id": name}, "geometry": one} for name, one in shapes.items()]
    path = tmp_path / "summits.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path)

    with ftp_server(model) as url:
        alone = dataset.download("dem", source="alos", source_options={"url": url})
        together = dataset.download("dems", source="alos", source_options={"url": url}, union=True)

    assert alone.summary["unmet"] == {"no scene of the archive shows it": 2}
    assert (alone.summary["rasters"], together.summary["rasters"]) == (1, 1)
    assert rasters(dataset) == ["ALPSMLC30_N047E010", "ALPSMLC30_N047E011"]
    assert set(dataset.rasters()["reader"].to_pylist()) == {"geotiff"}


def test_bands_in_files_of_their_own_become_one_geotiff_and_only_those_asked_for_are_fetched(dataset, tmp_path):
    rng = np.random.Generator(np.random.PCG64(4))
    blue, red = (rng.integers(1, 9_000, (120, 120)).astype("uint16") for _ in range(2))
    classes = rng.integers(1, 12, (60, 60)).astype("uint8")
    bands = {"B02": blue, "B04": red, "SCL": classes}
    files = write_band_files(tmp_path / "bands", bands, {"B02": 10.0, "B04": 10.0, "SCL": 20.0})
    with rasterio.open(files["B02"]) as band:
        box, crs, middle = transform_bounds(band.crs, "EPSG:4326", *band.bounds), band.crs.to_string(), band.xy(60, 60)
    place = tmp_path / "place.geojson"
    inside = {"type": "Point", "coordinates": [float(one) for one in middle]}
    place.write_text(json.dumps({"type": "Feature", "properties": {"id": "inside"}, "geometry": inside}))
    dataset.add_features(place, crs=crs)
    with faulty_archive() as archive:
        archive.add("apart", box, {path.name: path.read_bytes() for path in files.values()})
        recorded = download(dataset, archive.url, bands=["SCL", "B02"])
        asked = sorted(one.path for one in archive.log if one.path.startswith("/files/"))

    assert asked == ["/files/apart/B02.tif", "/files/apart/SCL.tif"]
    assert recorded.summary["bytes"] == sum(files[name].stat().st_size for name in ("B02", "SCL"))
    with rasterio.open(dataset.root / "rasters" / "source" / "apart.tif") as raster:
        assert raster.descriptions == ("SCL", "B02")
        assert (raster.read(1) == np.kron(classes, np.ones((2, 2)))).all()
        assert (raster.read(2) == blue).all()
