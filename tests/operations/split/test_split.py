"""Splits of a dataset's chips: reports, growth, conflicts and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from tests.cli.runner import read_rows
from tests.operations.split.chip_dataset import (
    HALVES,
    PONDS,
    SIZE,
    add_marsh,
    add_points,
    find_leaks,
    group_by_part,
    map_parts,
)
from tests.sample_history import NORTH, PIXEL, WEST
from tests.sample_rasters import make_pixels, write_scene


def test_split_reports_fractions(chip_dataset: Dataset) -> None:
    result = chip_dataset.split("parts", collection="chips", parts={"train": 0.6, "val": 0.2, "test": 0.2})
    parts = map_parts(chip_dataset)
    assert parts.keys() == PONDS.keys()
    assert sorted(list(parts.values()).count(name) for name in ("train", "val", "test")) == [1, 1, 4]
    summary = result.summary
    assert (summary["components"], summary["assigned"], summary["warnings"]) == (6, 6, [])
    assert summary["parts"]["train"] == {"rasters": 4, "asked": 0.6, "got": 0.666667, "classes": {}}
    assert chip_dataset.show().payload["parts"] == summary["parts"]


def test_repeated_split_changes_nothing(split_dataset: Dataset) -> None:
    head = split_dataset.log(1)
    fractions = {"train": 2 / 3, "test": 1 / 3}
    assert not split_dataset.split("parts", collection="chips", parts=fractions).changed
    for options in ({"parts": HALVES}, {"parts": fractions, "seed": 1}, {"parts": fractions, "by": "object"}):
        with pytest.raises(ConflictError, match="recipe 'parts' exists as a split recipe"):
            split_dataset.split("parts", collection="chips", **options)
    assert split_dataset.log(1) == head


def test_seed_decides_between_equal_splits(chip_dataset: Dataset) -> None:
    for seed in range(6):
        chip_dataset.split(f"parts{seed}", collection="chips", parts=HALVES, seed=seed)
    splits = [map_parts(chip_dataset, f"parts{seed}") for seed in range(6)]
    assert len({tuple(sorted(parts.items())) for parts in splits}) > 1
    assert all(list(parts.values()).count("train") == 3 for parts in splits)


def test_update_keeps_assigned_parts(split_dataset: Dataset, tmp_path: Path) -> None:
    before = map_parts(split_dataset)
    add_points(split_dataset, tmp_path / "inputs", {f"q{number}": (12.5 + 20 * number, 50.5) for number in range(5)})
    split_dataset.update()
    after = map_parts(split_dataset)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {f"q{number}" for number in range(5)}
    assert sorted(list(after.values()).count(part) for part in ("train", "test")) == [4, 7]
    assert find_leaks(split_dataset) == []


def test_new_chip_joins_part_of_neighbour(split_dataset: Dataset, tmp_path: Path) -> None:
    before = map_parts(split_dataset)
    near = {f"near {name}": (column + 5, row) for name, (column, row) in PONDS.items()}
    add_points(split_dataset, tmp_path / "inputs", near)
    split_dataset.update()
    after = map_parts(split_dataset)
    assert {name: after[f"near%20{name}"] for name in PONDS} == before
    assert find_leaks(split_dataset) == []


def test_feature_across_parts_is_conflict(conflict_dataset: Dataset) -> None:
    before, head = map_parts(conflict_dataset), conflict_dataset.log(1)
    for run_split in (
        conflict_dataset.update,
        lambda: conflict_dataset.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}),
        lambda: conflict_dataset.update(dry_run=True),
    ):
        with pytest.raises(ConflictError, match=r"feature 'marsh'.*--on-conflict exclude.*--on-conflict move"):
            run_split()
    assert conflict_dataset.log(1) == head
    assert map_parts(conflict_dataset) == before


def test_exclude_unassigns_smaller_side(conflict_dataset: Dataset, tmp_path: Path) -> None:
    before = map_parts(conflict_dataset)
    (result,) = (result for result in conflict_dataset.update(on_conflict="exclude") if result.changed)
    after = map_parts(conflict_dataset)
    lost = {name for name, part in before.items() if after[name] != part}
    assert (len(lost), {after[name] for name in lost}) == (1, {None})
    assert after.keys() - before.keys() == {"apart"}
    assert after["apart"] is not None
    assert (result.summary["left out"], result.summary["assigned"]) == (1, 1)
    assert find_leaks(conflict_dataset) == []
    assert not any(result.changed for result in conflict_dataset.update())
    add_points(conflict_dataset, tmp_path / "inputs", {"later": (100.5, 10.5)})
    conflict_dataset.update()
    assert {name: part for name, part in map_parts(conflict_dataset).items() if name != "later"} == after


def test_excluded_chip_returns_after_conflict(conflict_dataset: Dataset) -> None:
    before = map_parts(conflict_dataset)
    conflict_dataset.update(on_conflict="exclude")
    conflict_dataset.remove_features(["marsh"])
    conflict_dataset.update()
    assert before.items() <= map_parts(conflict_dataset).items()


def test_move_moves_smaller_side(conflict_dataset: Dataset) -> None:
    before = map_parts(conflict_dataset)
    (result,) = (result for result in conflict_dataset.update(on_conflict="move") if result.changed)
    after = map_parts(conflict_dataset)
    moved = {name for name, part in before.items() if after[name] != part}
    assert (len(moved), result.summary["moved"]) == (1, 1)
    assert None not in after.values()
    assert find_leaks(conflict_dataset) == []
    assert not any(result.changed for result in conflict_dataset.update())


def test_on_conflict_is_not_recorded(conflict_dataset: Dataset) -> None:
    """`--on-conflict` belongs to one run, not to the recipe."""
    conflict_dataset.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}, on_conflict="move")
    assert not conflict_dataset.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}).changed


def test_by_object_divides_overlapping_chips(chip_dataset: Dataset, tmp_path: Path) -> None:
    """Chips of 8 pixels, 5 pixels apart, each with another point."""
    add_points(chip_dataset, tmp_path / "inputs", {f"r{number}": (20.5 + 5 * number, 54.5) for number in range(4)})
    chip_dataset.cut_around_features("row", size=SIZE, where="starts_with(feature_id, 'r')")
    assert chip_dataset.split("whole", collection="row", parts=HALVES).summary["components"] == 1
    assert chip_dataset.split("objects", collection="row", parts=HALVES, by="object").summary["components"] == 4
    assert {row["part"] for row in chip_dataset.splits(where="split = 'objects'").to_pylist()} == set(HALVES)


def test_where_limits_connecting_features(chip_dataset: Dataset, tmp_path: Path) -> None:
    add_marsh(chip_dataset, tmp_path / "inputs", "marsh", PONDS["p0"][0], 110)
    ponds = chip_dataset.split("ponds", collection="chips", parts=HALVES, where="class = 'pond'")
    assert ponds.summary["components"] == 6
    whole = chip_dataset.split("all", collection="chips", parts=HALVES)
    assert whole.summary["components"] == 1


def test_large_component_is_warned_about(chip_dataset: Dataset, tmp_path: Path) -> None:
    add_marsh(chip_dataset, tmp_path / "inputs", "marsh", PONDS["p0"][0], 81)
    result = chip_dataset.split("parts", collection="chips", parts=HALVES)
    assert sorted(len(side) for side in group_by_part(map_parts(chip_dataset))) == [1, 5]
    assert find_leaks(chip_dataset) == []
    (warning,) = result.summary["warnings"]
    assert "one component holds 83.3 % of the rasters" in warning
    assert chip_dataset.show().payload["warnings"] == [warning]


def test_buffer_keeps_near_rasters_together(chip_dataset: Dataset) -> None:
    """Neighbours are 120 m apart on the ground; scale and ellipsoid change that by 0.1 m."""
    assert chip_dataset.split("near", collection="chips", parts=HALVES, buffer=119).summary["components"] == 6
    whole = chip_dataset.split("far", collection="chips", parts=HALVES, buffer=121)
    assert whole.summary["components"] == 1
    assert any("a smaller --buffer" in warning for warning in whole.summary["warnings"])
    assert group_by_part(map_parts(chip_dataset, "far")) == {frozenset(PONDS)}


def test_stratified_split_meets_class_fractions(chip_dataset: Dataset, tmp_path: Path) -> None:
    rare = {f"r{number}": (6.5 + 20 * number, 54.5) for number in range(2)}
    add_points(chip_dataset, tmp_path / "inputs", rare, "rare")
    chip_dataset.update()
    for seed in range(4):
        split = f"parts{seed}"
        summary = chip_dataset.split(split, collection="chips", parts=HALVES, stratify="class", seed=seed).summary
        parts = map_parts(chip_dataset, split)
        for part in HALVES:
            assert [parts[name] == part for name in rare].count(True) == 1
            assert [parts[name] == part for name in PONDS].count(True) == 3
            assert summary["parts"][part]["classes"] == {"pond": 0.5, "rare": 0.5}


def test_overlap_of_replaced_raster_uses_ground(chip_dataset: Dataset, tmp_path: Path) -> None:
    """The new scene begins 100 pixels east of the old one, so its columns 0 to 8 are the old one's 100 to 108."""
    chip_dataset.split("before", collection="chips", parts=HALVES)
    chip_dataset.remove_rasters(["a"])
    transform = (PIXEL, 0, WEST + 1000, 0, -PIXEL, NORTH)
    scene = write_scene(tmp_path / "a.tif", make_pixels(1, 64, 128, "uint8", seed=3), transform=transform, nodata=0)
    chip_dataset.add_rasters(scene)
    add_points(chip_dataset, tmp_path / "inputs", {"z": (112.5, 30.5), "y": (112.5, 50.5)})
    chip_dataset.update()
    corner = {
        chip["raster_id"].rpartition("_")[2]: (chip["col"], chip["row"]) for chip in chip_dataset.chips().to_pylist()
    }
    assert corner == {"p5": (3, 27), "z": (9, 27), "y": (9, 47)}
    before = map_parts(chip_dataset, "before")
    assert before.keys() == corner.keys()
    assert before["p5"] == before["z"]
    chip_dataset.split("parts", collection="chips", parts=dict.fromkeys("abcdefg", 1 / 7))
    assert group_by_part(map_parts(chip_dataset)) == {frozenset(["p5", "z"]), frozenset("y")}


