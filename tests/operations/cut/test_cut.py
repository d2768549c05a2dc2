"""Test chips around features and in grids: their windows, their pixels, and their updates."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from tests import REPOSITORY
from tests.operations.pond_dataset import (
    CLUSTER,
    LAKE,
    POINTS,
    SCENE_OFFSETS,
    add_points,
    contains_point,
    count_containing_chips,
    crop_window,
    get_feature_id,
    list_checksums,
    list_chips,
    list_windows,
)
from tests.sample_history import NORTH, PART_FRACTIONS, PIXEL, WEST, square_geometry, write_features, write_scenes
from tests.sample_rasters import make_pixels, write_scene


def open_chip(dataset: Dataset, chip: dict) -> rasterio.DatasetReader:
    return rasterio.open(dataset.root / f"rasters/{chip['raster_id']}.tif")


def open_parent(dataset: Dataset, chip: dict) -> rasterio.DatasetReader:
    return rasterio.open(dataset.root / f"rasters/source/{chip['parent_id']}.tif")


@pytest.mark.parametrize(
    ("options", "bands"),
    [
        ({"at_border": "shift"}, [1, 2]),
        ({"at_border": "pad", "bands": [2]}, [2]),
        ({"at_border": "skip", "mode": "random", "seed": 5, "bands": [2, 1]}, [2, 1]),
        ({"at_border": "pad", "mode": "random", "pad_value": 9}, [1, 2]),
    ],
)
def test_chip_pixels_equal_source_window(pond_dataset: Dataset, options: dict, bands: list[int]) -> None:
    pond_dataset.cut_around_features("around", size=(16, 12), **options)
    chips = list_chips(pond_dataset)
    assert {(chip["width"], chip["height"]) for chip in chips} == {(16, 12)}
    all_inside = all(0 <= chip["col"] <= 48 and 0 <= chip["row"] <= 52 for chip in chips)
    assert all_inside == (options["at_border"] != "pad")
    for chip in chips:
        with open_parent(pond_dataset, chip) as source, open_chip(pond_dataset, chip) as cut:
            expected = crop_window(source.read(bands), chip, options.get("pad_value", 0))
            assert (cut.read() == expected).all()
            west, north = source.transform.c + 10 * chip["col"], source.transform.f - 10 * chip["row"]
            assert cut.transform[:6] == (10, 0, west, 0, -10, north)
            assert cut.crs == source.crs


def test_grid_chips_cover_each_raster(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("grid", size=(24, 40))
    chips = list_chips(pond_dataset, "grid")
    assert [(chip["col"], chip["row"]) for chip in chips if chip["parent_id"] == "a"] == [
        (column, row) for row in (0, 24) for column in (0, 24, 40)
    ]
    for chip in chips:
        with open_parent(pond_dataset, chip) as source, open_chip(pond_dataset, chip) as cut:
            assert (cut.read() == crop_window(source.read(), chip, 0)).all()


@pytest.mark.parametrize("mode", ["centered", "random"])
@pytest.mark.parametrize("target_count", [1, 2])
def test_cluster_is_not_over_represented(pond_dataset: Dataset, mode, target_count: int) -> None:
    pond_dataset.cut_around_features(
        "around", size=12, mode=mode, seed=3, target_count=target_count, where="class = 'pond'"
    )
    chips = list_chips(pond_dataset)
    for index, chip in enumerate(chips):
        assert count_containing_chips(chips[:index], [get_feature_id(chip)])[get_feature_id(chip)] < target_count
    chip_counts = count_containing_chips(chips, POINTS)
    raster_counts = {
        name: sum(0 < x - start < 64 for start in SCENE_OFFSETS.values()) for name, (x, _) in POINTS.items()
    }
    assert all(chip_counts[name] >= min(target_count, raster_counts[name]) for name in POINTS)
    assert len([chip for chip in chips if get_feature_id(chip) in CLUSTER]) < len(CLUSTER) * target_count


def test_where_limits_features(pond_dataset: Dataset) -> None:
    result = pond_dataset.cut_around_features("around", size=5, where="feature_id IN ('alone', 'east')")
    assert [get_feature_id(chip) for chip in list_chips(pond_dataset)] == ["alone", "east"]
    assert (result.summary["features"], result.summary["unmet"]) == (2, {})


def test_large_feature_gets_smallest_grid(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=(4, 6), where="class = 'lake'")
    column, row, side = LAKE
    windows = list_windows(pond_dataset, "around")
    left, top = min(window[1] for window in windows), min(window[2] for window in windows)
    assert windows == {("a", left + x, top + y, 4, 6) for x in (0, 4) for y in (0,)}
    assert left <= column
    assert column + side <= left + 8
    assert top == row
    assert {chip["raster_id"] for chip in list_chips(pond_dataset)} == {"around/a_lake~0-0", "around/a_lake~1-0"}


def test_changed_parameters_are_a_conflict(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=12)
    head, before = pond_dataset.log(1), list_checksums(pond_dataset)
    again = pond_dataset.cut_around_features("around", size=12)
    assert (again.changed, again.position, again.summary["chips"]) == (False, head[0].position, 0)
    with pytest.raises(ConflictError, match=r"'around' exists as a cut around recipe with --size 12x12px"):
        pond_dataset.cut_around_features("around", size=16)
    with pytest.raises(ConflictError, match="'around' exists as a cut around recipe"):
        pond_dataset.cut_grid("around", size=12)
    with pytest.raises(ConflictError, match="a collection 'source' exists already"):
        pond_dataset.cut_grid("source", size=12)
    assert pond_dataset.log(1) == head
    assert list_checksums(pond_dataset) == before


def test_where_with_any_character_is_reproducible(pond_dataset: Dataset) -> None:
    where = "class <> 'ö \"/\\ \t \u2028 \x7f 1e21'"
    pond_dataset.cut_around_features("around", size=12, where=where)
    assert not pond_dataset.cut_around_features("around", size=12, where=where).changed
    assert not any(result.changed for result in pond_dataset.update())


def test_update_cuts_only_new_chips(pond_dataset: Dataset, tmp_path: Path) -> None:
    pond_dataset.cut_around_features("around", size=12)
    pond_dataset.cut_grid("grid", size=32)
    before = list_checksums(pond_dataset)
    first_chips = list_chips(pond_dataset)
    new = {"inside": (21.1, 21.4), "apart": (8.5, 56.5)}
    assert any(contains_point(chip, new["inside"]) for chip in first_chips)
    assert not any(contains_point(chip, new["apart"]) for chip in first_chips)
    add_points(pond_dataset, tmp_path / "inputs", new)
    pond_dataset.add_rasters(write_scenes(tmp_path / "inputs", "c", offset=2, seed=4))
    assert [result.changed for result in pond_dataset.update()] == [True, True]
    assert before.items() <= list_checksums(pond_dataset).items()
    assert {chip["raster_id"] for chip in list_chips(pond_dataset)[len(first_chips) :]} == {"around/a_apart"}
    assert sorted(list_checksums(pond_dataset).keys() - before.keys() - {"c", "around/a_apart"}) == [
        f"grid/c_c{column}_r{row}" for column in (0, 32) for row in (0, 32)
    ]
    assert not any(result.changed for result in pond_dataset.update())


def test_later_feature_moves_no_random_chip(pond_dataset: Dataset, pond_template: Path, tmp_path: Path) -> None:
    """Positions are drawn for each feature from the recipe's seed and the feature's id."""
    pond_dataset.cut_around_features("around", size=12, mode="random", seed=8)
    other = Dataset.open(shutil.copytree(pond_template, tmp_path / "late"))
    add_points(other, tmp_path / "inputs", {"late": (9.5, 50.5)})
    other.cut_around_features("around", size=12, mode="random", seed=8)
    assert list_checksums(pond_dataset).items() <= list_checksums(other).items()
    assert list_checksums(other).keys() - list_checksums(pond_dataset).keys() == {"around/a_late"}


def test_removed_chip_is_recut_identically(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=12)
    before = list_checksums(pond_dataset)
    pond_dataset.remove_rasters(["around/a_alone"])
    pond_dataset.cut_around_features("around", size=12, replace=True)
    assert list_checksums(pond_dataset) == before


def test_chips_of_removed_raster_are_retired(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=12)
    assert [chip["parent_id"] for chip in list_chips(pond_dataset) if contains_point(chip, POINTS["both"])] == ["a"]
    retired = {chip["raster_id"] for chip in list_chips(pond_dataset) if chip["parent_id"] == "a"}
    before = list_checksums(pond_dataset)
    pond_dataset.remove_rasters(["a"])
    (result,) = pond_dataset.update()
    assert (result.summary["chips"], result.summary["retired"]) == (2, len(retired))
    after = list_checksums(pond_dataset)
    assert before.keys() - after.keys() == {"a", *retired}
    assert after.keys() - before.keys() == {"around/b_alone", "around/b_both"}
    assert not any((pond_dataset.root / f"rasters/{chip}.tif").exists() for chip in retired)
    assert not any(result.changed for result in pond_dataset.update())


def test_retired_chip_loses_labels_and_splits(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=12)
    pond_dataset.label_masks("mask", collection="around")
    pond_dataset.split("parts", collection="around", parts=PART_FRACTIONS)
    (chip_id,) = (chip["raster_id"] for chip in list_chips(pond_dataset) if get_feature_id(chip) == "alone")
    pond_dataset.remove_features(["alone"])
    pond_dataset.update()
    assert chip_id not in list_checksums(pond_dataset)
    kept = {chip["raster_id"] for chip in list_chips(pond_dataset)}
    assert {row["raster_id"] for row in pond_dataset.labels().to_pylist()} == kept
    assert {row["raster_id"] for row in pond_dataset.splits().to_pylist()} == kept
    assert not (pond_dataset.root / f"labels/mask/{chip_id}.tif").exists()
    assert chip_id in {row["raster_id"] for row in pond_dataset.chips(at="HEAD~2").to_pylist()}
    assert pond_dataset.verify() == []


def test_replaced_raster_is_recut(pond_dataset: Dataset, tmp_path: Path) -> None:
    pond_dataset.cut_around_features("around", size=12)
    pond_dataset.cut_grid("grid", size=32)
    before = list_checksums(pond_dataset)
    pond_dataset.remove_rasters(["a"])
    array = make_pixels(2, 64, 64, "uint8", seed=77)
    scene = write_scene(tmp_path / "a.tif", array, transform=(PIXEL, 0, WEST + 20, 0, -PIXEL, NORTH), nodata=0)
    pond_dataset.add_rasters(scene)
    pond_dataset.update()
    offsets = {"a": 2, "b": 48}
    chips = list_chips(pond_dataset)
    inside = [name for name, (x, _) in POINTS.items() if 2 < x < 66]
    assert all(any(contains_point(chip, POINTS[name], offsets) for chip in chips) for name in inside)
    pond_dataset.cut_around_features("new", size=12)
    assert list_windows(pond_dataset, "new") == list_windows(pond_dataset, "around")
    cut_from_a = [chip for chip in chips + list_chips(pond_dataset, "grid") if chip["parent_id"] == "a"]
    recut = [
        chip for chip in cut_from_a if list_checksums(pond_dataset)[chip["raster_id"]] != before.get(chip["raster_id"])
    ]
    assert recut == cut_from_a
    assert not any(get_feature_id(chip) == "corner" for chip in chips)
    for chip in recut:
        with open_chip(pond_dataset, chip) as cut:
            assert (cut.read() == crop_window(array, chip, 0)).all()
    assert not any(result.changed for result in pond_dataset.update())


def test_readded_raster_gets_new_rank(pond_dataset: Dataset, pond_template: Path) -> None:
    pond_dataset.cut_around_features("around", size=12)
    pond_dataset.cut_grid("grid", size=32)
    before = list_checksums(pond_dataset)
    pond_dataset.remove_rasters(["a"])
    pond_dataset.add_rasters(pond_template / "rasters" / "source" / "a.tif")
    changed = {result.summary["recipe"]["name"]: result.changed for result in pond_dataset.update()}
    assert changed == {"around": True, "grid": False}
    after = list_checksums(pond_dataset)
    assert before.keys() - after.keys() == {"around/a_alone", "around/a_both"}
    assert after.keys() - before.keys() == {"around/b_alone", "around/b_both"}
    assert all(before[name] == after[name] for name in before.keys() & after.keys())


def test_moved_feature_moves_its_chip(pond_dataset: Dataset, tmp_path: Path) -> None:
    """Its old neighbours get the chips that they would have without it; it has the last rank at its new position."""
    pond_dataset.cut_around_features("around", size=12)
    feature_id = get_feature_id(next(chip for chip in list_chips(pond_dataset) if get_feature_id(chip) in CLUSTER))
    pond_dataset.remove_features([feature_id])
    add_points(pond_dataset, tmp_path / "inputs", {feature_id: (8.5, 56.5)})
    pond_dataset.update()
    (moved,) = (chip for chip in list_chips(pond_dataset) if chip["raster_id"] == f"around/a_{feature_id}")
    assert contains_point(moved, (8.5, 56.5))
    assert all(count_containing_chips(list_chips(pond_dataset), CLUSTER.keys() - {feature_id}).values())
    assert not any(result.changed for result in pond_dataset.update())
    pond_dataset.cut_around_features("new", size=12)
    assert list_windows(pond_dataset, "new") == list_windows(pond_dataset, "around")
    assert not any("~" in chip["raster_id"] for chip in list_chips(pond_dataset))


def cut_label_and_split(dataset: Dataset) -> None:
    """Run the recipes 'around' and 'grid', and 'mask' and 'parts' on the chips of the first."""
    dataset.cut_around_features("around", size=12)
    dataset.cut_grid("grid", size=32)
    dataset.label_masks("mask", collection="around")
    dataset.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})


def test_update_skips_empty_collection(pond_dataset: Dataset, tmp_path: Path) -> None:
    cut_label_and_split(pond_dataset)
    pond_dataset.remove_rasters(
        [*SCENE_OFFSETS, *(chip["raster_id"] for name in ("around", "grid") for chip in list_chips(pond_dataset, name))]
    )
    assert not any(result.changed for result in pond_dataset.update())
    pond_dataset.add_rasters(write_scenes(tmp_path / "inputs", "c"))
    assert all(result.changed for result in pond_dataset.update())


def test_invalid_cut_records_nothing(pond_dataset: Dataset, tmp_path: Path) -> None:
    without_nodata = write_scene(tmp_path / "bare.tif", make_pixels(2, 20, 20, "uint8"))
    pond_dataset.add_rasters(without_nodata, collection="bare")
    head = pond_dataset.log(1)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (NotFoundError, "no collection 'nowhere'", {"size": 8, "source": "nowhere"}),
        (UsageError, "Raster 'a' has bands 1 to 2", {"size": 8, "bands": [3]}),
        (UsageError, "invalid size 0 x 0 px", {"size": 0}),
        (UsageError, "invalid overlap 6", {"size": (8, 6), "overlap": 6}),
        (UsageError, "invalid --max-nodata 1.5", {"size": 8, "max_nodata": 1.5}),
        (UsageError, "calls 'random'", {"size": 8, "order_by": "random()"}),
        (NotFoundError, "clouds", {"size": 8, "order_by": "clouds DESC"}),
        (NotFoundError, "no raster of 'source' matches --bands", {"size": 8, "bands": {"dem-*": [1]}}),
        (UsageError, "Pass --cells with-features", {"size": 8, "where": "class = 'lake'"}),
        (UsageError, "'bare' has no nodata value", {"size": 16, "source": "bare", "edge": "pad"}),
    ]
    for error, message, options in cases:
        with pytest.raises(error, match=message):
            pond_dataset.cut_grid("cells", **options)
    with pytest.raises(NotFoundError, match="depth_m"):
        pond_dataset.cut_around_features("around", size=8, where="depth_m > 2")
    assert pond_dataset.log(1) == head
    assert not (pond_dataset.root / "rasters" / "cells").exists()


def test_cut_without_chips_warns(pond_dataset: Dataset) -> None:
    result = pond_dataset.cut_grid("cells", size=1000)
    [warning] = result.summary["warnings"]
    assert warning == "no chip is planned (raster smaller than a chip). Check --size and the selection."


def test_ids_that_differ_by_case_give_distinct_files(pond_dataset: Dataset, tmp_path: Path) -> None:
    """So that macOS, which takes names for equal that differ by case, keeps all files."""
    points = {"case": (20.5, 8.5), "CASE": (40.5, 8.5)}
    options: dict[str, Any] = {"size": 8, "where": "lower(feature_id) = 'case'"}
    add_points(pond_dataset, tmp_path, {"case": points["case"]})
    pond_dataset.cut_around_features("around", **options)
    add_points(pond_dataset, tmp_path, {"CASE": points["CASE"]})
    pond_dataset.update()
    chips = {get_feature_id(chip): chip["raster_id"] for chip in list_chips(pond_dataset, "around")}
    assert chips["case"] == "around/a_case"
    assert re.fullmatch("around/a_CASE~[0-9a-f]{32}", chips["CASE"])
    assert not any(result.changed for result in pond_dataset.update())
    pond_dataset.remove_features(["case"])
    pond_dataset.update()
    assert [chip["raster_id"] for chip in list_chips(pond_dataset, "around")] == [chips["CASE"]]


def test_chip_with_id_of_other_raster_is_rejected(pond_dataset: Dataset, tmp_path: Path) -> None:
    catalogue = write_features(tmp_path / "catalogue.geojson", {"cells/a_c0_r0": ("", square_geometry(0, 0, 60))})
    pond_dataset.add_catalogue(catalogue, crs="EPSG:32633", id="id")
    head = pond_dataset.log(1)
    with pytest.raises(ConflictError, match="raster 'cells/a_c0_r0' exists, and chips would get the same ids"):
        pond_dataset.cut_grid("cells", size=16)
    assert pond_dataset.log(1) == head


def test_dry_run_counts_chips(pond_dataset: Dataset) -> None:
    head = pond_dataset.log(1)
    dry_run = pond_dataset.cut_around_features("around", size=12, dry_run=True)
    assert (dry_run.changed, pond_dataset.log(1)) == (False, head)
    assert pond_dataset.cut_around_features("around", size=12).summary["chips"] == dry_run.summary["chips"]


# --- rasters, their order, bands ----------------------------------------------------------------------------------


def map_parents(dataset: Dataset, recipe: str) -> dict[str, str]:
    """Return the parent raster of each feature's chip."""
    return {get_feature_id(chip): chip["parent_id"] for chip in list_chips(dataset, recipe)}


