"""Chips around features and in grids: which there are, what is in them, and what becomes of them later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    SCENES,
    around,
    chips,
    counted,
    digests,
    gather,
    holds,
    window_of,
    windows,
)
from tests.sample_history import NORTH, PIXEL, SHARES, WEST, square, write_features, write_scenes
from tests.sample_rasters import pixels, write_scene


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


def test_features_that_a_filter_leaves_out_get_no_chip(gathered: Dataset) -> None:
    recorded = gathered.cut_around_features("around", size=5, where="feature_id IN ('alone', 'east')")
    assert [around(chip) for chip in chips(gathered)] == ["alone", "east"]
    assert (recorded.summary["features"], recorded.summary["unmet"]) == (2, {})


def test_a_feature_larger_than_a_chip_gets_the_smallest_grid_of_chips_that_holds_it(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=(4, 6), where="class = 'lake'")
    column, row, side = LAKE
    found = windows(gathered, "around")
    left, top = min(chip[1] for chip in found), min(chip[2] for chip in found)
    assert found == {("a", left + x, top + y, 4, 6) for x in (0, 4) for y in (0,)}
    assert left <= column
    assert column + side <= left + 8
    assert top == row
    assert {chip["raster_id"] for chip in chips(gathered)} == {"around/a_lake~0-0", "around/a_lake~1-0"}


def test_the_same_recipe_again_makes_nothing_new_and_other_parameters_are_a_conflict(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    head, before = gathered.log(1), digests(gathered)
    again = gathered.cut_around_features("around", size=12)
    assert (again.changed, again.position, again.summary["chips"]) == (False, head[0].position, 0)
    with pytest.raises(ConflictError, match=r"'around' is a cut around recipe with size \[12, 12, \"px\"\]"):
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


def test_chips_of_a_raster_that_is_gone_are_retired_and_their_features_cut_elsewhere(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    assert [chip["parent_id"] for chip in chips(gathered) if holds(chip, POINTS["both"])] == ["a"]
    gone = {chip["raster_id"] for chip in chips(gathered) if chip["parent_id"] == "a"}
    before = digests(gathered)
    gathered.remove_rasters(["a"])
    (recorded,) = gathered.update()
    assert (recorded.summary["chips"], recorded.summary["retired"]) == (2, len(gone))
    after = digests(gathered)
    assert before.keys() - after.keys() == {"a", *gone}
    assert after.keys() - before.keys() == {"around/b_alone", "around/b_both"}
    assert not any((gathered.root / f"rasters/{chip}.tif").exists() for chip in gone)
    assert not any(recorded.changed for recorded in gathered.update())


def test_labels_and_parts_of_a_retired_chip_go_with_it(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.label_masks("mask", collection="around")
    gathered.split("parts", collection="around", parts=SHARES)
    (chip,) = (chip["raster_id"] for chip in chips(gathered) if around(chip) == "alone")
    gathered.remove_features(["alone"])
    gathered.update()
    assert chip not in digests(gathered)
    kept = {one["raster_id"] for one in chips(gathered)}
    assert {row["raster_id"] for row in gathered.labels().to_pylist()} == kept
    assert {row["raster_id"] for row in gathered.splits().to_pylist()} == kept
    assert not (gathered.root / f"labels/mask/{chip}.tif").exists()
    assert chip in {row["raster_id"] for row in gathered.chips(at="HEAD~2").to_pylist()}
    assert gathered.verify() == []


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
    gathered.cut_around_features("anew", size=12)
    assert windows(gathered, "anew") == windows(gathered, "around")
    cut_from_a = [chip for chip in found + chips(gathered, "grid") if chip["parent_id"] == "a"]
    renewed = [chip for chip in cut_from_a if digests(gathered)[chip["raster_id"]] != before.get(chip["raster_id"])]
    assert renewed == cut_from_a
    assert not any(around(chip) == "corner" for chip in found)
    for chip in renewed:
        with rasterio.open(gathered.root / f"rasters/{chip['raster_id']}.tif") as cut:
            assert (cut.read() == window_of(array, chip, 0)).all()
    assert not any(recorded.changed for recorded in gathered.update())


def test_a_raster_that_came_back_as_it_was_is_cut_in_its_new_turn_and_no_chip_changes_that_need_not(
    gathered: Dataset, gathered_once: Path
) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    before = digests(gathered)
    gathered.remove_rasters(["a"])
    gathered.add_rasters(gathered_once / "rasters" / "source" / "a.tif")
    recorded = {one.summary["recipe"]["name"]: one.changed for one in gathered.update()}
    assert recorded == {"around": True, "grid": False}
    after = digests(gathered)
    assert before.keys() - after.keys() == {"around/a_alone", "around/a_both"}
    assert after.keys() - before.keys() == {"around/b_alone", "around/b_both"}
    assert all(before[name] == after[name] for name in before.keys() & after.keys())


def test_a_feature_that_came_back_elsewhere_takes_its_chip_along(gathered: Dataset, tmp_path: Path) -> None:
    """Its old neighbours get the chips that they would have without it; where it is now, it is the last in turn."""
    gathered.cut_around_features("around", size=12)
    owner = around(next(chip for chip in chips(gathered) if around(chip) in CLUSTER))
    gathered.remove_features([owner])
    gather(gathered, tmp_path / "inputs", {owner: (8.5, 56.5)})
    gathered.update()
    (moved,) = (chip for chip in chips(gathered) if chip["raster_id"] == f"around/a_{owner}")
    assert holds(moved, (8.5, 56.5))
    assert all(counted(chips(gathered), CLUSTER.keys() - {owner}).values())
    assert not any(recorded.changed for recorded in gathered.update())
    gathered.cut_around_features("anew", size=12)
    assert windows(gathered, "anew") == windows(gathered, "around")
    assert not any("~" in chip["raster_id"] for chip in chips(gathered))


def test_update_passes_over_a_collection_that_was_emptied(gathered: Dataset, tmp_path: Path) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    gathered.label_masks("mask", collection="around")
    gathered.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
    gathered.remove_rasters(
        [*SCENES, *(chip["raster_id"] for name in ("around", "grid") for chip in chips(gathered, name))]
    )
    assert not any(recorded.changed for recorded in gathered.update())
    gathered.add_rasters(write_scenes(tmp_path / "inputs", "c"))
    assert all(recorded.changed for recorded in gathered.update())


def test_nothing_is_recorded_of_a_cut_that_can_not_be(gathered: Dataset, tmp_path: Path) -> None:
    bare = write_scene(tmp_path / "bare.tif", pixels(2, 20, 20, "uint8"))
    gathered.add_rasters(bare, collection="bare")
    head = gathered.log(1)
    for error, told, options in [
        (NotFoundError, "no collection 'nowhere'", {"size": 8, "source": "nowhere"}),
        (UsageError, "'a' has bands 1 to 2", {"size": 8, "bands": [3]}),
        (UsageError, "no pixels", {"size": 0}),
        (UsageError, "leaves chips of 8 x 6 no step", {"size": (8, 6), "overlap": 6}),
        (UsageError, "1.5 is no share", {"size": 8, "max_nodata": 1.5}),
        (UsageError, "calls 'random'", {"size": 8, "order_by": "random()"}),
        (NotFoundError, "clouds", {"size": 8, "order_by": "clouds DESC"}),
        (NotFoundError, "no raster of 'source' is called so", {"size": 8, "bands": {"dem-*": [1]}}),
        (UsageError, "pass --cells with-features", {"size": 8, "where": "class = 'lake'"}),
        (UsageError, "'bare' has no nodata value", {"size": 16, "source": "bare", "edge": "pad"}),
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


# --- which rasters, in which order, of which bands ----------------------------------------------------------------


def parents(dataset: Dataset, recipe: str) -> dict[str, str]:
    """For each feature that a chip was cut around, from which raster."""
    return {around(chip): chip["parent_id"] for chip in chips(dataset, recipe)}


def test_rasters_come_in_the_order_that_is_asked_for(gathered: Dataset) -> None:
    options = {"size": 8, "where": "feature_id IN ('both', 'alone')"}
    gathered.cut_around_features("first", **options)
    gathered.cut_around_features("last", **options, order_by="width, raster_id DESC")
    gathered.cut_around_features("east", **options, rasters_where="raster_id = 'b'")
    assert set(parents(gathered, "first").values()) == {"a"}
    assert parents(gathered, "last") == parents(gathered, "east") == {"both": "b", "alone": "b"}


def test_a_random_order_is_each_feature_s_own_and_the_seed_s(gathered: Dataset, tmp_path: Path) -> None:
    many = {f"m{number}": (56.5, 4.5 + 5 * number) for number in range(12)}
    gather(gathered, tmp_path / "inputs", many)
    drawn = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        gathered.cut_around_features(name, size=4, order_by="random", seed=seed, where="feature_id LIKE 'm%'")
        drawn.append(parents(gathered, name))
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0].values()) == set(drawn[2].values()) == {"a", "b"}
    assert drawn[0].keys() == many.keys()


def test_bands_are_those_of_the_first_pattern_that_a_raster_s_id_fits(gathered: Dataset) -> None:
    gathered.cut_grid("grid", size=64, bands={"a*": [2], "*": [2, 1]})
    for name, bands in (("a", [2]), ("b", [2, 1])):
        with (
            rasterio.open(gathered.root / f"rasters/source/{name}.tif") as source,
            rasterio.open(gathered.root / f"rasters/grid/{name}_c0_r0.tif") as cut,
        ):
            assert (cut.read() == source.read(bands)).all()


def test_a_size_in_metres_is_one_on_the_ground(gathered: Dataset, tmp_path: Path) -> None:
    """In a CRS of metres it is the CRS's own; in degrees it is geodesic, at the scene's middle."""
    step = (2e-4, 1e-4)
    west, north = 14.0, 47.0
    degrees = write_scene(
        tmp_path / "degrees.tif",
        pixels(1, 80, 60, "uint8"),
        transform=(step[0], 0, west, 0, -step[1], north),
        crs="EPSG:4326",
        nodata=0,
    )
    gathered.add_rasters(degrees)
    gathered.cut_grid("metres", size="240x120m", edge="drop")
    sizes = {chip["parent_id"]: (chip["width"], chip["height"]) for chip in chips(gathered, "metres")}
    assert sizes["a"] == sizes["b"] == (24, 12)
    x, y = west + 30 * step[0], north - 40 * step[1]
    geod = pyproj.Geod(ellps="WGS84")
    across, down = geod.inv(x, y, x + step[0], y)[2], geod.inv(x, y, x, y - step[1])[2]
    assert sizes["degrees"] == (round(240 / across), round(120 / down))


def test_no_chip_has_a_larger_share_of_nodata_than_is_allowed(gathered: Dataset, tmp_path: Path) -> None:
    array = pixels(2, 40, 40, "uint8")
    array[:, :, :13] = 0
    array[0, :20] = 0
    collar = write_scene(tmp_path / "collar.tif", array, nodata=0)
    gathered.add_rasters(collar, collection="collar")
    gathered.cut_grid("grid", size=16, edge="pad", source="collar", max_nodata=0.5)
    has_data = np.pad((array != 0).any(axis=0), ((0, 8), (0, 8)))
    due = {
        ("collar", column, row, 16, 16)
        for column in (0, 16, 32)
        for row in (0, 16, 32)
        if has_data[row : row + 16, column : column + 16].mean() >= 0.5
    }
    assert windows(gathered, "grid") == due
    assert {window[1] for window in due} == {16, 32}


# --- grids --------------------------------------------------------------------------------------------------------


def test_a_grid_s_neighbours_share_what_is_asked_and_its_edge_is_dropped_padded_or_shifted(gathered: Dataset) -> None:
    one = {"size": 24, "overlap": 4, "rasters_where": "raster_id = 'a'"}
    for edge, begins in (("drop", [0, 20, 40]), ("shift", [0, 20, 40]), ("pad", [0, 20, 40])):
        gathered.cut_grid(edge, edge=edge, **one)
        assert windows(gathered, edge) == {("a", column, row, 24, 24) for column in begins for row in begins}
    two = {**one, "overlap": 0}
    for edge, begins in (("drop", [0, 24]), ("shift", [0, 24, 40]), ("pad", [0, 24, 48])):
        gathered.cut_grid(f"{edge}2", edge=edge, **two)
        assert windows(gathered, f"{edge}2") == {("a", column, row, 24, 24) for column in begins for row in begins}


def test_only_cells_with_a_selected_feature_are_cut_and_they_follow_the_features(
    gathered: Dataset, tmp_path: Path
) -> None:
    recorded = gathered.cut_grid("cells", size=16, cells="with-features", where="class = 'pond'")
    assert recorded.summary["features"] == len(POINTS)

    def due(points: dict[str, tuple[float, float]]) -> set[tuple]:
        return {
            (scene, int((x - start) // 16) * 16, int(y // 16) * 16, 16, 16)
            for x, y in points.values()
            for scene, start in SCENES.items()
            if 0 <= x - start < 64
        }

    assert windows(gathered, "cells") == due(POINTS)
    before = digests(gathered)
    gather(gathered, tmp_path / "inputs", {"late": (40.5, 60.5)})
    gathered.remove_features(["corner"])
    (again,) = gathered.update()
    assert (again.summary["chips"], again.summary["retired"]) == (1, 1)
    left = {name: where for name, where in POINTS.items() if name != "corner"}
    assert windows(gathered, "cells") == due(left | {"late": (40.5, 60.5)})
    assert before.items() - digests(gathered).items() == {("cells/a_c0_r0", before["cells/a_c0_r0"])}


# --- the same, whoever makes them, and when -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"size": 12, "target_count": 2},
        {"size": 12, "mode": "random", "seed": 8, "order_by": "random"},
        {"mode": "variable", "scale": 1.5, "min_size": 9},
    ],
)
def test_one_added_feature_changes_no_chip_of_another(gathered: Dataset, tmp_path: Path, options: dict) -> None:
    gathered.cut_around_features("around", **options)
    before = digests(gathered)
    gather(gathered, tmp_path / "inputs", {"aaa": (9.5, 50.5), "inside": (22.1, 22.2)})
    gathered.update()
    assert before.items() <= digests(gathered).items()
    added = digests(gathered).keys() - before.keys()
    assert added <= {"around/a_aaa", "around/a_inside", "around/b_inside"}
    assert "around/a_aaa" in added


def cut_every_way(dataset: Dataset) -> dict[str, str]:
    dataset.cut_around_features("around", size=6, mode="random", seed=3, order_by="random")
    dataset.cut_around_features("variable", mode="variable", min_size=5, target_count=2)
    dataset.cut_grid("grid", size=8, cells="with-features")
    dataset.cut_cover("cover", size=(9, 7), target_count=2)
    dataset.cut_own("corners", cutter="tests.sample_history:Corners", size=5, options={"inset": 1})
    return {name: digest for name, digest in digests(dataset).items() if "/" in name}


def test_chips_are_equal_in_another_process_and_with_another_order_of_the_input(
    gathered: Dataset, empty_dataset: Path, tmp_path: Path
) -> None:
    found = cut_every_way(gathered)
    other = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "other"))
    gather(other, tmp_path / "inputs", dict(reversed(POINTS.items())))
    lake = write_features(tmp_path / "lake.geojson", {"lake": ("lake", square(*LAKE))})
    other.add_features(lake, crs="EPSG:32633")
    other.add_rasters(write_scenes(tmp_path / "inputs", *SCENES)[::-1])
    script = f"""
