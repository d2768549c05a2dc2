"""Chips around features: the oracle tries window by window."""

from fractions import Fraction
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from geographer.algorithms.rng import make_rng
from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.cut.windows.around import Around, plan_around
from geographer.operations.cut.windows.plan_tables import CHIPS
from tests.operations.cut.windows.pixel_oracle import (
    TRANSFORMS,
    WINDOW,
    Case,
    Raster,
    candidates_of,
    cases,
    containing,
    name,
    rasters_of,
    refusing,
    selected_of,
    unmet,
    windows,
)


def plan(case, order=None, fits=None, **options):
    return plan_around(*case.tables(order), Around(**options), fits)


def made(planned):
    """Feature, raster and window of each chip."""
    columns = ["feature_id", "raster_id", *WINDOW]
    return [tuple(row[column] for column in columns) for row in planned.chips.to_pylist()]


def axis_of(pixels, axis):
    """The geometry's bounds along an axis of its raster."""
    return pixels.bounds[axis], pixels.bounds[axis + 2]


def size_of(raster, pixels, options):
    """A window's size: the recipe's, or times the bounds and large enough to hold the feature."""
    if options["mode"] != "variable":
        return raster.size
    size = []
    for axis, smallest, extent in zip((0, 1), raster.size, (raster.width, raster.height), strict=True):
        low, high = axis_of(pixels, axis)
        length = max(-(-(Fraction(high) - Fraction(low)) * Fraction(options["scale"]) // 1), smallest)
        while not positions(raster, pixels, axis, length):
            length += 1
        size.append(int(length) if options["at_border"] == "pad" else int(min(length, extent)))
    return tuple(size)


def positions(raster, pixels, axis, length):
    """Where windows of that length begin that hold the feature along one axis."""
    other = 2 * (raster.height, raster.width)[axis] + 2
    size = (int(length), other) if axis == 0 else (other, int(length))
    return sorted({window[axis] for window in containing(raster, pixels, size)})


def begins(raster, pixels, axis, size, options, random):
    """Where the windows begin that hold the feature along one axis: one, or the fewest in a row; none if there is none."""
    extent = (raster.width, raster.height)[axis]
    count = next(count for count in range(1, 99) if positions(raster, pixels, axis, count * size))
    span = count * size
    places = positions(raster, pixels, axis, span)
    wanted = nearest(places, span, *axis_of(pixels, axis))
    if options["at_border"] != "pad":
        if size > extent:
            return None
        unmoved = options["at_border"] == "skip" and options["mode"] != "random"
        if count > 1 and span > extent:
            return None if unmoved else [(extent - size) * n // (count - 1) for n in range(count)]
        places = [place for place in places if 0 <= place <= extent - span]
        if not places or (unmoved and wanted not in places):
            return None
    if options["mode"] == "random":
        first = int(random.integers(min(places), max(places) + 1))
    else:
        first = nearest(places, span, *axis_of(pixels, axis))
    return [first + n * size for n in range(count)]


def nearest(places, extent, low, high):
    centre = (Fraction(low) + Fraction(high)) / 2
    return min(places, key=lambda place: (abs(place + Fraction(extent, 2) - centre), -place))


def expected(case, fits, **options):
    """The chips, feature by feature, and how many chips contain each feature in the end."""
    known = {raster.id: raster for raster in case.rasters}
    chips, in_parts = [], []

    def holding(key, raster_ids):
        return sum((key, raster_id) in in_parts for raster_id in raster_ids) + sum(
            known[raster_id].box(*window).contains(known[raster_id].place(case.pixels[key, raster_id]))
            for raster_id, window in chips
            if (key, raster_id) in case.pixels and raster_id in raster_ids
        )

    plan = []
    for key in case.keys:
        turn = [raster for raster in case.rasters if (key, raster.id) in case.pixels]
        turn.sort(key=lambda raster: holding(key, [raster.id]) > 0)
        for raster in turn:
            if holding(key, known) >= options["target_count"]:
                break
            pixels, random = case.pixels[key, raster.id], make_rng(options["seed"], name(key), raster.id)
            size = size_of(raster, pixels, options)
            cols, rows = (begins(raster, pixels, axis, size[axis], options, random) for axis in (0, 1))
            if cols is None or rows is None:
                continue
            grid = [(col, row, *size) for row, col in product(rows, cols)]
            new = [window for window in grid if (raster.id, window) not in chips]
            if fits and not all(fits(raster.id, window) for window in new):
                continue
            chips += [(raster.id, window) for window in new]
            in_parts += [(key, raster.id)] if len(grid) > 1 else []
            plan += [(name(key), raster.id, *window) for window in new]
    return plan, {name(key): holding(key, known) for key in case.keys}


options = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["centered", "random", "variable"]),
        "scale": st.sampled_from([0.5, 1.0, 1.5]),
        "seed": st.integers(0, 3),
        "target_count": st.integers(1, 3),
        "at_border": st.sampled_from(["shift", "pad", "skip"]),
    }
)
refusals = st.integers(0, 3).map(refusing)


