"""Rasters and features in small cases, the tables that plans take, and windows tried one by one.

What a window contains is asked of shapely, about the bounds that rasterio gives a chip.
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
    size: tuple[int, int] = (4, 4)
    """Of a chip."""

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

    def inside(self, col, row, width, height):
        return 0 <= col <= self.width - width and 0 <= row <= self.height - height


@dataclass(frozen=True)
class Case:
    """Features and rasters, both in their turns; `pixels` are geometries by (key, raster id), in raster pixels."""

    rasters: tuple[Raster, ...]
    keys: tuple[int, ...]
    pixels: dict = field(default_factory=dict)

    def until(self, count):
        keys = self.keys[:count]
        return Case(self.rasters, keys, {pair: it for pair, it in self.pixels.items() if pair[0] in keys})

    def only(self, key):
        return Case(self.rasters, (key,), {pair: it for pair, it in self.pixels.items() if pair[0] == key})

    def tables(self, order=None):
        """Candidates, rasters and selected features; the rows in order, or shuffled."""
        tables = [candidates_of(self), rasters_of(self.rasters), selected_of(self.keys)]
        return tables if order is None else [it.take(order.permutation(len(it))) for it in tables]


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
        rows.append((key, raster_id, *crs, *grid))
    bounds = ["xmin", "ymin", "xmax", "ymax", "pmin_col", "pmin_row", "pmax_col", "pmax_row"]
    return table(
        [("feature_key", "int64"), ("raster_id", "string"), *((bound, "float64") for bound in bounds)],
        rows,
    )


def rasters_of(rasters):
    columns = ["turn", "width", "height", "chip_width", "chip_height"]
    return table(
        [("raster_id", "string"), *((n, "int64") for n in columns), *((n, "float64") for n in "abcdef")],
        [
            (raster.id, 7 * turn, raster.width, raster.height, *raster.size, *tuple(raster.transform)[:6])
            for turn, raster in enumerate(rasters)
        ],
    )


def selected_of(keys):
    return table(
        [("feature_key", "int64"), ("feature_id", "string"), ("turn", "int64")],
        [(key, name(key), 3 * turn - 5) for turn, key in enumerate(keys)],
    )


def table(fields, rows):
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in fields])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def windows(planned):
    return [tuple(row.values()) for row in planned.chips.select(["raster_id", *WINDOW]).to_pylist()]


def unmet(planned):
    return {row["feature_id"]: (row["reason"], row["have"], row["wanted"]) for row in planned.unmet.to_pylist()}


def every_window(raster, size):
    """All windows that share a pixel with the raster, or lie just beside it."""
    tried = product(range(-size[0] - 1, raster.width + 2), range(-size[1] - 1, raster.height + 2))
    return [(*position, *size) for position in tried]


def containing(raster, pixels, size):
    """All windows of a size that contain the geometry, by trying each."""
    tried = every_window(raster, size)
    boxes = [raster.box(*window) for window in tried]
    return [w for w, holds in zip(tried, shapely.contains(boxes, raster.place(pixels)), strict=True) if holds]


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
chip_sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))


@st.composite
def cases(draw):
    ids = draw(st.lists(st.sampled_from(["b", "a", "B", "ä"]), min_size=1, max_size=3, unique=True))
    rasters = tuple(
        Raster(id, draw(sides), draw(sides), draw(st.sampled_from(TRANSFORMS)), draw(chip_sizes)) for id in ids
    )
    keys = tuple(draw(st.lists(st.integers(-5, 99), min_size=1, max_size=4, unique=True)))
    pixels = {}
    for key, raster in product(keys, rasters):
        pixel = draw(st.none() | geometries(raster.width, raster.height))
        whole = raster.box(0, 0, raster.width, raster.height)
        if pixel is not None and whole.contains(raster.place(pixel)):
            pixels[key, raster.id] = pixel
    return Case(rasters, keys, pixels)


def refusing(number):
    """Refuses some windows, the same ones on every call; none where `number` is 0."""
    if number == 0:
        return None

    def fits(raster_id, window):
        col, row, *_ = window
        return (5 * col + 3 * row + len(raster_id) + ord(raster_id[0])) % (number + 1) != 0

    return fits
