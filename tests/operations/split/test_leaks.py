"""Leaks of splits: found and ended, checked from windows of chips and shapes of features, and refused by tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import ConflictError
from geographer.planning.split_constraints import leaks
from geographer.planning.split_constraints.check import iter_split_leaks
from geographer.planning.split_constraints.declared import DeclaredConstraints
from geographer.planning.split_constraints.leaks import SplitLeak
from geographer.planning.split_constraints.staged_rasters import is_surely_sound
from tests.operations.split.chip_dataset import HALVES, PONDS, SIZE, add_marsh, add_points, map_parts

SHAPES = {name: shapely.Point(position) for name, position in PONDS.items()}
"""The features in pixels of the scene."""
LINKED_BY_MARSH = r"raster 'chips/a_p\d' \((train|test)\) and raster 'chips/a_p\d' \((train|test)\) are connected by .*"


def make_marsh(dataset: Dataset) -> dict[str, shapely.Geometry]:
    """Return the shapes of the dataset whose marsh begins in the last chip before one of another part."""
    parts = map_parts(dataset)
    first = next(number for number in range(5) if parts[f"p{number}"] != parts[f"p{number + 1}"])
    column = PONDS[f"p{first}"][0]
    return {**SHAPES, "marsh": shapely.box(column, 30, column + 21, 51)}


def find_leak(dataset: Dataset, **options) -> SplitLeak:
    """Return the leaks; one query must come to the same result, unless there is a buffer, which it cannot measure."""
    with dataset._unit_of_work.open_revision() as revision:
        leak = leaks.find_split_leaks(revision, "parts", **options)
        declared = vars(leaks)["list_declared_constraints"](revision).get("parts", DeclaredConstraints())
        assert is_surely_sound(revision, "parts", declared) == (not leak.groups and not declared.buffer)
        return leak


def list_parts(dataset: Dataset) -> dict[str, str | None]:
    return {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist()}


def find_leaking_pairs(
    dataset: Dataset, parts: Mapping[str, str | None], shapes: Mapping[str, shapely.Geometry], buffer: float = 0
) -> set[frozenset[str]]:
    """Pairs of chips of two parts that share a pixel or a feature, or are within `buffer` pixels: from shapes alone."""
    boxes = {
        chip["raster_id"]: shapely.box(
            chip["col"], chip["row"], chip["col"] + chip["width"], chip["row"] + chip["height"]
        )
        for chip in dataset.chips().to_pylist()
    }

    def are_linked(a: shapely.Polygon, b: shapely.Polygon) -> bool:
        shares_feature = any(shape.intersects(a) and shape.intersects(b) for shape in shapes.values())
        return shares_feature or a.intersection(b).area > 0 or a.distance(b) < buffer

    assigned = sorted(name for name, part in parts.items() if part)
    return {
        frozenset((a, b))
        for a, b in combinations(assigned, 2)
        if parts[a] != parts[b] and are_linked(boxes[a], boxes[b])
    }


def test_sound_split_has_no_leak(split_dataset: Dataset) -> None:
    assert find_leak(split_dataset) == SplitLeak("parts", [])
    assert find_leaking_pairs(split_dataset, list_parts(split_dataset), SHAPES) == set()
    assert split_dataset.tag("v1").changed


def test_leak_names_rasters_and_smallest_remedy(conflict_dataset: Dataset) -> None:
    parts, shapes = list_parts(conflict_dataset), make_marsh(conflict_dataset)
    (pair,) = find_leaking_pairs(conflict_dataset, parts, shapes)
    leak = find_leak(conflict_dataset)
    (group,) = leak.groups
    assert group.rasters == {name: parts[name] for name in pair}
    assert "connected by feature 'marsh'" in group.connected_by
    assert all(f"raster '{name}' ({parts[name]})" in group.connected_by for name in pair)
    assert (len(group.moves), group.exclusions, group.is_proven) == (1, [], True)
    assert leak.list_changes() == group.moves
    assert find_leaking_pairs(conflict_dataset, {**parts, **leak.list_changes()}, shapes) == set()
    members = {"rasters": group.rasters, "connected_by": group.connected_by, "moves": group.moves}
    expected = {"split": "parts", "components": [{**members, "exclusions": [], "is_proven": True}]}
    assert json.loads(json.dumps(leak.to_json())) == expected


def test_tag_waits_for_update(conflict_dataset: Dataset) -> None:
    """A tag of the leak is refused and records nothing; earlier and later revisions can be tagged."""
    head, shapes = conflict_dataset.log(1), make_marsh(conflict_dataset)
    message = rf"split 'parts' leaks: {LINKED_BY_MARSH}1 move and 0 exclusions\. Run geographer update --on-conflict"
    for revision in (None, "HEAD~1"):
        with pytest.raises(ConflictError, match=message):
            conflict_dataset.tag("v1", revision)
    assert conflict_dataset.log(1) == head
    assert conflict_dataset.tag("v0", "HEAD~3").changed
    conflict_dataset.update(on_conflict="exclude")
    assert find_leaking_pairs(conflict_dataset, list_parts(conflict_dataset), shapes) == set()
    assert None in list_parts(conflict_dataset).values()
    assert conflict_dataset.tag("v1").changed


def test_fixed_rasters_keep_their_part(conflict_dataset: Dataset) -> None:
    (group,) = find_leak(conflict_dataset).groups
    for kept in group.rasters:
        (other,) = group.rasters.keys() - {kept}
        assert find_leak(conflict_dataset, fixed=[kept]).list_changes() == {other: group.rasters[kept]}
    with pytest.raises(ConflictError, match=f"split 'parts' leaks if both rasters keep their part: {LINKED_BY_MARSH}"):
        find_leak(conflict_dataset, fixed=[*group.rasters])


def test_recipe_declares_what_leaks(split_dataset: Dataset, tmp_path: Path) -> None:
    """A feature that a split does not select connects no rasters, but those of a split without recipe."""
    fractions = {"train": 2 / 3, "test": 1 / 3}
    split_dataset.split("parts", collection="chips", parts=fractions, where="class = 'pond'", replace=True)
    add_marsh(split_dataset, tmp_path / "inputs", "marsh", PONDS["p0"][0], 110)
    assert find_leak(split_dataset).groups == []
    split_dataset.remove_recipe("parts", keep=True)
    (group,) = find_leak(split_dataset).groups
    assert group.rasters == list_parts(split_dataset)
    assert sorted(group.moves.values()) == ["train", "train"]
    with pytest.raises(ConflictError, match=r"geographer split parts --collection … --on-conflict move, or exclude"):
        split_dataset.tag("v1")
    split_dataset.split("parts", collection="chips", parts=fractions, on_conflict="move")
    assert {*list_parts(split_dataset).values()} == {"train"}
    with split_dataset._unit_of_work.open_revision() as revision:
        assert [*iter_split_leaks(revision)] == []


@pytest.mark.parametrize("buffer", [125, 325])
def test_remedy_keeps_buffer(split_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, buffer: float) -> None:
    """Chips are 120 m apart: within 325 m of a chip that moves there are chips of its part, too."""
    declared = {"parts": DeclaredConstraints("object", buffer)}
    monkeypatch.setattr(leaks, "list_declared_constraints", lambda revision: declared)
    parts = list_parts(split_dataset)
    pairs = find_leaking_pairs(split_dataset, parts, SHAPES, buffer / 10)
    leak = find_leak(split_dataset)
    assert {name for group in leak.groups for name in group.rasters} == set().union(*pairs)
    assert all("connected by their buffer" in group.connected_by for group in leak.groups)
    assert leak.list_changes()
    assert find_leaking_pairs(split_dataset, {**parts, **leak.list_changes()}, SHAPES, buffer / 10) == set()


def test_shared_pixels_leak_without_recipe(chip_dataset: Dataset, tmp_path: Path) -> None:
    """Four chips of 8 pixels, 5 pixels apart, each with another point: a split by object divides them."""
    points = {f"r{number}": (20.5 + 5 * number, 54.5) for number in range(4)}
    add_points(chip_dataset, tmp_path / "inputs", points)
    chip_dataset.cut_around_features("row", size=SIZE, where="starts_with(feature_id, 'r')")
    chip_dataset.split("parts", collection="row", parts=HALVES, by="object")
    assert find_leak(chip_dataset).groups == []
    chip_dataset.remove_recipe("parts", keep=True)
    parts, leak = list_parts(chip_dataset), find_leak(chip_dataset)
    pairs = find_leaking_pairs(chip_dataset, parts, {name: shapely.Point(point) for name, point in points.items()})
    assert {name for group in leak.groups for name in group.rasters} == set().union(*pairs)
    assert "are connected by their overlap" in leak.groups[0].connected_by
    assert find_leaking_pairs(chip_dataset, {**parts, **leak.list_changes()}, {}) == set()