@settings(max_examples=120, deadline=None)
@given(cases(), options, refusals)
def test_the_plan_is_the_one_that_trying_every_window_gives(case, options, fits):
    planned = plan(case, fits=fits, **options)
    chips, have = expected(case, fits, **options)
    assert made(planned) == chips
    wanted = options["target_count"]
    short = {id: (count, wanted) for id, count in have.items() if count < wanted}
    assert {id: row[1:] for id, row in unmet(planned).items()} == short
    assert planned.unmet["feature_id"].to_pylist() == [name(k) for k in case.keys if name(k) in short]
    names = planned.chips["name"].to_pylist()
    assert len(set(names)) == len(names)


shuffled_too = st.tuples(options, st.booleans()).map(lambda both: {**both[0], "shuffled": both[1]})


@settings(max_examples=60, deadline=None)
@given(cases(), shuffled_too, refusals, st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(case, options, fits, shuffle):
    shuffled = plan(case, np.random.default_rng(shuffle), fits, **options)
    assert shuffled == plan(case, fits=fits, **options)


@settings(max_examples=60, deadline=None)
@given(cases(), shuffled_too, refusals)
def test_features_added_later_change_nothing_for_those_before(case, options, fits):
    whole = plan(case, fits=fits, **options).chips
    for count in range(len(case.keys)):
        before = plan(case.until(count), fits=fits, **options).chips
        assert before == whole[: len(before)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([transform for transform in TRANSFORMS if transform.b == transform.d == 0]),
    st.integers(1, 300),
    st.integers(0, 700),
    st.integers(-2, 2),
    st.integers(-2, 2),
)
def test_edges_are_compared_to_the_last_bit(transform, size, col, low_ulps, high_ulps):
    """A feature whose bounds are a chip's, but for some ulps: exactly one window can hold it, or none."""
    raster = Raster("r", 1000, 1000, transform, (size, 1))
    left, bottom, right, top = raster.box(col, 500, size, 1).bounds
    left, right = ulps(left, low_ulps), ulps(right, high_ulps)
    assume(left < right)
    middle = (bottom + top) / 2
    feature = shapely.LineString([(left, middle), (right, middle)])
    candidates = pa.table(
        {
            **{"feature_key": [0], "raster_id": ["r"]},
            **{"xmin": [left], "ymin": [middle], "xmax": [right], "ymax": [middle]},
        }
    )
    planned = plan_around(candidates, rasters_of([raster]), selected_of([0]), Around(at_border="pad"))
    holding = [
        ("r", at, 500, size, 1) for at in range(col - 2, col + 3) if raster.box(at, 500, size, 1).contains(feature)
    ]
    assert unmet(planned) == {}
    if holding:
        assert windows(planned) == holding[-1:]
    else:
        first, count = windows(planned)[0][1], len(planned.chips)
        assert windows(planned) == [("r", first + n * size, 500, size, 1) for n in range(count)]
        assert raster.box(first, 500, count * size, 1).contains(feature)
        fewer = [raster.box(at, 500, (count - 1) * size, 1) for at in range(col - 2, col + 3)]
        assert not any(box.contains(feature) for box in fewer)


def ulps(value, count):
    for _ in range(abs(count)):
        value = np.nextafter(value, np.inf if count > 0 else -np.inf)
    return float(value)


def one_each(count, pixels, width=20, height=20, size=(4, 4)):
    """A feature in each of many equal rasters, so that no chip of one contains another."""
    rasters = tuple(Raster(f"r{n:04d}", width, height, size=size) for n in range(count))
    return Case(rasters, tuple(range(count)), {(n, rasters[n].id): pixels for n in range(count)})


def test_random_windows_are_uniform_among_those_that_contain_the_feature():
    case = one_each(2400, shapely.box(10.5, 10, 12.25, 13), size=(5, 6))
    found = [(col, row) for _, col, row, *_ in windows(plan(case, mode="random", seed=1))]
    positions, counts = np.unique(found, axis=0, return_counts=True)
    assert [tuple(it) for it in positions.tolist()] == list(product(range(8, 11), range(7, 11)))
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    ("at_border", "cols", "rows"),
    [("shift", [0, 1], [15, 16]), ("skip", [0, 1], [15, 16]), ("pad", [-1, 0, 1], [15, 16, 17])],
)
def test_random_windows_at_a_border_are_uniform_among_those_allowed(at_border, cols, rows):
    planned = plan(one_each(900, shapely.box(1.5, 17, 2.5, 18.5)), mode="random", at_border=at_border, seed=3)
    found = [(col, row) for _, col, row, *_ in windows(planned)]
    places, counts = np.unique(found, axis=0, return_counts=True)
    assert [tuple(place) for place in places.tolist()] == list(product(cols, rows))
    assert chisquare(counts).pvalue > 0.01