def test_order_by_ranks_rasters(pond_dataset: Dataset) -> None:
    options: dict[str, Any] = {"size": 8, "where": "feature_id IN ('both', 'alone')"}
    pond_dataset.cut_around_features("first", **options)
    pond_dataset.cut_around_features("last", **options, order_by="width, raster_id DESC")
    pond_dataset.cut_around_features("east", **options, rasters_where="raster_id = 'b'")
    assert set(map_parents(pond_dataset, "first").values()) == {"a"}
    assert map_parents(pond_dataset, "last") == map_parents(pond_dataset, "east") == {"both": "b", "alone": "b"}


def test_random_order_depends_on_seed(pond_dataset: Dataset, tmp_path: Path) -> None:
    points = {f"m{number}": (56.5, 4.5 + 5 * number) for number in range(12)}
    add_points(pond_dataset, tmp_path / "inputs", points)
    orders = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        pond_dataset.cut_around_features(name, size=4, order_by="random", seed=seed, where="feature_id LIKE 'm%'")
        orders.append(map_parents(pond_dataset, name))
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0].values()) == set(orders[2].values()) == {"a", "b"}
    assert orders[0].keys() == points.keys()


def test_first_matching_pattern_selects_bands(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("grid", size=64, bands={"a*": [2], "*": [2, 1]})
    for chip, bands in zip(list_chips(pond_dataset, "grid"), ([2], [2, 1]), strict=True):
        with open_parent(pond_dataset, chip) as source, open_chip(pond_dataset, chip) as cut:
            assert (cut.read() == source.read(bands)).all()


def test_size_in_metres_is_on_ground(pond_dataset: Dataset, tmp_path: Path) -> None:
    """Use CRS units in a metric CRS, and geodesic distances at the scene's centre in a geographic CRS."""
    step = (2e-4, 1e-4)
    west, north = 14.0, 47.0
    degrees = write_scene(
        tmp_path / "degrees.tif",
        make_pixels(1, 80, 60, "uint8"),
        transform=(step[0], 0, west, 0, -step[1], north),
        crs="EPSG:4326",
        nodata=0,
    )
    pond_dataset.add_rasters(degrees)
    pond_dataset.cut_grid("metres", size="240x120m", edge="drop")
    sizes = {chip["parent_id"]: (chip["width"], chip["height"]) for chip in list_chips(pond_dataset, "metres")}
    assert sizes["a"] == sizes["b"] == (24, 12)
    x, y = west + 30 * step[0], north - 40 * step[1]
    geod = pyproj.Geod(ellps="WGS84")
    pixel_width, pixel_height = geod.inv(x, y, x + step[0], y)[2], geod.inv(x, y, x, y - step[1])[2]
    assert sizes["degrees"] == (round(240 / pixel_width), round(120 / pixel_height))


def test_max_nodata_limits_nodata_fraction(pond_dataset: Dataset, tmp_path: Path) -> None:
    array = make_pixels(2, 40, 40, "uint8")
    array[:, :, :13] = 0
    array[0, :20] = 0
    collar = write_scene(tmp_path / "collar.tif", array, nodata=0)
    pond_dataset.add_rasters(collar, collection="collar")
    pond_dataset.cut_grid("grid", size=16, edge="pad", source="collar", max_nodata=0.5)
    has_data = np.pad((array != 0).any(axis=0), ((0, 8), (0, 8)))
    expected = {
        ("collar", column, row, 16, 16)
        for column in (0, 16, 32)
        for row in (0, 16, 32)
        if has_data[row : row + 16, column : column + 16].mean() >= 0.5
    }
    assert list_windows(pond_dataset, "grid") == expected
    assert {window[1] for window in expected} == {16, 32}


def test_chip_has_recorded_crs_of_its_raster(pond_dataset: Dataset, tmp_path: Path) -> None:
    """The file has no CRS; it is stated when the raster is added."""
    bare = write_scene(tmp_path / "bare.tif", make_pixels(1, 20, 20), crs=None)
    pond_dataset.add_rasters(bare, collection="bare", crs="EPSG:32719")
    pond_dataset.cut_grid("tiles", size=20, source="bare")
    (chip,) = list_chips(pond_dataset, "tiles")
    with open_chip(pond_dataset, chip) as cut:
        assert cut.crs.to_epsg() == 32719


# --- grids --------------------------------------------------------------------------------------------------------


def test_grid_overlap_and_edge(pond_dataset: Dataset) -> None:
    starts_by_edge: dict[int, dict[Any, list[int]]] = {
        4: {"drop": [0, 20, 40], "shift": [0, 20, 40], "pad": [0, 20, 40]},
        0: {"drop": [0, 24], "shift": [0, 24, 40], "pad": [0, 24, 48]},
    }
    for overlap, edges in starts_by_edge.items():
        for edge, starts in edges.items():
            name = f"{edge}{overlap}"
            pond_dataset.cut_grid(name, size=24, overlap=overlap, edge=edge, rasters_where="raster_id = 'a'")
            expected = {("a", column, row, 24, 24) for column in starts for row in starts}
            assert list_windows(pond_dataset, name) == expected


def test_cells_with_features_follow_the_features(pond_dataset: Dataset, tmp_path: Path) -> None:
    result = pond_dataset.cut_grid("cells", size=16, cells="with-features", where="class = 'pond'")
    assert result.summary["features"] == len(POINTS)

    def compute_cells(points: dict[str, tuple[float, float]]) -> set[tuple]:
        return {
            (scene, int((x - start) // 16) * 16, int(y // 16) * 16, 16, 16)
            for x, y in points.values()
            for scene, start in SCENE_OFFSETS.items()
            if 0 <= x - start < 64
        }

    assert list_windows(pond_dataset, "cells") == compute_cells(POINTS)
    before = list_checksums(pond_dataset)
    add_points(pond_dataset, tmp_path / "inputs", {"late": (40.5, 60.5)})
    pond_dataset.remove_features(["corner"])
    (again,) = pond_dataset.update()
    assert (again.summary["chips"], again.summary["retired"]) == (1, 1)
    remaining = {name: position for name, position in POINTS.items() if name != "corner"}
    assert list_windows(pond_dataset, "cells") == compute_cells(remaining | {"late": (40.5, 60.5)})
    assert before.items() - list_checksums(pond_dataset).items() == {("cells/a_c0_r0", before["cells/a_c0_r0"])}


# --- reproducibility ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"size": 12, "target_count": 2},
        {"size": 12, "mode": "random", "seed": 8, "order_by": "random"},
        {"mode": "variable", "scale": 1.5, "min_size": 9},
    ],
)
def test_added_feature_changes_no_other_chip(pond_dataset: Dataset, tmp_path: Path, options: dict) -> None:
    pond_dataset.cut_around_features("around", **options)
    before = list_checksums(pond_dataset)
    add_points(pond_dataset, tmp_path / "inputs", {"aaa": (9.5, 50.5), "inside": (22.1, 22.2)})
    pond_dataset.update()
    assert before.items() <= list_checksums(pond_dataset).items()
    added = list_checksums(pond_dataset).keys() - before.keys()
    assert added <= {"around/a_aaa", "around/a_inside", "around/b_inside"}
    assert "around/a_aaa" in added


def cut_all_kinds(dataset: Dataset) -> dict[str, str]:
    dataset.cut_around_features("around", size=6, mode="random", seed=3, order_by="random")
    dataset.cut_around_features("variable", mode="variable", min_size=5, target_count=2)
    dataset.cut_grid("grid", size=8, cells="with-features")
    dataset.cut_cover("cover", size=(9, 7), target_count=2)
    dataset.cut_custom("corners", cutter="tests.sample_history:CornerCutter", size=5, options={"inset": 1})
    return {name: digest for name, digest in list_checksums(dataset).items() if "/" in name}


def test_chips_are_equal_in_another_process(pond_dataset: Dataset, empty_dataset: Path, tmp_path: Path) -> None:
    checksums = cut_all_kinds(pond_dataset)
    other = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "other"))
    add_points(other, tmp_path / "inputs", dict(reversed(POINTS.items())))
    lake = write_features(tmp_path / "lake.geojson", {"lake": ("lake", square_geometry(*LAKE))})
    other.add_features(lake, crs="EPSG:32633")
    other.add_rasters(write_scenes(tmp_path / "inputs", *SCENE_OFFSETS)[::-1])
    script = f"""
import json
from geographer import Dataset
from tests.operations.cut.test_cut import cut_all_kinds
print(json.dumps(cut_all_kinds(Dataset.open({str(other.root)!r}))))
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == checksums


def test_workers_do_not_change_chips(pond_dataset: Dataset) -> None:
    """There are enough chips for both workers."""
    pond_dataset.cut_grid("one", size=8, workers=1)
    pond_dataset.cut_grid("two", size=8, workers=2)
    single, double = (
        {name.partition("/")[2]: digest for name, digest in list_checksums(pond_dataset, prefix).items()}
        for prefix in ("one/", "two/")
    )
    assert len(single) == 128
    assert single == double


def test_remove_recipe_removes_outputs(pond_dataset: Dataset) -> None:
    cut_label_and_split(pond_dataset)
    before = pond_dataset.content_digest()
    removed = pond_dataset.remove_recipe("around")
    assert removed.summary["rasters"] == removed.summary["labels"] == removed.summary["splits"] > 0
    assert (len(list_chips(pond_dataset)), len(pond_dataset.labels()), len(pond_dataset.splits())) == (0, 0, 0)
    assert not (pond_dataset.root / "rasters" / "around").exists()
    assert [name.partition(" ")[0] for name in pond_dataset.status()["recipes"]] == ["grid", "mask", "parts"]
    assert not any(result.changed for result in pond_dataset.update())
    pond_dataset.cut_around_features("around", size=16)
    assert {(chip["width"], chip["height"]) for chip in list_chips(pond_dataset)} == {(16, 16)}
    assert pond_dataset.content_digest(at=removed.position - 1) == before
    with pytest.raises(NotFoundError, match=r"no recipe 'arround'\. Existing: 'around', 'grid', 'mask', 'parts'"):
        pond_dataset.remove_recipe("arround")
    recipes = pond_dataset.status()["recipes"]
    (pond_dataset.root / ".geographer" / "state.duckdb").unlink()
    assert pond_dataset.status()["recipes"] == recipes
