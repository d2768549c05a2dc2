"""Test covers against an integer programme over every window of every raster."""

from collections import Counter

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from geographer.base.values import Window
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.windows.chips import Chip
from geographer.operations.cut.windows.cover import plan_cover
from tests.operations.cut.windows.pixel_oracle import (
    Case,
    Raster,
    accept_all,
    list_all_windows,
    list_windows,
    make_feature_id,
    make_predicate,
    raster_cases,
    read_unmet,
)


def plan_case(case, order=None, existing_windows=(), accepts_window=None, **options):
    """Plan with parameters of `CutCover`."""
    candidates, rasters, features = case.make_tables(order)
    existing = [Chip("", raster_id, None, window) for raster_id, window in existing_windows]
    recipe = CutCover("chips", size=1, **options)  # the table of rasters has the sizes
    return plan_cover(candidates, rasters, features, recipe, existing, accepts_window or accept_all)


def compute_containment(case, windows):
    """Compute with shapely which windows contain which features; shape (features, windows)."""
    raster_by_id = {raster.id: raster for raster in case.rasters}
    contains = np.zeros((len(case.keys), len(windows)), int)
    for (key, raster_id), pixels in case.pixels.items():
        raster = raster_by_id[raster_id]
        geometry = raster.place_geometry(pixels)
        for index, (window_raster_id, *window) in enumerate(windows):
            if window_raster_id == raster_id:
                contains[case.keys.index(key), index] = raster.make_box(*window).contains(geometry)
    return contains


def compute_optimum(case, target_count, at_border, existing, accepts_window):
    """Return the fewest chips to add, of all possible windows, and the number of chips that then contain each feature."""
    counts = compute_containment(case, existing).sum(axis=1)
    windows = [
        (raster.id, *window)
        for raster in case.rasters
        for window in list_all_windows(raster, raster.chip_size)
        if (at_border == "pad" or raster.contains_window(*window))
        and (raster.id, *window) not in existing
        and (accepts_window is None or accepts_window(raster.id, Window(*window)))
    ]
    contains = compute_containment(case, windows)
    contains = contains[:, contains.any(axis=0)]
    demand = np.minimum(np.maximum(target_count - counts, 0), contains.sum(axis=1))
    if not demand.any():
        return 0, counts
    size = contains.shape[1]
    solution = milp(
        np.ones(size), constraints=LinearConstraint(contains, lb=demand), integrality=np.ones(size), bounds=Bounds(0, 1)
    )
    assert solution.success
    return round(solution.fun), counts + demand


def make_order_key(case, window):
    """Return a sort key by raster, row and column."""
    raster_id, col, row, *_ = window
    return [raster.id for raster in case.rasters].index(raster_id), row, col


@st.composite
def existing_chips(draw, case):
    """Draw existing chips of a recipe, possibly one of a removed raster."""
    chips = []
    for _ in range(draw(st.integers(0, 3))):
        raster = draw(st.sampled_from(case.rasters))
        col, row = draw(st.integers(0, raster.width)), draw(st.integers(0, raster.height))
        chips.append((raster.id, col, row, *raster.chip_size))
    if draw(st.booleans()):
        chips.append(("gone", 0, 0, 4, 4))
    return list(dict.fromkeys(chips))


@st.composite
def cover_cases(draw):
    case = draw(raster_cases())
    return case, draw(existing_chips(case))


predicates = st.sampled_from([0, 0, 1, 2]).map(make_predicate)


@settings(max_examples=120, deadline=None)
@given(cover_cases(), st.integers(1, 3), st.sampled_from(["shift", "pad"]), predicates, st.integers(0, 2**32))
def test_plan_cover_is_optimal(cover, target_count, at_border, accepts_window, shuffle):
    case, existing = cover
    options = {"target_count": target_count, "at_border": at_border, "accepts_window": accepts_window}
    options["existing_windows"] = [(raster_id, Window(*window)) for raster_id, *window in existing]
    plan = plan_case(case, **options)
    added = list_windows(plan)
    usable = [window for window in existing if window[0] != "gone"]
    optimum, possible_counts = compute_optimum(case, target_count, at_border, usable, accepts_window)
    assert all(count == 1 for count in Counter([*added, *existing]).values())
    counts = compute_containment(case, [*added, *usable]).sum(axis=1)
    assert (counts >= np.minimum(possible_counts, target_count)).all()
    assert len(added) == plan.bound == optimum
    assert added == sorted(added, key=lambda window: make_order_key(case, window))
    for raster_id, *window in added:
        raster = next(raster for raster in case.rasters if raster.id == raster_id)
        assert at_border == "pad" or raster.contains_window(*window)
        assert accepts_window is None or accepts_window(raster_id, Window(*window))
    unmet = {
        make_feature_id(key): (int(count), target_count)
        for key, count in zip(case.keys, counts, strict=True)
        if count < target_count
    }
    assert {feature: row[1:] for feature, row in read_unmet(plan).items()} == unmet
    again = plan_case(case, np.random.default_rng(shuffle), **options)
    assert (again.chips, again.unmet, again.bound) == (plan.chips, plan.unmet, plan.bound)
    without_time = plan_case(case, time_limit=0.0, **options)
    assert without_time.bound <= len(without_time.chips)
    assert optimum <= len(without_time.chips)
    counts = compute_containment(case, [*list_windows(without_time), *usable]).sum(axis=1)
    assert (counts >= np.minimum(possible_counts, target_count)).all()
    if accepts_window is None:
        assert without_time.bound <= optimum


