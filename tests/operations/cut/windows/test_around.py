"""Test windows around features against an oracle that tries every window."""

from fractions import Fraction
from itertools import product
from typing import Any

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
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.windows.around import plan_around
from tests.operations.cut.windows.pixel_oracle import (
    TRANSFORMS,
    Case,
    Raster,
    accept_all,
    list_containing_windows,
    list_windows,
    make_candidates,
    make_feature_id,
    make_features_table,
    make_rasters_table,
    predicates,
    raster_cases,
    read_unmet,
)


def plan_tables(tables, accepts_window=None, *, shuffled=False, **options):
    """Plan with parameters of `CutAround`; `shuffled` draws the order of rasters."""
    defaults: dict[str, Any] = {"mode": "centered", "at_border": "shift", "scale": 1.0, "target_count": 1, "seed": 0}
    candidates, rasters, features = tables
    parameters = defaults | options
    size = None if parameters["mode"] == "variable" else 1  # the table of rasters has the sizes
    recipe = CutAround("chips", size=size, order_by="random" if shuffled else None, **parameters)
    return plan_around(candidates, rasters, features, recipe, accepts_window or accept_all)


def plan_case(case, order=None, accepts_window=None, **options):
    return plan_tables(case.make_tables(order), accepts_window, **options)


def list_chips(plan):
    """Return feature, raster and window of each chip."""
    return [(chip.feature_id, chip.raster_id, *chip.window) for chip in plan.chips]


def get_axis_bounds(pixels, axis):
    """Return the geometry's bounds along an axis of its raster."""
    return pixels.bounds[axis], pixels.bounds[axis + 2]


def compute_size(raster, pixels, options):
    """Return the window's size: the recipe's, or `scale` times the bounds and large enough for the feature."""
    if options["mode"] != "variable":
        return raster.chip_size
    size = []
    for axis, min_size, extent in zip((0, 1), raster.chip_size, (raster.width, raster.height), strict=True):
        low, high = get_axis_bounds(pixels, axis)
        length = max(-(-(Fraction(high) - Fraction(low)) * Fraction(options["scale"]) // 1), min_size)
        while not list_positions(raster, pixels, axis, length):
            length += 1
        size.append(int(length) if options["at_border"] == "pad" else int(min(length, extent)))
    return tuple(size)


def list_positions(raster, pixels, axis, length):
    """Return the starts of windows of that length that contain the feature along one axis."""
    other = 2 * (raster.height, raster.width)[axis] + 2
    size = (int(length), other) if axis == 0 else (other, int(length))
    return sorted({window[axis] for window in list_containing_windows(raster, pixels, size)})


def choose_starts(raster, pixels, axis, size, options, rng):
    """Return the starts of the fewest adjacent windows that contain the feature along one axis; None: impossible."""
    extent = (raster.width, raster.height)[axis]
    count = next(count for count in range(1, 99) if list_positions(raster, pixels, axis, count * size))
    span = count * size
    positions = list_positions(raster, pixels, axis, span)
    preferred = find_nearest(positions, span, *get_axis_bounds(pixels, axis))
    if options["at_border"] != "pad":
        if size > extent:
            return None
        must_not_move = options["at_border"] == "skip" and options["mode"] != "random"
        if count > 1 and span > extent:
            return None if must_not_move else [(extent - size) * n // (count - 1) for n in range(count)]
        positions = [position for position in positions if 0 <= position <= extent - span]
        if not positions or (must_not_move and preferred not in positions):
            return None
    if options["mode"] == "random":
        first = int(rng.integers(min(positions), max(positions) + 1))
    else:
        first = find_nearest(positions, span, *get_axis_bounds(pixels, axis))
    return [first + n * size for n in range(count)]


def find_nearest(positions, size, low, high):
    centre = (Fraction(low) + Fraction(high)) / 2
    return min(positions, key=lambda position: (abs(position + Fraction(size, 2) - centre), -position))


def plan_by_brute_force(case, accepts_window, **options):
    """Return the chips, feature by feature, and the number of chips that contain each feature."""
    raster_by_id = {raster.id: raster for raster in case.rasters}
    windows: list[tuple] = []
    split_pairs: list[tuple] = []

    def count_containing(key, raster_ids):
        return sum((key, raster_id) in split_pairs for raster_id in raster_ids) + sum(
            raster_by_id[raster_id]
            .make_box(*window)
            .contains(raster_by_id[raster_id].place_geometry(case.pixels[key, raster_id]))
            for raster_id, window in windows
            if (key, raster_id) in case.pixels and raster_id in raster_ids
        )

    chips = []
    for key in case.keys:
        rasters = [raster for raster in case.rasters if (key, raster.id) in case.pixels]
        rasters.sort(key=lambda raster: count_containing(key, [raster.id]) > 0)
        for raster in rasters:
            if count_containing(key, raster_by_id) >= options["target_count"]:
                break
            pixels, rng = case.pixels[key, raster.id], make_rng(options["seed"], make_feature_id(key), raster.id)
            size = compute_size(raster, pixels, options)
            cols, rows = (choose_starts(raster, pixels, axis, size[axis], options, rng) for axis in (0, 1))
            if cols is None or rows is None:
                continue
            grid = [(col, row, *size) for row, col in product(rows, cols)]
            new = [window for window in grid if (raster.id, window) not in windows]
            if accepts_window and not all(accepts_window(raster.id, window) for window in new):
                continue
            windows += [(raster.id, window) for window in new]
            split_pairs += [(key, raster.id)] if len(grid) > 1 else []
            chips += [(make_feature_id(key), raster.id, *window) for window in new]
    return chips, {make_feature_id(key): count_containing(key, raster_by_id) for key in case.keys}


options = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["centered", "random", "variable"]),
        "scale": st.sampled_from([0.5, 1.0, 1.5]),
        "seed": st.integers(0, 3),
        "target_count": st.integers(1, 3),
        "at_border": st.sampled_from(["shift", "pad", "skip"]),
    }
)


