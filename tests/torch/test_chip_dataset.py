"""ChipDataset: the samples that torchgeo documents, equal to what rasterio reads by hand; options; errors."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from geographer import CorruptError, NotFoundError, UsageError
from geographer.rasters.read_chips import ChipPath, OpenChips
from geographer.torch import ChipDataset
from geographer.torch.targets import ClassCodes
from geographer.torch.text_column import TextColumn
from tests.sample_rasters import write_scene
from tests.torch.training_dataset import BANDS, CLASSES, IGNORE, NODATA, OBJECTS, OFFSETS, SCALES, SIZE, TrainingFolders

SPLIT_OF_ALL: dict[str, Any] = {"split": "split", "labels": "mask"}
TORCHGEO_DTYPES = {
    "image": torch.float32,
    "mask": torch.int64,
    "bbox_xyxy": torch.float32,
    "label": torch.int64,
    "bounds": torch.float32,
    "transform": torch.float32,
}
"""What torchgeo 0.10.1 has: RasterDataset and VectorDataset (torchgeo/datasets/geo.py) and VHR10, with dtypes."""


def read_by_hand(path: str) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read()


def list_samples(folders: TrainingFolders, **selection: Any) -> list[dict[str, Any]]:
    return folders.dataset.samples(**selection).to_pylist()


def assert_equal_samples(first: ChipDataset, second: ChipDataset) -> None:
    assert len(first) == len(second)
    for number in range(len(first)):
        a, b = first[number], second[number]
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key]


@pytest.mark.parametrize(
    ("labels", "shapes"),
    [
        ("mask", {"mask": (SIZE, SIZE)}),
        ("boxes", {"bbox_xyxy": (2, 4), "label": (2,)}),
        ("instances", {"mask": (2, SIZE, SIZE), "bbox_xyxy": (2, 4), "label": (2,)}),
        (["mask", "boxes"], {"mask": (SIZE, SIZE), "bbox_xyxy": (2, 4), "label": (2,)}),
    ],
)
def test_samples_have_keys_and_dtypes_of_torchgeo(folders, labels, shapes):
    chips = ChipDataset(folders.dataset, split="split", labels=labels, ids=False)
    number = [*chips.raster_ids].index("chips/scene_c0_r0")
    sample = chips[number]
    expected = {"image": (BANDS, SIZE, SIZE), **shapes, "bounds": (9,), "transform": (9,)}
    assert {key: tuple(value.shape) for key, value in sample.items()} == expected
    dtypes = TORCHGEO_DTYPES | ({"mask": torch.uint8} if labels == "instances" else {})
    assert {key: value.dtype for key, value in sample.items()} == {key: dtypes[key] for key in expected}


def test_images_and_masks_equal_rasterio(folders):
    chips = ChipDataset(folders.dataset, **SPLIT_OF_ALL, fill=None)
    rows = list_samples(folders, split="split")
    assert [*chips.raster_ids] == [row["raster_id"] for row in rows]
    for sample, row in zip(chips, rows, strict=False):
        assert sample["raster_id"] == row["raster_id"]
        np.testing.assert_array_equal(sample["image"].numpy(), read_by_hand(row["path"]).astype(np.float32))
        np.testing.assert_array_equal(sample["mask"].numpy(), read_by_hand(row["label_mask"])[0])
    assert chips.ignore_index == IGNORE
    assert chips.class_names == ["background", *CLASSES]


def test_bounds_and_transform_are_those_of_the_file(folders):
    chips = ChipDataset(folders.dataset, **SPLIT_OF_ALL, coordinates=torch.float64, crs=True)
    with rasterio.open(list_samples(folders, split="split")[5]["path"]) as raster:
        bounds, transform = raster.bounds, [*raster.transform]
    sample = chips[5]
    west, east, x_size, south, north, y_size, *times = sample["bounds"].tolist()
    assert (west, south, east, north) == tuple(bounds)
    assert (x_size, y_size) == (10, 10)
    # The time of the scene is not known, so it is the range of torchgeo: of the nanoseconds that fit 64 bits.
    np.testing.assert_allclose(times, [-(2**63) / 1e9, (2**63) / 1e9, 1])
    assert sample["transform"].tolist() == transform
    assert sample["crs"] == "EPSG:32633"


def test_bands_in_any_order_are_scaled_and_filled(folders):
    mean, std = (3.0, 5.0), (2.0, 4.0)
    options: dict[str, Any] = {
        "bands": ["nir", 1],
        "scale": "file",
        "mean": mean,
        "std": std,
        "fill": -7.0,
        "valid": True,
    }
    chips = ChipDataset(folders.dataset, **SPLIT_OF_ALL, **options)
    n_filled = 0
    for sample, row in zip(chips, list_samples(folders, split="split"), strict=False):
        stored = read_by_hand(row["path"])[[2, 0]].astype(np.float64)
        for band, number in enumerate((2, 0)):
            expected = (stored[band] * SCALES[number] + OFFSETS[number] - mean[band]) / std[band]
            expected[stored[band] == NODATA] = -7
            np.testing.assert_allclose(sample["image"][band].numpy(), expected, rtol=1e-6)
            np.testing.assert_array_equal(sample["valid"][band].numpy(), stored[band] != NODATA)
            n_filled += int((stored[band] == NODATA).sum())
    assert n_filled == 2 * 8 * 14


def test_integer_pixels_keep_their_dtype(folders):
    chips = ChipDataset(folders.dataset, **SPLIT_OF_ALL, dtype=torch.uint16, bands=2, fill=None)
    sample, row = chips[0], list_samples(folders, split="split")[0]
    assert sample["image"].dtype == torch.uint16
    np.testing.assert_array_equal(sample["image"].numpy()[0], read_by_hand(row["path"])[1])
    halved = ChipDataset(folders.dataset, **SPLIT_OF_ALL, dtype=torch.bfloat16, scale=0.5)[0]["image"]
    assert halved.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="uint16 pixels, which do not fit uint8"):
        ChipDataset(folders.dataset, **SPLIT_OF_ALL, dtype=torch.uint8)


def test_instances_and_boxes_equal_the_files(folders):
    dataset = folders.dataset
    rows = list_samples(folders, split="split")
    instances = ChipDataset(dataset, split="split", labels="instances")
    boxes = ChipDataset(dataset, split="split", labels="boxes")
    n_objects = 0
    for number, row in enumerate(rows):
        document = json.loads(Path(row["label_boxes"]).read_text())
        expected = {item["feature_id"]: (item["box"], item["value"]) for item in document["objects"]}
        sample = boxes[number]
        found = zip(sample["feature_ids"], sample["bbox_xyxy"].tolist(), sample["label"].tolist(), strict=True)
        assert {name: (box, value) for name, box, value in found} == expected
        pixels = read_by_hand(row["label_instances"])[0]
        sample = instances[number]
        numbers = [value for value in np.unique(pixels).tolist() if value]
        assert sample["mask"].shape == (len(numbers), SIZE, SIZE)
        for mask, box, value, name, feature_id in zip(
            sample["mask"],
            sample["bbox_xyxy"].tolist(),
            numbers,
            sample["label"].tolist(),
            sample["feature_ids"],
            strict=True,
        ):
            np.testing.assert_array_equal(mask.numpy(), pixels == value)
            y, x = np.nonzero(pixels == value)
            assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert name == CLASSES[OBJECTS[feature_id][0]]
            n_objects += 1
    assert n_objects > len(OBJECTS)
    assert any(not len(boxes[number]["label"]) for number in range(len(boxes)))


@pytest.mark.parametrize(("label", "dtype"), [("classes", torch.int64), ("soft", torch.float32)])
def test_labels_with_a_band_for_each_class(folders, label, dtype):
    chips = ChipDataset(folders.dataset, split="split", labels=label)
    for sample, row in zip(chips, list_samples(folders, split="split"), strict=False):
        assert sample["mask"].dtype == dtype
        np.testing.assert_array_equal(sample["mask"].numpy(), read_by_hand(row[f"label_{label}"]))


def test_class_of_the_chip_without_labels(folders):
    rows = list_samples(folders, collection="around", labels=[])
    stored = ChipDataset(folders.dataset, collection="around")
    indices = ChipDataset(folders.dataset, collection="around", class_values="indices")
    assert [sample["label"].item() for sample in stored] == [CLASSES[row["class"]] for row in rows]
    assert [sample["feature_id"] for sample in stored] == [row["feature_id"] for row in rows]
    assert indices.class_names == [*CLASSES]
    assert [indices.class_names[sample["label"]] for sample in indices] == [row["class"] for row in rows]
    with pytest.raises(UsageError, match="4 of 16 rasters show several classes"):
        ChipDataset(folders.dataset, split="split", labels=[], class_label=True)
    assert "label" not in ChipDataset(folders.dataset, split="split", labels=[], class_label=False)[0]


def test_ignored_pixels_and_indices(folders):
    rows = list_samples(folders, split="split")
    stored = np.stack([read_by_hand(row["label_mask"])[0].astype(np.int64) for row in rows])
    assert (stored == IGNORE).any()
    moved = ChipDataset(folders.dataset, **SPLIT_OF_ALL, ignore_index=-1)
    assert moved.ignore_index == -1
    np.testing.assert_array_equal(
        np.stack([sample["mask"].numpy() for sample in moved]), np.where(stored == IGNORE, -1, stored)
    )
    with pytest.raises(UsageError, match="ignore_index 2 is the number of class 'quarry'"):
        ChipDataset(folders.dataset, **SPLIT_OF_ALL, ignore_index=2)


def test_indices_have_no_gaps_and_reject_other_values(folders):
    index = ChipDataset(folders.dataset, **SPLIT_OF_ALL).chip_index._replace(classes={"pond": 1, "wood": 3})
    codes = ClassCodes(index, "indices", None)
    assert (codes.names, codes.ignore_index) == (["background", "pond", "wood"], IGNORE)
    np.testing.assert_array_equal(codes.convert_values(np.array([[0, 1], [3, IGNORE]]), "a"), [[0, 1], [2, IGNORE]])
    for values in ([2], [1, 70_000], [-1]):
        with pytest.raises(UsageError, match=f"'a' has values that are no classes: '{values[-1]}'"):
            codes.convert_values(np.array(values), "a")
    taken = index._replace(labels=(index.labels[0]._replace(ignore=2),))
    assert ClassCodes(taken, "indices", None).ignore_index == -100
    assert ClassCodes(taken, "stored", None).names == ["background", "pond", "", "wood"]


def test_release_gives_equal_samples(folders, tmp_path):
    for selection in (
        {**SPLIT_OF_ALL, "subset": "train"},
        {"split": "split", "labels": "instances"},
        {"collection": "around"},
    ):
        chips = ChipDataset(folders.dataset, at="v1", **selection)
        released = ChipDataset.from_release(folders.checkout, **selection)
        assert_equal_samples(chips, released)
        np.testing.assert_array_equal(chips.components, released.components)
        assert (chips.class_names, chips.ignore_index) == (released.class_names, released.ignore_index)
    copy = shutil.copytree(folders.checkout, tmp_path / "v1")
    damaged = copy / "labels/mask/chips/scene_c0_r0.tif"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptError, match=r"scene_c0_r0.tif' in .* are missing or altered"):
        ChipDataset.from_release(copy, **SPLIT_OF_ALL)


def test_older_release_has_no_facts_for_training(folders, tmp_path):
    copy = shutil.copytree(folders.checkout, tmp_path / "v1")
    (copy / "tables/samples.parquet").unlink()
    revision = json.loads((copy / "revision.json").read_text())
    del revision["labels"]
    (copy / "revision.json").write_text(json.dumps(revision))
    lines = (copy / "MANIFEST").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if "samples.parquet" not in line and "revision.json" not in line)
    digest = hashlib.sha256((copy / "revision.json").read_bytes()).hexdigest()
    (copy / "MANIFEST").write_text(f"{text}{digest}  revision.json\n")
    chips = ChipDataset.from_release(copy, split="split", labels=["mask"])
    assert (chips.ignore_index, chips.components.tolist()) == (None, [-1] * 16)
    assert "bbox_xyxy" in ChipDataset.from_release(copy, split="split", labels=["instances"])[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": ["mask", "classes"]}, UsageError, "label 'mask' and label 'classes' both give 'mask'"),
        ({"labels": "boxes", "class_label": True}, UsageError, "the class of the chip and label 'boxes' both give"),
        ({"labels": "masks"}, NotFoundError, "no label 'masks'"),
        ({"subset": "trian"}, NotFoundError, "has no part 'trian'"),
        ({"bands": ["red"]}, UsageError, "no band named 'red'. Its names are: 'blue', 'green', 'nir'"),
        ({"bands": 4}, UsageError, "no band 4: it has 3"),
        ({"bands": []}, UsageError, "invalid bands"),
        ({"mean": [1.0]}, UsageError, "mean has 1 numbers, but a chip has 3 bands"),
        ({"std": [1.0, 0.0, 1.0]}, UsageError, "invalid std"),
        ({"scale": "files"}, UsageError, "invalid scale 'files'"),
        ({"dtype": torch.uint16, "fill": -1}, UsageError, "fill -1 does not fit torch.uint16"),
        ({"dtype": torch.uint16, "fill": float("nan")}, UsageError, "fill nan does not fit"),
        ({"dtype": "float32"}, UsageError, "Use one of torch"),
        ({"dtype": torch.int32, "scale": 0.5}, UsageError, "scaled pixels are not integers"),
        ({"class_values": "index"}, UsageError, "invalid class_values 'index'"),
        ({"transforms": "flip"}, UsageError, "invalid transforms"),
        ({"max_open_files": 0}, UsageError, "invalid max_open_files 0"),
        ({"seed": 1.5}, UsageError, "invalid seed 1.5"),
    ],
)
def test_invalid_arguments_are_named(folders, arguments, error, message):
    with pytest.raises(error, match=message):
        ChipDataset(folders.dataset, **{**SPLIT_OF_ALL, **arguments})


def test_folders_that_are_no_datasets(tmp_path):
    open_chips: Any
    for open_chips in (ChipDataset, ChipDataset.from_release):
        with pytest.raises(NotFoundError):
            open_chips(tmp_path)
        with pytest.raises(UsageError, match="invalid dataset 7"):
            open_chips(7)


def test_altered_file_is_found_at_the_start(folders, tmp_path):
    root = shutil.copytree(folders.root, tmp_path / "dataset", symlinks=True)
    path = root / "rasters/chips/scene_c0_r0.tif"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"x")
    chips = ChipDataset(root, **SPLIT_OF_ALL)
    assert chips.chip_index.images[0].path != str(path)  # the cache has the recorded bytes
    Path(chips.chip_index.images[0].path).chmod(0o644)
    Path(chips.chip_index.images[0].path).write_bytes(b"damaged")
    with pytest.raises(CorruptError, match="raster 'chips/scene_c0_r0'"):
        ChipDataset(root, **SPLIT_OF_ALL)


def test_files_are_opened_once_by_content(folders):
    path = folders.root.parent / "scene.tif"
    files = OpenChips(limit=2)
    for name in ("one", "one", "two", "three", "one"):
        files.read_image(ChipPath(str(path), name), None, "float32")
    assert files.count_open_files() == 2
    assert pickle.loads(pickle.dumps(files)).count_open_files() == 0


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64", "int64"])
def test_valid_pixels_of_any_type_equal_rasterio(tmp_path, dtype):
    array = np.arange(2 * 16 * 16).reshape(2, 16, 16).astype(dtype)
    nodata = float("nan") if dtype == "float64" else 7
    array[:, 3, 4] = nodata
    path = write_scene(tmp_path / "a.tif", array, nodata=nodata)
    with rasterio.open(path) as raster:
        expected = raster.read_masks() != 0
    chip = OpenChips(4).read_image(ChipPath(str(path), "a"), None, "float32")
    np.testing.assert_array_equal(chip.valid, expected)
    np.testing.assert_array_equal(chip.pixels, array.astype(np.float32))


@pytest.mark.parametrize("nodata", [None, 7, float("nan")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_pixels_are_invalid(tmp_path, dtype, nodata):
    array = np.arange(2 * 16 * 16).reshape(2, 16, 16).astype(dtype)
    array[0, 1, 2], array[1, 3, 4], array[1, 5, 6] = np.inf, -np.inf, np.nan
    path = write_scene(tmp_path / "a.tif", array, nodata=nodata)
    chip = OpenChips(4).read_image(ChipPath(str(path), "a"), None, "float32")
    np.testing.assert_array_equal(chip.valid, np.isfinite(array) & (array != nodata))
    assert OpenChips(4).read_image(ChipPath(str(path), "a"), None, "float32", with_valid=False).valid is None
    largest = write_scene(tmp_path / "b.tif", np.full((1, 16, 16), np.finfo("float32").max, "float32"))
    assert OpenChips(4).read_image(ChipPath(str(largest), "b"), None, "float32").valid is None


def test_mask_band_marks_invalid_pixels(tmp_path):
    path = tmp_path / "a.tif"
    mask = np.full((16, 16), 255, np.uint8)
    mask[2:4] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_scene(path, np.ones((2, 16, 16), np.uint8))
        with rasterio.open(path, "r+") as raster:
            raster.write_mask(mask)
    chip = OpenChips(4).read_image(ChipPath(str(path), "a"), [2], "float32")
    np.testing.assert_array_equal(chip.valid, (mask != 0)[np.newaxis])


def test_text_column_keeps_texts():
    texts = ["a", "", "ü/β", "x" * 300]
    column = TextColumn([*texts, None])
    assert [*column] == [*texts, ""]
    assert (column[-2], column[1:3], len(column)) == (texts[3], texts[1:3], 5)
    with pytest.raises(IndexError):
        column[5]


def test_index_out_of_range_ends_iteration(folders):
    chips = ChipDataset(folders.dataset, **SPLIT_OF_ALL)
    assert len([*chips]) == 16
    assert chips[-1]["raster_id"] == chips.raster_ids[15]
    assert "ChipDataset of 16 chips: image, mask" in repr(chips)
    assert "quarry" in chips._repr_html_()


def test_missing_libraries_are_named():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import geographer.torch\n"
        "from geographer import MissingLibraryError\n"
        "try:\n    geographer.torch.ChipDataset\n"
        "except ImportError as error:\n    print(isinstance(error, MissingLibraryError), error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == (
        "True ChipDataset needs PyTorch, which is not installed. Run: pip install 'geographer-datasets[torch]'"
    )
