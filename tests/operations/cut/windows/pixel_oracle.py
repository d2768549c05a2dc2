"""Small cases of rasters and features, the tables that window planners take, and a brute-force oracle of all windows.

Shapely decides what a window contains, from the bounds that rasterio computes for a chip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pyarrow as pa
import shapely
from affine import Affine
from hypothesis import strategies as st
from rasterio.transform import array_bounds

NORTH_UP = Affine(10, 0, 500000, 0, -10, 5000000)
# Tenths and these origins have no exact binary value, so edges computed in two ways differ in the last bit.
TRANSFORMS = [
    NORTH_UP,
    Affine(0.1, 0, 447312.3, 0, -0.1, 5411907.7),
    Affine(0.3, 0, -0.7, 0, 0.3, 12.1),
    Affine(-0.1, 0, 33.3, 0, 0.7, -8.9),
    Affine(0.08, 0.06, 447312.3, 0.06, -0.08, 5411907.7),
    Affine(0, 2, 5, 3, 0, 7),
]


def pixel_to_xy(transform, col, row):
    """Return the coordinates of a pixel's corner: the origin of the transform of a window there."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * col + b * row + c, d * col + e * row + f


@dataclass(frozen=True)
class Raster:
    id: str
    width: int
    height: int
    transform: Affine = NORTH_UP
    chip_size: tuple[int, int] = (4, 4)

    @property
    def is_rotated(self):
        return self.transform.b != 0 or self.transform.d != 0

    def place_geometry(self, pixels):
        """Transform a geometry from pixels to the CRS; for a rotated raster, return it in pixels."""
        if self.is_rotated:
            return pixels
        return shapely.transform(pixels, lambda xy: np.array([pixel_to_xy(self.transform, x, y) for x, y in xy]))

    def make_box(self, col, row, width, height):
        """Return the outline of a chip in the CRS, or in pixels for a rotated raster, as `place_geometry` does."""
        if self.is_rotated:
            return shapely.box(col, row, col + width, row + height)
        x, y = pixel_to_xy(self.transform, col, row)
        transform = Affine(self.transform.a, 0, x, 0, self.transform.e, y)
        return shapely.box(*array_bounds(height, width, transform))

    def contains_window(self, col, row, width, height):
        return 0 <= col <= self.width - width and 0 <= row <= self.height - height


@dataclass(frozen=True)
class Case:
    """Features and rasters, both by rank; `pixels` are geometries by (key, raster id), in raster pixels."""

    rasters: tuple[Raster, ...]
    keys: tuple[int, ...]
    pixels: dict = field(default_factory=dict)

    def take_first(self, count):
        keys = self.keys[:count]
        return Case(self.rasters, keys, {pair: geometry for pair, geometry in self.pixels.items() if pair[0] in keys})

    def select_feature(self, key):
        return Case(self.rasters, (key,), {pair: geometry for pair, geometry in self.pixels.items() if pair[0] == key})

    def make_tables(self, order: np.random.Generator | None = None) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return candidates, rasters and features; rows in order, or shuffled by the generator `order`."""
        tables = make_candidates(self), make_rasters_table(self.rasters), make_features_table(self.keys)
        if order is None:
            return tables
        candidates, rasters, features = (table.take(order.permutation(len(table))) for table in tables)
        return candidates, rasters, features


def make_feature_id(key):
    return f"f{key}"


def make_candidates(case):
    rows = []
    rasters = {raster.id: raster for raster in case.rasters}
    for (key, raster_id), pixels in case.pixels.items():
        raster = rasters[raster_id]
        # The planner must ignore the CRS bounds of features in rotated rasters.
        crs_bounds = (0.0, 0.0, 1e9, 1e9) if raster.is_rotated else raster.place_geometry(pixels).bounds
        pixel_bounds = pixels.bounds if raster.is_rotated else (None,) * 4
        rows.append((key, raster_id, *crs_bounds, *pixel_bounds))
    bounds = ["xmin", "ymin", "xmax", "ymax", "pmin_col", "pmin_row", "pmax_col", "pmax_row"]
    return make_table(
        [("feature_key", "int64"), ("raster_id", "string"), *((bound, "float64") for bound in bounds)],
        rows,
    )


def make_rasters_table(rasters):
    columns = ["rank", "width", "height", "chip_width", "chip_height"]
    return make_table(
        [("raster_id", "string"), *((n, "int64") for n in columns), *((n, "float64") for n in "abcdef")],
        [
            (raster.id, 7 * rank, raster.width, raster.height, *raster.chip_size, *tuple(raster.transform)[:6])
            for rank, raster in enumerate(rasters)
        ],
    )


def make_features_table(keys):
    return make_table(
        [("feature_key", "int64"), ("feature_id", "string"), ("rank", "int64")],
        [(key, make_feature_id(key), 3 * rank - 5) for rank, key in enumerate(keys)],
    )


def make_table(fields, rows):
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in fields])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def accept_all(_raster_id, _window):
    return True


def list_windows(plan):
    return [(chip.raster_id, *chip.window) for chip in plan.chips]


def read_unmet(plan):
    """Return reason, chip count and target count by feature id."""
    return {shortage.id: shortage[1:] for shortage in plan.unmet}


def list_all_windows(raster, size):
    """Return all windows that share a pixel with the raster, or lie just beside it."""
    positions = product(range(-size[0] - 1, raster.width + 2), range(-size[1] - 1, raster.height + 2))
    return [(*position, *size) for position in positions]


def list_containing_windows(raster, pixels, size):
    """Return all windows of a size that contain the geometry, by trying each."""
    windows = list_all_windows(raster, size)
    boxes = [raster.make_box(*window) for window in windows]
    contains = shapely.contains(boxes, raster.place_geometry(pixels))
    return [window for window, is_containing in zip(windows, contains, strict=True) if is_containing]


@st.composite
def contained_geometries(draw, width, height):
    """Draw points, lines and boxes at quarters of a pixel that a raster of this size contains."""
    x = sorted(draw(st.lists(st.integers(0, width * 4), min_size=2, max_size=2)))
    y = sorted(draw(st.lists(st.integers(0, height * 4), min_size=2, max_size=2)))
    if draw(st.booleans()):  # small ones, which fit into chips
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


side_lengths = st.integers(2, 9)
chip_sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))


@st.composite
def raster_cases(draw):
    ids = draw(st.lists(st.sampled_from(["b", "a", "B", "ä"]), min_size=1, max_size=3, unique=True))
    rasters = tuple(
        Raster(id, draw(side_lengths), draw(side_lengths), draw(st.sampled_from(TRANSFORMS)), draw(chip_sizes))
        for id in ids
    )
    keys = tuple(draw(st.lists(st.integers(-5, 99), min_size=1, max_size=4, unique=True)))
    pixels = {}
    for key, raster in product(keys, rasters):
        geometry = draw(st.none() | contained_geometries(raster.width, raster.height))
        outline = raster.make_box(0, 0, raster.width, raster.height)
        if geometry is not None and outline.contains(raster.place_geometry(geometry)):
            pixels[key, raster.id] = geometry
    return Case(rasters, keys, pixels)


def make_predicate(number):
    """Return a predicate that always rejects the same windows; None, which rejects none, if `number` is 0."""
    if number == 0:
        return None

    def accepts_window(raster_id, window):
        col, row, *_ = window
        return (5 * col + 3 * row + len(raster_id) + ord(raster_id[0])) % (number + 1) != 0

    return accepts_window


predicates = st.integers(0, 3).map(make_predicate)