@settings(max_examples=120, deadline=None)
@given(raster_cases(), options, predicates)
def test_plan_around_matches_brute_force(case, options, accepts_window):
    plan = plan_case(case, accepts_window=accepts_window, **options)
    chips, counts = plan_by_brute_force(case, accepts_window, **options)
    assert list_chips(plan) == chips
    target_count = options["target_count"]
    unmet = {id: (count, target_count) for id, count in counts.items() if count < target_count}
    assert {id: row[1:] for id, row in read_unmet(plan).items()} == unmet
    assert [shortage.id for shortage in plan.unmet] == [
        make_feature_id(key) for key in case.keys if make_feature_id(key) in unmet
    ]
    names = [chip.name for chip in plan.chips]
    assert len(set(names)) == len(names)


options_with_shuffling = st.tuples(options, st.booleans()).map(lambda both: {**both[0], "shuffled": both[1]})


@settings(max_examples=60, deadline=None)
@given(raster_cases(), options_with_shuffling, predicates, st.integers(0, 2**32))
def test_plan_around_ignores_row_order(case, options, accepts_window, shuffle):
    shuffled = plan_case(case, np.random.default_rng(shuffle), accepts_window, **options)
    assert shuffled == plan_case(case, accepts_window=accepts_window, **options)


@settings(max_examples=60, deadline=None)
@given(raster_cases(), options_with_shuffling, predicates)
def test_plan_around_ignores_later_features(case, options, accepts_window):
    all_chips = plan_case(case, accepts_window=accepts_window, **options).chips
    for count in range(len(case.keys)):
        first_chips = plan_case(case.take_first(count), accepts_window=accepts_window, **options).chips
        assert first_chips == all_chips[: len(first_chips)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([transform for transform in TRANSFORMS if transform.b == transform.d == 0]),
    st.integers(1, 300),
    st.integers(0, 700),
    st.integers(-2, 2),
    st.integers(-2, 2),
)
def test_edges_are_compared_bit_exactly(transform, size, col, low_ulps, high_ulps):
    """A feature's bounds equal a chip's within some ulps: at most one window contains it."""
    raster = Raster("r", 1000, 1000, transform, (size, 1))
    left, bottom, right, top = raster.make_box(col, 500, size, 1).bounds
    left, right = shift_by_ulps(left, low_ulps), shift_by_ulps(right, high_ulps)
    assume(left < right)
    middle = (bottom + top) / 2
    feature = shapely.LineString([(left, middle), (right, middle)])
    candidates = pa.table(
        {
            **{"feature_key": [0], "raster_id": ["r"]},
            **{"xmin": [left], "ymin": [middle], "xmax": [right], "ymax": [middle]},
        }
    )
    plan = plan_tables((candidates, make_rasters_table([raster]), make_features_table([0])), at_border="pad")
    containing = [
        ("r", start, 500, size, 1)
        for start in range(col - 2, col + 3)
        if raster.make_box(start, 500, size, 1).contains(feature)
    ]
    assert read_unmet(plan) == {}
    if containing:
        assert list_windows(plan) == containing[-1:]
    else:
        first, count = list_windows(plan)[0][1], len(plan.chips)
        assert list_windows(plan) == [("r", first + n * size, 500, size, 1) for n in range(count)]
        assert raster.make_box(first, 500, count * size, 1).contains(feature)
        fewer = [raster.make_box(start, 500, (count - 1) * size, 1) for start in range(col - 2, col + 3)]
        assert not any(box.contains(feature) for box in fewer)


