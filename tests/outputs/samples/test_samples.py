"""The table of samples: which rasters it has, and that every path leads to the bytes of its revision."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.cli.runner import read_rows, run_command
from tests.sample_history import point_geometry, write_features, write_scenes


@pytest.fixture(scope="module")
def at_v1(sample_history):
    return Dataset.open(sample_history.at_v1)


def compute_sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_samples_are_the_rasters_of_the_only_split(at_v1):
    samples = at_v1.samples()
    parts = {row["raster_id"]: row["part"] for row in at_v1.splits().to_pylist() if row["part"]}
    rows = samples.to_pylist()
    assert [(row["raster_id"], row["part"]) for row in rows] == sorted(parts.items())
    assert {row["collection"] for row in rows} == {"around"}
    components = {row["raster_id"]: row["component"] for row in rows}
    assert len(set(components.values())) > 1
    for row in at_v1.edges(relation="intersects").to_pylist():
        shown = [components[edge["raster_id"]] for edge in at_v1.edges(feature=row["feature_id"]).to_pylist()]
        assert len({*shown} - {None}) <= 1 or row["raster_id"] not in components
    test = at_v1.samples(subset="test").to_pylist()
    assert test == [row for row in rows if row["part"] == "test"]
    assert at_v1.samples(subset=["train", "test"]).to_pylist() == rows


def test_samples_have_classes_and_grid_of_the_file(at_v1):
    classes = {row["feature_id"]: row["class"] for row in at_v1.features().to_pylist()}
    chips = {row["raster_id"]: row for row in at_v1.chips().to_pylist()}
    for row in at_v1.samples().to_pylist():
        assert row["parent_id"] == chips[row["raster_id"]]["parent_id"]
        assert row["raster_id"] == f"around/{row['parent_id']}_{row['feature_id']}"
        assert row["class"] == classes[row["feature_id"]]
        shown = {classes[edge["feature_id"]] for edge in at_v1.edges(raster=row["raster_id"]).to_pylist()}
        assert row["classes"] == sorted(shown)
        with rasterio.open(row["path"]) as raster:
            assert row["transform"] == [*raster.transform[:6]]
            assert (row["width"], row["height"], row["bands"]) == (raster.width, raster.height, raster.count)
            assert (row["dtype"], row["nodata"], row["crs"]) == (raster.dtypes[0], raster.nodata, "EPSG:32633")
        assert shapely.from_wkb(row["footprint"]).is_valid


@pytest.mark.parametrize("at", ["v1", "HEAD", "@5"])
def test_paths_lead_to_the_bytes_of_the_revision(sample_history, at):
    dataset = Dataset.open(sample_history.root)
    rows = dataset.samples(collection="around", at=at).to_pylist()
    recorded = {row["raster_id"]: row for row in dataset.rasters(at=at).to_pylist()}
    assert rows
    for row in rows:
        assert compute_sha256(row["path"]) == row["sha256"] == recorded[row["raster_id"]]["sha256"]
        if row.get("label_mask"):
            assert compute_sha256(row["label_mask"]) == row["label_mask_sha256"]
    assert all(Path(row["path"]).is_absolute() for row in rows)


def test_samples_of_references_lead_to_their_files(sample_history):
    dataset = Dataset.open(sample_history.root)
    (row,) = dataset.samples(collection="archive").to_pylist()
    assert (row["raster_id"], row["part"], row["component"]) == ("d", None, None)
    assert compute_sha256(row["path"]) == row["sha256"]


def test_labels_are_chosen_by_name(sample_history):
    dataset = Dataset.open(sample_history.root)
    assert "label_mask" in dataset.samples(collection="around").column_names
    assert "label_mask" not in dataset.samples(collection="around", labels=[]).column_names
    bounds = dataset.samples(collection="around", labels=["bounds", "mask"]).to_pylist()
    assert all(row["label_bounds"] is None and row["label_mask"] for row in bounds)
    boxes = dataset.samples(collection="cover", labels="bounds").to_pylist()
    assert all(json.loads(Path(row["label_bounds"]).read_text())["raster"] == row["raster_id"] for row in boxes)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"split": "none"}, NotFoundError, ["no split 'none'", "parts"]),
        ({"subset": "val"}, NotFoundError, ["no part 'val'", "test, train"]),
        ({"collection": "grid", "subset": "train"}, UsageError, ["--subset needs a split"]),
        ({"collection": "none"}, NotFoundError, ["no collection 'none'"]),
        ({"labels": "none"}, NotFoundError, ["no label 'none'", "mask"]),
        ({"labels": ["mask", "mask"]}, UsageError, ["named twice"]),
        ({"split": 3}, UsageError, ["invalid split 3"]),
        ({"subset": 3}, UsageError, ["invalid subset 3"]),
        ({"at": "@3"}, UsageError, ["several collections", "Name one"]),
        ({"at": "v9"}, NotFoundError, ["v9"]),
    ],
)
def test_wrong_selections_are_named(at_v1, tmp_path, arguments, error, words):
    if arguments == {"at": "@3"}:
        dataset = Dataset.open(shutil.copytree(at_v1.root, tmp_path / "dataset"))
        dataset.remove_recipe("parts")
        arguments = {}
    else:
        dataset = at_v1
    with pytest.raises(error) as raised:
        dataset.samples(**arguments)
    assert all(word in str(raised.value) for word in words)


def test_rasters_left_out_by_a_split_are_no_samples(dataset, tmp_path):
    """A chip that a split excludes, because it would leak, is not to be trained on."""
    points = {"west": ("pond", point_geometry(10.5, 10.5)), "east": ("pond", point_geometry(40.5, 40.5))}
    dataset.add_features(write_features(tmp_path / "points.geojson", points), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(tmp_path, "a"))
    dataset.cut_around_features("chips", size=8)
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    between = {"between": ("pond", point_geometry(25.5, 25.5))}
    dataset.add_features(write_features(tmp_path / "between.geojson", between), crs="EPSG:32633")
    dataset.cut_around_features("chips", size=38, replace=True)
    list(dataset.update(on_conflict="exclude"))
    assigned = {row["raster_id"] for row in dataset.splits().to_pylist() if row["part"]}
    excluded = {row["raster_id"] for row in dataset.splits().to_pylist()} - assigned
    assert {row["raster_id"] for row in dataset.samples().to_pylist()} == assigned
    assert excluded <= {row["raster_id"] for row in dataset.rasters(collection="chips").to_pylist()}


def test_command_writes_csv_json_and_geoparquet(sample_history, tmp_path):
    root = sample_history.at_v1
    expected = Dataset.open(root).samples().to_pylist()
    run_command(root, "samples", "-o", str(tmp_path / "s.parquet"))
    frame = geopandas.read_parquet(tmp_path / "s.parquet")
    assert frame["raster_id"].tolist() == [row["raster_id"] for row in expected]
    assert all(shape.geom_type == "Polygon" for shape in frame["footprint"])
    run_command(root, "samples", "-o", str(tmp_path / "s.csv"))
    rows = [*csv.DictReader((tmp_path / "s.csv").read_text().splitlines())]
    assert [row["label_mask"] for row in rows] == [row["label_mask"] for row in expected]
    assert [json.loads(row["classes"]) for row in rows] == [row["classes"] for row in expected]
    printed = read_rows(root, "samples", "--subset", "train", "--columns", "raster_id,part", "--limit", "1")
    assert printed == [{"raster_id": printed[0]["raster_id"], "part": "train"}]
    assert "sha256" not in run_command(root, "samples")


def test_outdated_labels_are_named(sample_history, tmp_path, caplog):
    """A mask that still shows a removed feature is not served without a word; an older revision's is as it was then."""
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))
    dataset.samples()
    assert caplog.messages == []
    dataset.remove_features(["p2"])
    dataset.samples(labels=[])
    dataset.samples(at="v1")
    assert caplog.messages == []
    dataset.samples()
    assert ["labels 'mask' may be outdated" in text for text in caplog.messages] == [True]
    dataset.export_samples("npy", tmp_path / "npy", record=False)
    dataset.compute_statistics()
    assert len(caplog.messages) == 3
    dataset.update()
    caplog.clear()
    dataset.samples()
    assert caplog.messages == []