def test_existing_window_hides_no_other():
    """The existing window at row 1 contains both features; only the first feature lies in another window, too."""
    raster = Raster("r", 4, 10)
    case = Case((raster,), (1, 2), {(1, "r"): shapely.box(0, 1, 4, 4), (2, "r"): shapely.box(0, 1, 4, 5)})
    plan = plan_case(case, target_count=2, existing_windows=[("r", Window(0, 1, 4, 4))])
    assert list_windows(plan) == [("r", 0, 0, 4, 4)]
    assert read_unmet(plan) == {"f2": ("only 1 raster contains it", 1, 2)}


def test_window_is_centred_in_its_region():
    raster = Raster("r", 40, 40, chip_size=(10, 8))
    case = Case((raster,), (1, 2), {(1, "r"): shapely.box(10, 20, 12, 21), (2, "r"): shapely.box(15, 20, 16, 24)})
    assert list_windows(plan_case(case)) == [("r", 8, 18, 10, 8)]
    assert [chip.name for chip in plan_case(case).chips] == ["r_c8_r18"]


def test_equivalent_windows_come_from_different_rasters():
    rasters = tuple(Raster(id, 20, 20) for id in "cab")
    case = Case(rasters, (1,), {(1, raster.id): shapely.Point(9.5, 9.5) for raster in rasters})
    for count, raster_ids in ((1, ["c"]), (2, ["c", "a"]), (3, ["c", "a", "b"]), (5, ["c", "c", "a", "a", "b"])):
        plan = plan_case(case, target_count=count)
        assert list_windows(plan) == sorted(list_windows(plan), key=lambda window: make_order_key(case, window))
        assert [chip.raster_id for chip in plan.chips] == raster_ids


def test_rejected_window_is_replaced():
    """The middle window is rejected. Of those further right, some contain the first feature and all the second."""
    raster = Raster("r", 20, 20)
    case = Case((raster,), (1, 2), {(1, "r"): shapely.Point(9.5, 9.5), (2, "r"): shapely.Point(10.5, 9.5)})
    plan = plan_case(case, accepts_window=lambda _, window: window.col >= 9)
    assert [col for _, col, *_ in list_windows(plan)] == [9]
    assert (plan.bound, read_unmet(plan)) == (1, {})
    plan = plan_case(case, accepts_window=lambda _, window: window.col >= 10)
    assert [col for _, col, *_ in list_windows(plan)] == [10]
    assert read_unmet(plan) == {"f1": ("too much nodata", 0, 1)}


def test_existing_windows_with_features_are_kept():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    case = Case(rasters, (1,), {(1, "a"): shapely.Point(9.5, 9.5), (1, "b"): shapely.Point(3.5, 3.5)})
    starts = [("a", 7, 7), ("a", 3, 3), ("b", 3, 3), ("gone", 7, 7), ("a", 9, 9), ("a", 10, 9)]
    windows = [(raster_id, Window(col, row, 4, 4)) for raster_id, col, row in starts]
    kept = plan_case(case, existing_windows=windows).kept
    assert [(chip.raster_id, chip.window) for chip in kept] == [windows[index] for index in (0, 2, 4)]


def test_cover_of_clusters_needs_few_chips():
    rng = np.random.default_rng(11)
    centres = rng.uniform(60, 1940, (30, 2))
    corners = (centres[:, None] + rng.normal(0, 25, (30, 10, 2))).reshape(-1, 2)
    sides = rng.uniform(2, 12, (300, 2))
    boxes = [shapely.box(*low, *high) for low, high in zip(corners, corners + sides, strict=True)]
    raster = Raster("r", 2000, 2000, chip_size=(128, 128))
    case = Case((raster,), tuple(range(300)), {(key, "r"): box for key, box in enumerate(boxes)})
    plan = plan_case(case)
    assert read_unmet(plan) == {}
    assert len(plan.chips) == plan.bound <= 100
    tree = shapely.STRtree([raster.place_geometry(box) for box in boxes])
    chips = [raster.make_box(*window) for _, *window in list_windows(plan)]
    assert set(tree.query(chips, predicate="contains")[1].tolist()) == set(range(300))


def test_cover_without_rasters_is_empty():
    assert plan_case(Case((), ())) == ([], [], [], 0)
    assert read_unmet(plan_case(Case((), (3,)))) == {"f3": ("no raster contains it", 0, 1)}


def test_feature_without_window_is_unmet():
    case = Case(
        (Raster("r", 20, 20), Raster("s", 3, 20)),
        (1, 2),
        {(1, "r"): shapely.box(5, 5, 12, 6), (2, "s"): shapely.Point(1, 1)},
    )
    assert read_unmet(plan_case(case)) == {
        "f1": ("larger than a chip", 0, 1),
        "f2": ("raster smaller than a chip", 0, 1),
    }
