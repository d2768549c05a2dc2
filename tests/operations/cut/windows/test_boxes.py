"""Given boxes: the pixels that they touch."""

from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.operations.cut.windows.boxes import plan_given
from geographer.operations.cut.windows.plan_tables import CHIPS
from tests.operations.cut.windows.pixel_oracle import Raster, rasters_of, refusing, table, unmet, windows

EDGES = ["pmin_col", "pmin_row", "pmax_col", "pmax_row"]


def plan(rasters, bounds, boxes, order=None, **options):
    """The plan for boxes in a raster's pixels, by box and raster."""
    candidates = table(
        [("box_id", "string"), ("raster_id", "string"), *((edge, "float64") for edge in EDGES)],
        [(*pair, *edges) for pair, edges in bounds.items()],
    )
    tables = [candidates, rasters_of(rasters)]
    if order is not None:
        tables = [it.take(order.permutation(len(it))) for it in tables]
    return plan_given(*tables, table([("box_id", "string")], [(box,) for box in boxes]), **options)


@st.composite
def drawn(draw):
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
@given(drawn(), st.integers(1, 2), st.booleans(), st.integers(0, 3).map(refusing), st.integers(0, 2**32))
def test_a_chip_is_the_pixels_that_its_box_touches_in_the_rasters_that_come_first(
    drawn, target_count, padded, fits, shuffle
):
    rasters, bounds, boxes = drawn
    due, have = [], dict.fromkeys(boxes, 0)
    for box in boxes:
        for raster in rasters:
            if (box, raster.id) not in bounds or have[box] == target_count:
                continue
            x0, y0, x1, y1 = bounds[box, raster.id]
            window = (floor(x0), floor(y0), max(ceil(x1) - floor(x0), 1), max(ceil(y1) - floor(y0), 1))
            shown = np.zeros((raster.height + 40, raster.width + 40), bool)
            shown[20:-20, 20:-20] = True
            col, row, width, height = window
            part = shown[row + 20 : row + 20 + height, col + 20 : col + 20 + width]
            if (part.any() if padded else part.all()) and (fits is None or fits(raster.id, window)):
                due.append((raster.id, *window))
                have[box] += 1
    options = {"target_count": target_count, "padded": padded, "fits": fits}
    planned = plan(rasters, bounds, boxes, **options)
    assert windows(planned) == due
    assert {box: counts[1] for box, counts in unmet(planned).items()} == {
        box: count for box, count in have.items() if count < target_count
    }
    assert plan(rasters, bounds, boxes, np.random.default_rng(shuffle), **options) == planned


@pytest.mark.parametrize(("noise", "chip"), [(1e-6, (2, 3, 4, 2)), (-1e-6, (2, 3, 4, 2)), (1e-3, (2, 3, 5, 3))])
def test_a_box_that_is_drawn_along_pixels_becomes_just_those(noise, chip):
    planned = plan([Raster("r", 20, 20)], {("x", "r"): (2 + noise, 3 + noise, 6 + noise, 5 + noise)}, ["x"])
    assert windows(planned) == [("r", *chip)]


def test_a_box_short_of_rasters_is_told_with_the_reason():
    rasters = [Raster("a", 9, 9), Raster("b", 9, 9)]
    bounds = {("dark", "a"): (1, 1, 3, 3), ("over", "a"): (7, 1, 11, 3), ("one", "a"): (5, 5, 6, 6)}
    planned = plan(
        rasters, bounds, ["dark", "over", "one", "none"], target_count=2, fits=lambda _, window: window.col > 2
    )
    assert unmet(planned) == {
        "dark": ("too much nodata", 0, 2),
        "over": ("its chip would cross the raster's edge", 0, 2),
        "one": ("only 1 raster contains it", 1, 2),
        "none": ("no raster contains it", 0, 2),
    }


def test_chips_are_named_after_raster_and_box():
    planned = plan([Raster("r", 9, 9)], {("my_box", "r"): (1, 1, 3, 3)}, ["my_box"])
    assert planned.chips["name"].to_pylist() == ["r_my__box"]
    assert planned.chips.schema == plan([], {}, []).chips.schema == CHIPS
