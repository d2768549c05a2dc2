"""Downloads from end to end: the command, eodag, servers on loopback, server errors, and killed processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from geographer import Dataset
from geographer.base.errors import SourceError
from geographer.base.retry import RetryPolicy
from tests.sample_products import write_band_files, write_safe, write_zip
from tests.sample_rasters import make_pixels, write_scene
from tests.stac_servers import (
    Fault,
    make_asset,
    make_multihash,
    make_stac_item,
    serve_faulty_archive,
    serve_files,
    serve_ftp,
    serve_stac,
)

BOXES = {"one": (10.0, 50.0, 10.2, 50.2), "two": (20.0, 50.0, 20.2, 50.2), "three": (30.0, 50.0, 30.2, 50.2)}
"""Boxes of the scenes in degrees; two features are in the middle of each."""

SECRET = "hunter2-not-for-anyone"


def make_scene(folder: Path, name: str) -> bytes:
    """Return the bytes of a GeoTIFF that fills the box of a scene."""
    west, _, _, north = BOXES[name]
    georeference: dict[str, Any] = {"crs": "EPSG:4326", "transform": (0.002, 0.0, west, 0.0, -0.002, north)}
    return write_scene(folder / f"{name}.tif", make_pixels(2, 100, 100, seed=len(name)), **georeference).read_bytes()


@pytest.fixture
def dataset_with_features(dataset: Dataset, tmp_path: Path) -> Dataset:
    """Add two features in the middle of each scene to the dataset."""
    members = []
    for name, (west, south, _, _) in BOXES.items():
        for number in range(2):
            geometry = {"type": "Point", "coordinates": [west + 0.09 + 0.01 * number, south + 0.1]}
            members.append({"type": "Feature", "properties": {"id": f"{name}-{number}"}, "geometry": geometry})
    path = tmp_path / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path)
    return dataset


@pytest.fixture
def archive(tmp_path: Path):
    """Serve an archive of the three scenes, one GeoTIFF each, that records its requests."""
    folder = tmp_path / "archive"
    folder.mkdir()
    with serve_faulty_archive() as archive:
        for name, box in BOXES.items():
            archive.add_item(name, box, {"data.tif": make_scene(folder, name)})
        yield archive


def make_command(root: Path, url: str, *extra: str) -> list[str]:
    parameters = ["--provider", "local", "--collection", "scenes", "--source-option", f"url={url}"]
    return [sys.executable, "-m", "geographer", "-C", str(root), "download", "scenes", *parameters, *extra]


def download(dataset: Dataset, url: str, source_options=None, **parameters):
    options = {"url": url, **(source_options or {})}
    return dataset.download("scenes", provider="local", collection="scenes", source_options=options, **parameters)


def list_raster_ids(dataset: Dataset):
    return sorted(dataset.rasters()["raster_id"].to_pylist())


def list_fetched(archive) -> list[str]:
    return sorted(
        request.path.split("/")[2]
        for request in archive.requests
        if request.path.startswith("/files/") and request.method == "GET"
    )


def test_download_from_stac_server(dataset_with_features, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    with serve_files(folder) as files:
        items = [
            make_stac_item(
                name,
                box,
                {"data": make_asset(f"{files}/{name}.tif", make_scene(folder, name))},
                cloud_cover=3.5,
                platform="x1",
            )
            for name, box in BOXES.items()
        ]
        with serve_stac(items, tmp_path) as url:
            arguments = make_command(
                dataset_with_features.root, url, "--start", "2023-01-01", "--end", "2023-12-31", "--json"
            )
            process = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)

    assert process.returncode == 0, process.stderr
    summary = json.loads(process.stdout)
    assert (summary["missing"], summary["rasters"], len(summary["searches"])) == (6, 3, 3)
    assert list_raster_ids(dataset_with_features) == ["one", "three", "two"]
    row = dataset_with_features.rasters(where="raster_id = 'one'").to_pylist()[0]
    assert (row["provider"], row["product_collection"], row["cloud_cover"]) == ("local", "scenes", 3.5)
    assert len(dataset_with_features.edges(relation="contains")) == 6
    assert dataset_with_features.verify() == []


def test_one_search_per_cluster(dataset_with_features, archive):
    download(dataset_with_features, archive.url)
    assert len(archive.list_search_bodies()) == 3
    assert list_fetched(archive) == ["one", "three", "two"]

    second = download(dataset_with_features, archive.url)

    assert not second.changed
    assert list_fetched(archive) == ["one", "three", "two"]


def test_temporary_errors_are_retried(dataset_with_features, archive):
    archive.add_faults("/search", Fault(429, {"Retry-After": "0"}))
    archive.add_faults("/files/one/data.tif", Fault(503, {"Retry-After": "0"}), Fault(max_bytes=1000))
    archive.add_faults("/files/two/data.tif", Fault(None, is_reset=True))

    download(dataset_with_features, archive.url)

    assert list_raster_ids(dataset_with_features) == ["one", "three", "two"]


def test_wrong_checksum_fails_one_product(dataset_with_features, archive, monkeypatch):
    monkeypatch.setattr(RetryPolicy, "compute_delay", lambda self, attempt, retry_after=None: 0.01)
    content = archive.files["two/data.tif"]
    archive.files["two/data.tif"] = content[:-1] + bytes([content[-1] ^ 1])

    result = download(dataset_with_features, archive.url)

    assert result.summary["failed"] == 1
    assert "'two'" in result.summary["warnings"][0]
    assert list_raster_ids(dataset_with_features) == ["one", "three"]
    archive.files["two/data.tif"] = content
    fetched_before = list_fetched(archive)
    download(dataset_with_features, archive.url)
    assert len(list_fetched(archive)) == len(fetched_before) + 1
    assert list_fetched(archive).count("one") == list_fetched(archive).count("three") == 1
    assert list_raster_ids(dataset_with_features) == ["one", "three", "two"]


def test_failed_page_records_nothing(dataset_with_features, archive):
    for number in range(2):
        archive.add_item(f"more-{number}", BOXES["one"], {"data.tif": archive.files["one/data.tif"]})
    archive.set_fault("page=2", Fault(404))
    head = dataset_with_features.log()[-1].position

    with pytest.raises(SourceError):
        download(dataset_with_features, archive.url, {"page_size": 2})

    assert dataset_with_features.log()[-1].position == head
    assert list_fetched(archive) == []


def wait_for_two_products(dataset: Dataset) -> None:
    """Wait until two products are complete."""
    deadline = time.monotonic() + 60
    folder = dataset.root / ".geographer" / "downloads"
    while len([path for path in folder.glob("*/manifest.json") if path.parent.suffix != ".part"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_download_resumes(dataset_with_features, archive):
    archive.set_fault("/files/three/data.tif", Fault(piece_delay=0.5))
    process = subprocess.Popen(
        make_command(dataset_with_features.root, archive.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_two_products(dataset_with_features)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    archive.set_fault("/files/three/data.tif", None)

    download(dataset_with_features, archive.url)

    assert list_raster_ids(dataset_with_features) == ["one", "three", "two"]
    assert list_fetched(archive) == ["one", "three", "three", "two"]
    assert not list((dataset_with_features.root / ".geographer" / "downloads").rglob("*.tif"))
    assert not list((dataset_with_features.root / ".geographer" / "staging").iterdir())
    assert dataset_with_features.verify() == []


def test_sigterm_leaves_consistent_dataset(dataset_with_features, archive):
    archive.set_fault("/files/three/data.tif", Fault(piece_delay=0.5))
    process = subprocess.Popen(make_command(dataset_with_features.root, archive.url), stderr=subprocess.PIPE, text=True)
    wait_for_two_products(dataset_with_features)
    process.terminate()

    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    assert "run the same command again to continue" in process.stderr.read()
    process.stderr.close()
    assert dataset_with_features.verify() == []
    assert list_raster_ids(dataset_with_features) == []


def test_zipped_sentinel_2_product_becomes_geotiff(dataset_with_features, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    safe = write_safe(folder, level="L2A", tile="32TPT", size_10m=120)
    zip_path = Path(shutil.make_archive(str(folder / safe.stem), "zip", folder, safe.name))
    content = zip_path.read_bytes()
    with rasterio.open(next(safe.rglob("*_B02_10m.jp2"))) as band:
        crs, bounds, blue = band.crs, band.bounds, band.read(1)
    middle = {"type": "Point", "coordinates": [(bounds.left + bounds.right) / 2, (bounds.bottom + bounds.top) / 2]}
    place_file = tmp_path / "place.geojson"
    place_file.write_text(json.dumps({"type": "Feature", "properties": {"id": "inside"}, "geometry": middle}))
    dataset_with_features.add_features(place_file, crs=crs.to_string())
    box = transform_bounds(crs, "EPSG:4326", *bounds)
    with serve_files(folder) as files:
        asset = {
            "href": f"{files}/{zip_path.name}",
            "file:size": len(content),
            "file:checksum": make_multihash(content),
            "roles": ["data"],
        }
        item = make_stac_item(safe.stem, box, {"product": {**asset, "type": "application/zip"}})
        with serve_stac([item], tmp_path) as url:
            parameters = {"where": "feature_id = 'inside'", "bands": ["B02", "SCL"], "resolution": 20}
            download(dataset_with_features, url, reader_options={"offset": "record"}, **parameters)

    [raster] = (dataset_with_features.root / "rasters" / "source").glob("*.tif")
    with rasterio.open(raster) as opened:
        assert opened.descriptions == ("B02", "SCL")
        assert opened.res == (20, 20)
        assert opened.nodata == 0
        assert opened.shape == (blue.shape[0] // 2, blue.shape[1] // 2)
    row = dataset_with_features.rasters().to_pylist()[0]
    assert (row["tile"], row["reader"], row["processing_level"]) == ("32TPT", "safe", "L2A")
    assert row["acquisition"].endswith("/32TPT/L2A")
    assert json.loads(row["reading"])["bands"]


def test_secrets_are_not_stored_or_printed(dataset_with_features, archive, tmp_path, monkeypatch):
    config = tmp_path / "eodag.yml"
    config.write_text(f"peps:\n  auth:\n    credentials:\n      username: ada\n      password: {SECRET}\n")
    monkeypatch.setenv("EODAG_CFG_FILE", str(config))
    monkeypatch.setenv("EODAG__COP_DATASPACE__AUTH__CREDENTIALS__PASSWORD", SECRET)
    for item in archive.items:
        item["assets"]["data"]["href"] += f"?sig={SECRET}"
    archive.set_fault("/files/two/data.tif", Fault(403, body=f"no {SECRET}".encode()))

    process = subprocess.run(
        make_command(dataset_with_features.root, archive.url, "--json"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert process.returncode == 6
    assert list_raster_ids(dataset_with_features) == ["one", "three"]
    assert SECRET not in process.stdout + process.stderr
    files = [path for path in dataset_with_features.root.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_elevation_tiles_over_ftp(dataset, tmp_path):
    model = tmp_path / "model"
    (model / "N045E010").mkdir(parents=True)
    for west in (10, 11):
        georeference: dict[str, Any] = {"crs": "EPSG:4326", "transform": (0.01, 0.0, float(west), 0.0, -0.01, 48.0)}
        tile, zip_members = f"N047E{west:03d}", dict[str, bytes]()
        for layer in ("DSM", "MSK"):
            path = write_scene(tmp_path / f"{layer}.tif", make_pixels(1, 100, 100, "int16", seed=west), **georeference)
            zip_members[f"{tile}/ALPSMLC30_{tile}_{layer}.tif"] = path.read_bytes()
        write_zip(model / "N045E010" / f"{tile}.zip", zip_members)
    shapes = {
        "summit": {"type": "Point", "coordinates": [10.5, 47.5]},
        "ridge": {"type": "LineString", "coordinates": [[10.9, 47.2], [11.1, 47.2]]},
        "sea": {"type": "Point", "coordinates": [12.5, 47.5]},
    }
    members = [{"type": "Feature", "properties": {"id": name}, "geometry": shape} for name, shape in shapes.items()]
    path = tmp_path / "summits.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path)

    with serve_ftp(model) as url:
        single = dataset.download("dem", source="alos", source_options={"url": url})
        union = dataset.download("dems", source="alos", source_options={"url": url}, union=True)

    assert single.summary["unmet"] == {"no scene of the archive shows it": 2}
    assert (single.summary["rasters"], union.summary["rasters"]) == (1, 1)
    assert list_raster_ids(dataset) == ["ALPSMLC30_N047E010", "ALPSMLC30_N047E011"]
    assert set(dataset.rasters()["reader"].to_pylist()) == {"geotiff"}


def test_band_files_become_one_geotiff(dataset, tmp_path):
    rng = np.random.Generator(np.random.PCG64(4))
    blue, red = (rng.integers(1, 9_000, (120, 120)).astype("uint16") for _ in range(2))
    classes = rng.integers(1, 12, (60, 60)).astype("uint8")
    bands = {"B02": blue, "B04": red, "SCL": classes}
    files = write_band_files(tmp_path / "bands", bands, {"B02": 10.0, "B04": 10.0, "SCL": 20.0})
    with rasterio.open(files["B02"]) as band:
        box, crs, middle = transform_bounds(band.crs, "EPSG:4326", *band.bounds), band.crs.to_string(), band.xy(60, 60)
    place_file = tmp_path / "place.geojson"
    point = {"type": "Point", "coordinates": [float(value) for value in middle]}
    place_file.write_text(json.dumps({"type": "Feature", "properties": {"id": "inside"}, "geometry": point}))
    dataset.add_features(place_file, crs=crs)
    with serve_faulty_archive() as archive:
        archive.add_item("apart", box, {path.name: path.read_bytes() for path in files.values()})
        assets = archive.items[0]["assets"]
        assets["blue"] = {**assets.pop("B02"), "eo:bands": [{"name": "B02", "common_name": "blue"}]}
        result = download(dataset, archive.url, bands=["SCL", "B02"], source="stac")
        requested_paths = sorted(request.path for request in archive.requests if request.path.startswith("/files/"))

    assert requested_paths == ["/files/apart/B02.tif", "/files/apart/SCL.tif"]
    assert result.summary["bytes"] == sum(files[name].stat().st_size for name in ("B02", "SCL"))
    with rasterio.open(dataset.root / "rasters" / "source" / "apart.tif") as raster:
        assert raster.descriptions == ("SCL", "B02")
        assert (raster.read(1) == np.kron(classes, np.ones((2, 2)))).all()
        assert (raster.read(2) == blue).all()