def test_removed_raster_loses_its_part(split_dataset: Dataset) -> None:
    before = map_parts(split_dataset)
    split_dataset.remove_rasters(["chips/a_p1"])
    assert map_parts(split_dataset) == {name: part for name, part in before.items() if name != "p1"}
    split_dataset.update()
    assert {name: part for name, part in map_parts(split_dataset).items() if name != "p1"} == {
        name: part for name, part in before.items() if name != "p1"
    }


def test_invalid_split_records_nothing(chip_dataset: Dataset) -> None:
    head = chip_dataset.log(1)
    invalid: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (NotFoundError, "no collection 'nowhere'", {"collection": "nowhere", "parts": HALVES}),
        (UsageError, "'test' has the fraction 0", {"collection": "chips", "parts": {"train": 1, "test": 0}}),
        (NotFoundError, "no column 'depth_m'", {"collection": "chips", "parts": HALVES, "where": "depth_m > 2"}),
    ]
    for error, message, options in invalid:
        with pytest.raises(error, match=message):
            chip_dataset.split("parts", **options)
    assert chip_dataset.log(1) == head


# --- replacement ------------------------------------------------------------------------------------------------------


def test_replaced_split_keeps_places(split_dataset: Dataset, tmp_path: Path) -> None:
    before = map_parts(split_dataset)
    result = split_dataset.split("parts", collection="chips", parts={"train": 0.25, "test": 0.75}, seed=4, replace=True)
    assert (result.changed, result.summary["assigned"], map_parts(split_dataset)) == (True, 0, before)
    assert result.summary["parts"]["test"] == {"rasters": 2, "asked": 0.75, "got": 0.333333, "classes": {}}
    add_points(split_dataset, tmp_path / "inputs", {f"q{number}": (12.5 + 20 * number, 50.5) for number in range(5)})
    split_dataset.update()
    after = map_parts(split_dataset)
    assert before.items() < after.items()
    assert [after[f"q{number}"] for number in range(5)] == ["test"] * 5
    assert not any(result.changed for result in split_dataset.update())


