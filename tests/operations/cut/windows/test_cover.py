"""Covers with the fewest chips: against an integer programme over every single window of every raster."""

from collections import Counter

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from geographer.base.errors import UsageError
from geographer.base.values import Window
from geographer.operations.cut.windows.cover import holding, plan_cover
from geographer.operations.cut.windows.plan_tables import CHIPS
from tests.operations.cut.windows.pixel_oracle import Case, Raster, cases, every_window, name, refusing, unmet, windows


def plan(case, order=None, **options):
    return plan_cover(*case.tables(order), **options)


def contents(case, spots):
    """Which features lie in which windows, shape (features, windows), by shapely."""
    known = {raster.id: raster for raster in case.rasters}
    found = np.zeros((len(case.keys), len(spots)), int)
    for (key, raster_id), pixels in case.pixels.items():
        placed = known[raster_id].place(pixels)
        for number, (spot_raster, *window) in enumerate(spots):
            if spot_raster == raster_id:
                found[case.keys.index(key), number] = known[raster_id].box(*window).contains(placed)
    return found


def optimum(case, times, at_border, existing, fits):
    """How few chips it takes, by all windows there are; and in how many each feature then lies."""
    have = contents(case, existing).sum(axis=1)
    spots = [
        (raster.id, *window)
        for raster in case.rasters
        for window in every_window(raster, raster.size)
        if (at_border == "pad" or raster.inside(*window))
        and (raster.id, *window) not in existing
        and (fits is None or fits(raster.id, Window(*window)))
    ]
    holds = contents(case, spots)
    useful = holds.any(axis=0)
    holds = holds[:, useful]
    due = np.minimum(np.maximum(times - have, 0), holds.sum(axis=1))
    if not due.any():
        return 0, have
    count = holds.shape[1]
    found = milp(
        np.ones(count), constraints=LinearConstraint(holds, lb=due), integrality=np.ones(count), bounds=Bounds(0, 1)
    )
    assert found.success
    return round(found.fun), have + due


def in_order(case, spot):
    """By raster, row and column."""
    raster_id, col, row, *_ = spot
    return [raster.id for raster in case.rasters].index(raster_id), row, col


@st.composite
def chips_there_are(draw, case):
    """Chips that a recipe has: of the rasters' sizes mostly, and one of a raster that is gone."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        raster = draw(st.sampled_from(case.rasters))
        col, row = draw(st.integers(0, raster.width)), draw(st.integers(0, raster.height))
        found.append((raster.id, col, row, *raster.size))
    if draw(st.booleans()):
        found.append(("gone", 0, 0, 4, 4))
    return list(dict.fromkeys(found))


@st.composite
def covers(draw):
    case = draw(cases())
    return case, draw(chips_there_are(case))


refusals = st.sampled_from([0, 0, 1, 2]).map(refusing)


@settings(max_examples=120, deadline=None)
@given(covers(), st.integers(1, 3), st.sampled_from(["shift", "pad"]), refusals, st.integers(0, 2**32))
def test_a_cover_has_as_few_chips_as_the_best_choice_among_all_windows(cover, times, at_border, fits, shuffle):
    case, existing = cover
    options = {"times": times, "at_border": at_border, "fits": fits}
    options["existing"] = [(raster_id, Window(*window)) for raster_id, *window in existing]
    planned = plan(case, **options)
    found = windows(planned)
    standing = [spot for spot in existing if spot[0] != "gone"]
    least, have = optimum(case, times, at_border, standing, fits)
    assert all(count == 1 for count in Counter([*found, *existing]).values())
    reached = contents(case, [*found, *standing]).sum(axis=1)
    assert (reached >= np.minimum(have, times)).all()
    assert len(found) == planned.bound == least
    assert [found.index(spot) for spot in sorted(found, key=lambda spot: in_order(case, spot))] == list(
        range(len(found))
    )
    for raster_id, *window in found:
        raster = next(raster for raster in case.rasters if raster.id == raster_id)
        assert at_border == "pad" or raster.inside(*window)
        assert fits is None or fits(raster_id, Window(*window))
    short = {name(key): (int(count), times) for key, count in zip(case.keys, reached, strict=True) if count < times}
    assert {feature: told[1:] for feature, told in unmet(planned).items()} == short
    again = plan(case, np.random.default_rng(shuffle), **options)
    assert (again.chips, again.unmet, again.bound) == (planned.chips, planned.unmet, planned.bound)
    hasty = plan(case, seconds=0.0, **options)
    assert hasty.bound <= len(hasty.chips)
    assert least <= len(hasty.chips)
    reached = contents(case, [*windows(hasty), *standing]).sum(axis=1)
    assert (reached >= np.minimum(have, times)).all()
    if fits is None:
        assert hasty.bound <= least


def test_a_window_that_is_taken_hides_no_other():
    """A window at row 1 holds both features, and is there; only the first feature lies in another one, too."""
    raster = Raster("r", 4, 10)
    case = Case((raster,), (1, 2), {(1, "r"): shapely.box(0, 1, 4, 4), (2, "r"): shapely.box(0, 1, 4, 5)})
    planned = plan(case, times=2, existing=[("r", Window(0, 1, 4, 4))])
    assert windows(planned) == [("r", 0, 0, 4, 4)]
    assert unmet(planned) == {"f2": ("only 1 raster contains it", 1, 2)}


def test_a_window_is_in_the_middle_of_those_that_contain_the_same():
    raster = Raster("r", 40, 40, size=(10, 8))
    case = Case((raster,), (1, 2), {(1, "r"): shapely.box(10, 20, 12, 21), (2, "r"): shapely.box(15, 20, 16, 24)})
    assert windows(plan(case)) == [("r", 8, 18, 10, 8)]
    assert plan(case).chips["name"].to_pylist() == ["r_c8_r18"]


def test_windows_that_contain_the_same_come_from_different_rasters_in_their_turns():
    rasters = tuple(Raster(id, 20, 20) for id in "cab")
    case = Case(rasters, (1,), {(1, raster.id): shapely.Point(9.5, 9.5) for raster in rasters})
    for times, found in ((1, ["c"]), (2, ["c", "a"]), (3, ["c", "a", "b"]), (5, ["c", "c", "a", "a", "b"])):
        assert windows(plan(case, times=times)) == sorted(
            windows(plan(case, times=times)), key=lambda spot: in_order(case, spot)
        )
        assert plan(case, times=times).chips["raster_id"].to_pylist() == found


def test_what_a_window_without_pixels_holds_is_looked_for_in_other_windows():
    """The window in the middle won't do; of those further right the first feature has some, and the second has all."""
    raster = Raster("r", 20, 20)
    case = Case((raster,), (1, 2), {(1, "r"): shapely.Point(9.5, 9.5), (2, "r"): shapely.Point(10.5, 9.5)})
    planned = plan(case, fits=lambda _, window: window.col >= 9)
    assert [col for _, col, *_ in windows(planned)] == [9]
    assert (planned.bound, unmet(planned)) == (1, {})
    planned = plan(case, fits=lambda _, window: window.col >= 10)
    assert [col for _, col, *_ in windows(planned)] == [10]
    assert unmet(planned) == {"f1": ("too much nodata", 0, 1)}


