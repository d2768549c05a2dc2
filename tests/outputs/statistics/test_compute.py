"""Statistics of samples against numpy, per subset and class; what is kept, what is refused, and how they are written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner

from geographer import CorruptError, Dataset, NotFoundError, UsageError
from geographer.cli import geographer_command
from geographer.outputs.statistics.results import DatasetStatistics, SampleStatistics
from tests import REPOSITORY
from tests.cli.runner import run_command
from tests.read_only import make_read_only, obey_file_modes
from tests.sample_history import square_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene
from tests.shared_folders import copy_once

IGNORE = 255
PERCENTILES = [1, 2, 5, 25, 50, 75, 95, 98, 99]
FEATURES = {
    f"f{column}{row}": (
        ("pond", "quarry", "lake")[(column + row) % 3],
        square_geometry(24 * column + 8, 24 * row + 8, 9),
    )
    for column in range(3)
    for row in range(3)
}


def create_dataset(folder: Path) -> None:
    dataset = Dataset.init(folder / "ponds", classes=["pond", "quarry", "lake", "never"], scm=False)
    dataset.add_features(write_features(folder / "features.geojson", FEATURES), crs="EPSG:32633")
    pixels = make_pixels(3, 72, 72, "uint16")
    pixels[:, :5, ::3] = 0
    dataset.add_rasters([write_scene(folder / "scene.tif", pixels, nodata=0)])
    dataset.cut_grid("chips", size=24)
    dataset.label_masks("mask", collection="chips", ignore=IGNORE)
    dataset.label_multilabel("several", collection="chips")
    dataset.label_boxes("boxes", collection="chips")
    dataset.label_instances("objects", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.6, "test": 0.4}, seed=1)


@pytest.fixture(scope="module")
def ponds(tmp_path_factory) -> Dataset:
    return Dataset.open(copy_once(tmp_path_factory, "statistics", create_dataset) / "ponds")


@pytest.fixture
def copied(ponds, tmp_path) -> Dataset:
    return Dataset.open(shutil.copytree(ponds.root, tmp_path / "ponds", symlinks=True))


def list_parts(dataset: Dataset) -> dict[str, list[str]]:
    rows = dataset.splits().to_pylist()
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for row in rows:
        parts[row["part"]].append(row["raster_id"])
    return parts


def read_images(dataset: Dataset, ids: list[str]) -> list[np.ma.MaskedArray]:
    images = []
    for raster_id in ids:
        with dataset.open_raster(raster_id) as raster:
            images.append(raster.read(masked=True))
    return images


def read_labels(dataset: Dataset, label: str, ids: list[str]) -> list[np.ndarray]:
    labels = []
    for raster_id in ids:
        raster: Any = dataset.open_label(label, raster_id)
        with raster:
            labels.append(raster.read())
    return labels


def check_bands(found: SampleStatistics, images: list[np.ma.MaskedArray]) -> None:
    assert found.samples == len(images)
    for band in found.bands:
        pixels = np.concatenate([image[band.band - 1].compressed() for image in images]).astype(np.float64)
        assert (band.valid, band.nodata, band.non_finite) == (len(pixels), 576 * len(images) - len(pixels), 0)
        assert band.stored.mean == pytest.approx(pixels.mean(), rel=1e-13)
        assert band.stored.standard_deviation == pytest.approx(pixels.std(), rel=1e-13)
        assert (band.stored.minimum, band.stored.maximum) == (pixels.min(), pixels.max())
        assert [*band.stored.percentiles.values()] == np.percentile(pixels, PERCENTILES).tolist()
        counts, edges = np.histogram(pixels, 64)
        assert (band.stored.edges, band.stored.counts) == (edges.tolist(), counts.tolist())
        assert (band.stored.relative_error, band.scaled) == (0, None)


def check_mask(found: SampleStatistics, masks: list[np.ndarray]) -> None:
    label = next(label for label in found.labels if label.label == "mask")
    stacked = np.stack(masks)
    valid = stacked != IGNORE
    assert (label.rasters, label.pixels, label.ignored) == (len(masks), valid.sum(), (~valid).sum())
    pixels = {value: int(np.count_nonzero(stacked == value)) for value in range(5)}
    names = ["background", "pond", "quarry", "lake", "never"]
    assert [(row.class_name, row.value, row.pixels) for row in label.classes] == [
        (name, value, pixels[value]) for value, name in enumerate(names)
    ]
    frequencies = {
        value: count / sum(np.count_nonzero(mask != IGNORE) for mask in masks if value in mask)
        for value, count in pixels.items()
        if count
    }
    for row in label.classes:
        assert row.fraction == pixels[row.value or 0] / valid.sum()
        if row.pixels:
            assert row.inverse_frequency == pytest.approx(valid.sum() / (len(frequencies) * row.pixels))
            weight = np.median([*frequencies.values()]) / frequencies[row.value or 0]
            assert row.median_frequency == pytest.approx(weight)
        else:
            assert (row.inverse_frequency, row.median_frequency) == (None, None)


def test_statistics_equal_those_of_numpy(ponds):
    found = ponds.compute_statistics()
    parts = list_parts(ponds)
    assert {*found.subsets} == {"train", "test"}
    assert found.selection["split"] == "parts"
    assert found.position == ponds.log()[-1].position
    for name, ids in {**parts, "all": parts["train"] + parts["test"]}.items():
        samples = found.all if name == "all" else found.subsets[name]
        check_bands(samples, read_images(ponds, ids))
        check_mask(samples, read_labels(ponds, "mask", ids))
        several = next(label for label in samples.labels if label.label == "several")
        bands = np.stack(read_labels(ponds, "several", ids)).sum(axis=(0, 2, 3))
        assert [row.pixels for row in several.classes] == bands.tolist()
        assert [row.class_name for row in several.classes] == ["pond", "quarry", "lake", "never"]
        assert several.classes[0].inverse_frequency is None


def test_objects_are_counted_by_class(ponds):
    found = ponds.compute_statistics()
    edges = ponds.edges().to_pylist()
    objects = ponds.objects().to_pylist()
    classes = {row["feature_id"]: row["class"] for row in ponds.features().to_pylist()}
    parts = list_parts(ponds)
    for name, ids in {**parts, "all": parts["train"] + parts["test"]}.items():
        samples = found.all if name == "all" else found.subsets[name]
        shown = [(row["raster_id"], row["feature_id"]) for row in edges if row["raster_id"] in ids]
        assert samples.classes
        for row in samples.classes:
            pairs = [pair for pair in shown if classes[pair[1]] == row.class_name]
            assert row.samples == len({raster_id for raster_id, _ in pairs})
            assert row.features == len({feature_id for _, feature_id in pairs})
            for label in ("boxes", "objects"):
                rows = [item for item in objects if (item["label"], item["class"]) == (label, row.class_name)]
                assert row.objects.get(label, 0) == sum(item["raster_id"] in ids for item in rows)


def test_order_and_workers_change_nothing(copied):
    expected = copied.compute_statistics().to_dict()
    shutil.rmtree(copied.root / ".geographer" / "statistics")
    assert copied.compute_statistics(workers=2).to_dict() == expected
    (train,) = copied.compute_statistics(subset="train").subsets.values()
    assert train == copied.compute_statistics().subsets["train"]


def test_counts_are_kept(copied):
    expected = copied.compute_statistics().to_dict()
    shutil.rmtree(copied.root / "rasters")
    shutil.rmtree(copied.root / "labels")
    shutil.rmtree(copied.root / ".dvc" / "cache")
    assert copied.compute_statistics().to_dict() == expected
    few = copied.compute_statistics(subset="test", labels="mask", percentiles=[50], bins=3)
    assert [*few.all.bands[0].stored.percentiles] == ["50"]
    assert len(few.all.bands[0].stored.counts) == 3
    for file in (copied.root / ".geographer" / "statistics").iterdir():
        content = file.read_bytes()
        file.write_bytes(content.replace(b'"nodata": ', b'"nodata": 1') if b"nodata" in content else content[:-9])
    with pytest.raises(CorruptError, match="is missing in the cache"):
        copied.compute_statistics()


def test_damaged_counts_are_made_again(copied):
    expected = copied.compute_statistics().to_dict()
    folder = copied.root / ".geographer" / "statistics"
    contents = {file: file.read_bytes() for file in folder.iterdir()}
    for damage in (b"", b"[]", b"null", b"\xff", b'{"digest": 1}'):
        for file in contents:
            file.write_bytes(damage)
        assert copied.compute_statistics().to_dict() == expected
        assert {file: file.read_bytes() for file in folder.iterdir()} == contents


def test_changed_labels_are_read_again(copied):
    before = copied.compute_statistics(labels="mask").all.labels[0]
    copied.label_masks("mask", collection="chips", replace=True)
    after = copied.compute_statistics(labels="mask").all.labels[0]
    assert (before.ignore, after.ignore, after.ignored) == (IGNORE, None, 0)
    assert after.pixels == before.pixels + before.ignored > before.pixels


def test_read_only_datasets_have_statistics(copied, tmp_path):
    shutil.rmtree(copied.root / ".geographer" / "statistics", ignore_errors=True)
    command = [sys.executable, "-m", "geographer", "-C", str(copied.root), "stats", "--labels", "mask", "--json"]
    with make_read_only(copied.root):
        run = subprocess.run(command, capture_output=True, check=False, preexec_fn=obey_file_modes, cwd=REPOSITORY)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout)["all"]["samples"] == 9
    assert not (copied.root / ".geographer" / "statistics").exists()


def test_images_with_other_bands_are_refused(dataset, tmp_path):
    bands = {"a": 2, "b": 3, "c": 2}
    dataset.add_rasters([write_scene(tmp_path / f"{name}.tif", make_pixels(bands[name], 16, 16)) for name in bands])
    with pytest.raises(UsageError, match="different numbers of bands: 'b' has 3, but 'a' has 2"):
        dataset.compute_statistics()


def test_references_and_missing_files(dataset, tmp_path):
    scene = write_scene(tmp_path / "a.tif", make_pixels(1, 16, 16, "float32"))
    dataset.add_rasters([scene], mode="reference")
    found = dataset.compute_statistics()
    assert (found.subsets, found.all.bands[0].valid, found.all.labels, found.all.classes) == ({}, 256, [], [])
    assert "2^-12" not in found._repr_html_()
    shutil.rmtree(dataset.root / ".geographer" / "statistics")
    scene.unlink()
    with pytest.raises(CorruptError, match="cannot use raster 'a'"):
        dataset.compute_statistics()


def test_withdrawn_files_are_named(dataset, tmp_path):
    arrays = {name: make_pixels(1, 16, 16, seed=seed) for seed, name in enumerate("ab")}
    dataset.add_rasters([write_scene(tmp_path / f"{name}.tif", array) for name, array in arrays.items()])
    dataset.withdraw_rasters(["a"], reason="the licence ended")
    assert dataset.compute_statistics().all.samples == 1
    with pytest.raises(NotFoundError, match=r"'a' has no file at @2: withdrawn @3: the licence ended"):
        dataset.compute_statistics(at="@2")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--subset", "never"], 3, "has no part 'never'"),
        (["--labels", "never"], 3, "no label 'never'"),
        (["--percentiles", "1,x"], 2, "invalid percentiles '1,x'. Use numbers from 0 to 100"),
        (["--percentiles", "101"], 2, "invalid percentile 101.0. Use a number from 0 to 100."),
        (["--percentiles", "nan"], 2, "invalid percentile nan"),
        (["--bins", "0"], 2, "Invalid value for '--bins'"),
        (["--workers", "0"], 2, "Invalid value for '--workers'"),
        (["--format", "coco"], 2, "Invalid value for '--format'"),
        (["-o", "stats.csv"], 2, "unknown suffix '.csv' of 'stats.csv'. Pass --format"),
        (["-o", "."], 2, "'.' is a folder. Name a file"),
        (["--at", "v9"], 3, "v9"),
        (["--format", "terratorch", "--subset", "test", "--labels", "boxes", "--at", "@2"], 3, ""),
    ],
)
def test_wrong_arguments_are_errors(ponds, arguments, code, message):
    result = CliRunner().invoke(geographer_command, ["-C", str(ponds.root), "stats", *arguments])
    assert getattr(result.exception, "exit_code", result.exit_code) == code, result.output
    assert message in f"{result.stderr}{result.exception}"


@pytest.mark.parametrize(
    "options",
    [{"percentiles": "5"}, {"percentiles": [True, "x"]}, {"bins": 2.5}, {"bins": 1 << 20}, {"workers": "2"}],
)
def test_wrong_options_are_errors(ponds, options):
    with pytest.raises(UsageError, match="Use"):
        ponds.compute_statistics(**options)


def test_command_prints_and_writes(ponds, tmp_path):
    found = ponds.compute_statistics()
    assert json.loads(run_command(ponds.root, "stats", "--json")) == json.loads(json.dumps(found.to_dict()))
    for name in ("stats.yaml", "stats.json"):
        run_command(ponds.root, "stats", "-o", str(tmp_path / name))
        assert yaml.safe_load((tmp_path / name).read_text()) == found.to_dict()
    text = run_command(ponds.root, "stats", "--subset", "train", "--labels", "mask")
    train = found.subsets["train"]
    assert text.startswith(f"train of split 'parts' at @{found.position}: {train.samples} samples\n")
    assert f"{train.bands[0].stored.mean:.6g}" in text
    assert "inverse frequency" in text
    run_command(ponds.root, "stats", "--subset", "train", "--labels", "mask", "-o", str(tmp_path / "stats.txt"))
    assert (tmp_path / "stats.txt").read_text() == text


def test_terratorch_config(ponds):
    found = ponds.compute_statistics()
    config = yaml.safe_load(run_command(ponds.root, "stats", "--format", "terratorch", "--labels", "mask"))
    train = found.subsets["train"]
    (label,) = [label for label in train.labels if label.label == "mask"]
    assert config == {
        "data": {
            "init_args": {
                "means": [band.stored.mean for band in train.bands],
                "stds": [band.stored.standard_deviation for band in train.bands],
                "num_classes": 5,
            }
        },
        "model": {
            "init_args": {
                "ignore_index": IGNORE,
                "class_weights": [row.inverse_frequency or 0 for row in label.classes],
                "class_names": ["background", "pond", "quarry", "lake", "never"],
            }
        },
    }
    others = yaml.safe_load(run_command(ponds.root, "stats", "--format", "terratorch", "--labels", "several"))
    assert {*others} == {"data"}


def test_result_has_named_values(ponds):
    found: DatasetStatistics = ponds.compute_statistics(subset="train", labels=[])
    assert found.all == found.subsets["train"]
    assert "<table>" in found._repr_html_()
    assert found.all.list_means() == [band.stored.mean for band in found.all.bands]
    assert found.all.list_standard_deviations(scaled=True) == found.all.list_standard_deviations()


def test_scaled_statistics_and_bands_without_pixels(dataset, tmp_path):
    pixels = make_pixels(2, 16, 16)
    pixels[1] = 0
    scene = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    with rasterio.open(scene, "r+") as raster:
        raster.scales, raster.offsets = [0.5, 0.5], [-1, -1]
    dataset.add_rasters([scene])
    found = dataset.compute_statistics().all
    scaled = found.bands[0].scaled
    assert scaled is not None
    assert scaled.mean == pytest.approx(pixels[0].mean() / 2 - 1)
    assert (scaled.minimum, scaled.maximum) == (pixels[0].min() / 2 - 1, pixels[0].max() / 2 - 1)
    assert [*scaled.percentiles.values()] == np.percentile(pixels[0] / 2 - 1, PERCENTILES).tolist()
    assert found.bands[1].stored[:6] == (None, None, None, None, dict.fromkeys(scaled.percentiles), [])
    with pytest.raises(UsageError, match="band 2 has no valid pixel"):
        found.list_means(scaled=True)
    assert "with scale and offset of the files:" in run_command(dataset.root, "stats")
