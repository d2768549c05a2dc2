"""Take in references: DVC stores the same bytes, and nothing that was made of them is made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as copy_raster

from geographer import Dataset
from geographer.base.errors import CorruptError, NotFoundError, UsageError
from tests.cli.runner import read_rows, run_command
from tests.sample_history import flip_bit_of_file, point_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene

KEPT = ("raster_id", "collection", "crs", "width", "height", "md5", "sha256", "pixel_digest", "footprint", "season")


@pytest.fixture(scope="module")
def template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset`, which has a column, chips, labels and a split, and references `data/a.tif` and `b.tif`."""
    folder = tmp_path_factory.mktemp("take_in")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(write_features(folder / "p.geojson", {"p": ("pond", point_geometry(5, 5))}), crs="EPSG:32633")
    (folder / "data").mkdir()
    for seed, name in enumerate("ab"):
        path = write_scene(folder / f"data/{name}.tif", make_pixels(1, 24, 32, seed=seed))
        with rasterio.open(path, "r+") as raster:
            raster.update_tags(season="dry")
    dataset.add_rasters(folder / "data", mode="reference", tags=["season"])
    dataset.cut_grid("chips", size=16)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 1})
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(template, tmp_path / "copy")
    Dataset.open(folder / "dataset").set_root("data", folder / "data")
    return folder


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return Dataset.open(folder / "dataset")


def read_rasters(dataset: Dataset) -> list[dict[str, object]]:
    return dataset.rasters(where="collection = 'source'").to_pylist()


def read_edges(dataset: Dataset) -> list[tuple[str, ...]]:
    return sorted(tuple(row.values()) for row in dataset.edges().to_pylist())


def test_taken_in_rasters_stay_what_they_are(dataset, folder):
    before, edges, chips = read_rasters(dataset), read_edges(dataset), dataset.chips().to_pylist()
    result = dataset.take_in_rasters()
    assert (result.kind, result.summary) == ("rasters_taken_in", {"rasters": 2})
    after = read_rasters(dataset)
    assert [row["path"] for row in after] == ["rasters/source/a.tif", "rasters/source/b.tif"]
    assert [[row[name] for name in KEPT] for row in after] == [[row[name] for name in KEPT] for row in before]
    assert after[0]["season"] == "dry"
    assert (read_edges(dataset), dataset.chips().to_pylist()) == (edges, chips)
    assert (dataset.root / "rasters/source/a.tif").read_bytes() == (folder / "data/a.tif").read_bytes()
    shutil.rmtree(folder / "data")
    assert dataset.verify() == []
    assert dataset.open_raster("a").read().any()
    assert [result.changed for result in dataset.update()] == [False] * 3
    assert not dataset.take_in_rasters().changed


def test_one_raster_is_taken_in_and_older_revision_stays(dataset, folder):
    head = dataset.show().position
    dataset.take_in_rasters(["b", "b"], message="for the team")
    assert [row["path"] for row in read_rasters(dataset)] == ["{data}/a.tif", "rasters/source/b.tif"]
    with dataset.open_raster("b", at=head) as raster:
        assert Path(raster.name) == folder / "data/b.tif"
    [event] = dataset.history("b")[-1:]
    assert (event["kind"], event["message"]) == ("rasters_taken_in", "for the team")


@pytest.mark.parametrize(
    ("damage", "adjective"), [(flip_bit_of_file, "altered"), (Path.unlink, "missing")], ids=["altered", "missing"]
)
def test_other_bytes_are_not_taken_in(dataset, folder, damage, adjective):
    damage(folder / "data/b.tif")
    head = dataset.show().digest
    with pytest.raises(CorruptError, match=f"cannot use raster 'b'.*{adjective}"):
        dataset.take_in_rasters()
    assert dataset.show().digest == head
    assert not (dataset.root / "rasters/source").exists()


def test_raster_of_several_files_is_refused(dataset, folder):
    write_scene(folder / "data/part.tif", make_pixels(1, 8, 8, "uint8"))
    copy_raster(folder / "data/part.tif", folder / "data/mosaic.vrt", driver="VRT")
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(folder / "data/plain.tif", "w", **profile) as raster:
        raster.write(make_pixels(1, 8, 8, "uint8", seed=2))
    (folder / "data/plain.tfw").write_text("10\n0\n0\n-10\n500000\n5200000\n")
    dataset.add_rasters([folder / "data/mosaic.vrt"], mode="reference", collection="other")
    dataset.add_rasters([folder / "data/plain.tif"], mode="reference", collection="other", crs="EPSG:32633")
    head = dataset.show().digest
    message = r"rasters 'mosaic', 'plain' depend on other files.*Convert to one GeoTIFF.*geographer take-in RASTER"
    with pytest.raises(UsageError, match=message):
        dataset.take_in_rasters(dry_run=True)
    assert dataset.show().digest == head
    dataset.take_in_rasters(["a"])


def test_file_that_needs_another_one_is_refused_by_its_pixels(dataset, folder, monkeypatch):
    """As an HFA file with its pixels in an `.ige` file, which GDAL finds without listing the folder."""
    monkeypatch.setattr("geographer.rasters.sidecars.reject_sidecars", lambda *_, **__: None)
    write_scene(folder / "data/part.tif", make_pixels(1, 8, 8, "uint8"))
    copy_raster(folder / "data/part.tif", folder / "data/mosaic.vrt", driver="VRT")
    dataset.add_rasters([folder / "data/mosaic.vrt"], mode="reference")
    with pytest.raises(UsageError, match="raster 'mosaic' depends on other files"):
        dataset.take_in_rasters(["mosaic"])


def test_unknown_rasters_and_footprints_are_refused(dataset, folder):
    with pytest.raises(NotFoundError, match="no raster 'z'"):
        dataset.take_in_rasters(["z"])
    box = {"type": "Polygon", "coordinates": [[[15, 47], [15.1, 47], [15.1, 47.1], [15, 47]]]}
    feature = {"type": "Feature", "properties": {"id": "later"}, "geometry": box}
    (folder / "c.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    dataset.add_catalogue(folder / "c.geojson", id="id")
    with pytest.raises(UsageError, match="raster 'later' is a footprint in a catalogue"):
        dataset.take_in_rasters(["later", "a"])


def test_commands_set_roots_and_take_in(folder):
    root = folder / "dataset"
    (root / ".geographer/roots.json").unlink()
    unset = "root 'data' is not set on this machine (2 referenced files): geographer roots set data DIR\n"
    assert run_command(root, "roots") == unset
    shown = run_command(root, "roots", "set", "data", str(folder / "data"))
    assert shown == f"root 'data' is {folder / 'data'} on this machine: 2 of 2 referenced files found\n"
    row = {"name": "data", "folder": str(folder / "data"), "exists": True, "references": 2, "found": 2}
    assert read_rows(root, "roots") == [row]
    assert run_command(root, "roots") == shown
    assert "rasters_taken_in: 1 raster" in run_command(root, "take-in", "a")
    assert "rasters_taken_in: 1 raster" in run_command(root, "take-in")
    assert "nothing to do" in run_command(root, "take-in")