def test_replaced_part_is_assigned_again(split_dataset: Dataset) -> None:
    before = map_parts(split_dataset)
    parts = {"train": 2 / 3, "val": 1 / 6, "check": 1 / 6}
    result = split_dataset.split("parts", collection="chips", parts=parts, replace=True)
    after = map_parts(split_dataset)
    assert {name for name, part in after.items() if part == "train"} == {
        name for name, part in before.items() if part == "train"
    }
    assert sorted(map(str, after.values())) == ["check", *["train"] * 4, "val"]
    assert (result.summary["assigned"], result.summary["moved"], result.summary["left out"]) == (2, 0, 0)
    with pytest.raises(ConflictError, match="recipe 'parts' exists as a split recipe with --parts train="):
        split_dataset.split("parts", collection="chips", parts=HALVES)
    assert not any(result.changed for result in split_dataset.update())


def test_replaced_links_can_conflict(split_dataset: Dataset) -> None:
    before = map_parts(split_dataset)
    options: dict[str, Any] = {"parts": {"train": 2 / 3, "test": 1 / 3}, "buffer": 121}
    with pytest.raises(ConflictError, match="the split would leak"):
        split_dataset.split("parts", collection="chips", **options, replace=True)
    assert map_parts(split_dataset) == before
    split_dataset.split("parts", collection="chips", **options, on_conflict="move", replace=True)
    assert set(map_parts(split_dataset).values()) == {"train"}
    split_dataset.update()