def test_random_windows_depend_on_the_seed_the_feature_and_the_raster():
    point = shapely.Point(50.5, 50.5)
    rasters = tuple(Raster(id, 100, 100, size=(40, 40)) for id in "ab")
    case = Case(rasters, (1, 2), {(key, raster.id): point for key in (1, 2) for raster in rasters})
    chips = [
        chip
        for seed, key in product((0, 1), (1, 2))
        for chip in windows(plan(case.only(key), mode="random", seed=seed, target_count=2))
    ]
    assert len(chips) == len({chip[1:] for chip in chips}) == 8


def test_a_random_window_is_the_same_on_every_machine():
    assert windows(plan(one_each(3, shapely.Point(10.5, 10.5), size=(8, 8)), mode="random", seed=5)) == [
        ("r0000", 5, 9, 8, 8),
        ("r0001", 6, 9, 8, 8),
        ("r0002", 5, 10, 8, 8),
    ]


@pytest.mark.parametrize("noise", [-1e-6, 0, 1e-6])
def test_noise_in_coordinates_does_not_decide_where_a_point_in_the_middle_of_a_pixel_lies(noise):
    middle = shapely.Point(10.5 + noise, 7.5 - noise)
    assert windows(plan(one_each(1, middle))) == [("r0000", 9, 6, 4, 4)]


@pytest.mark.parametrize("at_border", ["shift", "pad", "skip"])
def test_rounding_the_centre_does_not_push_the_feature_out_of_its_chip(at_border):
    almost = shapely.LineString([(3.99997, 9.25), (6.99999, 9.25)])
    assert windows(plan(one_each(1, almost), at_border=at_border)) == [("r0000", 3, 7, 4, 4)]


@pytest.mark.parametrize(
    ("at_border", "chips"),
    [("shift", [("r0000", 16, 0, 4, 4)]), ("pad", [("r0000", 17, -1, 4, 4)]), ("skip", [])],
)
def test_a_window_over_the_border_is_moved_padded_or_skipped(at_border, chips):
    planned = plan(one_each(1, shapely.Point(19.25, 0.75)), at_border=at_border)
    assert windows(planned) == chips
    if not chips:
        assert unmet(planned) == {"f0": ("its chip would cross the raster's edge", 0, 1)}


def test_a_skipped_window_leaves_the_feature_to_the_next_raster():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    case = Case(rasters, (0,), {(0, "a"): shapely.Point(1, 9.25), (0, "b"): shapely.Point(9.25, 9.25)})
    assert windows(plan(case, at_border="skip")) == [("b", 7, 7, 4, 4)]


def test_a_raster_smaller_than_a_chip_gives_none_unless_padded():
    case = one_each(1, shapely.Point(1.5, 9.5), width=3)
    for at_border, mode in product(["shift", "skip"], ["centered", "random"]):
        planned = plan(case, at_border=at_border, mode=mode)
        assert planned.chips.num_rows == 0
        assert unmet(planned) == {"f0": ("raster smaller than a chip", 0, 1)}
    assert windows(plan(case, at_border="pad")) == [("r0000", 0, 8, 4, 4)]