def test_windows_that_hold_a_feature_are_told_from_those_that_hold_none():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    case = Case(rasters, (1,), {(1, "a"): shapely.Point(9.5, 9.5), (1, "b"): shapely.Point(3.5, 3.5)})
    spots = [("a", 7, 7), ("a", 3, 3), ("b", 3, 3), ("gone", 7, 7), ("a", 9, 9), ("a", 10, 9)]
    given = [(raster_id, Window(col, row, 4, 4)) for raster_id, col, row in spots]
    assert holding(*case.tables(), given) == [True, False, True, False, True, False]


def test_three_hundred_objects_in_clusters_take_less_than_a_third_as_many_chips():
    rng = np.random.default_rng(11)
    middles = rng.uniform(60, 1940, (30, 2))
    places = (middles[:, None] + rng.normal(0, 25, (30, 10, 2))).reshape(-1, 2)
    sides = rng.uniform(2, 12, (300, 2))
    boxes = [shapely.box(*low, *high) for low, high in zip(places, places + sides, strict=True)]
    raster = Raster("r", 2000, 2000, size=(128, 128))
    case = Case((raster,), tuple(range(300)), {(key, "r"): box for key, box in enumerate(boxes)})
    planned = plan(case)
    assert unmet(planned) == {}
    assert len(planned.chips) == planned.bound <= 100
    held = shapely.STRtree([raster.place(box) for box in boxes])
    chips = [raster.box(*window) for _, *window in windows(planned)]
    assert set(held.query(chips, predicate="contains")[1].tolist()) == set(range(300))


def test_a_cover_has_the_types_that_its_docstring_gives_also_when_it_is_empty():
    planned = plan(Case((), ()))
    assert planned.chips.schema == CHIPS
    assert planned.unmet.column_names == ["feature_id", "reason", "have", "wanted"]
    assert planned.bound == 0
    assert unmet(plan(Case((), (3,)))) == {"f3": ("no raster contains it", 0, 1)}


def test_what_no_chip_can_contain_is_told():
    case = Case(
        (Raster("r", 20, 20), Raster("s", 3, 20)),
        (1, 2),
        {(1, "r"): shapely.box(5, 5, 12, 6), (2, "s"): shapely.Point(1, 1)},
    )
    assert unmet(plan(case)) == {"f1": ("larger than a chip", 0, 1), "f2": ("raster smaller than a chip", 0, 1)}


def test_an_option_out_of_range_is_named():
    with pytest.raises(UsageError, match="0 times"):
        plan(Case((), ()), times=0)
    with pytest.raises(UsageError, match="no pixels"):
        plan(Case((Raster("r", 9, 9, size=(0, 4)),), ()))
