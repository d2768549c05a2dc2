from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.errors import ConflictError, NotFoundError, UsageError
from tests.rasters.scenes import pixels, write_scene
from tests.story import NORTH, PIXEL, WEST, point, square, write_features, write_scenes

CLUSTER = {f"p{number}": (20.3 + 2 * (number % 3), 20.6 + 2 * (number // 3)) for number in range(9)}
LONELY = {"alone": (50.5, 10.5), "corner": (1.2, 1.3), "both": (56.5, 40.5), "east": (90.5, 30.5)}
POINTS = CLUSTER | LONELY
LAKE = (30, 40, 6)
SCENES = {"a": 0, "b": 48}
"""The scenes of 64 pixels, and how many pixels east of the first each begins."""


def gather(dataset: Dataset, inputs: Path, points: dict[str, tuple[float, float]]) -> None:
    inputs.mkdir(exist_ok=True)
    path = write_features(
        inputs / f"{len(dataset.log())}.geojson", {name: ("pond", point(*where)) for name, where in points.items()}
    )
    dataset.add_features(path, crs="EPSG:32633")


def chips(dataset: Dataset, recipe: str = "around") -> list[dict]:
    """The chips of a recipe, in the order in which they were cut."""
    return [chip for chip in dataset.chips().to_pylist() if chip["raster_id"].startswith(f"{recipe}/")]


def around(chip: dict) -> str:
    """The feature that a chip was cut around: their ids have no underscore."""
    return chip["raster_id"].rpartition("_")[2].partition("~")[0]


def holds(chip: dict, where: tuple[float, float], scenes: dict[str, int] = SCENES) -> bool:
    column, row = where[0] - scenes[chip["parent_id"]] - chip["col"], where[1] - chip["row"]
    return 0 < column < chip["width"] and 0 < row < chip["height"]


def counted(found: list[dict], names: Collection[str]) -> dict[str, int]:
    """How many of the chips hold each point."""
    return {name: sum(holds(chip, POINTS[name]) for chip in found) for name in names}


def window_of(array: np.ndarray, chip: dict, padding: int) -> np.ndarray:
    """The pixels that a chip must have, as if the raster went on with `padding` on all sides."""
    width = 40
    whole = np.pad(array, ((0, 0), (width, width), (width, width)), constant_values=padding)
    top, left = chip["row"] + width, chip["col"] + width
    return whole[:, top : top + chip["height"], left : left + chip["width"]]


def digests(dataset: Dataset) -> dict[str, str]:
    return {row["raster_id"]: row["sha256"] for row in dataset.rasters().to_pylist()}


@pytest.fixture(scope="module")
def gathered_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gathered")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    gather(dataset, folder / "inputs", POINTS)
    lake = write_features(folder / "lake.geojson", {"lake": ("lake", square(*LAKE))})
    dataset.add_features(lake, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder / "inputs", *SCENES))
    return dataset.root


@pytest.fixture
def gathered(gathered_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """Nine points close together, four apart, a lake, and two scenes that share 16 columns."""
    return begun(gathered_once)


@pytest.mark.parametrize(
    ("options", "bands"),
    [
        ({"at_border": "shift"}, [1, 2]),
        ({"at_border": "pad", "bands": [2]}, [2]),
        ({"at_border": "skip", "mode": "random", "seed": 5, "bands": [2, 1]}, [2, 1]),
        ({"at_border": "pad", "mode": "random", "pad_value": 9}, [1, 2]),
    ],
)
def test_a_chip_s_pixels_are_its_window_of_the_source(gathered: Dataset, options: dict, bands: list[int]) -> None:
    gathered.cut_around_features("around", size=(16, 12), **options)
    found = chips(gathered)
    assert {(chip["width"], chip["height"]) for chip in found} == {(16, 12)}
    inside = all(0 <= chip["col"] <= 48 and 0 <= chip["row"] <= 52 for chip in found)
    assert inside == (options["at_border"] != "pad")
    for chip in found:
        with (
            rasterio.open(gathered.root / f"rasters/source/{chip['parent_id']}.tif") as source,
            rasterio.open(gathered.root / f"rasters/{chip['raster_id']}.tif") as cut,
        ):
            due = window_of(source.read(bands), chip, options.get("pad_value", 0))
            assert (cut.read() == due).all()
            west, north = source.transform.c + 10 * chip["col"], source.transform.f - 10 * chip["row"]
            assert cut.transform[:6] == (10, 0, west, 0, -10, north)
            assert cut.crs == source.crs


def test_a_grid_s_chips_cover_each_raster_with_its_own_pixels(gathered: Dataset) -> None:
    gathered.cut_grid("grid", size=(24, 40))
    found = chips(gathered, "grid")
    assert [(chip["col"], chip["row"]) for chip in found if chip["parent_id"] == "a"] == [
        (column, row) for row in (0, 24) for column in (0, 24, 40)
    ]
    for chip in found:
        with (
            rasterio.open(gathered.root / f"rasters/source/{chip['parent_id']}.tif") as source,
            rasterio.open(gathered.root / f"rasters/{chip['raster_id']}.tif") as cut,
        ):
            assert (cut.read() == window_of(source.read(), chip, 0)).all()


@pytest.mark.parametrize("mode", ["centered", "random"])
@pytest.mark.parametrize("target_count", [1, 2])
def test_a_cluster_is_not_over_represented(gathered: Dataset, mode, target_count: int) -> None:
    gathered.cut_around_features(
        "around", size=12, mode=mode, seed=3, target_count=target_count, where="class = 'pond'"
    )
    found = chips(gathered)
    for number, chip in enumerate(found):
        assert counted(found[:number], [around(chip)])[around(chip)] < target_count
    many = counted(found, POINTS)
    showing = {name: sum(0 < x - start < 64 for start in SCENES.values()) for name, (x, _) in POINTS.items()}
    assert all(many[name] >= min(target_count, showing[name]) for name in POINTS)
    assert len([chip for chip in found if around(chip) in CLUSTER]) < len(CLUSTER) * target_count


def test_features_that_a_filter_leaves_out_get_no_chip_and_a_feature_larger_than_a_chip_is_told(
    gathered: Dataset,
) -> None:
    recorded = gathered.cut_around_features("around", size=5, where="class = 'lake' OR feature_id = 'alone'")
    assert [around(chip) for chip in chips(gathered)] == ["alone"]
    assert recorded.summary["unmet"] == {"larger than a chip": 1}


def test_the_same_recipe_again_makes_nothing_new_and_other_parameters_are_a_conflict(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    head, before = gathered.log(1), digests(gathered)
    again = gathered.cut_around_features("around", size=12)
    assert (again.changed, again.position, again.summary["chips"]) == (False, head[0].position, 0)
    with pytest.raises(ConflictError, match="'around' is a cut around recipe with the parameters"):
        gathered.cut_around_features("around", size=16)
    with pytest.raises(ConflictError, match="'around' is a cut around recipe"):
        gathered.cut_grid("around", size=12)
    with pytest.raises(ConflictError, match="'source' names a collection already"):
        gathered.cut_grid("source", size=12)
    assert gathered.log(1) == head
    assert digests(gathered) == before


def test_a_filter_with_any_character_is_the_same_recipe_again(gathered: Dataset) -> None:
    odd = "class <> 'ö \"/\\ \t \u2028 \x7f 1e21'"
    gathered.cut_around_features("around", size=12, where=odd)
    assert not gathered.cut_around_features("around", size=12, where=odd).changed
    assert not any(recorded.changed for recorded in gathered.update())


def test_update_cuts_for_new_features_and_rasters_and_touches_no_earlier_chip(
    gathered: Dataset, tmp_path: Path
) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    before = digests(gathered)
    first = chips(gathered)
    new = {"inside": (21.1, 21.4), "apart": (8.5, 56.5)}
    assert any(holds(chip, new["inside"]) for chip in first)
    assert not any(holds(chip, new["apart"]) for chip in first)
    gather(gathered, tmp_path / "inputs", new)
    gathered.add_rasters(write_scenes(tmp_path / "inputs", "c", beside=2, seed=4))
    assert [recorded.changed for recorded in gathered.update()] == [True, True]
    assert before.items() <= digests(gathered).items()
    assert {chip["raster_id"] for chip in chips(gathered)[len(first) :]} == {"around/a_apart"}
    assert sorted(digests(gathered).keys() - before.keys() - {"c", "around/a_apart"}) == [
        f"grid/c_c{column}_r{row}" for column in (0, 32) for row in (0, 32)
    ]
    assert not any(recorded.changed for recorded in gathered.update())


def test_a_feature_that_comes_later_moves_no_random_chip_of_another(
    gathered: Dataset, gathered_once: Path, tmp_path: Path
) -> None:
    """The places are drawn for each feature, from the recipe's seed and the feature's id."""
    gathered.cut_around_features("around", size=12, mode="random", seed=8)
    late = Dataset.open(shutil.copytree(gathered_once, tmp_path / "late"))
    gather(late, tmp_path / "inputs", {"late": (9.5, 50.5)})
    late.cut_around_features("around", size=12, mode="random", seed=8)
    assert digests(gathered).items() <= digests(late).items()
    assert digests(late).keys() - digests(gathered).keys() == {"around/a_late"}


def test_a_chip_that_was_removed_is_made_again_to_the_byte(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    before = digests(gathered)
    gathered.remove_rasters(["around/a_alone"])
    gathered.update()
    assert digests(gathered) == before


def test_chips_of_a_raster_that_is_gone_still_count(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    assert [chip["parent_id"] for chip in chips(gathered) if holds(chip, POINTS["both"])] == ["a"]
    before = digests(gathered)
    gathered.remove_rasters(["a"])
    assert not any(recorded.changed for recorded in gathered.update())
    assert digests(gathered) == {name: digest for name, digest in before.items() if name != "a"}


def test_a_raster_that_was_replaced_under_its_id_is_cut_anew(gathered: Dataset, tmp_path: Path) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    before = digests(gathered)
    gathered.remove_rasters(["a"])
    array = pixels(2, 64, 64, "uint8", seed=77)
    scene = write_scene(tmp_path / "a.tif", array, transform=(PIXEL, 0, WEST + 20, 0, -PIXEL, NORTH), nodata=0)
    gathered.add_rasters(scene)
    gathered.update()
    scenes = {"a": 2, "b": 48}
    found = chips(gathered)
    inside = [name for name, (x, _) in POINTS.items() if 2 < x < 66]
    assert all(any(holds(chip, POINTS[name], scenes) for chip in found) for name in inside)
    cut_from_a = [chip for chip in found + chips(gathered, "grid") if chip["parent_id"] == "a"]
    renewed = [chip for chip in cut_from_a if digests(gathered)[chip["raster_id"]] != before.get(chip["raster_id"])]
    assert {chip["raster_id"] for chip in cut_from_a} - {chip["raster_id"] for chip in renewed} == {"around/a_corner"}
    for chip in renewed:
        with rasterio.open(gathered.root / f"rasters/{chip['raster_id']}.tif") as cut:
            assert (cut.read() == window_of(array, chip, 0)).all()
    assert not any(recorded.changed for recorded in gathered.update())


def test_a_raster_that_came_back_as_it_was_is_not_cut_again(gathered: Dataset, gathered_once: Path) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    gathered.remove_rasters(["a"])
    gathered.add_rasters(gathered_once / "rasters" / "source" / "a.tif")
    assert not any(recorded.changed for recorded in gathered.update())


def test_a_feature_that_came_back_elsewhere_leaves_the_chip_at_its_old_place(gathered: Dataset, tmp_path: Path) -> None:
    """That chip holds its neighbours, too."""
    gathered.cut_around_features("around", size=12)
    owner = around(next(chip for chip in chips(gathered) if around(chip) in CLUSTER))
    before = digests(gathered)
    gathered.remove_features([owner])
    gather(gathered, tmp_path / "inputs", {owner: (8.5, 56.5)})
    gathered.update()
    assert before.items() <= digests(gathered).items()
    (new,) = (chip for chip in chips(gathered) if chip["raster_id"] not in before)
    assert new["raster_id"] == f"around/a_{owner}~2"
    assert holds(new, (8.5, 56.5))
    assert not any(recorded.changed for recorded in gathered.update())


def test_update_passes_over_a_collection_that_was_emptied(gathered: Dataset, tmp_path: Path) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    gathered.label_masks("mask", collection="around")
    gathered.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
    gathered.remove_rasters([*SCENES, *(chip["raster_id"] for chip in chips(gathered))])
    assert not any(recorded.changed for recorded in gathered.update())
    gathered.add_rasters(write_scenes(tmp_path / "inputs", "c"))
    assert all(recorded.changed for recorded in gathered.update())


def test_nothing_is_recorded_of_a_cut_that_can_not_be(gathered: Dataset, tmp_path: Path) -> None:
    bare = write_scene(tmp_path / "bare.tif", pixels(2, 20, 20, "uint8"))
    gathered.add_rasters(bare, collection="bare")
    head = gathered.log(1)
    for error, told, options in [
        (NotFoundError, "no collection 'nowhere'", {"size": 8, "source": "nowhere"}),
        (UsageError, "have bands 1 to 2", {"size": 8, "bands": [3]}),
        (UsageError, "no pixels", {"size": 0}),
        (UsageError, "'bare' has no nodata value", {"size": 16, "source": "bare", "at_border": "pad"}),
    ]:
        with pytest.raises(error, match=told):
            gathered.cut_grid("cells", **options)
    with pytest.raises(NotFoundError, match="depth_m"):
        gathered.cut_around_features("around", size=8, where="depth_m > 2")
    assert gathered.log(1) == head
    assert not (gathered.root / "rasters" / "cells").exists()


def test_a_dry_run_tells_what_would_be_cut(gathered: Dataset) -> None:
    head = gathered.log(1)
    told = gathered.cut_around_features("around", size=12, dry_run=True)
    assert (told.changed, gathered.log(1)) == (False, head)
    assert gathered.cut_around_features("around", size=12).summary["chips"] == told.summary["chips"]
