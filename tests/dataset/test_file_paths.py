"""A path that is answered for a revision leads to the bytes of that revision, and files of any revision can be opened."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.storage.dvc.store import Store
from tests.sample_history import HEAD, V1, find_cached_file, flip_bit_of_file

CHANGED = "rasters/source/b.tif"
"""This raster has other bytes at v1 than at the head."""


@pytest.fixture(scope="module")
def copied_dataset(sample_history, tmp_path_factory):
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("paths") / "dataset"))


@pytest.fixture
def dataset(sample_history, copied_dataset):
    """A copy of the sample history, in the folder of a dataset that is opened once."""
    shutil.rmtree(copied_dataset.root)
    shutil.copytree(sample_history.root, copied_dataset.root)
    copied_dataset._unit_of_work.file_store.close()
    return copied_dataset


def list_tables(dataset, at, folder):
    """Return the rows of rasters and labels at a revision, by each way to read them."""
    tables: dict[str, list[dict]] = {}
    for name in ("rasters", "labels"):
        dataset.write_parquet(name, folder / "table.parquet", at)
        columns = "path, md5" if name == "labels" else "path, md5, footprint"
        tables |= {
            f"{name} as Arrow": dataset.read_table(name, at).to_pylist(),
            f"{name} as JSON": [json.loads(line) for line in dataset.format_json_lines(name, at)],
            f"{name} in Parquet": pq.read_table(folder / "table.parquet").to_pylist(),
            f"{name} by SQL": dataset.sql(f"SELECT * FROM {name}", at).to_pylist(),
            f"{name} by SQL as JSON": [
                json.loads(line) for line in dataset.sql_json_lines(f"SELECT {columns} FROM {name}", at)
            ],
        }
    features = map(json.loads, dataset.format_geojson_features("rasters", at))
    return tables | {"GeoJSON": [feature["properties"] for feature in features]}


def hash_file(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("shown", "at"), [("HEAD", "v1"), ("v1", "HEAD"), ("v1", "v1"), (None, "v1")])
def test_paths_lead_to_the_bytes_of_the_revision(dataset, tmp_path, shown, at):
    if shown is None:
        (dataset.root / ".geographer/workspace.json").unlink()
    else:
        dataset.checkout(shown)
    for name, rows in list_tables(dataset, at, tmp_path).items():
        stored = [row for row in rows if row["md5"] is not None]
        assert stored, name
        assert all(hash_file(dataset.root / row["path"]) == row["md5"] for row in stored), name
        is_cached = {row["path"].startswith(".dvc/cache/files/md5/") for row in stored}
        assert any(is_cached) == (shown != at), name


def test_only_files_that_the_workspace_lacks_lie_in_the_cache(dataset):
    paths = dict(zip(*(dataset.rasters("v1")[name].to_pylist() for name in ("raster_id", "path")), strict=True))
    assert paths["a"] == "rasters/source/a.tif"
    assert paths["b"] == find_cached_file(dataset.root, CHANGED, V1).relative_to(dataset.root).as_posix()
    assert [row["raster_id"] for row in dataset.rasters("v1", where="path LIKE 'rasters/source/%'").to_pylist()] == [
        "a"
    ]


def test_cache_outside_the_dataset_gives_absolute_paths(dataset, tmp_path):
    shutil.move(dataset.root / ".dvc/cache", tmp_path / "cache")
    with (dataset.root / ".dvc/config").open("a") as config:
        config.write(f"[cache]\n    dir = {tmp_path / 'cache'}\n")
    (row,) = dataset.rasters("v1", raster="b").to_pylist()
    assert row["path"].startswith(str(tmp_path / "cache"))
    assert hash_file(dataset.root / row["path"]) == row["md5"]


def test_export_keeps_recorded_paths(dataset, tmp_path):
    dataset.checkout("v1", to=tmp_path / "v1")
    exported = pq.read_table(tmp_path / "v1" / "tables" / "rasters.parquet").to_pylist()
    assert all(hash_file(tmp_path / "v1" / row["path"]) == row["md5"] for row in exported if row["md5"])


READ_TABLES = """
import sys
from geographer import Dataset
dataset = Dataset.open(sys.argv[1])
print(len(dataset.rasters()), len(dataset.labels()), len(dataset.sql("FROM rasters")), "dvc" in sys.modules)
print(len(dataset.rasters("v1")), "dvc" in sys.modules)
"""


def test_dvc_is_imported_only_to_find_the_cache(dataset):
    command = [sys.executable, "-c", READ_TABLES, dataset.root]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in process.stdout.splitlines()] == ["False", "True"]


# --- open files ---------------------------------------------------------------------------------------------------


def read_pixels(path):
    with rasterio.open(path) as raster:
        return raster.read()


@pytest.mark.parametrize("shown", ["HEAD", "v1"])
def test_open_raster_reads_the_revision(dataset, sample_history, shown):
    dataset.checkout(shown)
    expected = {"v1": read_pixels(sample_history.at_v1 / CHANGED), "HEAD": read_pixels(sample_history.root / CHANGED)}
    assert not np.array_equal(expected["v1"], expected["HEAD"])
    for at in ("v1", "HEAD"):
        with dataset.open_raster("b", at=at) as raster:
            assert np.array_equal(raster.read(), expected[at])
    with dataset.open_raster("d") as raster:
        assert raster.name.endswith("archive/d.tif")


def test_open_label_reads_the_revision(dataset, sample_history):
    path = "labels/mask/around/a_q2.tif"
    with dataset.open_label("mask", "around/a_q2", at="v1") as label:
        assert np.array_equal(label.read(), read_pixels(sample_history.at_v1 / path))
    (row, *_) = dataset.labels(where="label = 'bounds'").to_pylist()
    boxes = dataset.open_label("bounds", row["raster_id"])
    assert boxes == json.loads((dataset.root / row["path"]).read_text())


def test_altered_files_are_not_opened(dataset):
    flip_bit_of_file(dataset.root / "rasters/source/a.tif")
    with dataset.open_raster("a") as raster:
        assert "/.dvc/cache/" in raster.name
    flip_bit_of_file(find_cached_file(dataset.root, CHANGED, V1))
    with pytest.raises(CorruptError, match="raster 'b' is altered in the cache"):
        dataset.open_raster("b", at="v1")
    flip_bit_of_file(dataset.root / "archive/d.tif")
    with pytest.raises(CorruptError, match=r"raster 'd'.*altered"):
        dataset.open_raster("d")


def test_open_raster_fetches_from_the_remote(dataset, tmp_path):
    with (dataset.root / ".dvc/config").open("a") as config:
        config.write(f"    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'far'}\n")
    md5 = dataset.rasters("v1", raster="b").to_pylist()[0]["md5"]
    with Store(dataset.root) as store:
        cached = store.cache_path(md5)
        shutil.rmtree(store.retained_objects.folder)
    shutil.copytree(dataset.root / ".dvc/cache/files", tmp_path / "far/files")
    cached.unlink()
    with dataset.open_raster("b", at="v1"):
        assert hash_file(cached) == md5
    shutil.rmtree(tmp_path / "far/files")
    cached.unlink()
    with pytest.raises(CorruptError, match="raster 'b' is missing in the cache"):
        dataset.open_raster("b", at="v1")


def test_unknown_files_are_not_opened(dataset):
    with pytest.raises(NotFoundError, match=f"no raster 'z' at @{HEAD}"):
        dataset.open_raster("z")
    with pytest.raises(NotFoundError, match="no label 'bounds' of raster 'a'"):
        dataset.open_label("bounds", "a")
    with pytest.raises(UsageError, match="footprint in a catalogue"):
        dataset.open_raster("S2A")
