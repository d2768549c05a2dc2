"""The oracle tries window by window, with shapely's `contains` and the bounds that rasterio gives a chip."""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.transform import array_bounds
from scipy.stats import chisquare

from geographer.errors import NotFoundError, UsageError
from geographer.planning.randomness import generator
from geographer.planning.windows import cell_name, chip_name, plan_around, plan_grid

WINDOW = ["col", "row", "width", "height"]
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5000000)
# Tenths and these origins have no exact binary value, so edges reckoned in two ways differ in the last bit.
TRANSFORMS = [
    NORTH_UP,
    Affine(0.1, 0, 447312.3, 0, -0.1, 5411907.7),
    Affine(0.3, 0, -0.7, 0, 0.3, 12.1),
    Affine(-0.1, 0, 33.3, 0, 0.7, -8.9),
    Affine(0.08, 0.06, 447312.3, 0.06, -0.08, 5411907.7),
    Affine(0, 2, 5, 3, 0, 7),
]


def at(transform, col, row):
    """Where a pixel's corner lies: the origin of the transform of a window there."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * col + b * row + c, d * col + e * row + f


@dataclass(frozen=True)
class Raster:
    id: str
    width: int
    height: int
    transform: Affine = NORTH_UP

    @property
    def rotated(self):
        return self.transform.b != 0 or self.transform.d != 0

    def place(self, pixels):
        """A geometry in the raster's pixels, in the CRS; a rotated raster keeps its pixels."""
        if self.rotated:
            return pixels
        return shapely.transform(pixels, lambda xy: np.array([at(self.transform, x, y) for x, y in xy]))

    def box(self, col, row, width, height):
        """The outline of a chip, where its features are: in the CRS, or the pixels of a rotated raster."""
        if self.rotated:
            return shapely.box(col, row, col + width, row + height)
        x, y = at(self.transform, col, row)
        transform = Affine(self.transform.a, 0, x, 0, self.transform.e, y)
        return shapely.box(*array_bounds(height, width, transform))


@dataclass(frozen=True)
class Case:
    """`pixels` are the features' geometries by (key, raster id), each in that raster's pixels."""

    rasters: tuple[Raster, ...]
    keys: tuple[int, ...]
    pixels: dict

    def until(self, count):
        keys = self.keys[:count]
        return Case(self.rasters, keys, {pair: it for pair, it in self.pixels.items() if pair[0] in keys})


def name(key):
    return f"f{key}"


def candidates_of(case):
    rows = []
    rasters = {raster.id: raster for raster in case.rasters}
    for (key, raster_id), pixels in case.pixels.items():
        raster = rasters[raster_id]
        # The outline of a rotated raster's feature says nothing that a plan could use.
        crs = (0.0, 0.0, 1e9, 1e9) if raster.rotated else raster.place(pixels).bounds
        grid = pixels.bounds if raster.rotated else (None,) * 4
        rows.append((key, name(key), raster_id, *crs, *grid))
    bounds = ["xmin", "ymin", "xmax", "ymax", "pmin_col", "pmin_row", "pmax_col", "pmax_row"]
    return table(
        [("feature_key", "int64"), ("feature_id", "string"), ("raster_id", "string")]
        + [(bound, "float64") for bound in bounds],
        rows,
    )


def rasters_of(rasters):
    return table(
        [("raster_id", "string"), ("width", "int64"), ("height", "int64")] + [(n, "float64") for n in "abcdef"],
        [(raster.id, raster.width, raster.height, *tuple(raster.transform)[:6]) for raster in rasters],
    )


def chips_of(rows=()):
    return table([("raster_id", "string"), *((name, "int64") for name in WINDOW)], rows)


def table(fields, rows):
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in fields])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def plan(case, existing=None, order=None, **options):
    tables = [candidates_of(case), rasters_of(case.rasters), existing or chips_of()]
    tables.append(table([("feature_key", "int64"), ("feature_id", "string")], [(k, name(k)) for k in case.keys]))
    if order is not None:
        tables = [it.take(order.permutation(len(it))) for it in tables]
    candidates, rasters, existing, selected = tables
    defaults = {"size": (4, 4), "mode": "centered", "seed": 0, "target_count": 1, "at_border": "shift"}
    return plan_around(candidates, rasters, existing, selected=selected, **(defaults | options))


