"""Overlays of each kind of label, as Pillow reads them, from small GeoTIFFs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from geographer.base.errors import CorruptError
from geographer.outputs.pictures.label_overlays import OverlayClasses, draw_overlay
from geographer.outputs.pictures.palette import assign_styles
from geographer.outputs.samples.training_rows import TrainingLabel
from tests.sample_rasters import write_scene

CLASSES = OverlayClasses({0: "sea", 1: "lake", 2: "wood"}, assign_styles(["lake", "wood"]))
SIZE = (64, 64)


def draw(path: Path, kind: str | None, ignore: int | None = None, instances=None):
    overlay = draw_overlay(path, TrainingLabel("own", kind, ignore), CLASSES, instances or {}, SIZE)
    with Image.open(io.BytesIO(overlay.image)) as image:
        return np.array(image), overlay.classes


@pytest.fixture
def blocks(tmp_path) -> Path:
    """A label of one band whose quarters have the values 0, 1, 2 and 255."""
    pixels = np.kron(np.array([[0, 1], [2, 255]], np.uint8), np.ones((16, 16), np.uint8))
    return write_scene(tmp_path / "blocks.tif", pixels[None])


def test_masks_have_classes_and_ignored_pixels(blocks) -> None:
    pixels, classes = draw(blocks, "mask", ignore=255)
    assert {*classes} == {"lake", "wood", "ignored"}
    assert (pixels[:32, :32, 3] == 0).all()
    assert pixels[10, 50, :3].tolist() == [*bytes.fromhex(CLASSES.styles["lake"].colour[1:])]
    assert {*draw(blocks, "mask")[1]} == {"lake", "wood", "value 255"}


def test_instances_have_the_colours_of_their_classes(blocks) -> None:
    pixels, classes = draw(blocks, "instances", instances={1: "wood", 2: "wood"})
    assert {*classes} == {"wood", "no class"}
    assert pixels[10, 50].tolist() == pixels[50, 10].tolist()


def test_custom_labels_are_areas_or_numbers(blocks, tmp_path) -> None:
    assert {*draw(blocks, "custom", ignore=255)[1]} == {"lake", "wood", "ignored"}
    assert {*draw(blocks, None)[1]} == {"own 1", "own 2", "own 255"}
    heights = np.linspace(-1, 3, 32 * 32, dtype=np.float32).reshape(1, 32, 32)
    heights[0, :4] = np.nan
    pixels, classes = draw(write_scene(tmp_path / "heights.tif", heights), "custom")
    assert [*classes] == ["own: -0.4995 to 3"]
    np.testing.assert_array_equal(pixels[..., 3] == 0, np.kron(np.isnan(heights[0]), np.ones((2, 2), bool)))


@pytest.mark.parametrize("kind", ["multilabel", "probabilities"])
def test_bands_of_classes_lie_over_each_other(tmp_path, kind) -> None:
    bands = np.zeros((3, 32, 32), np.float32 if kind == "probabilities" else np.uint8)
    bands[0] = 1
    bands[1, :, :16] = 1
    bands[2, 8:24, 8:24] = 1
    path = write_scene(tmp_path / "bands.tif", bands)
    with rasterio.open(path, "r+") as raster:
        raster.descriptions = ("sea", "lake", "wood")
    pixels, classes = draw(path, kind)
    assert [*classes] == ["lake", "wood"]
    np.testing.assert_array_equal(pixels[..., 3] > 0, np.kron((bands[1:] > 0).any(axis=0), np.ones((2, 2), bool)))


def test_probabilities_are_more_transparent_where_low(tmp_path) -> None:
    bands = np.full((1, 32, 32), 0.5, np.float32)
    bands[0, :16] = 1.0
    path = write_scene(tmp_path / "bands.tif", bands)
    with rasterio.open(path, "r+") as raster:
        raster.descriptions = ("lake",)
    pixels, _ = draw(path, "probabilities")
    assert pixels[10, 10, 3] == pytest.approx(2 * pixels[50, 10, 3], abs=1)


def test_damaged_labels_are_errors(tmp_path, blocks) -> None:
    content = blocks.read_bytes()
    (tmp_path / "half.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptError):
        draw(tmp_path / "half.tif", "mask")