def test_replaced_collection_leaves_no_rows(split_dataset: Dataset, tmp_path: Path) -> None:
    split_dataset.cut_around_features("more", size=SIZE, where="feature_id IN ('p0', 'p5')")
    result = split_dataset.split("parts", collection="more", parts=HALVES, replace=True)
    assert (result.summary["assigned"], result.summary["left out"]) == (2, 0)
    rows = split_dataset.splits().to_pylist()
    assert [row["raster_id"] for row in rows] == ["more/a_p0", "more/a_p5"]
    assert {row["part"] for row in rows} == set(HALVES)
    assert not any(result.changed for result in split_dataset.update())


def test_replaced_split_needs_rasters(split_dataset: Dataset) -> None:
    split_dataset.remove_rasters([f"chips/a_{name}" for name in PONDS])
    fractions = {"train": 2 / 3, "test": 1 / 3}
    assert not split_dataset.split("parts", collection="chips", parts=fractions).changed
    with pytest.raises(UsageError, match="there are no rasters to split"):
        split_dataset.split("parts", collection="chips", parts=HALVES, replace=True)


def test_command_replaces_split(split_dataset: Dataset) -> None:
    before = map_parts(split_dataset)
    arguments = ("split", "parts", "--collection", "chips", "--parts", "train=0.666667,rest=0.333333")
    (result,) = read_rows(split_dataset.root, *arguments, "--replace")
    assert (result["changed"], result["assigned"]) == (True, 2)
    assert result["recipe"]["parameters"]["parts"] == [["train", 0.666667], ["rest", 0.333333]]
    renamed = {name: "rest" if part == "test" else part for name, part in before.items()}
    assert map_parts(split_dataset) == renamed