def windows(planned):
    return [tuple(row.values()) for row in planned.chips.select(["raster_id", *WINDOW]).to_pylist()]


def made(planned):
    """Key, raster and window of each chip."""
    columns = ["feature_key", "raster_id", *WINDOW]
    return [tuple(row[column] for column in columns) for row in planned.chips.to_pylist()]


def unmet(planned):
    return {row["feature_id"]: (row["reason"], row["have"], row["wanted"]) for row in planned.unmet.to_pylist()}


def positions(raster, pixels, size):
    """All columns and rows at which a window contains the geometry, by trying each."""
    tried = product(range(-size[0] - 1, raster.width + 2), range(-size[1] - 1, raster.height + 2))
    tried = list(tried)
    boxes = [raster.box(*position, *size) for position in tried]
    return [p for p, holds in zip(tried, shapely.contains(boxes, raster.place(pixels)), strict=True) if holds]


def nearest(places, extent, low, high):
    centre = (Fraction(low) + Fraction(high)) / 2
    return min(places, key=lambda place: (abs(place + Fraction(extent, 2) - centre), -place))


def expected_window(raster, key, pixels, size, mode, seed, at_border):
    """The window that the recipe asks for, or none."""
    containing = positions(raster, pixels, size)
    inside = [(c, r) for c, r in containing if 0 <= c <= raster.width - size[0] and 0 <= r <= raster.height - size[1]]
    allowed = containing if at_border == "pad" else inside
    if not allowed:
        return None

    def centred(places):
        left, top, right, bottom = pixels.bounds
        return (
            nearest({col for col, _ in places}, size[0], left, right),
            nearest({row for _, row in places}, size[1], top, bottom),
        )

    if mode == "centered":
        if at_border == "skip" and centred(containing) not in inside:
            return None
        col, row = centred(allowed)
    else:
        random = generator(seed, name(key), raster.id)
        col, row = (int(random.integers(min(axis), max(axis) + 1)) for axis in zip(*allowed, strict=True))
    assert (col, row) in allowed
    return (col, row, *size)


def expected(case, existing, *, size, mode, seed, target_count, at_border):
    """The chips, feature by feature, and how many chips contain each feature in the end."""
    rasters = sorted(case.rasters, key=lambda raster: raster.id)
    known = {raster.id: raster for raster in rasters}
    chips = [(raster_id, tuple(window)) for raster_id, *window in existing if raster_id in known]

    def holding(key, raster_ids):
        return sum(
            known[raster_id].box(*window).contains(known[raster_id].place(case.pixels[key, raster_id]))
            for raster_id, window in chips
            if (key, raster_id) in case.pixels and raster_id in raster_ids
        )

    plan = []
    for key in sorted(case.keys):
        turn = [raster for raster in rasters if (key, raster.id) in case.pixels]
        turn.sort(key=lambda raster: holding(key, [raster.id]) > 0)
        for raster in turn:
            if holding(key, known) >= target_count:
                break
            window = expected_window(raster, key, case.pixels[key, raster.id], size, mode, seed, at_border)
            if window and (raster.id, window) not in chips:
                chips.append((raster.id, window))
                plan.append((key, raster.id, *window))
    return plan, {name(key): holding(key, known) for key in case.keys}


@st.composite
def geometries(draw, width, height):
    """Points, lines and boxes at quarters of a pixel that a raster of that size contains."""
    x = sorted(draw(st.lists(st.integers(0, width * 4), min_size=2, max_size=2)))
    y = sorted(draw(st.lists(st.integers(0, height * 4), min_size=2, max_size=2)))
    if draw(st.booleans()):  # small ones, which chips hold
        x[1], y[1] = min(x[1], x[0] + 14), min(y[1], y[0] + 14)
    shape = draw(st.sampled_from(["point", "across", "down", "box"]))
    x[1] = x[0] if shape in ("point", "down") else x[1]
    y[1] = y[0] if shape in ("point", "across") else y[1]
    (left, right), (top, bottom) = ([value / 4 for value in pair] for pair in (x, y))
    if (left, top) == (right, bottom):
        return shapely.Point(left, top)
    if left == right or top == bottom:
        return shapely.LineString([(left, top), (right, bottom)])
    return shapely.box(left, top, right, bottom)


