"""Test rasters at URLs: read in ranges where they are, pinned to a version that every read compares."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, StorageError, UsageError
from geographer.operations.add.rasters import AddRasters
from tests.operations.pond_dataset import POINTS, add_points, crop_window, list_chips
from tests.range_server import RangeServer, make_tag, serve_ranges
from tests.remote_servers import BUCKET, RemoteServers
from tests.sample_rasters import make_pixels, write_scene

PIXELS = make_pixels(2, 768, 768)
PATH = "/scenes/a.tif"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a scene of about 1.5 MB in blocks of 64 pixels, whose header is at its beginning."""
    path = tmp_path_factory.mktemp("scene") / "a.tif"
    return write_scene(path, PIXELS, nodata=0, blockxsize=64, blockysize=64).read_bytes()


@pytest.fixture
def server(scene: bytes) -> Iterator[RangeServer]:
    with serve_ranges() as state:
        state.files[PATH] = scene
        yield state


@pytest.fixture(scope="module")
def template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    add_points(dataset, folder / "inputs", POINTS)
    return dataset.root


@pytest.fixture
def dataset(template: Path, open_copy: Callable[[Path], Dataset], server: RangeServer) -> Dataset:
    """Return a dataset with points and one raster at a URL."""
    dataset = open_copy(template)
    dataset.add_rasters(server.url + PATH, mode="reference")
    return dataset


def replace_scene(server: RangeServer, folder: Path) -> None:
    """Give the URL other pixels."""
    other = write_scene(folder / "other.tif", PIXELS + 1, nodata=0, blockxsize=64, blockysize=64)
    server.files[PATH] = other.read_bytes()


def test_remote_raster_is_read_in_ranges(dataset: Dataset, server: RangeServer, scene: bytes) -> None:
    assert server.count_bytes() < len(scene) / 20
    (row,) = dataset.rasters().to_pylist()
    assert (row["path"], row["md5"], row["pixel_digest"]) == (server.url + PATH, None, None)
    server.sent.clear()
    dataset.cut_around_features("chips", size=16)
    dataset.cut_around_features("windows", size=16, virtual=True)
    assert server.count_bytes() < len(scene) / 4
    assert len(server.sent) < 20
    for chip in list_chips(dataset, "chips"):
        expected = crop_window(PIXELS, chip, 0)
        with rasterio.open(dataset.root / f"rasters/{chip['raster_id']}.tif") as raster:
            np.testing.assert_array_equal(raster.read(), expected)
        with dataset.open_raster(chip["raster_id"].replace("chips", "windows")) as raster:
            np.testing.assert_array_equal(raster.read(), expected)
    assert dataset.verify() == []


def test_changed_remote_raster_is_refused(dataset: Dataset, server: RangeServer, tmp_path: Path) -> None:
    dataset.cut_around_features("windows", size=16, virtual=True)
    (chip, *_) = list_chips(dataset, "windows")
    replace_scene(server, tmp_path)
    before = len(dataset.log())
    for read in (lambda: dataset.open_raster("a"), lambda: dataset.cut_grid("grid", size=256), dataset.materialise):
        with pytest.raises(ConflictError, match=re.escape(make_tag(server.files[PATH]))):
            read()
    assert len(dataset.log()) == before
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject) == ("changed remote raster", "raster a")
    dataset.add_rasters(server.url + PATH, mode="reference", replace=True)
    with pytest.raises(ConflictError, match="geographer update"):
        dataset.open_raster(chip["raster_id"])
    dataset.update()
    dataset.materialise()
    with rasterio.open(dataset.root / f"rasters/{chip['raster_id']}.tif") as raster:
        np.testing.assert_array_equal(raster.read(), crop_window(PIXELS + 1, chip, 0))


def test_change_during_a_read_is_noticed(dataset: Dataset, server: RangeServer, tmp_path: Path) -> None:
    with dataset.open_raster("a") as raster:
        replace_scene(server, tmp_path)
        with pytest.raises(rasterio.errors.RasterioIOError):
            raster.read(1)


def test_unreachable_server_is_no_finding(dataset: Dataset, server: RangeServer) -> None:
    server.statuses[PATH] = 503
    findings = dataset.verify()
    assert findings == []
    assert any("1 remote raster (a)" in text and "503" in text for text in findings.report.not_checked)
    with pytest.raises(StorageError, match="503"):
        dataset.cut_grid("grid", size=256)