def shift_by_ulps(value, count):
    for _ in range(abs(count)):
        value = np.nextafter(value, np.inf if count > 0 else -np.inf)
    return float(value)


TWO_RASTERS = (Raster("a", 20, 20), Raster("b", 20, 20))


def make_case_everywhere(rasters, pixels, keys=(0,)):
    """Make a case with features at the same pixels of every raster."""
    return Case(rasters, keys, {(key, raster.id): pixels for key, raster in product(keys, rasters)})


def make_case_per_raster(count, pixels, width=20, height=20, chip_size=(4, 4)):
    """Make a case with one feature in each of many equal rasters, so that no chip contains two features."""
    rasters = tuple(Raster(f"r{n:04d}", width, height, chip_size=chip_size) for n in range(count))
    return Case(rasters, tuple(range(count)), {(n, rasters[n].id): pixels for n in range(count)})


def check_starts_are_uniform(plan, cols, rows):
    """Check that windows start equally often at each of `cols` and `rows`."""
    starts = [(col, row) for _, col, row, *_ in list_windows(plan)]
    positions, counts = np.unique(starts, axis=0, return_counts=True)
    assert [tuple(position) for position in positions.tolist()] == list(product(cols, rows))
    assert chisquare(counts).pvalue > 0.01


def test_random_windows_are_uniformly_distributed():
    case = make_case_per_raster(2400, shapely.box(10.5, 10, 12.25, 13), chip_size=(5, 6))
    check_starts_are_uniform(plan_case(case, mode="random", seed=1), range(8, 11), range(7, 11))


@pytest.mark.parametrize(
    ("at_border", "cols", "rows"),
    [("shift", [0, 1], [15, 16]), ("skip", [0, 1], [15, 16]), ("pad", [-1, 0, 1], [15, 16, 17])],
)
def test_random_windows_respect_the_border(at_border, cols, rows):
    plan = plan_case(
        make_case_per_raster(900, shapely.box(1.5, 17, 2.5, 18.5)), mode="random", at_border=at_border, seed=3
    )
    check_starts_are_uniform(plan, cols, rows)


def test_random_windows_depend_on_seed_and_ids():
    rasters = tuple(Raster(id, 100, 100, chip_size=(40, 40)) for id in "ab")
    case = make_case_everywhere(rasters, shapely.Point(50.5, 50.5), keys=(1, 2))
    chips = [
        chip
        for seed, key in product((0, 1), (1, 2))
        for chip in list_windows(plan_case(case.select_feature(key), mode="random", seed=seed, target_count=2))
    ]
    assert len(chips) == len({chip[1:] for chip in chips}) == 8


def test_random_windows_are_reproducible():
    assert list_windows(
        plan_case(make_case_per_raster(3, shapely.Point(10.5, 10.5), chip_size=(8, 8)), mode="random", seed=5)
    ) == [
        ("r0000", 5, 9, 8, 8),
        ("r0001", 6, 9, 8, 8),
        ("r0002", 5, 10, 8, 8),
    ]