sides = st.integers(2, 9)


@st.composite
def cases(draw):
    ids = draw(st.lists(st.sampled_from(["b", "a", "B", "ä"]), min_size=1, max_size=3, unique=True))
    rasters = tuple(Raster(id, draw(sides), draw(sides), draw(st.sampled_from(TRANSFORMS))) for id in ids)
    keys = tuple(draw(st.lists(st.integers(-5, 99), min_size=1, max_size=4, unique=True)))
    pixels = {}
    for key, raster in product(keys, rasters):
        pixel = draw(st.none() | geometries(raster.width, raster.height))
        whole = raster.box(0, 0, raster.width, raster.height)
        if pixel is not None and whole.contains(raster.place(pixel)):
            pixels[key, raster.id] = pixel
    return Case(rasters, keys, pixels)


options = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "mode": st.sampled_from(["centered", "random"]),
        "seed": st.integers(0, 3),
        "target_count": st.integers(1, 3),
        "at_border": st.sampled_from(["shift", "pad", "skip"]),
    }
)
known_chips = st.lists(
    st.tuples(st.sampled_from(["a", "b", "gone"]), *[st.integers(-3, 6)] * 2, *[st.integers(1, 6)] * 2),
    max_size=2,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(cases(), options, known_chips)
def test_the_plan_is_the_one_that_trying_every_window_gives(case, options, existing):
    planned = plan(case, chips_of(existing), **options)
    chips, have = expected(case, existing, **options)
    assert made(planned) == chips
    wanted = options["target_count"]
    short = {id: (count, wanted) for id, count in have.items() if count < wanted}
    assert {id: row[1:] for id, row in unmet(planned).items()} == short
    assert planned.unmet["feature_id"].to_pylist() == [name(k) for k in sorted(case.keys) if name(k) in short]
    assert planned.chips["feature_id"].to_pylist() == [name(key) for key, *_ in chips]


@settings(max_examples=60, deadline=None)
@given(cases(), options, known_chips, st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(case, options, existing, shuffle):
    existing = chips_of(existing)
    shuffled = plan(case, existing, order=np.random.default_rng(shuffle), **options)
    assert shuffled == plan(case, existing, **options)


@settings(max_examples=60, deadline=None)
@given(cases(), options)
def test_features_added_later_move_no_chip_and_an_update_gives_what_a_fresh_plan_gives(case, options):
    case = Case(case.rasters, tuple(sorted(case.keys)), case.pixels)
    fresh = made(plan(case, **options))
    for count in range(len(case.keys)):
        before = plan(case.until(count), **options)
        assert made(before) == fresh[: len(before.chips)]
        after = plan(case, before.chips, **options)
        assert made(before) + made(after) == fresh
    assert made(plan(case, chips_of([chip[1:] for chip in fresh]), **options)) == []


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
    raster = Raster("r", 1000, 1000, transform)
    left, bottom, right, top = raster.box(col, 500, size, 1).bounds
    left, right = ulps(left, low_ulps), ulps(right, high_ulps)
    assume(left < right)
    middle = (bottom + top) / 2
    feature = shapely.LineString([(left, middle), (right, middle)])
    schema = {"feature_key": [0], "feature_id": ["f"]}
    candidates = pa.table(
        schema | {"raster_id": ["r"], "xmin": [left], "ymin": [middle], "xmax": [right], "ymax": [middle]}
    )
    planned = plan_around(
        candidates,
        rasters_of([raster]),
        chips_of(),
        selected=pa.table(schema),
        size=(size, 1),
        mode="centered",
        seed=0,
        target_count=1,
        at_border="pad",
    )
    holding = [
        ("r", at, 500, size, 1) for at in range(col - 2, col + 3) if raster.box(at, 500, size, 1).contains(feature)
    ]
    assert windows(planned) == holding[-1:]
    assert unmet(planned) == ({} if holding else {"f": ("larger than a chip", 0, 1)})


def ulps(value, count):
    for _ in range(abs(count)):
        value = np.nextafter(value, np.inf if count > 0 else -np.inf)
    return float(value)


def one_each(count, pixels, width=20, height=20):
    """A feature in each of many equal rasters, so that no chip of one contains another."""
    rasters = tuple(Raster(f"r{n:04d}", width, height) for n in range(count))
    return Case(rasters, tuple(range(count)), {(n, rasters[n].id): pixels for n in range(count)})


def test_random_windows_are_uniform_among_those_that_contain_the_feature():
    case = one_each(2400, shapely.box(10.5, 10, 12.25, 13))
    found = [(col, row) for _, col, row, *_ in windows(plan(case, mode="random", size=(5, 6), seed=1))]
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
    rasters = (Raster("a", 100, 100), Raster("b", 100, 100))
    case = Case(rasters, (1, 2), {(key, raster.id): point for key in (1, 2) for raster in rasters})
    chips = [
        chip
        for seed, key in product((0, 1), (1, 2))
        for chip in windows(
            plan(
                Case(rasters, (key,), pixels_of(case, key)),
                mode="random",
                size=(40, 40),
                seed=seed,
                target_count=2,
            )
        )
    ]
    assert len(chips) == len({chip[1:] for chip in chips}) == 8


def pixels_of(case, key):
    return {pair: pixels for pair, pixels in case.pixels.items() if pair[0] == key}


def test_a_random_window_is_the_same_on_every_machine():
    assert windows(plan(one_each(3, shapely.Point(10.5, 10.5)), mode="random", size=(8, 8), seed=5)) == [
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


@pytest.mark.parametrize(("right", "fits"), [(7, True), (7.25, False), (17, False)])
def test_a_feature_that_covers_more_pixels_than_a_chip_is_not_cut(right, fits):
    planned = plan(one_each(1, shapely.box(3.5, 3, right, 4)), at_border="pad")
    assert windows(planned) == ([("r0000", 3, 2, 4, 4)] if fits else [])
    assert unmet(planned) == ({} if fits else {"f0": ("larger than a chip", 0, 1)})


def test_a_feature_on_the_rounded_edge_of_its_raster_is_reported():
    raster = Raster("r", 10, 10, Affine(0.7, 0, 0, 0, 0.7, -8.9))
    assert raster.box(0, 8, 10, 2).bounds[3] < raster.box(0, 0, 10, 10).bounds[3]
    case = Case((raster,), (0,), {(0, "r"): shapely.box(4, 9.5, 5, 10)})
    assert unmet(plan(case, size=(2, 2))) == {"f0": ("no window inside the raster holds it", 0, 1)}


def test_a_feature_that_no_raster_contains_is_reported():
    assert unmet(plan(Case((), (3,), {}))) == {"f3": ("no raster contains it", 0, 1)}


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
        (0, "a"): shapely.box(1, 1, 9, 2),
        (0, "b"): shapely.Point(1.5, 9),
        (0, "c"): shapely.Point(9, 9),
    }
    planned = plan(Case(rasters, (0,), pixels), target_count=2)
    assert unmet(planned) == {"f0": ("larger than a chip; raster smaller than a chip", 1, 2)}


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
        (0, "a", 7, 7, 4, 4),
        (1, "b", 3, 3, 4, 4),
    ]


def test_a_point_or_line_on_the_edge_of_a_chip_is_not_contained():
    raster = Raster("r", 20, 20)
    edge = {
        (0, "r"): shapely.Point(4, 9),
        (1, "r"): shapely.LineString([(8, 8), (8, 9)]),
        (2, "r"): shapely.Point(5, 12),
    }
    inside = {(3, "r"): shapely.Point(5, 9), (4, "r"): shapely.LineString([(4, 9), (8, 9)])}
    case = Case((raster,), tuple(range(5)), edge | inside)
    planned = plan(case, chips_of([("r", 4, 8, 4, 4)]))
    assert {key for key, *_ in made(planned)} <= {0, 1, 2}
    assert 0 in {key for key, *_ in made(planned)}
    for key in range(5):
        alone = plan(Case((raster,), (key,), pixels_of(case, key)), chips_of([("r", 4, 8, 4, 4)]))
        assert alone.chips.num_rows == (key < 3)


def test_a_plan_has_the_types_that_its_docstring_gives_also_when_it_is_empty():
    empty, full = plan(Case((), (), {})), plan(one_each(1, shapely.Point(5, 5)), target_count=2)
    assert (empty.chips.schema, empty.unmet.schema) == (full.chips.schema, full.unmet.schema)
    assert full.chips.column_names == ["raster_id", "feature_id", "feature_key", *WINDOW]
    assert full.unmet.column_names == ["feature_id", "reason", "have", "wanted"]
    grid = plan_grid(rasters_of([]), chips_of(), size=(4, 4), at_border="pad")
    assert grid.chips.schema == chips_of().schema
    assert grid.uncut.column_names == ["raster_id", "reason"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": (0, 4)}, "0 x 4"),
        ({"size": (4, -1)}, "4 x -1"),
        ({"target_count": 0}, "target count 0"),
        ({"mode": "middle"}, "'middle' is not among 'centered', 'random'"),
        ({"at_border": "stretch"}, "'stretch' is not among 'shift', 'pad', 'skip'"),
    ],
)
def test_an_option_out_of_range_is_named(option, message):
    with pytest.raises(UsageError, match=message):
        plan(one_each(1, shapely.Point(5, 5)), **option)


