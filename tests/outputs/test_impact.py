"""Impact: what differs in a subset between two revisions, statistics of pixels, and scores whose terms sum exactly."""

from __future__ import annotations

import json
import random
import re
import shlex
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from geographer import CorruptError, Dataset, NotFoundError, StorageError, UsageError
from geographer.cli import geographer_command
from geographer.outputs.impact.confusion import count_confusion
from geographer.outputs.impact.metric_change import ChipSets, decompose_change
from geographer.rasters import pixel_counts, statistics
from geographer.rasters.class_values import read_class_values
from geographer.rasters.statistics import BandSums, merge_band_sums, read_band_sums
from tests import REPOSITORY
from tests.cli.runner import run_command
from tests.outputs.impact_dataset import (
    IGNORE,
    create_impact_dataset,
    list_subset,
    read_mask,
    write_prediction,
    write_predictions,
)
from tests.sample_history import write_catalogue, write_scenes
from tests.sample_rasters import make_pixels, write_scene

DOCUMENT = (REPOSITORY / "docs" / "impact.md").read_text()
SCHEMAS = [json.loads((REPOSITORY / "schemas" / f"{name}.v1.json").read_text()) for name in ("event", "impact")]
VALIDATOR = Draft202012Validator(
    SCHEMAS[1],
    registry=Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS]),
)
SIZE = (16, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the dataset `ponds`, and predictions for the chips of the subset test at v1 and v2."""
    folder = tmp_path_factory.mktemp("impact")
    write_predictions(create_impact_dataset(folder), folder / "predictions", "v2", "v1")
    return folder


@pytest.fixture(scope="module")
def ponds(folder) -> Dataset:
    return Dataset.open(folder / "ponds")


@pytest.fixture
def random_predictions(ponds, tmp_path) -> Path:
    """Random class values for every chip, also one that no class has, in files of every kind."""
    rng = np.random.Generator(np.random.PCG64(3))
    for number, raster_id in enumerate(sorted(set.union(*(list_subset(ponds, at) for at in ("v1", "v2", "v3"))))):
        values = rng.choice([0, 1, 2, 7, IGNORE], SIZE, p=[0.7, 0.1, 0.1, 0.05, 0.05])
        path = write_prediction(tmp_path, raster_id, values.astype([np.int64, np.uint8, np.int16][number % 3]))
        if number % 4 > 1:
            path.unlink()
            path = path.with_suffix([".tif", ".png"][number % 2])
            options = {"width": 16, "height": 16, "count": 1, "dtype": "uint8"}
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path, "w", **options) as raster:
                raster.write(values.astype(np.uint8), 1)
    return tmp_path


@cache
def read_pixels(dataset: Dataset, raster_id: str, at: str) -> np.ma.MaskedArray:
    with dataset.open_raster(raster_id, at=at) as raster:
        return raster.read(masked=True)


def list_expected_changes(dataset: Dataset, a: str, b: str) -> set[tuple[str, str, str | None]]:
    """Return (chip, change, part or label) from the public tables and the files."""
    old, new = list_subset(dataset, a), list_subset(dataset, b)
    parts = {at: {row["raster_id"]: row["part"] for row in dataset.splits(at=at).to_pylist()} for at in (a, b)}
    ids = {at: set(dataset.rasters(at=at)["raster_id"].to_pylist()) for at in (a, b)}
    changes: set[tuple[str, str, str | None]] = set()
    for gone, here, there, words in (
        (old - new, a, b, ("moved out", "unassigned", "removed")),
        (new - old, b, a, ("moved in", "assigned", "added")),
    ):
        assert gone <= ids[here]
        for chip in gone:
            level = 0 if chip in parts[there] else 1 if chip in ids[there] else 2
            changes.add((chip, words[level], parts[there].get(chip)))
    for chip in old & new:
        if not np.array_equal(read_pixels(dataset, chip, a).data, read_pixels(dataset, chip, b).data):
            changes.add((chip, "pixels changed", None))
        if not np.array_equal(read_mask(dataset, chip, a), read_mask(dataset, chip, b)):
            changes.add((chip, "label changed", "mask"))
        boxes = [dataset.objects(at=at, raster=chip).to_pylist() for at in (a, b)]
        if boxes[0] != boxes[1]:
            changes |= {(chip, "label objects changed", "boxes"), (chip, "label changed", "boxes")}
    return changes


@pytest.mark.parametrize(("a", "b"), [("v1", "v2"), ("v2", "v1"), ("v1", "v3"), ("v2", "v3"), ("v2", "v3~1")])
def test_changes_equal_those_of_tables_and_files(ponds, a, b):
    impact = ponds.compute_impact(a, b, statistics=False)
    found = {(row.raster_id, row.change, row.part or row.label) for row in impact.change.list_changes()}
    assert found == list_expected_changes(ponds, a, b)
    counts = Counter(change for _, change in {(chip, change) for chip, change, _ in found})
    assert {change: count for change, count in impact.change.count_changes().items() if count} == counts
    kept = list_subset(ponds, a) & list_subset(ponds, b)
    assert impact.common == sorted(kept - {chip for chip, *_ in found})
    assert (impact.before.chips, impact.after.chips) == (len(list_subset(ponds, a)), len(list_subset(ponds, b)))
    assert impact.change.classes == []


def test_changes_cover_every_kind(ponds):
    counts: Counter[str] = Counter()
    for a, b in (("v1", "v2"), ("v1", "v3"), ("v2", "v3~1"), ("v3~1", "v2"), ("v3", "v4")):
        counts += Counter(ponds.compute_impact(a, b, split="parts", statistics=False).change.count_changes())
    assert {change for change, count in counts.items() if not count} <= {"label added", "label removed"}
    assert len([count for count in counts.values() if count]) == 10


def test_truth_limits_the_labels_that_count(ponds):
    boxes = ponds.compute_impact("v1", "v2", truth="boxes", statistics=False)
    assert boxes.common == ponds.compute_impact("v1", "v2", truth="mask", statistics=False).common
    before_labels = next(event.position for event in ponds.log() if event.kind == "labels_made") - 1
    with pytest.raises(NotFoundError, match="no split at"):
        ponds.compute_impact(before_labels, before_labels)


def test_swapped_classes_touch_equal_masks(ponds):
    impact = ponds.compute_impact("v3", "v4")
    assert [tuple(row) for row in impact.change.classes] == [("pond", 1, 2), ("quarry", 2, 1)]
    assert {row.change for row in impact.change.list_changes()} == {"class values changed"}
    assert impact.common == []
    assert impact.statistics.state == "unchanged"


def test_comparison_opens_no_file(ponds, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(rasterio, "open", refuse)
    monkeypatch.setattr(pixel_counts, "open_chip", refuse)
    assert ponds.compute_impact("v3", "v4").statistics.bands == []
    assert ponds.compute_impact("v1", "v2", statistics=False).statistics.state == "not computed"
    with pytest.raises(AssertionError, match="a file was opened"):
        ponds.compute_impact("v1", "v2")


@pytest.mark.parametrize("part", ["train", "test"])
def test_statistics_equal_those_of_numpy(ponds, part):
    impact = ponds.compute_impact("v1", "v3", statistics_of=part)
    assert impact.statistics.state == "changed"
    for row in impact.statistics.bands:
        for at, found in (("v1", row.before), ("v3", row.after)):
            chips = [read_pixels(ponds, chip, at)[row.band - 1].compressed() for chip in list_subset(ponds, at, part)]
            values = np.concatenate(chips).astype(np.float64)
            assert found.pixels == len(values) < 256 * len(chips)
            assert found.mean == pytest.approx(values.mean(), rel=1e-13)
            assert found.standard_deviation == pytest.approx(values.std(), rel=1e-13)
        assert row.mean_difference == row.after.mean - row.before.mean
    assert [row.band for row in impact.statistics.bands] == [1, 2]


def test_statistics_read_each_content_once(ponds, monkeypatch):
    paths: list[Path] = []

    def read_and_count(path: Path, *, with_sidecars: bool) -> list[BandSums]:
        paths.append(path)
        return read_band_sums(path, with_sidecars=with_sidecars)

    monkeypatch.setattr(statistics, "read_band_sums", read_and_count)
    unchanged = ponds.compute_impact("v3", "v4", statistics=True).statistics
    assert len(paths) == len(set(paths)) == len(list_subset(ponds, "v3", "train"))
    assert (unchanged.state, unchanged.bands[0].before) == ("unchanged", unchanged.bands[0].after)
    paths.clear()
    ponds.compute_impact("v1", "v2")
    rasters = {at: ponds.rasters(at=at).to_pylist() for at in ("v1", "v2")}
    train = {at: list_subset(ponds, at, "train") for at in rasters}
    contents = {row["sha256"] for at, rows in rasters.items() for row in rows if row["raster_id"] in train[at]}
    assert len(paths) == len(set(paths)) == len(contents)


def test_statistics_of_references_and_withdrawn_rasters(dataset, tmp_path):
    scenes = write_scenes(tmp_path / "scenes", "a", "b")
    dataset.add_rasters(scenes[:1], mode="reference")
    dataset.add_rasters(scenes[1:])
    dataset.split("parts", collection="source", parts={"train": 1.0})
    dataset.tag("v1")
    (band, _) = dataset.compute_impact("v1", subset="train", statistics=True).statistics.bands
    expected = np.concatenate([read_pixels(dataset, name, "v1")[0].compressed() for name in "ab"])
    assert (band.before.pixels, band.before.mean) == (len(expected), pytest.approx(expected.mean(), rel=1e-13))
    dataset.withdraw_rasters(["b"], reason="the licence ended")
    impact = dataset.compute_impact("v1", subset="train", statistics=False)
    assert [row.change for row in impact.change.list_changes()] == ["removed"]
    with pytest.raises(NotFoundError, match="raster 'b' has no file at @4: withdrawn @6: the licence ended"):
        dataset.compute_impact("v1", subset="train")
    scenes[0].write_bytes(b"another file")
    with pytest.raises(CorruptError, match="cannot use raster 'a'"):
        dataset.compute_impact("HEAD", subset="train", statistics=True)


def test_catalogue_has_no_statistics(dataset, tmp_path):
    dataset.add_catalogue(write_catalogue(tmp_path / "catalogue.geojson"), crs="EPSG:32633")
    dataset.split("parts", collection="catalogue", parts={"train": 1.0})
    assert dataset.compute_impact("HEAD", subset="train").statistics.state == "unchanged"
    with pytest.raises(UsageError, match="'S2A' are footprints"):
        dataset.compute_impact("HEAD", subset="train", statistics=True)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_band_sums_are_exact_in_any_order(tmp_path, dtype):
    rng = np.random.Generator(np.random.PCG64(1))
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    arrays = [make_pixels(2, 24, 20, dtype, seed) for seed in range(4)]
    if not dtype.startswith("float"):
        arrays = [rng.integers(limits.min, limits.max, (2, 24, 20), dtype, endpoint=True) for _ in arrays]
    files = [write_scene(tmp_path / f"{number}.tif", array, nodata=7) for number, array in enumerate(arrays)]
    sums = [read_band_sums(path) for path in files]
    merged = merge_band_sums(sums)
    assert merged == merge_band_sums(reversed(sums))
    for band, found in enumerate(merged):
        values = [Fraction(value.item()) for array in arrays for value in array[band].ravel() if value != 7]
        assert found == (len(values), sum(values), sum(value * value for value in values), 0)


def test_band_sums_leave_out_invalid_floats(tmp_path):
    array = np.full((1, 4, 5), 2.5, np.float32)
    array[0, 0] = [np.nan, np.inf, -np.inf, 1, 9]
    (found,) = read_band_sums(write_scene(tmp_path / "a.tif", array, nodata=9, tiled=False))
    assert (found.pixels, found.non_finite, found.total) == (16, 3, Fraction(77, 2))
    huge = np.full((1, 4, 5), 1e200)
    (found,) = read_band_sums(write_scene(tmp_path / "b.tif", huge, tiled=False))
    assert (found.compute_mean(), found.compute_standard_deviation()) == (1e200, 0)
    (empty,) = read_band_sums(write_scene(tmp_path / "c.tif", np.full((1, 4, 5), 9, np.uint8), nodata=9, tiled=False))
    assert (empty.pixels, empty.compute_mean(), empty.compute_standard_deviation()) == (0, None, None)


def read_prediction(folder: Path, raster_id: str) -> np.ndarray:
    path = next(folder.glob(f"{raster_id}.*"))
    if path.suffix == ".npy":
        return np.load(path)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as raster:
        return raster.read(1)


def score_chips(dataset: Dataset, folder: Path, chips: set[str], at: str) -> dict[str, float]:
    """Return accuracy and mean IoU by plain numpy."""
    truth = np.stack([read_mask(dataset, chip, at) for chip in sorted(chips)]).astype(int)
    predicted = np.stack([read_prediction(folder, chip) for chip in sorted(chips)]).astype(int)
    truth, predicted = truth[(counted := truth != IGNORE)], predicted[counted]
    ious = [
        np.sum((truth == value) & (predicted == value)) / np.sum((truth == value) | (predicted == value))
        for value in np.union1d(truth, predicted)
    ]
    return {"accuracy": float(np.mean(truth == predicted)), "mean-iou": float(np.mean(ious))}


@pytest.mark.parametrize(("a", "b"), [("v1", "v2"), ("v1", "v3"), ("v3", "v1")])
def test_scores_equal_those_of_numpy(ponds, random_predictions, a, b):
    impact = ponds.compute_impact(a, b, predictions=random_predictions, truth="mask", statistics=False)
    old, new = list_subset(ponds, a), list_subset(ponds, b)
    sets = {"before": (old, a), "kept": (old & new, a), "relabelled": (old & new, b), "after": (new, b)}
    expected = {name: score_chips(ponds, random_predictions, *values) for name, values in sets.items()}
    common = [score_chips(ponds, random_predictions, set(impact.common), at) for at in (a, b)]
    assert [row.metric for row in impact.scores.metrics] == ["accuracy", "mean-iou"]
    for row in impact.scores.metrics:
        values = [expected[name][row.metric] for name in sets]
        assert [row.before, row.after] == pytest.approx([values[0], values[3]], rel=1e-14)
        terms = [row.left, row.relabelled, row.entered]
        assert terms == pytest.approx([second - first for first, second in pairwise(values)], abs=1e-14)
        assert row.left + row.relabelled + row.entered == row.change == row.after - row.before
        assert row.common_before == row.common_after == pytest.approx(common[0][row.metric], rel=1e-14)
        assert common[0] == common[1]
    truth_changed = sum(not np.array_equal(read_mask(ponds, chip, a), read_mask(ponds, chip, b)) for chip in old & new)
    assert impact.scores.other_truth == truth_changed
    assert impact.scores.other_pixels == impact.change.count_changes()["pixels changed"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_scores_sum_exactly(ponds, tmp_path, suffix):
    rng = random.Random(7)
    chips = sorted(list_subset(ponds, "v1") | list_subset(ponds, "v3"))
    for scale in (1, 1e-9, 1e17, -1e299):
        values = {chip: rng.uniform(-0.2, 1) * scale for chip in chips}
        table = pa.table({"extra": ["x"] * len(chips), "raster_id": chips, "value": [*values.values()]})
        path = tmp_path / f"scores.{suffix}"
        write_table = pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table
        write_table(table, path)
        impact = ponds.compute_impact("v1", "v3", predictions=path, statistics=False)
        (row,) = impact.scores.metrics
        means = {at: float(np.mean([values[chip] for chip in list_subset(ponds, at)])) for at in ("v1", "v3")}
        assert (row.before, row.after) == pytest.approx((means["v1"], means["v3"]), rel=1e-14, abs=1e-15)
        assert row.left + row.relabelled + row.entered == row.change == row.after - row.before
        assert row.relabelled == 0
        assert row.common_before == row.common_after
        assert row.common_before == pytest.approx(
            np.mean([values[chip] for chip in impact.common]), rel=1e-14, abs=1e-15
        )


def require_numbers(*values: float | None) -> list[float]:
    assert None not in values
    return [value for value in values if value is not None]


fractions = st.fractions(0, 1) | st.fractions(-(10**40), 10**40) | st.floats(-1e300, 1e300).map(Fraction)


@given(st.lists(fractions | st.none(), min_size=6, max_size=6) | st.lists(st.fractions(0, 1), min_size=6, max_size=6))
def test_terms_sum_exactly(values):
    sets = ChipSets(*values)
    row = decompose_change("accuracy", sets)
    is_defined = [value is not None for value in values]
    assert (row.change is not None) == (sets.before is not None and sets.after is not None)
    if all(is_defined[:4]):
        numbers = require_numbers(row.before, row.after, row.left, row.relabelled, row.entered)
        before, after, left, relabelled, entered = numbers
        assert left + relabelled + entered == row.change == after - before
        assert Fraction(left) + Fraction(relabelled) + Fraction(entered) == Fraction(after) - Fraction(before)
    largest = max((abs(value) for value in values if value is not None), default=0)
    for value, found in ((sets.before, row.before), (sets.after, row.after)):
        assert (value is None) == (found is None)
        assert value is None or found is None or abs(Fraction(found) - value) <= max(largest, 1) * Fraction(1, 2**51)


@given(st.integers(0, 2**32), st.sampled_from([3, 300, 70_000]))
def test_confusion_counts_every_pixel(seed, values):
    rng = np.random.Generator(np.random.PCG64(seed))
    truth, predicted = rng.integers(0, values, (2, 9, 11)).astype(np.int32)
    found = count_confusion(truth, predicted - 1, 2)
    pairs = zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True)
    assert found == Counter((row, column - 1) for row, column in pairs if row != 2)


def test_subset_without_chips_has_no_score(ponds, folder):
    chips = list_subset(ponds, "v2") - list_subset(ponds, "v1")
    assert chips
    impact = ponds.compute_impact("v2", "v3~1", predictions=folder / "predictions", truth="mask", statistics=True)
    for row in impact.scores.metrics:
        assert row.before is not None
        assert [row.after, row.change, row.left, row.entered, row.common_before] == [None] * 5
    assert [row.after.mean for row in impact.statistics.bands] == [None, None]
    assert not [*VALIDATOR.iter_errors(json.loads(json.dumps(impact.to_dict())))]


def test_json_follows_its_schema(ponds, folder):
    arguments = ("--predictions", str(folder / "predictions"), "--truth", "mask", "--json")
    (line,) = run_command(ponds.root, "impact", "v1", "v2", *arguments).splitlines()
    printed = json.loads(line)
    assert not [*VALIDATOR.iter_errors(printed)]
    impact = ponds.compute_impact("v1", "v2", predictions=folder / "predictions", truth="mask")
    assert printed == json.loads(json.dumps(impact.to_dict()))
    for key in printed:
        assert [*VALIDATOR.iter_errors({name: value for name, value in printed.items() if name != key})], key
    (metric,) = ponds.compute_impact(
        "v1", "v2", predictions=folder / "predictions", truth="mask", metrics=["accuracy"]
    ).scores.metrics
    assert metric == impact.scores.metrics[0]


def test_common_file_selects_the_chips(ponds, tmp_path):
    file = tmp_path / "common.txt"
    printed = run_command(ponds.root, "impact", "v1", "v2", "--common", str(file), "--no-statistics")
    common = ponds.compute_impact("v1", "v2", statistics=False).common
    assert file.read_text().splitlines() == sorted(common)
    assert len(common) == 4
    assert "4 of them untouched" in printed
    listed = run_command(ponds.root, "chips", "--rasters-from", str(file)).splitlines()[1:]
    assert sorted(line.split()[0] for line in listed) == common
    command = ["-C", str(ponds.root), "impact", "v1", "v2", "--no-statistics", "--common"]
    for path, error, message in (("", UsageError, "is a folder"), (f"{file}/x", StorageError, "cannot write")):
        with pytest.raises(error, match=message):
            CliRunner().invoke(geographer_command, [*command, path], catch_exceptions=False)


INVALID_ARGUMENTS = [
    (("v1", "v9"), {}, NotFoundError, "no revision 'v9'"),
    (("v1", "HEAD"), {}, UsageError, "2 splits: 'other', 'parts'. Name one with --split"),
    (("v1", "v2"), {"split": "other"}, NotFoundError, "no split 'other' at @7 or @15. The splits are 'parts'"),
    (("v1", "v2"), {"subset": "val"}, NotFoundError, "no part 'val' in split 'parts'.*The parts are 'test', 'train'"),
    (("v1", "v2"), {"subset": None}, UsageError, "invalid subset None"),
    (("v1", "v2"), {"subset": "\ud800"}, UsageError, "invalid subset"),
    (("v1", "v2"), {"split": 3}, UsageError, "invalid split 3"),
    (("v1", "v2"), {"split": ""}, UsageError, "invalid split ''"),
    (("v1", "v2"), {"statistics_of": "val"}, NotFoundError, "no part 'val'"),
    (("v1", "v2"), {"statistics": "yes"}, UsageError, "invalid statistics 'yes'"),
    (("v1", "v2"), {"truth": "depth"}, NotFoundError, "no label 'depth'.*'boxes', 'mask'"),
    (("v1", "v2"), {"predictions": 3}, UsageError, "invalid predictions 3"),
    (("v1", "v2"), {"predictions": "nowhere"}, NotFoundError, "no such file: 'nowhere'"),
    (("v1", "v2"), {"predictions": __file__}, UsageError, "neither a folder of arrays nor a table"),
    (("v1", "v2"), {"metrics": ["accuracy"]}, UsageError, "metrics need predictions"),
    (("v1", "v2"), {"predictions": REPOSITORY}, UsageError, "Pass --truth LABEL"),
    (
        ("v1", "v2"),
        {"predictions": REPOSITORY, "truth": "boxes"},
        UsageError,
        "'boxes' .label boxes. has no class values",
    ),
    (("v1", "v2"), {"predictions": REPOSITORY, "truth": "mask", "metrics": "f1"}, UsageError, "unknown metric 'f1'"),
    (("v1", "v2"), {"predictions": REPOSITORY, "truth": "mask"}, NotFoundError, "11 of 11 chips have no prediction"),
]


@pytest.mark.parametrize(("revisions", "arguments", "error", "message"), INVALID_ARGUMENTS)
def test_invalid_arguments_are_refused(ponds, revisions, arguments, error, message):
    with pytest.raises(error, match=message):
        ponds.compute_impact(*revisions, **arguments)


def save_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, values=np.zeros(SIZE))


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


INVALID_FILES = {
    "shape": (
        lambda path: np.save(path, np.zeros((8, 16), np.uint8)),
        r"a.npy' has the shape \(8, 16\), expected \(16, 16\)",
    ),
    "probabilities": (lambda path: np.save(path, np.zeros((3, 16, 16))), r"shape \(3, 16, 16\).*argmax"),
    "dtype": (lambda path: np.save(path, np.zeros(SIZE, np.float32)), "dtype float32, expected whole numbers"),
    "pickle": (lambda path: np.save(path, np.full(SIZE, None)), "is not an array of numpy.*numpy.save"),
    "text": (lambda path: write_bytes(path, b"class values"), "is not an array of numpy"),
    "empty": (lambda path: write_bytes(path, b""), "is not an array of numpy"),
    "archive": (lambda path: save_archive(path), "is an archive of arrays"),
    "truncated": (lambda path: write_bytes(path, make_npy_header("(1000000, 1000000)")), "is not an array of numpy"),
}


def make_npy_header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("name", INVALID_FILES)
def test_invalid_arrays_are_refused(tmp_path, name):
    write, message = INVALID_FILES[name]
    write(tmp_path / "a.npy")
    with pytest.raises(UsageError, match=message):
        read_class_values(tmp_path / "a.npy", SIZE)


def test_invalid_images_are_refused(tmp_path):
    path = write_scene(tmp_path / "a.tif", make_pixels(3, 16, 16))
    with pytest.raises(UsageError, match="has 3 bands, expected one"):
        read_class_values(path, SIZE)
    with pytest.raises(UsageError, match="is not a raster"):
        read_class_values(Path(__file__), SIZE)


def test_missing_and_repeated_predictions_are_named(ponds, folder, tmp_path):
    chips = sorted(list_subset(ponds, "v1") | list_subset(ponds, "v2"))
    for chip in chips[:-4]:
        write_prediction(tmp_path, chip, np.zeros(SIZE, np.uint8))
    listed = ", ".join(f"'{chip}'" for chip in chips[-4:-1])
    with pytest.raises(NotFoundError, match=f"4 of 11 chips have no prediction in .*: {listed} and 1 more"):
        ponds.compute_impact("v1", "v2", predictions=tmp_path, truth="mask")
    write_bytes(tmp_path / f"{chips[0]}.png", b"")
    with pytest.raises(UsageError, match=f"chip '{chips[0]}' has several predictions"):
        ponds.compute_impact("v1", "v2", predictions=tmp_path, truth="mask")
    wrong = write_prediction(tmp_path / "wrong", chips[0], np.zeros((2, 2), np.uint8))
    for chip in chips[1:]:
        write_prediction(tmp_path / "wrong", chip, np.zeros(SIZE, np.uint8))
    with pytest.raises(UsageError, match=f"{wrong}' has the shape"):
        ponds.compute_impact("v1", "v2", predictions=tmp_path / "wrong", truth="mask")


INVALID_TABLES = {
    "a,b\n1,2\n": (UsageError, "has no columns raster_id and value"),
    "raster_id,value,value\nx,1,2\n": (UsageError, "has no columns raster_id and value"),
    "raster_id,value\nx,1\n": (NotFoundError, "11 of 11 chips have no prediction"),
    "raster_id,value\nchips/a_f12,nan\n": (UsageError, "has no number for chip 'chips/a_f12'"),
    "raster_id,value\nchips/a_f12,\n": (UsageError, "has no number for chip"),
    "raster_id,value\nchips/a_f12,1e301\n": (UsageError, "the value 1e.301 for chip"),
    "raster_id,value\nchips/a_f12,high\n": (UsageError, "cannot be read as a table"),
    "raster_id,value\nchips/a_f12,1\nchips/a_f12,1\n": (UsageError, "'chips/a_f12' more than once"),
    "": (UsageError, "cannot be read as a table"),
    "raster_id,value\n\udcff,1\n": (UsageError, "cannot be read as a table"),
}


@pytest.mark.parametrize("text", INVALID_TABLES)
def test_invalid_tables_are_refused(ponds, tmp_path, text):
    error, message = INVALID_TABLES[text]
    path = tmp_path / "scores.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(error, match=message):
        ponds.compute_impact("v1", "v2", predictions=path, statistics=False)
    write_bytes(tmp_path / "scores.parquet", path.read_bytes())
    with pytest.raises(UsageError, match="cannot be read as a table"):
        ponds.compute_impact("v1", "v2", predictions=tmp_path / "scores.parquet", statistics=False)


def find_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


def test_document_shows_what_is_printed(folder, monkeypatch):
    """The commands of docs/impact.md run in the folder that has the dataset and the predictions."""
    steps = [step.partition("\n") for step in "".join(find_blocks("console")).split("$ ") if step]
    assert len(steps) == 3
    monkeypatch.chdir(folder)
    for command, _, shown in steps:
        program, option, root, *arguments = shlex.split(command)
        assert (program, option) == ("geographer", "-C")
        assert run_command(Path(root), *arguments).splitlines() == shown.splitlines(), command


def test_document_snippet_runs(folder, monkeypatch):
    (snippet,) = find_blocks("python")
    monkeypatch.chdir(folder)
    exec(snippet, {})
