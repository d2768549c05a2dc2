"""Merges give the same dataset from either side, once recipes have run again."""

from __future__ import annotations

import pytest

from tests.operations.merge.forked_dataset import add_features, fork, merge_both_ways
from tests.sample_history import square_geometry, write_scenes
from tests.sample_team import select_cases


def move_pond(dataset, folder):
    add_features(dataset, folder, {"p1": ("pond", square_geometry(11.3, 11.3, 5))}, replace=True, depth=1)


def deepen_pond(dataset, folder):
    add_features(dataset, folder, {"p1": ("pond", square_geometry(10, 10, 4))}, replace=True, depth=2)


def add_pond(dataset, folder):
    add_features(dataset, folder, {"n1": ("pond", square_geometry(30, 30, 4))}, depth=3)


def add_reed(dataset, folder):
    add_features(dataset, folder, {"n2": ("reed", square_geometry(12, 12, 6))}, depth=4)


def add_moss(dataset, folder):
    add_features(dataset, folder, {"n3": ("moss", square_geometry(11, 13, 6))}, depth=4)


def update(dataset, _folder):
    list(dataset.update(on_conflict="exclude"))


def add_scene(dataset, folder):
    dataset.add_rasters(write_scenes(folder, "c", offset=1, seed=9))


def remove_pond(dataset, _folder):
    dataset.remove_features(["p1"])


def remove_chip(dataset, _folder):
    dataset.remove_rasters(["around/a_p1"])


def remove_scene(dataset, _folder):
    dataset.remove_rasters(["b"])


def cut_grid(dataset, _folder):
    dataset.cut_grid("grid", size=(32, 32))


def label_boxes(dataset, _folder):
    dataset.label_boxes("bounds", collection="around")


def cut_larger(dataset, _folder):
    dataset.cut_around_features("around", size=20, replace=True)


def draw_touched(dataset, _folder):
    dataset.label_masks("mask", collection="around", all_touched=True, replace=True)


def remove_recipe(dataset, _folder):
    dataset.remove_recipe("mask")


def select_ponds(dataset, _folder):
    dataset.cut_grid("pond", size=(32, 32), cells="with-features", where="class = 'pond'")


def drop_quarry(dataset, _folder):
    dataset.remap_classes({"quarry": None})


def in_turn(*edits):
    def run(dataset, folder):
        for edit in edits:
            edit(dataset, folder)

    return run


def edit_together(dataset, folder):
    add_features(dataset, folder, {"p2": ("pond", square_geometry(41, 41, 7))}, replace=True, depth=7)


CASES = {
    "features, classes, parameters of labels, and a dropped class": (
        in_turn(move_pond, edit_together, add_reed, draw_touched, update),
        in_turn(deepen_pond, edit_together, add_pond, add_moss, drop_quarry, update),
    ),
    "labels that are behind, and a dropped class": (
        in_turn(draw_touched, add_pond),
        in_turn(drop_quarry, move_pond, update),
    ),
    "rasters and removals": (
        in_turn(add_scene, remove_chip, update),
        in_turn(remove_pond, add_pond, update, remove_scene),
    ),
    "recipes": (
        in_turn(cut_grid, cut_larger, select_ponds),
        in_turn(add_reed, label_boxes, update),
    ),
    "a removed recipe, and labels that are behind": (
        in_turn(remove_recipe, move_pond),
        in_turn(add_reed, update, add_pond),
    ),
}


@pytest.mark.parametrize("name", select_cases([*CASES], 1))
def test_merge_is_equal_from_either_side(base, tmp_path, name):
    """All but the assignments of new chips to parts, which keep what they have."""
    dataset = fork(base, tmp_path, *CASES[name])
    left_first, right_first = merge_both_ways(dataset)
    assert not dataset.list_conflicts().to_pylist()
    for content in (left_first, right_first):
        del content["splits"], content["digest"]
    assert left_first == right_first