@pytest.mark.parametrize("noise", [-1e-6, 0, 1e-6])
def test_centered_window_ignores_coordinate_noise(noise):
    middle = shapely.Point(10.5 + noise, 7.5 - noise)
    assert list_windows(plan_case(make_case_per_raster(1, middle))) == [("r0000", 9, 6, 4, 4)]


@pytest.mark.parametrize("at_border", ["shift", "pad", "skip"])
def test_centre_rounding_keeps_feature_inside(at_border):
    almost = shapely.LineString([(3.99997, 9.25), (6.99999, 9.25)])
    assert list_windows(plan_case(make_case_per_raster(1, almost), at_border=at_border)) == [("r0000", 3, 7, 4, 4)]


@pytest.mark.parametrize(
    ("at_border", "chips"),
    [("shift", [("r0000", 16, 0, 4, 4)]), ("pad", [("r0000", 17, -1, 4, 4)]), ("skip", [])],
)
def test_at_border_shifts_pads_or_skips(at_border, chips):
    plan = plan_case(make_case_per_raster(1, shapely.Point(19.25, 0.75)), at_border=at_border)
    assert list_windows(plan) == chips
    if not chips:
        assert read_unmet(plan) == {"f0": ("its chip would cross the raster's edge", 0, 1)}


def test_skipped_window_tries_next_raster():
    case = Case(TWO_RASTERS, (0,), {(0, "a"): shapely.Point(1, 9.25), (0, "b"): shapely.Point(9.25, 9.25)})
    assert list_windows(plan_case(case, at_border="skip")) == [("b", 7, 7, 4, 4)]


def test_small_raster_needs_padding():
    case = make_case_per_raster(1, shapely.Point(1.5, 9.5), width=3)
    for at_border, mode in product(["shift", "skip"], ["centered", "random"]):
        plan = plan_case(case, at_border=at_border, mode=mode)
        assert not plan.chips
        assert read_unmet(plan) == {"f0": ("raster smaller than a chip", 0, 1)}
    assert list_windows(plan_case(case, at_border="pad")) == [("r0000", 0, 8, 4, 4)]


@pytest.mark.parametrize(("right", "starts"), [(7, [3]), (7.25, [1, 5]), (8, [2, 6]), (11, [3, 7]), (11.25, [1, 5, 9])])
def test_long_feature_gets_fewest_adjacent_chips(right, starts):
    plan = plan_case(make_case_per_raster(1, shapely.box(3.5, 3, right, 4)), at_border="pad")
    assert list_windows(plan) == [("r0000", start, 2, 4, 4) for start in starts]
    assert read_unmet(plan) == {}


def test_large_feature_gets_grid_counted_once():
    large = shapely.box(5, 5, 12, 10)
    plan = plan_case(make_case_per_raster(1, large), target_count=2)
    assert list_windows(plan) == [("r0000", col, row, 4, 4) for row in (4, 8) for col in (5, 9)]
    assert [chip.name for chip in plan.chips] == [f"r0000_f0~{col}-{row}" for row in (0, 1) for col in (0, 1)]
    assert read_unmet(plan) == {"f0": ("only 1 raster contains it", 1, 2)}
    plan = plan_case(make_case_everywhere(TWO_RASTERS, large), target_count=2)
    assert len(list_windows(plan)) == 8
    assert read_unmet(plan) == {}


def test_equal_large_features_share_chips():
    large = shapely.box(5, 5, 12, 10)
    plan = plan_case(make_case_everywhere((Raster("r", 20, 20),), large, keys=(0, 1)))
    assert [chip.feature_id for chip in plan.chips] == ["f0"] * 4
    assert read_unmet(plan) == {}


@pytest.mark.parametrize("at_border", ["shift", "pad", "skip"])
def test_grid_longer_than_raster_overlaps(at_border):
    """Two chips of four columns fit into six columns only if they share two."""
    for left, right, padded in ((0.25, 5.75, [-1, 3]), (0, 4.25, [-2, 2])):
        plan = plan_case(make_case_per_raster(1, shapely.box(left, 5, right, 6), width=6), at_border=at_border)
        columns = {"shift": [0, 2], "pad": padded, "skip": []}[at_border]
        assert [col for _, col, *_ in list_windows(plan)] == columns
        assert read_unmet(plan) == ({} if columns else {"f0": ("its chip would cross the raster's edge", 0, 1)})


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
def test_variable_chip_scales_bounds(scale, at_border, chip):
    plan = plan_case(
        make_case_per_raster(1, shapely.box(4, 5, 12, 8.5)), mode="variable", scale=scale, at_border=at_border
    )
    assert list_windows(plan) == [("r0000", *chip)]


