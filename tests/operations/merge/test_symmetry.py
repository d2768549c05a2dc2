"""Merges give the same dataset from either side, once recipes have run again."""

from __future__ import annotations

import pytest

from tests.operations.merge.forked_dataset import add_features, fork, merge_both_ways
from tests.sample_history import point_geometry, square_geometry, write_scenes


def move_pond(dataset, folder):
    add_features(dataset, folder, {"p1": ("pond", square_geometry(11, 11, 5))}, replace=True, depth=1)


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
    dataset.cut_grid("pond", size=(32, 32), where="class = 'pond'")


def drop_quarry(dataset, _folder):
    dataset.remap_classes({"quarry": None})


def restore_nothing(_dataset, _folder):
    pass


def in_turn(*edits):
    def run(dataset, folder):
        for edit in edits:
            edit(dataset, folder)

    return run


CASES = {
    "columns of one feature": (move_pond, deepen_pond),
    "the same edit": (move_pond, move_pond),
    "new features": (add_pond, add_reed),
    "classes with one value": (add_reed, add_moss),
    "classes with one value, drawn": (in_turn(add_reed, update), in_turn(add_moss, update)),
    "labels of both": (in_turn(move_pond, update), in_turn(add_reed, update)),
    "a raster, and a removed feature": (in_turn(add_scene, update), in_turn(remove_pond, update)),
    "a removed chip": (remove_chip, in_turn(add_pond, update)),
    "a removed scene with chips of both": (remove_scene, in_turn(add_pond, update)),
    "recipes": (cut_grid, label_boxes),
    "parameters": (cut_larger, in_turn(add_pond, update)),
    "parameters of labels": (draw_touched, in_turn(add_pond, update)),
    "a removed recipe": (remove_recipe, in_turn(add_pond, update)),
    "a dropped class": (drop_quarry, add_reed),
    "nothing on one side": (restore_nothing, in_turn(add_reed, update)),
    "stale labels": (add_reed, in_turn(cut_grid, move_pond)),
}


@pytest.mark.parametrize("name", CASES)
def test_merge_is_equal_from_either_side(base, tmp_path, name):
    dataset = fork(base, tmp_path, *CASES[name])
    left_first, right_first = merge_both_ways(dataset)
    assert not dataset.list_conflicts().to_pylist()
    left_first["splits"] = right_first["splits"] = None
    assert {**left_first, "digest": None} == {**right_first, "digest": None}
