"""Test that a box becomes the pixels that it touches."""

from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.operations.cut.boxes import CutBoxes
from geographer.operations.cut.windows.boxes import plan_boxes
from tests.operations.cut.windows.pixel_oracle import (
    Raster,
    accept_all,
    list_windows,
    make_rasters_table,
    make_table,
    predicates,
    read_unmet,
)

EDGES = ["pmin_col", "pmin_row", "pmax_col", "pmax_row"]


def plan_case(rasters, bounds, boxes, order=None, accepts_window=None, target_count=1, at_border="skip"):
    """Plan boxes; `bounds` are in the raster's pixels, by box and raster."""
    candidates = make_table(
        [("box_id", "string"), ("raster_id", "string"), *((edge, "float64") for edge in EDGES)],
        [(*pair, *edges) for pair, edges in bounds.items()],
    )
    raster_rows = make_rasters_table(rasters)
    if order is not None:
        candidates, raster_rows = (rows.take(order.permutation(len(rows))) for rows in (candidates, raster_rows))
    recipe = CutBoxes("chips", boxes="boxes.geojson", target_count=target_count, at_border=at_border)
    return plan_boxes(candidates, raster_rows, boxes, recipe, accepts_window or accept_all)


@st.composite
def box_cases(draw):
    rasters = [Raster(id, draw(st.integers(1, 6)), draw(st.integers(1, 6))) for id in "ba"]
    boxes = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True))
    bounds = {}
    for box in boxes:
        for raster in rasters:
            if draw(st.booleans()):
                x, y = (sorted(draw(st.tuples(*[st.integers(-8, 32)] * 2))) for _ in "xy")
                bounds[box, raster.id] = (x[0] / 4, y[0] / 4, x[1] / 4, y[1] / 4)
    return rasters, bounds, boxes


@settings(max_examples=150, deadline=None)
@given(box_cases(), st.integers(1, 2), st.sampled_from(["pad", "skip"]), predicates, st.integers(0, 2**32))
def test_plan_boxes_matches_pixel_masks(case, target_count, at_border, accepts_window, shuffle):
    rasters, bounds, boxes = case
    expected, counts = [], dict.fromkeys(boxes, 0)
    for box in boxes:
        for raster in rasters:
            if (box, raster.id) not in bounds or counts[box] == target_count:
                continue
            x0, y0, x1, y1 = bounds[box, raster.id]
            window = (floor(x0), floor(y0), max(ceil(x1) - floor(x0), 1), max(ceil(y1) - floor(y0), 1))
            is_inside = np.zeros((raster.height + 40, raster.width + 40), bool)
            is_inside[20:-20, 20:-20] = True
            col, row, width, height = window
            mask = is_inside[row + 20 : row + 20 + height, col + 20 : col + 20 + width]
            if (mask.any() if at_border == "pad" else mask.all()) and (
                accepts_window is None or accepts_window(raster.id, window)
            ):
                expected.append((raster.id, *window))
                counts[box] += 1
    options = {"target_count": target_count, "at_border": at_border, "accepts_window": accepts_window}
    plan = plan_case(rasters, bounds, boxes, **options)
    assert list_windows(plan) == expected
    assert {box: count for box, (_, count, _) in read_unmet(plan).items()} == {
        box: count for box, count in counts.items() if count < target_count
    }
    assert plan_case(rasters, bounds, boxes, np.random.default_rng(shuffle), **options) == plan


@pytest.mark.parametrize(("noise", "chip"), [(1e-6, (2, 3, 4, 2)), (-1e-6, (2, 3, 4, 2)), (1e-3, (2, 3, 5, 3))])
def test_box_along_pixel_edges_ignores_noise(noise, chip):
    plan = plan_case([Raster("r", 20, 20)], {("x", "r"): (2 + noise, 3 + noise, 6 + noise, 5 + noise)}, ["x"])
    assert list_windows(plan) == [("r", *chip)]


def test_unmet_box_has_a_reason():
    rasters = [Raster("a", 9, 9), Raster("b", 9, 9)]
    bounds = {("dark", "a"): (1, 1, 3, 3), ("over", "a"): (7, 1, 11, 3), ("one", "a"): (5, 5, 6, 6)}
    plan = plan_case(
        rasters,
        bounds,
        ["dark", "over", "one", "none"],
        target_count=2,
        accepts_window=lambda _, window: window.col > 2,
    )
    assert read_unmet(plan) == {
        "dark": ("too much nodata", 0, 2),
        "over": ("its chip would cross the raster's edge", 0, 2),
        "one": ("only 1 raster contains it", 1, 2),
        "none": ("no raster contains it", 0, 2),
    }


def test_chip_is_named_after_raster_and_box():
    plan = plan_case([Raster("r", 9, 9)], {("my_box", "r"): (1, 1, 3, 3)}, ["my_box"])
    assert [chip.name for chip in plan.chips] == ["r_my__box"]
    assert plan_case([], {}, []) == ([], [])