def test_variable_chip_has_minimum_size():
    case = make_case_per_raster(1, shapely.Point(9.5, 9.5), chip_size=(6, 5))
    assert list_windows(plan_case(case, mode="variable", scale=3.0)) == [("r0000", 7, 7, 6, 5)]
    case = make_case_per_raster(1, shapely.box(3.5, 3.5, 8.5, 4.5), chip_size=(1, 1))
    assert list_windows(plan_case(case, mode="variable")) == [("r0000", 3, 3, 6, 2)]


def test_rejected_window_tries_next_raster():
    case = make_case_everywhere(TWO_RASTERS, shapely.Point(9.25, 9.25))
    assert list_windows(plan_case(case, accepts_window=lambda raster_id, _: raster_id == "b")) == [("b", 7, 7, 4, 4)]
    plan = plan_case(case, accepts_window=lambda *_: False)
    assert (list_windows(plan), read_unmet(plan)) == ([], {"f0": ("too much nodata", 0, 1)})


def test_one_rejected_window_rejects_the_grid():
    plan = plan_case(
        make_case_per_raster(1, shapely.box(5, 5, 12, 10)), accepts_window=lambda _, window: window.col < 9
    )
    assert (list_windows(plan), read_unmet(plan)) == ([], {"f0": ("too much nodata", 0, 1)})


def test_rasters_are_used_by_rank():
    rasters = (Raster("b", 20, 20, chip_size=(6, 2)), Raster("a", 20, 20, chip_size=(3, 8)))
    case = make_case_everywhere(rasters, shapely.Point(9.5, 9.5))
    assert list_windows(plan_case(case)) == [("b", 7, 9, 6, 2)]
    assert list_windows(plan_case(case, target_count=2)) == [("b", 7, 9, 6, 2), ("a", 8, 6, 3, 8)]


def test_features_are_processed_by_rank():
    points = {(5, "r"): shapely.Point(9.5, 9.5), (1, "r"): shapely.Point(11.25, 9.5)}
    assert list_chips(plan_case(Case((Raster("r", 20, 20),), (5, 1), points))) == [("f5", "r", 8, 8, 4, 4)]
    assert list_chips(plan_case(Case((Raster("r", 20, 20),), (1, 5), points))) == [("f1", "r", 9, 8, 4, 4)]


def test_shuffled_order_differs_by_feature():
    rasters = tuple(Raster(id, 20, 20) for id in "abc")
    keys = tuple(range(600))
    orders_by_seed = {}
    for seed in (0, 1):
        orders = []
        for key in keys:
            case = make_case_everywhere(rasters, shapely.Point(9.5, 9.5), keys=(key,))
            plan = plan_case(case, seed=seed, shuffled=True, target_count=3)
            orders.append("".join(chip.raster_id for chip in plan.chips))
        orders_by_seed[seed] = orders
        names, counts = np.unique(orders, return_counts=True)
        assert names.tolist() == ["abc", "acb", "bac", "bca", "cab", "cba"]
        assert chisquare(counts).pvalue > 0.01
    assert orders_by_seed[0] != orders_by_seed[1]


def test_shuffled_order_ignores_a_missing_raster():
    rasters = tuple(Raster(id, 20, 20) for id in "abcdef")

    def list_order(rasters):
        case = make_case_everywhere(rasters, shapely.Point(9.5, 9.5), keys=(3,))
        return [chip.raster_id for chip in plan_case(case, shuffled=True, target_count=9).chips]

    assert [id for id in list_order(rasters) if id != "c"] == list_order(
        tuple(raster for raster in rasters if raster.id != "c")
    )


def test_feature_on_rounded_raster_edge_is_unmet():
    raster = Raster("r", 10, 10, Affine(0.7, 0, 0, 0, 0.7, -8.9), (2, 2))
    assert raster.make_box(0, 8, 10, 2).bounds[3] < raster.make_box(0, 0, 10, 10).bounds[3]
    case = Case((raster,), (0,), {(0, "r"): shapely.box(4, 9.5, 5, 10)})
    assert read_unmet(plan_case(case)) == {"f0": ("no window inside the raster holds it", 0, 1)}