@pytest.mark.parametrize(("right", "begins"), [(7, [3]), (7.25, [1, 5]), (8, [2, 6]), (11, [3, 7]), (11.25, [1, 5, 9])])
def test_a_feature_that_covers_more_pixels_than_a_chip_gets_as_few_in_a_row_as_hold_it(right, begins):
    planned = plan(one_each(1, shapely.box(3.5, 3, right, 4)), at_border="pad")
    assert windows(planned) == [("r0000", begin, 2, 4, 4) for begin in begins]
    assert unmet(planned) == {}


def test_a_feature_larger_than_a_chip_both_ways_counts_as_in_one_chip_a_raster():
    large = shapely.box(5, 5, 12, 10)
    planned = plan(one_each(1, large), target_count=2)
    assert windows(planned) == [("r0000", col, row, 4, 4) for row in (4, 8) for col in (5, 9)]
    assert planned.chips["name"].to_pylist() == [f"r0000_f0~{col}-{row}" for row in (0, 1) for col in (0, 1)]
    assert unmet(planned) == {"f0": ("only 1 raster contains it", 1, 2)}
    both = (Raster("a", 20, 20), Raster("b", 20, 20))
    planned = plan(Case(both, (0,), {(0, "a"): large, (0, "b"): large}), target_count=2)
    assert len(windows(planned)) == 8
    assert unmet(planned) == {}


def test_equal_features_larger_than_a_chip_share_their_chips():
    large = shapely.box(5, 5, 12, 10)
    planned = plan(Case((Raster("r", 20, 20),), (0, 1), {(0, "r"): large, (1, "r"): large}))
    assert planned.chips["feature_id"].to_pylist() == ["f0"] * 4
    assert unmet(planned) == {}


@pytest.mark.parametrize("at_border", ["shift", "pad", "skip"])
def test_a_feature_that_takes_more_chips_than_its_raster_has_room_for(at_border):
    """Six columns hold two chips of four only when these share two."""
    for left, right, padded in ((0.25, 5.75, [-1, 3]), (0, 4.25, [-2, 2])):
        planned = plan(one_each(1, shapely.box(left, 5, right, 6), width=6), at_border=at_border)
        columns = {"shift": [0, 2], "pad": padded, "skip": []}[at_border]
        assert [col for _, col, *_ in windows(planned)] == columns
        assert unmet(planned) == ({} if columns else {"f0": ("its chip would cross the raster's edge", 0, 1)})


@pytest.mark.parametrize(
    ("scale", "at_border", "chip"),
    [
        (1.0, "shift", (4, 5, 8, 4)),
        (1.25, "shift", (3, 4, 10, 5)),
        (2.0, "shift", (0, 3, 16, 7)),
        (4.0, "shift", (0, 0, 20, 14)),
        (4.0, "pad", (-8, 0, 32, 14)),
    ],
)
def test_a_variable_chip_is_the_bounds_times_the_scale_and_ends_with_its_raster(scale, at_border, chip):
    planned = plan(one_each(1, shapely.box(4, 5, 12, 8.5)), mode="variable", scale=scale, at_border=at_border)
    assert windows(planned) == [("r0000", *chip)]


def test_a_variable_chip_has_its_least_size_and_grows_by_the_pixel_that_it_takes():
    case = one_each(1, shapely.Point(9.5, 9.5), size=(6, 5))
    assert windows(plan(case, mode="variable", scale=3.0)) == [("r0000", 7, 7, 6, 5)]
    case = one_each(1, shapely.box(3.5, 3.5, 8.5, 4.5), size=(1, 1))
    assert windows(plan(case, mode="variable")) == [("r0000", 3, 3, 6, 2)]


def test_a_window_that_does_not_fit_leaves_the_feature_to_the_next_raster_and_is_told():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    point = shapely.Point(9.25, 9.25)
    case = Case(rasters, (0,), {(0, "a"): point, (0, "b"): point})
    assert windows(plan(case, fits=lambda raster_id, _: raster_id == "b")) == [("b", 7, 7, 4, 4)]
    planned = plan(case, fits=lambda *_: False)
    assert (windows(planned), unmet(planned)) == ([], {"f0": ("too much nodata", 0, 1)})