def test_a_grid_names_an_option_out_of_range():
    with pytest.raises(UsageError, match="0 x 4"):
        plan_grid(rasters_of([]), chips_of(), size=(0, 4), at_border="pad")
    with pytest.raises(UsageError, match="stretch"):
        plan_grid(rasters_of([]), chips_of(), size=(4, 4), at_border="stretch")


def test_a_candidate_of_an_unknown_raster_or_feature_is_named():
    candidates = candidates_of(one_each(2, shapely.Point(5, 5)))
    rasters = rasters_of(one_each(2, None).rasters)
    selected = candidates.select(["feature_key", "feature_id"])
    options = {"size": (4, 4), "mode": "centered", "seed": 0, "target_count": 1, "at_border": "pad"}
    with pytest.raises(NotFoundError, match=r"'r0001'.*rasters"):
        plan_around(candidates, rasters[:1], chips_of(), selected=selected, **options)
    with pytest.raises(NotFoundError, match=r"'1'.*features"):
        plan_around(candidates, rasters, chips_of(), selected=selected[:1], **options)


def test_a_transform_without_inverse_is_named():
    with pytest.raises(UsageError, match="'flat'"):
        plan(Case((Raster("flat", 9, 9, Affine(1, 0, 0, 0, 0, 0)), Raster("fine", 9, 9)), (), {}))


