"""Masks of a dataset's chips, and their updates after changes of features, classes and rasters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, point_geometry, square_geometry, write_features, write_scenes

SIDE = 64
SQUARES = {
    "old quarry": ("quarry", (10, 10, 24)),
    "pond": ("pond", (4, 4, 20)),
    "island": ("land", (14, 14, 4)),
    "far pond": ("pond", (40, 44, 9)),
}
VALUES = {"land": 0, "pond": 1, "quarry": 2}


def draw_squares(squares: dict[str, tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """The class value of each pixel of the scene: larger values over smaller ones, land over all."""
    pixels = np.zeros((SIDE, SIDE), int)
    for value in (1, 2, 0):
        for class_name, (column, row, side) in squares.values():
            if VALUES[class_name] == value:
                pixels[row : row + side, column : column + side] = value
    return pixels


def add_squares(dataset: Dataset, inputs: Path, squares: dict[str, tuple[str, tuple[int, int, int]]]) -> None:
    inputs.mkdir(exist_ok=True)
    shapes = {name: (class_name, square_geometry(*window)) for name, (class_name, window) in squares.items()}
    path = write_features(inputs / f"{len(dataset.log())}.geojson", shapes)
    dataset.add_features(path, crs="EPSG:32633")


def read_masks(dataset: Dataset, label: str = "mask") -> dict[str, np.ndarray]:
    """The pixels of each mask of a label, by raster id."""
    masks = {}
    for row in dataset.labels(where=f"label = '{label}'").to_pylist():
        with rasterio.open(dataset.root / row["path"]) as mask:
            masks[row["raster_id"]] = mask.read(1)
    return masks


def read_file_states(dataset: Dataset) -> dict[str, tuple[str, int]]:
    """MD5 and modification time of each mask."""
    return {
        row["raster_id"]: (row["md5"], (dataset.root / row["path"]).stat().st_mtime_ns)
        for row in dataset.labels().to_pylist()
    }


def assert_masks_equal(dataset: Dataset, pixels: np.ndarray) -> None:
    """Assert that each chip has a mask that equals the chip's window of the scene's `pixels`."""
    chips = dataset.chips().to_pylist()
    masks = read_masks(dataset)
    assert masks.keys() == {chip["raster_id"] for chip in chips}
    for chip in chips:
        rows = slice(chip["row"], chip["row"] + chip["height"])
        columns = slice(chip["col"], chip["col"] + chip["width"])
        assert (masks[chip["raster_id"]] == pixels[rows, columns]).all()


@pytest.fixture(scope="module")
def labelled_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled_dataset")
    dataset = Dataset.init(folder / "dataset", classes=["pond", "quarry"], background="land", scm=False)
    add_squares(dataset, folder / "inputs", SQUARES)
    dataset.add_rasters(write_scenes(folder / "inputs", "a"))
    dataset.cut_grid("grid", size=16)
    dataset.label_masks("mask", collection="grid")
    return dataset.root


@pytest.fixture
def labelled_dataset(labelled_template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """A scene in 16 chips with their masks."""
    return open_copy(labelled_template)


def test_masks_hold_class_values(
    labelled_dataset: Dataset,
) -> None:
    classes = labelled_dataset.read_table("classes").to_pylist()
    assert {row["class"]: row["value"] for row in classes} == VALUES
    assert_masks_equal(labelled_dataset, draw_squares(SQUARES))


def test_mask_has_grid_of_chip(labelled_dataset: Dataset) -> None:
    paths = {row["raster_id"]: row["path"] for row in labelled_dataset.rasters().to_pylist()}
    for row in labelled_dataset.labels().to_pylist():
        assert row["path"] == f"labels/mask/grid/{Path(paths[row['raster_id']]).name}"
        with (
            rasterio.open(labelled_dataset.root / paths[row["raster_id"]]) as chip,
            rasterio.open(labelled_dataset.root / row["path"]) as mask,
        ):
            assert (mask.transform, mask.crs, mask.shape) == (chip.transform, chip.crs, chip.shape)
            assert (mask.count, mask.dtypes, mask.nodata) == (1, ("uint8",), None)


def test_update_remakes_mask_of_new_feature(labelled_dataset: Dataset, tmp_path: Path) -> None:
    before = read_file_states(labelled_dataset)
    new = {"new quarry": ("quarry", (50, 2, 5))}
    add_squares(labelled_dataset, tmp_path / "inputs", new)
    changed = [result for result in labelled_dataset.update() if result.changed]
    assert [result.summary["masks"] for result in changed] == [1]
    after = read_file_states(labelled_dataset)
    assert [name for name in before if before[name] != after[name]] == ["grid/a_c48_r0"]
    assert_masks_equal(labelled_dataset, draw_squares(SQUARES | new))


def test_update_remakes_masks_of_removed_feature(labelled_dataset: Dataset) -> None:
    before = read_file_states(labelled_dataset)
    labelled_dataset.remove_features(["far pond"])
    labelled_dataset.update()
    after = read_file_states(labelled_dataset)
    assert {name for name in before if before[name] != after[name]} == {
        f"grid/a_c{column}_r{row}" for column in (32, 48) for row in (32, 48)
    }
    assert_masks_equal(
        labelled_dataset, draw_squares({name: value for name, value in SQUARES.items() if name != "far pond"})
    )


def test_update_draws_readded_feature(labelled_dataset: Dataset, tmp_path: Path) -> None:
    labelled_dataset.remove_features(["pond"])
    readded = {"pond": ("quarry", (30, 0, 6))}
    add_squares(labelled_dataset, tmp_path / "inputs", readded)
    labelled_dataset.update()
    assert_masks_equal(labelled_dataset, draw_squares(SQUARES | readded))


def test_update_without_changed_pixels_records_nothing(labelled_dataset: Dataset, tmp_path: Path) -> None:
    add_squares(labelled_dataset, tmp_path / "inputs", {"in the pond": ("pond", (5, 5, 3))})
    before, head = read_file_states(labelled_dataset), labelled_dataset.log(1)
    assert not any(result.changed for result in labelled_dataset.update())
    assert labelled_dataset.log(1) == head
    assert read_file_states(labelled_dataset) == before


def test_label_name_has_one_collection(labelled_dataset: Dataset) -> None:
    head = labelled_dataset.log(1)
    assert not labelled_dataset.label_masks("mask", collection="grid").changed
    with pytest.raises(ConflictError, match="recipe 'mask' exists as a label mask recipe"):
        labelled_dataset.label_masks("mask", collection="source")
    assert labelled_dataset.log(1) == head


def test_masks_follow_added_and_removed_chips(labelled_dataset: Dataset, tmp_path: Path) -> None:
    labelled_dataset.remove_rasters(["grid/a_c0_r0"])
    assert "grid/a_c0_r0" not in read_masks(labelled_dataset)
    assert not (labelled_dataset.root / "labels/mask/grid/a_c0_r0.tif").exists()
    before = read_file_states(labelled_dataset)
    labelled_dataset.add_rasters(write_scenes(tmp_path / "inputs", "b", offset=1, seed=7))
    labelled_dataset.restore_rasters(["grid/a_c0_r0"])
    labelled_dataset.update()
    after = read_file_states(labelled_dataset)
    assert after.keys() - before.keys() == {"grid/a_c0_r0"} | {
        f"grid/b_c{column}_r{row}" for column in range(0, 64, 16) for row in range(0, 64, 16)
    }
    assert before.items() <= after.items()


def test_update_remakes_mask_of_moved_raster(labelled_dataset: Dataset, tmp_path: Path) -> None:
    labelled_dataset.label_masks("scenes", collection="source")
    assert (read_masks(labelled_dataset, "scenes")["a"] == draw_squares(SQUARES)).all()
    labelled_dataset.remove_rasters(["a"])
    labelled_dataset.add_rasters(write_scenes(tmp_path / "inputs", "a", offset=1, seed=3))
    labelled_dataset.update()
    expected = np.zeros((SIDE, SIDE), int)
    expected[:, :16] = draw_squares(SQUARES)[:, 48:]
    assert (read_masks(labelled_dataset, "scenes")["a"] == expected).all()
    with rasterio.open(labelled_dataset.root / "labels/scenes/source/a.tif") as mask:
        assert mask.transform[:6] == (PIXEL, 0, WEST + 480, 0, -PIXEL, NORTH)


def test_mask_burns_pixel_of_point(labelled_dataset: Dataset, tmp_path: Path) -> None:
    labelled_dataset.add_features(
        write_features(tmp_path / "well.geojson", {"well": ("quarry", point_geometry(60.2, 3.7))}), crs="EPSG:32633"
    )
    labelled_dataset.update()
    expected = draw_squares(SQUARES)
    expected[3, 60] = VALUES["quarry"]
    assert_masks_equal(labelled_dataset, expected)


def test_class_value_256_makes_masks_uint16(
    empty_dataset: Path, open_copy: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    dataset = open_copy(empty_dataset)
    dataset.add_classes([f"class {number}" for number in range(1, 256)])
    first = write_features(tmp_path / "first.geojson", {"one": ("class 255", square_geometry(2, 2, 4))})
    dataset.add_features(first, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(tmp_path, "a"))
    dataset.cut_grid("grid", size=32)
    assert dataset.label_masks("mask", collection="grid").summary["dtype"] == "uint8"
    assert {mask.dtype.name for mask in read_masks(dataset).values()} == {"uint8"}
    assert read_masks(dataset)["grid/a_c0_r0"].max() == 255
    second = write_features(tmp_path / "second.geojson", {"two": ("class 256", square_geometry(40, 40, 4))})
    dataset.add_features(second, crs="EPSG:32633")
    dataset.update()
    masks = read_masks(dataset)
    assert {mask.dtype.name for mask in masks.values()} == {"uint16"}
    assert (np.unique(masks["grid/a_c0_r0"]).tolist(), np.unique(masks["grid/a_c32_r32"]).tolist()) == (
        [0, 255],
        [0, 256],
    )
    assert not any(result.changed for result in dataset.update())


def test_label_without_classes_is_rejected(
    empty_dataset: Path, open_copy: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    dataset = open_copy(empty_dataset)
    dataset.add_rasters(write_scenes(tmp_path, "a"))
    head = dataset.log(1)
    with pytest.raises(UsageError, match="no class with a value above 0"):
        dataset.label_masks("mask", collection="source")
    assert dataset.log(1) == head


def test_unusable_file_name_is_rejected_before_labels_are_made(dataset: Dataset, tmp_path: Path) -> None:
    """A referenced raster may have any name, but its label is stored by DVC."""
    dataset.add_classes(["pond"])
    [scene] = write_scenes(tmp_path, "a")
    names = {
        "tab\t.tif": "the path has a control character",
        f"{'n' * 251}.tif": r"has more than 255 bytes \('n+.json' has 256",
    }
    for number, (name, message) in enumerate(names.items()):
        path = scene.with_name(name)
        path.write_bytes(scene.read_bytes())
        dataset.add_rasters(path, mode="reference", collection=f"c{number}")
        head = dataset.log(1)
        with pytest.raises(UsageError, match=message):
            dataset.label_boxes("boxes", collection=f"c{number}", dry_run=True)
        assert dataset.log(1) == head