def test_one_part_that_does_not_fit_refuses_the_whole_grid():
    planned = plan(one_each(1, shapely.box(5, 5, 12, 10)), fits=lambda _, window: window.col < 9)
    assert (windows(planned), unmet(planned)) == ([], {"f0": ("too much nodata", 0, 1)})


def test_rasters_have_chips_of_their_own_sizes_and_their_own_turns():
    rasters = (Raster("b", 20, 20, size=(6, 2)), Raster("a", 20, 20, size=(3, 8)))
    point = shapely.Point(9.5, 9.5)
    case = Case(rasters, (0,), {(0, "a"): point, (0, "b"): point})
    assert windows(plan(case)) == [("b", 7, 9, 6, 2)]
    assert windows(plan(case, target_count=2)) == [("b", 7, 9, 6, 2), ("a", 8, 6, 3, 8)]


def test_features_are_served_in_their_turns():
    points = {(5, "r"): shapely.Point(9.5, 9.5), (1, "r"): shapely.Point(11.25, 9.5)}
    assert made(plan(Case((Raster("r", 20, 20),), (5, 1), points))) == [("f5", "r", 8, 8, 4, 4)]
    assert made(plan(Case((Raster("r", 20, 20),), (1, 5), points))) == [("f1", "r", 9, 8, 4, 4)]


def test_shuffled_rasters_are_in_a_random_order_for_each_feature():
    rasters = tuple(Raster(id, 20, 20) for id in "abc")
    keys = tuple(range(600))
    far = {key: shapely.Point(9.5, 9.5) for key in keys}
    found = {}
    for seed in (0, 1):
        orders = []
        for key in keys:
            case = Case(rasters, (key,), {(key, raster.id): far[key] for raster in rasters})
            planned = plan(case, seed=seed, shuffled=True, target_count=3)
            orders.append("".join(planned.chips["raster_id"].to_pylist()))
        found[seed] = orders
        names, counts = np.unique(orders, return_counts=True)
        assert names.tolist() == ["abc", "acb", "bac", "bca", "cab", "cba"]
        assert chisquare(counts).pvalue > 0.01
    assert found[0] != found[1]


def test_a_feature_s_random_order_is_the_same_with_one_raster_less():
    rasters = tuple(Raster(id, 20, 20) for id in "abcdef")

    def order(rasters):
        case = Case(rasters, (3,), {(3, raster.id): shapely.Point(9.5, 9.5) for raster in rasters})
        return plan(case, shuffled=True, target_count=9).chips["raster_id"].to_pylist()

    assert [id for id in order(rasters) if id != "c"] == order(tuple(it for it in rasters if it.id != "c"))


def test_a_feature_on_the_rounded_edge_of_its_raster_is_reported():
    raster = Raster("r", 10, 10, Affine(0.7, 0, 0, 0, 0.7, -8.9), (2, 2))
    assert raster.box(0, 8, 10, 2).bounds[3] < raster.box(0, 0, 10, 10).bounds[3]
    case = Case((raster,), (0,), {(0, "r"): shapely.box(4, 9.5, 5, 10)})
    assert unmet(plan(case)) == {"f0": ("no window inside the raster holds it", 0, 1)}


def test_a_feature_that_no_raster_contains_is_reported():
    assert unmet(plan(Case((), (3,)))) == {"f3": ("no raster contains it", 0, 1)}


def test_a_feature_short_of_rasters_is_reported_with_their_number():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    point = shapely.Point(9.5, 9.5)
    case = Case(rasters, (0, 1), {(0, "a"): point, (0, "b"): point, (1, "a"): shapely.Point(2.5, 2.5)})
    assert unmet(plan(case, target_count=3)) == {
        "f0": ("only 2 rasters contain it", 2, 3),
        "f1": ("only 1 raster contains it", 1, 3),
    }


def test_different_obstacles_are_all_told():
    rasters = (Raster("a", 20, 20), Raster("b", 3, 20), Raster("c", 20, 20))
    pixels = {
        (0, "a"): shapely.box(1, 1, 4, 2),
        (0, "b"): shapely.Point(1.5, 9),
        (0, "c"): shapely.Point(9, 9),
    }
    planned = plan(Case(rasters, (0,), pixels), target_count=2, fits=lambda raster_id, _: raster_id != "a")
    assert unmet(planned) == {"f0": ("too much nodata; raster smaller than a chip", 1, 2)}