import json
from geographer import Dataset
from tests.operations.cut.test_cut import cut_every_way
print(json.dumps(cut_every_way(Dataset.open({str(other.root)!r}))))
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
    assert json.loads(run.stdout) == found


def test_two_workers_cut_what_one_does(gathered: Dataset) -> None:
    """So many that both are put to work."""
    gathered.cut_grid("one", size=8, workers=1)
    gathered.cut_grid("two", size=8, workers=2)
    one, two = (
        {name.partition("/")[2]: digest for name, digest in digests(gathered, of).items()} for of in ("one/", "two/")
    )
    assert len(one) == 128
    assert one == two


def test_a_recipe_that_is_removed_takes_along_what_it_made_and_frees_its_name(gathered: Dataset) -> None:
    gathered.cut_around_features("around", size=12)
    gathered.cut_grid("grid", size=32)
    gathered.label_masks("mask", collection="around")
    gathered.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
    before = gathered.content_digest()
    removed = gathered.remove_recipe("around")
    assert removed.summary["rasters"] == removed.summary["labels"] == removed.summary["splits"] > 0
    assert (len(chips(gathered)), len(gathered.labels()), len(gathered.splits())) == (0, 0, 0)
    assert not (gathered.root / "rasters" / "around").exists()
    assert [name.partition(" ")[0] for name in gathered.status()["recipes"]] == ["grid", "mask", "parts"]
    assert not any(recorded.changed for recorded in gathered.update())
    gathered.cut_around_features("around", size=16)
    assert {(chip["width"], chip["height"]) for chip in chips(gathered)} == {(16, 16)}
    assert gathered.content_digest(at=removed.position - 1) == before
    with pytest.raises(NotFoundError, match="no recipe 'arround': there are 'around', 'grid', 'mask', 'parts'"):
        gathered.remove_recipe("arround")
    grown = gathered.status()["recipes"]
    (gathered.root / ".geographer" / "state.duckdb").unlink()
    assert gathered.status()["recipes"] == grown
