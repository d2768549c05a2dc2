from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, point, square, write_features, write_scenes

SIDE = 64
SQUARES = {
    "old quarry": ("quarry", (10, 10, 24)),
    "pond": ("pond", (4, 4, 20)),
    "island": ("land", (14, 14, 4)),
    "far pond": ("pond", (40, 44, 9)),
}
VALUES = {"land": 0, "pond": 1, "quarry": 2}


def drawn(squares: dict[str, tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """The class of each pixel of the scene: larger values over smaller ones, then land over all."""
    pixels = np.zeros((SIDE, SIDE), int)
    for value in (1, 2, 0):
        for class_, (column, row, side) in squares.values():
            if VALUES[class_] == value:
                pixels[row : row + side, column : column + side] = value
    return pixels


def gather(dataset: Dataset, inputs: Path, squares: dict[str, tuple[str, tuple[int, int, int]]]) -> None:
    inputs.mkdir(exist_ok=True)
    shapes = {name: (class_, square(*where)) for name, (class_, where) in squares.items()}
    path = write_features(inputs / f"{len(dataset.log())}.geojson", shapes)
    dataset.add_features(path, crs="EPSG:32633")


def masks(dataset: Dataset, label: str = "mask") -> dict[str, np.ndarray]:
    """The pixels of each mask of a label, by the raster that it labels."""
    found = {}
    for row in dataset.labels(where=f"label = '{label}'").to_pylist():
        with rasterio.open(dataset.root / row["path"]) as mask:
            found[row["raster_id"]] = mask.read(1)
    return found


def state(dataset: Dataset) -> dict[str, tuple[str, int]]:
    """MD5 and time of writing of each mask."""
    return {
        row["raster_id"]: (row["md5"], (dataset.root / row["path"]).stat().st_mtime_ns)
        for row in dataset.labels().to_pylist()
    }


def shows(dataset: Dataset, pixels: np.ndarray) -> None:
    """Each chip has a mask, and it is the window that the chip has in the scene."""
    chips = dataset.chips().to_pylist()
    found = masks(dataset)
    assert found.keys() == {chip["raster_id"] for chip in chips}
    for chip in chips:
        rows = slice(chip["row"], chip["row"] + chip["height"])
        columns = slice(chip["col"], chip["col"] + chip["width"])
        assert (found[chip["raster_id"]] == pixels[rows, columns]).all()


@pytest.fixture(scope="module")
def labelled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    dataset = Dataset.init(folder / "dataset", classes=["pond", "quarry"], background="land", scm=False)
    gather(dataset, folder / "inputs", SQUARES)
    dataset.add_rasters(write_scenes(folder / "inputs", "a"))
    dataset.cut_grid("grid", size=16)
    dataset.label_masks("mask", collection="grid")
    return dataset.root


@pytest.fixture
def labelled(labelled_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """A scene in 16 chips with their masks."""
    return begun(labelled_once)


def test_masks_hold_the_values_of_the_dataset_s_classes_the_larger_on_top_and_background_erases(
    labelled: Dataset,
) -> None:
    classes = labelled.table("classes").to_pylist()
    assert {row["class"]: row["value"] for row in classes} == VALUES
    shows(labelled, drawn(SQUARES))


def test_a_mask_lies_on_its_chip_s_grid_pixel_for_pixel(labelled: Dataset) -> None:
    paths = {row["raster_id"]: row["path"] for row in labelled.rasters().to_pylist()}
    for row in labelled.labels().to_pylist():
        assert row["path"] == f"labels/mask/grid/{Path(paths[row['raster_id']]).name}"
        with (
            rasterio.open(labelled.root / paths[row["raster_id"]]) as chip,
            rasterio.open(labelled.root / row["path"]) as mask,
        ):
            assert (mask.transform, mask.crs, mask.shape) == (chip.transform, chip.crs, chip.shape)
            assert (mask.count, mask.dtypes, mask.nodata) == (1, ("uint8",), None)


def test_a_new_feature_in_an_old_chip_makes_that_mask_anew_and_no_other(labelled: Dataset, tmp_path: Path) -> None:
    before = state(labelled)
    new = {"new quarry": ("quarry", (50, 2, 5))}
    gather(labelled, tmp_path / "inputs", new)
    changed = [recorded for recorded in labelled.update() if recorded.changed]
    assert [recorded.summary["masks"] for recorded in changed] == [1]
    after = state(labelled)
    assert [name for name in before if before[name] != after[name]] == ["grid/a_c48_r0"]
    shows(labelled, drawn(SQUARES | new))


def test_a_feature_that_is_gone_leaves_its_masks(labelled: Dataset) -> None:
    before = state(labelled)
    labelled.remove_features(["far pond"])
    labelled.update()
    after = state(labelled)
    assert {name for name in before if before[name] != after[name]} == {
        f"grid/a_c{column}_r{row}" for column in (32, 48) for row in (32, 48)
    }
    shows(labelled, drawn({name: one for name, one in SQUARES.items() if name != "far pond"}))


def test_a_feature_that_came_back_as_another_is_drawn_as_it_is_now(labelled: Dataset, tmp_path: Path) -> None:
    labelled.remove_features(["pond"])
    back = {"pond": ("quarry", (30, 0, 6))}
    gather(labelled, tmp_path / "inputs", back)
    labelled.update()
    shows(labelled, drawn(SQUARES | back))


def test_a_feature_that_changes_no_pixel_is_no_event(labelled: Dataset, tmp_path: Path) -> None:
    gather(labelled, tmp_path / "inputs", {"in the pond": ("pond", (5, 5, 3))})
    before, head = state(labelled), labelled.log(1)
    assert not any(recorded.changed for recorded in labelled.update())
    assert labelled.log(1) == head
    assert state(labelled) == before


def test_the_same_label_again_does_nothing_and_one_name_is_one_collection(labelled: Dataset) -> None:
    head = labelled.log(1)
    assert not labelled.label_masks("mask", collection="grid").changed
    with pytest.raises(ConflictError, match="'mask' is a label mask recipe"):
        labelled.label_masks("mask", collection="source")
    assert labelled.log(1) == head


def test_chips_that_come_later_get_their_masks_and_those_that_go_take_them_along(
    labelled: Dataset, tmp_path: Path
) -> None:
    labelled.remove_rasters(["grid/a_c0_r0"])
    assert "grid/a_c0_r0" not in masks(labelled)
    assert not (labelled.root / "labels/mask/grid/a_c0_r0.tif").exists()
    before = state(labelled)
    labelled.add_rasters(write_scenes(tmp_path / "inputs", "b", beside=1, seed=7))
    labelled.update()
    after = state(labelled)
    assert after.keys() - before.keys() == {"grid/a_c0_r0"} | {
        f"grid/b_c{column}_r{row}" for column in range(0, 64, 16) for row in range(0, 64, 16)
    }
    assert before.items() <= after.items()


def test_a_raster_that_came_back_elsewhere_gets_a_mask_of_its_new_ground(labelled: Dataset, tmp_path: Path) -> None:
    labelled.label_masks("scenes", collection="source")
    assert (masks(labelled, "scenes")["a"] == drawn(SQUARES)).all()
    labelled.remove_rasters(["a"])
    labelled.add_rasters(write_scenes(tmp_path / "inputs", "a", beside=1, seed=3))
    labelled.update()
    due = np.zeros((SIDE, SIDE), int)
    due[:, :16] = drawn(SQUARES)[:, 48:]
    assert (masks(labelled, "scenes")["a"] == due).all()
    with rasterio.open(labelled.root / "labels/scenes/source/a.tif") as mask:
        assert mask.transform[:6] == (PIXEL, 0, WEST + 480, 0, -PIXEL, NORTH)


def test_a_point_burns_the_pixel_that_it_lies_in(labelled: Dataset, tmp_path: Path) -> None:
    labelled.add_features(
        write_features(tmp_path / "well.geojson", {"well": ("quarry", point(60.2, 3.7))}), crs="EPSG:32633"
    )
    labelled.update()
    due = drawn(SQUARES)
    due[3, 60] = VALUES["quarry"]
    shows(labelled, due)


def test_the_256th_class_makes_all_masks_of_a_label_uint16(
    empty_dataset: Path, begun: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    dataset = begun(empty_dataset)
    dataset.add_classes([f"class {number}" for number in range(1, 256)])
    first = write_features(tmp_path / "first.geojson", {"one": ("class 255", square(2, 2, 4))})
    dataset.add_features(first, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(tmp_path, "a"))
    dataset.cut_grid("grid", size=32)
    assert dataset.label_masks("mask", collection="grid").summary["dtype"] == "uint8"
    assert {mask.dtype.name for mask in masks(dataset).values()} == {"uint8"}
    assert masks(dataset)["grid/a_c0_r0"].max() == 255
    second = write_features(tmp_path / "second.geojson", {"two": ("class 256", square(40, 40, 4))})
    dataset.add_features(second, crs="EPSG:32633")
    dataset.update()
    found = masks(dataset)
    assert {mask.dtype.name for mask in found.values()} == {"uint16"}
    assert (np.unique(found["grid/a_c0_r0"]).tolist(), np.unique(found["grid/a_c32_r32"]).tolist()) == (
        [0, 255],
        [0, 256],
    )
    assert not any(recorded.changed for recorded in dataset.update())


def test_without_a_class_there_is_nothing_to_burn(
    empty_dataset: Path, begun: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    dataset = begun(empty_dataset)
    dataset.add_rasters(write_scenes(tmp_path, "a"))
    head = dataset.log(1)
    with pytest.raises(UsageError, match="no class to burn"):
        dataset.label_masks("mask", collection="source")
    assert dataset.log(1) == head