def test_a_cluster_shares_one_chip():
    points = {(key, "r"): shapely.Point(9 + key / 8, 9.5) for key in range(9)}
    assert windows(plan(Case((Raster("r", 20, 20),), tuple(range(9)), points))) == [("r", 7, 8, 4, 4)]


def test_chips_come_first_from_rasters_whose_chips_do_not_show_the_feature():
    rasters = (Raster("a", 20, 20), Raster("b", 20, 20))
    pixels = {
        (0, "a"): shapely.Point(9.25, 9.25),
        (1, "a"): shapely.Point(10.25, 9.25),
        (1, "b"): shapely.Point(5.25, 5.25),
    }
    assert made(plan(Case(rasters, (0, 1), pixels), target_count=2)) == [
        ("f0", "a", 7, 7, 4, 4),
        ("f1", "b", 3, 3, 4, 4),
    ]


def test_a_point_or_line_on_the_edge_of_a_chip_is_not_contained():
    """The first feature's chip takes columns 4 to 7 and rows 8 to 11."""
    raster = Raster("r", 20, 20)
    first = {(9, "r"): shapely.box(4, 8, 8, 12)}
    edge = [shapely.Point(4, 9), shapely.LineString([(8, 8), (8, 9)]), shapely.Point(5, 12)]
    inside = [shapely.Point(5, 9), shapely.LineString([(4, 9), (8, 9)])]
    for shapes, count in ((edge, 2), (inside, 1)):
        for shape in shapes:
            planned = plan(Case((raster,), (9, 0), first | {(0, "r"): shape}))
            assert windows(planned)[0] == ("r", 4, 8, 4, 4)
            assert len(planned.chips) == count


def test_a_plan_has_the_types_that_its_docstring_gives_also_when_it_is_empty():
    empty, full = plan(Case((), ())), plan(one_each(1, shapely.Point(5, 5)), target_count=2)
    assert (empty.chips.schema, empty.unmet.schema) == (full.chips.schema, full.unmet.schema)
    assert full.chips.schema == CHIPS
    assert full.chips.column_names == ["name", "raster_id", "feature_id", *WINDOW]
    assert full.unmet.column_names == ["feature_id", "reason", "have", "wanted"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"target_count": 0}, "target count 0"),
        ({"scale": 0.0}, "a scale of 0"),
        ({"scale": float("nan")}, "a scale of nan"),
        ({"mode": "middle"}, "'middle' is not among 'centered', 'random', 'variable'"),
        ({"at_border": "stretch"}, "'stretch' is not among 'shift', 'pad', 'skip'"),
    ],
)
def test_an_option_out_of_range_is_named(option, message):
    with pytest.raises(UsageError, match=message):
        plan(one_each(1, shapely.Point(5, 5)), **option)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_chip_without_pixels_is_named(size):
    with pytest.raises(UsageError, match="has no pixels"):
        plan(one_each(1, shapely.Point(5, 5), size=size))


def test_a_candidate_of_an_unknown_raster_or_feature_is_named():
    candidates, rasters, selected = one_each(2, shapely.Point(5, 5)).tables()
    with pytest.raises(NotFoundError, match=r"'r0001'.*rasters"):
        plan_around(candidates, rasters[:1], selected, Around())
    with pytest.raises(NotFoundError, match=r"'1'.*features"):
        plan_around(candidates, rasters, selected[:1], Around())


def test_a_transform_without_inverse_is_named():
    with pytest.raises(UsageError, match="'flat'"):
        plan(Case((Raster("flat", 9, 9, Affine(1, 0, 0, 0, 0, 0)), Raster("fine", 9, 9)), ()))


def test_a_rotated_raster_needs_bounds_in_its_pixels():
    case = Case((Raster("r", 9, 9, Affine(0, 2, 5, 3, 0, 7)),), (0,), {(0, "r"): shapely.Point(4, 4)})
    candidates = candidates_of(case).drop_columns(["pmin_col", "pmin_row", "pmax_col", "pmax_row"])
    with pytest.raises(UsageError, match="'f0'"):
        plan_around(candidates, rasters_of(case.rasters), selected_of([0]), Around(at_border="pad"))