def test_feature_without_raster_is_unmet():
    assert read_unmet(plan_case(Case((), (3,)))) == {"f3": ("no raster contains it", 0, 1)}


def test_unmet_reports_number_of_rasters():
    point = shapely.Point(9.5, 9.5)
    case = Case(TWO_RASTERS, (0, 1), {(0, "a"): point, (0, "b"): point, (1, "a"): shapely.Point(2.5, 2.5)})
    assert read_unmet(plan_case(case, target_count=3)) == {
        "f0": ("only 2 rasters contain it", 2, 3),
        "f1": ("only 1 raster contains it", 1, 3),
    }


def test_unmet_lists_all_obstacles():
    rasters = (Raster("a", 20, 20), Raster("b", 3, 20), Raster("c", 20, 20))
    pixels = {
        (0, "a"): shapely.box(1, 1, 4, 2),
        (0, "b"): shapely.Point(1.5, 9),
        (0, "c"): shapely.Point(9, 9),
    }
    plan = plan_case(Case(rasters, (0,), pixels), target_count=2, accepts_window=lambda raster_id, _: raster_id != "a")
    assert read_unmet(plan) == {"f0": ("too much nodata; raster smaller than a chip", 1, 2)}


def test_cluster_shares_one_chip():
    points = {(key, "r"): shapely.Point(9 + key / 8, 9.5) for key in range(9)}
    assert list_windows(plan_case(Case((Raster("r", 20, 20),), tuple(range(9)), points))) == [("r", 7, 8, 4, 4)]


def test_rasters_without_containing_chip_come_first():
    pixels = {
        (0, "a"): shapely.Point(9.25, 9.25),
        (1, "a"): shapely.Point(10.25, 9.25),
        (1, "b"): shapely.Point(5.25, 5.25),
    }
    assert list_chips(plan_case(Case(TWO_RASTERS, (0, 1), pixels), target_count=2)) == [
        ("f0", "a", 7, 7, 4, 4),
        ("f1", "b", 3, 3, 4, 4),
    ]


def test_point_on_chip_edge_is_not_contained():
    """The first feature's chip covers columns 4 to 7 and rows 8 to 11."""
    raster = Raster("r", 20, 20)
    first = {(9, "r"): shapely.box(4, 8, 8, 12)}
    edge = [shapely.Point(4, 9), shapely.LineString([(8, 8), (8, 9)]), shapely.Point(5, 12)]
    inside = [shapely.Point(5, 9), shapely.LineString([(4, 9), (8, 9)])]
    for shapes, count in ((edge, 2), (inside, 1)):
        for shape in shapes:
            plan = plan_case(Case((raster,), (9, 0), first | {(0, "r"): shape}))
            assert list_windows(plan)[0] == ("r", 4, 8, 4, 4)
            assert len(plan.chips) == count


def test_candidate_with_unknown_id_is_rejected():
    candidates, rasters, features = make_case_per_raster(2, shapely.Point(5, 5)).make_tables()
    with pytest.raises(NotFoundError, match=r"'r0001'.*rasters"):
        plan_tables((candidates, rasters[:1], features))
    with pytest.raises(NotFoundError, match=r"'1'.*features"):
        plan_tables((candidates, rasters, features[:1]))


def test_singular_transform_is_rejected():
    with pytest.raises(UsageError, match="'flat'"):
        plan_case(Case((Raster("flat", 9, 9, Affine(1, 0, 0, 0, 0, 0)), Raster("fine", 9, 9)), ()))


def test_rotated_raster_needs_pixel_bounds():
    case = Case((Raster("r", 9, 9, Affine(0, 2, 5, 3, 0, 7)),), (0,), {(0, "r"): shapely.Point(4, 4)})
    candidates = make_candidates(case).drop_columns(["pmin_col", "pmin_row", "pmax_col", "pmax_row"])
    with pytest.raises(UsageError, match="'f0'"):
        plan_tables((candidates, make_rasters_table(case.rasters), make_features_table([0])), at_border="pad")
