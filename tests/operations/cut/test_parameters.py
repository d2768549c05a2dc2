"""Parameters of cut recipes: their validation, the forms that they accept, and how the log records them."""

from __future__ import annotations

from typing import Any

import pytest

from geographer.base.errors import ConflictError, UsageError
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.base import CutRecipe, parse_band_text
from geographer.operations.cut.boxes import CutBoxes, RecordedBoxes
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.custom import CutCustom
from geographer.operations.cut.grid import CutGrid
from geographer.planning.recipe import load_recipe
from tests.sample_history import CornerCutter, write_scenes

SHARED: dict[str, Any] = {
    "source": "source",
    "rasters_where": None,
    "order_by": None,
    "bands": [],
    "pad_value": None,
    "max_nodata": None,
    "seed": 0,
}
VARIABLE = {"mode": "variable", "scale": 1.5, "min_size": "90x60m"}
CORNERS = {"cutter": CornerCutter, "options": {"inset": 2}}

RECORDED: list[tuple[type[CutRecipe], dict[str, Any], dict[str, Any]]] = [
    (CutAround, {"size": 12, "scale": 3}, {"size": [12, 12, "px"], "mode": "centered", "scale": 1}),
    (CutAround, VARIABLE, {"size": [90, 60, "m"], "mode": "variable", "scale": 1.5}),
    (CutAround, {"size": 9, "bands": [2, 1], "pad_value": 9.0}, {"bands": [["*", [2, 1]]], "pad_value": 9}),
    (CutGrid, {"size": (6, 4), "bands": {"a*": [1]}}, {"size": [6, 4, "px"], "overlap": 0, "bands": [["a*", [1]]]}),
    (CutBoxes, {"boxes": RecordedBoxes("ab" * 32)}, {"boxes": "ab" * 32, "target_count": 1, "at_border": "skip"}),
    (CutCover, {"size": "2.5m", "rebuild_covers": True}, {"size": [2.5, 2.5, "m"], "time_limit": 60}),
    (CutCustom, CORNERS, {"options": {"inset": 2}}),
    (CutCustom, {"cutter": CornerCutter, "options": None, "bands": None}, {"options": {}, "size": [512, 512, "px"]}),
]


@pytest.mark.parametrize(("recipe_class", "options", "expected"), RECORDED)
def test_recorded_recipe_is_read_back(recipe_class, options, expected) -> None:
    recipe = recipe_class("chips", workers=3, **options)
    parameters = recipe.list_recorded_parameters()
    assert {**parameters, **SHARED, **expected} == parameters
    recorded = load_recipe(recipe.to_record())
    assert type(recorded) is recipe_class
    assert recorded.has_same_parameters(recipe)
    assert recorded.list_recorded_parameters() == parameters


def test_size_in_use_distinguishes_recipes() -> None:
    variable, smaller = (CutAround("chips", mode="variable", min_size=size) for size in (32, 16))
    assert not variable.has_same_parameters(smaller)
    assert not CutAround("chips", size=8).has_same_parameters(CutAround("chips", size=9))
    assert CutAround("chips", size=8).has_same_parameters(CutAround("chips", size=8, min_size=16, scale=2))


@pytest.mark.parametrize(
    ("recipe_class", "options", "message"),
    [
        (CutAround, {}, "--mode centered needs --size. Pass --size, or --mode variable"),
        (CutAround, {"mode": "variable", "size": 8}, "--size has no meaning with --mode variable"),
        (CutAround, {"size": 8, "target_count": 0}, "invalid --target-count 0. Use 1 or more."),
        (CutAround, {"size": 8, "scale": 0.0}, "invalid --scale 0. Use a number above 0."),
        (CutAround, {"size": 8, "scale": float("nan")}, "invalid --scale nan"),
        (CutAround, {"size": 8, "mode": "middle"}, "invalid --mode 'middle'. Use centered, random or variable."),
        (CutAround, {"size": 8, "at_border": "stretch"}, "invalid --at-border 'stretch'. Use shift, pad or skip."),
        (CutGrid, {"size": 8, "edge": "skip"}, "invalid --edge 'skip'. Use drop, pad or shift."),
        (CutGrid, {"size": 8, "overlap": -1}, "invalid --overlap -1. Use 0 or more."),
        (CutGrid, {"size": 8, "cells": "some"}, "invalid --cells 'some'. Use all or with-features."),
        (CutBoxes, {"boxes": "boxes.geojson", "at_border": "shift"}, "invalid --at-border 'shift'. Use pad or skip."),
        (CutCover, {"size": 8, "target_count": 0}, "invalid --target-count 0"),
        (CutCover, {"size": 8, "time_limit": -1}, "invalid --time-limit -1. Use 0 or more."),
        (CutCover, {"size": 8, "max_nodata": 1.5}, "invalid --max-nodata 1.5. Use a number from 0 to 1."),
        (CutCustom, {"cutter": CornerCutter, "options": {"inset": {3}}}, "cannot be recorded"),
    ],
)
def test_invalid_parameter_is_rejected(recipe_class, options, message) -> None:
    with pytest.raises(UsageError) as rejected:
        recipe_class("chips", **options)
    assert message in str(rejected.value)


def test_band_text_is_parsed() -> None:
    assert parse_band_text("3, 1") == ("*", (3, 1))
    assert parse_band_text("*-dem=1") == ("*-dem", (1,))
    with pytest.raises(UsageError, match="invalid band numbers 'red'"):
        parse_band_text("red")


def test_recipe_cannot_cut_its_own_chips(dataset, tmp_path):
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "scene"))
    dataset.cut_grid("tiles", size=32)
    with pytest.raises(ConflictError, match="'tiles' comes from the chips of 'tiles' itself"):
        dataset.cut_grid("tiles", size=16, source="tiles", replace=True)
    dataset.cut_grid("parts", size=16, source="tiles")
    with pytest.raises(ConflictError, match="'parts' comes from the chips of 'tiles' itself"):
        dataset.cut_grid("tiles", size=32, source="parts", replace=True)


def test_bands_may_be_text():
    assert CutGrid("x", size=3, bands="*-dem=1,2").to_json()["parameters"]["bands"] == [["*-dem", [1, 2]]]
    with pytest.raises(UsageError, match="invalid band numbers 'x'"):
        CutGrid("x", size=3, bands="x")
