"""Pictures of chips with labels, as Pillow reads them, against the pixels of the files as rasterio reads them."""

from __future__ import annotations

import io
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.outputs.pictures.chip_pictures import (
    PictureOptions,
    choose_picture_size,
    read_chip_pictures,
    read_class_styles,
)
from tests.sample_history import SampleHistory, delete_object

CHIP = "around/a_p2"


def read_pictures(dataset: Dataset, *raster_ids: str, at=None, **options):
    work = dataset._unit_of_work
    with work.open_revision(at) as revision:
        found = read_chip_pictures(revision, work.root, work.file_store, raster_ids, PictureOptions(**options))
    return [*found]


def decode_png(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image)


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory) -> Dataset:
    return Dataset.open(sample_history.root)


def test_picture_of_a_chip_equals_its_pixels(dataset: Dataset) -> None:
    (picture,) = read_pictures(dataset, CHIP)
    assert (picture.raster_id, picture.width, picture.height, picture.problem) == (CHIP, 256, 256, None)
    with dataset.open_raster(CHIP) as raster:
        pixels = raster.read(1)
    np.testing.assert_array_equal(decode_png(picture.image), np.kron(pixels, np.ones((16, 16), np.uint8)))


def test_overlay_of_a_mask_has_the_colours_of_classes(dataset: Dataset) -> None:
    (picture,) = read_pictures(dataset, CHIP)
    label: Any = dataset.open_label("mask", CHIP)
    with label:
        values = np.kron(label.read(1), np.ones((16, 16), np.uint8))
    overlay = decode_png(picture.overlays["mask"])
    classes = {row["class"]: row["value"] for row in dataset.classes().to_pylist()}
    np.testing.assert_array_equal(overlay[..., 3] > 0, np.isin(values, [value for value in classes.values() if value]))
    assert picture.classes
    for name, colour in picture.classes.items():
        painted = overlay[values == classes[name]]
        assert {*map(tuple, painted[:, :3].tolist())} == {tuple(bytes.fromhex(colour[1:]))}


def test_boxes_are_in_pixels_of_the_picture(dataset: Dataset) -> None:
    chip = next(row["raster_id"] for row in dataset.labels(where="label = 'bounds'").to_pylist())
    (picture,) = read_pictures(dataset, chip, labels=["bounds"])
    expected = dataset.open_label("bounds", chip)["objects"]
    scale = picture.width / next(row["width"] for row in dataset.chips(raster=chip).to_pylist())
    found = {(box.text, box.class_name): [box.xmin, box.ymin, box.xmax, box.ymax] for box in picture.boxes["bounds"]}
    assert found
    assert found == {(item["feature_id"], item["class"]): [value * scale for value in item["box"]] for item in expected}
    assert picture.overlays == {}


def test_earlier_revision_has_its_own_bytes(dataset: Dataset) -> None:
    (before,) = read_pictures(dataset, "b", at="v1")
    (after,) = read_pictures(dataset, "b")
    with dataset.open_raster("b", at="v1") as raster:
        pixels = raster.read(1)
    np.testing.assert_array_equal(decode_png(before.image)[::4, ::4], pixels)
    assert before.image != after.image


def test_large_rasters_are_reduced(dataset: Dataset) -> None:
    (picture,) = read_pictures(dataset, "a", max_side=40)
    assert (picture.width, picture.height) == (40, 40)
    assert decode_png(picture.image).shape == (40, 40)
    assert choose_picture_size(10_980, 5_490, 512) == (512, 256)
    assert choose_picture_size(1, 1000, 512) == (1, 512)
    assert choose_picture_size(300, 20, 512) == (300, 20)


def test_missing_pixels_are_a_problem_and_no_error(sample_history: SampleHistory, tmp_path) -> None:
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    dataset = Dataset.open(root)
    paths = {row["raster_id"]: row["path"] for row in dataset.rasters().to_pylist()}
    chip = dataset.labels()["raster_id"].to_pylist()[0]
    delete_object(root, paths[chip], 8)
    (root / paths[chip]).unlink()
    gone, footprint, whole = read_pictures(dataset, chip, "S2A", "a")
    assert gone.image is None
    assert "not on this machine" in (gone.problem or "")
    assert gone.overlays.keys() == {"mask"}
    assert footprint.image is None
    assert "without pixels" in (footprint.problem or "")
    assert whole.image is not None
    (root / paths["a"]).chmod(0o644)
    (root / paths["a"]).write_bytes(b"altered")
    assert read_pictures(dataset, "a")[0].image == whole.image  # from the cache


def test_wrong_options_are_refused(dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match="no raster 'nothing'"):
        read_pictures(dataset, CHIP, "nothing")
    with pytest.raises(NotFoundError, match=r"no label 'nothing'.*The labels are: bounds, mask"):
        read_pictures(dataset, CHIP, labels=["nothing"])
    with pytest.raises(UsageError, match="has no band 9"):
        read_pictures(dataset, CHIP, bands="9")
    with pytest.raises(UsageError, match="invalid --bands"):
        read_pictures(dataset, CHIP, bands="1,2")
    with pytest.raises(UsageError, match="invalid --stretch"):
        read_pictures(dataset, CHIP, stretch="98,2")
    with pytest.raises(UsageError, match="invalid max_side"):
        read_pictures(dataset, CHIP, max_side=0)


def test_class_styles_leave_out_the_background(dataset: Dataset) -> None:
    with dataset._unit_of_work.open_revision(None) as revision:
        styles = read_class_styles(revision)
    values = {row["class"]: row["value"] for row in dataset.classes().to_pylist()}
    assert [*styles] == sorted((name for name in values if values[name]), key=values.__getitem__)