def test_hashed_remote_raster_has_checksums(dataset: Dataset, server: RangeServer, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(server.files[PATH])
    dataset.add_rasters(server.url + PATH, mode="reference", replace=True, hash=True)
    dataset.add_rasters(path, collection="files", id_folders=1)
    remote, local = (
        [row[name] for name in ("md5", "sha256", "pixel_digest", "crs", "width", "height", "footprint")]
        for row in dataset.rasters().to_pylist()
    )
    assert remote == local


@pytest.mark.parametrize(
    ("url", "options", "error", "message"),
    [
        ("{url}/scenes/a.tif", {}, UsageError, "--mode reference"),
        ("{url}/scenes/a.tif?token=abc", {"mode": "reference"}, UsageError, "a credential"),
        ("http://ada:secret@127.0.0.1/a.tif", {"mode": "reference"}, UsageError, "a credential"),
        ("s3://bucket", {"mode": "reference"}, UsageError, "names no file"),
        ("{url}/scenes/none.tif", {"mode": "reference"}, NotFoundError, "404"),
        ("{url}/scenes/private.tif", {"mode": "reference"}, StorageError, "403"),
        ("{url}/scenes/text.tif", {"mode": "reference"}, StorageError, "no raster"),
        ("http://127.0.0.1:9/b.tif", {"mode": "reference"}, StorageError, "cannot be reached"),
        ("{url}/scenes/a.tif", {"mode": "reference"}, ConflictError, "already in the dataset"),
    ],
)
def test_bad_urls_change_nothing(
    dataset: Dataset, server: RangeServer, url: str, options: dict, error: type[Exception], message: str
) -> None:
    server.files["/scenes/text.tif"] = b"no raster at all" * 100
    server.statuses["/scenes/private.tif"] = 403
    before = len(dataset.log())
    with pytest.raises(error, match=message) as caught:
        dataset.add_rasters(url.format(url=server.url), **options)
    assert "secret" not in str(caught.value)
    assert len(dataset.log()) == before


def test_root_is_url_of_mirror(dataset: Dataset, server: RangeServer, scene: bytes) -> None:
    dataset.set_root("scenes", f"{server.url}/scenes/")
    server.files |= {"/scenes/north/b.tif": scene, "/mirror/north/b.tif": scene}
    dataset.add_rasters(f"{server.url}/scenes/north/b.tif", mode="reference")
    assert dataset.rasters().to_pylist()[1]["path"] == "{scenes}/north/b.tif"
    dataset.set_root("scenes", f"{server.url}/mirror")
    del server.files["/scenes/north/b.tif"]
    with dataset.open_raster("b") as raster:
        np.testing.assert_array_equal(raster.read(1, window=((0, 64), (0, 64))), PIXELS[0, :64, :64])
    (root,) = dataset.list_roots().to_pylist()
    assert (root["name"], root["folder"], root["references"], root["found"]) == ("scenes", f"{server.url}/mirror", 1, 1)


def test_server_without_version_is_refused(dataset: Dataset, server: RangeServer, scene: bytes) -> None:
    server.files["/b.tif"], server.has_tags = scene, False
    with pytest.raises(UsageError, match="neither an ETag nor Last-Modified"):
        dataset.add_rasters(server.url + "/b.tif", mode="reference")


def test_s3_raster_is_read_in_ranges(
    template: Path,
    open_copy: Callable[[Path], Dataset],
    remote_servers: RemoteServers,
    scene: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fsspec

    settings = remote_servers.start_server("s3").settings
    names = {"AWS_ENDPOINT_URL": "endpointurl", "AWS_ACCESS_KEY_ID": "access_key_id"}
    names |= {"AWS_SECRET_ACCESS_KEY": "secret_access_key", "AWS_REGION": "region", "AWS_DEFAULT_REGION": "region"}
    for name, key in names.items():
        monkeypatch.setenv(name, settings[key])
    fsspec.filesystem("s3").pipe_file(f"{BUCKET}/remote/a.tif", scene)
    dataset = open_copy(template)
    dataset.add_rasters(f"s3://{BUCKET}/remote/a.tif", mode="reference")
    dataset.cut_around_features("windows", size=16, virtual=True)
    for chip in list_chips(dataset, "windows"):
        with dataset.open_raster(chip["raster_id"]) as raster:
            np.testing.assert_array_equal(raster.read(), crop_window(PIXELS, chip, 0))
    fsspec.filesystem("s3").pipe_file(f"{BUCKET}/remote/a.tif", scene + b"\0")
    with pytest.raises(ConflictError, match="not the recorded version"):
        dataset.materialise()


def test_other_protocols_are_refused_by_name():
    with pytest.raises(UsageError, match=r"cannot read 'ftp://example\.org/a\.tif': .*Download it first"):
        AddRasters(paths=["ftp://example.org/a.tif"], mode="reference")