def test_a_rotated_raster_needs_bounds_in_its_pixels():
    rasters = rasters_of([Raster("r", 9, 9, Affine(0, 2, 5, 3, 0, 7))])
    ids = {"feature_key": [0], "feature_id": ["glacier"]}
    bounds = {bound: [1.0] for bound in ("xmin", "ymin", "xmax", "ymax")}
    candidates = pa.table(ids | {"raster_id": ["r"]} | bounds)
    with pytest.raises(UsageError, match="'glacier'"):
        plan_around(
            candidates, rasters, chips_of(), selected=pa.table(ids), size=(4, 4), mode="centered", seed=0,
            target_count=1, at_border="pad",
        )  # fmt: skip


def cells(rasters, existing=(), **options):
    planned = plan_grid(rasters_of(rasters), chips_of(existing), **({"size": (4, 3), "at_border": "shift"} | options))
    return windows(planned), [tuple(row.values()) for row in planned.uncut.to_pylist()]


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(["shift", "pad", "skip"]),
)
def test_a_grid_covers_what_it_can_with_as_few_windows_as_can_be(width, height, w, h, at_border):
    found, uncut = cells([Raster("r", width, height)], size=(w, h), at_border=at_border)
    times = np.zeros((height + h, width + w), int)
    for _, col, row, *size in found:
        assert tuple(size) == (w, h)
        assert col >= 0
        assert row >= 0
        times[row : row + h, col : col + w] += 1
    small = at_border != "pad" and (width < w or height < h)
    assert uncut == ([("r", "raster smaller than a chip")] if small else [])
    if small:
        assert found == []
    elif at_border == "skip":
        whole = times[: height // h * h, : width // w * w]
        assert (whole == 1).all()
        assert times.sum() == whole.size
    else:
        assert len(found) == -(-width // w) * -(-height // h)
        assert times[:height, :width].all()
        assert times.max() == 1 if at_border == "pad" else not times[height:].any() and not times[:, width:].any()
    upright = [window for window in found if window[1] % w == 0 and window[2] % h == 0]
    assert upright[:1] == found[:1] == ([("r", 0, 0, w, h)] if found else [])


def test_a_grid_is_ordered_by_raster_row_and_column_and_shifts_only_the_last():
    found, _ = cells([Raster("b", 4, 3), Raster("a", 9, 7)])
    assert found == [("a", col, row, 4, 3) for row in (0, 3, 4) for col in (0, 4, 5)] + [("b", 0, 0, 4, 3)]


def test_a_grid_does_not_repeat_windows_that_exist():
    existing = [("a", 4, 0, 4, 3), ("a", 0, 0, 4, 4), ("gone", 0, 0, 4, 3)]
    found, uncut = cells([Raster("a", 8, 3), Raster("b", 8, 3)], existing)
    assert found == [("a", 0, 0, 4, 3), ("b", 0, 0, 4, 3), ("b", 4, 0, 4, 3)]
    assert uncut == []
    assert cells([Raster("a", 4, 3)], [("a", 0, 0, 4, 3)]) == ([], [])


ids = st.text(alphabet="aA_-.~%5F é/\\:\0", min_size=1, max_size=6) | st.text(min_size=1, max_size=12)


def taken_apart(stem):
    """The ids in a chip's name, by the rule that its docstring gives."""
    odd = [run for run in re.finditer("_+", stem) if len(run[0]) % 2][-1]
    return unquote(stem[: odd.start()]), unquote(stem[odd.start() + 1 :].replace("__", "_"))


@given(ids, ids)
def test_the_name_of_a_chip_is_safe_and_can_be_taken_apart_into_its_ids(parent, feature):
    stem = chip_name(parent, feature)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*", stem)
    assert taken_apart(stem) == (parent, feature)


@given(ids, st.integers(), st.integers())
def test_the_name_of_a_cell_is_safe_and_can_be_taken_apart(parent, col, row):
    stem = cell_name(parent, col, row)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*", stem)
    left, c, r = stem.rsplit("_", 2)
    assert (unquote(left), c, r) == (parent, f"c{col}", f"r{row}")


def test_ids_full_of_underscores_have_different_names():
    few = ["".join(letters) for size in range(1, 5) for letters in product("a_", repeat=size)]
    assert len({chip_name(*pair) for pair in product(few, few)}) == len(few) ** 2


def test_ordinary_ids_stay_readable():
    assert chip_name("rmnp-rgb", "G239") == "rmnp-rgb_G239"
    assert chip_name("S2A_T33UUP.v1", "stadium_12") == "S2A_T33UUP.v1_stadium__12"
    assert chip_name(".x_", "-5~") == "%2Ex%5F_-5%7E"
    assert cell_name("rmnp-rgb", 0, 256) == "rmnp-rgb_c0_r256"


@given(st.text(min_size=90, max_size=210), st.text(min_size=90, max_size=210), st.sampled_from("b_é"))
def test_names_stay_short_and_different(parent, feature, letter):
    stems = [
        chip_name(parent, feature),
        chip_name(parent, feature + letter),
        chip_name(parent + letter, feature),
    ]
    assert len(set(stems)) == 3
    for stem in stems:
        assert len(stem) <= 200
        assert re.fullmatch(r"[A-Za-z0-9._%-]+(~[0-9a-f]{32})?", stem)


def test_a_name_is_cut_only_where_it_is_too_long():
    assert chip_name("a" * 100, "b" * 99) == "a" * 100 + "_" + "b" * 99
    cut = chip_name("a" * 100, "b" * 100)
    assert cut[:167] == "a" * 100 + "_" + "b" * 66
    assert (len(cut), cut[167]) == (200, "~")
    assert len(cell_name("a" * 300, 0, 0)) == 200
    assert cell_name("a" * 300, 0, 0) != cell_name("a" * 300, 0, 1)
