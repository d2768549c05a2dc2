"""Chips in a grid, counted pixel by pixel."""

from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.base.errors import UsageError
from geographer.operations.cut.windows.grid import plan_grid
from geographer.operations.cut.windows.plan_tables import CHIPS
from tests.operations.cut.windows.pixel_oracle import (
    TRANSFORMS,
    Raster,
    chip_sizes,
    geometries,
    rasters_of,
    refusing,
    sides,
    table,
    windows,
)


def cells(rasters, **options):
    planned = plan_grid(rasters_of(rasters), **options)
    return windows(planned), [tuple(row.values()) for row in planned.uncut.to_pylist()]


def shapes_of(shapes):
    """Shapes by raster id, in the raster's pixels, as the plan takes them."""
    rows = [(raster_id, shapely.to_wkb(shape)) for raster_id, shape in shapes]
    return table([("raster_id", "string"), ("wkb", "binary")], rows)


lengths = st.integers(1, 12)
edges = st.sampled_from(["shift", "pad", "drop"])


@given(lengths, lengths, st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), edges)
def test_a_grid_covers_what_it_can_with_as_few_windows_as_can_be(width, height, w, h, overlap, edge):
    overlap = min(overlap, w - 1, h - 1)
    found, uncut = cells([Raster("r", width, height, size=(w, h))], overlap=overlap, edge=edge)
    times = np.zeros((height + h, width + w), int)
    for _, col, row, *size in found:
        assert tuple(size) == (w, h)
        assert col >= 0
        assert row >= 0
        times[row : row + h, col : col + w] += 1
    small = edge != "pad" and (width < w or height < h)
    assert uncut == ([("r", "raster smaller than a chip")] if small else [])
    if small:
        assert found == []
        return
    assert found[0] == ("r", 0, 0, w, h)
    cols, rows = (sorted({window[axis] for window in found}) for axis in (1, 2))
    assert found == [("r", col, row, w, h) for row, col in product(rows, cols)]
    for begins, size, extent in ((cols, w, width), (rows, h, height)):
        steps = np.diff(begins)
        assert (steps[:-1] == size - overlap).all()
        if edge == "shift":
            assert begins[-1] + size == extent
            assert (steps[-1:] <= size - overlap).all()
        else:
            assert (steps == size - overlap).all()
        # One window fewer would leave pixels out that are to be covered, and one more is not wanted.
        reached = begins[-1] + size
        if edge == "pad":
            assert reached >= extent > (begins[-2] + size if len(begins) > 1 else 0)
        elif edge == "drop":
            assert reached <= extent < reached + size - overlap
        else:
            assert len(begins) == 1 or begins[-2] + size < extent
    if edge != "drop":
        assert times[:height, :width].all()
    if overlap == 0 and edge != "shift":
        assert times.max() == 1


def test_a_grid_is_ordered_by_raster_row_and_column_and_shifts_only_the_last():
    found, _ = cells([Raster("b", 9, 7, size=(4, 3)), Raster("a", 4, 3, size=(4, 3))])
    assert found == [("b", col, row, 4, 3) for row in (0, 3, 4) for col in (0, 4, 5)] + [("a", 0, 0, 4, 3)]


def test_each_raster_has_chips_of_its_own_size():
    found, _ = cells([Raster("a", 4, 4, size=(4, 2)), Raster("b", 4, 4, size=(2, 4))])
    assert found == [("a", 0, 0, 4, 2), ("a", 0, 2, 4, 2), ("b", 0, 0, 2, 4), ("b", 2, 0, 2, 4)]


@st.composite
def shown(draw):
    """Rasters, and shapes in their pixels."""
    ids = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    rasters = [Raster(id, draw(sides), draw(sides), draw(st.sampled_from(TRANSFORMS)), draw(chip_sizes)) for id in ids]
    shapes = [
        (raster.id, draw(geometries(raster.width + 2, raster.height)))
        for raster in rasters
        for _ in range(draw(st.integers(0, 2)))
    ]
    return rasters, shapes


@settings(max_examples=80, deadline=None)
@given(shown(), edges, st.integers(0, 3).map(refusing))
def test_only_cells_that_hold_a_shape_are_taken(shown, edge, fits):
    """Of polygons, area must lie in a cell; of others, any point, on its edge too."""
    rasters, shapes = shown
    whole, _ = cells(rasters, edge=edge)
    due = []
    for raster_id, col, row, width, height in whole:
        cell = shapely.box(col, row, col + width, row + height)
        holds = any(
            shapely.area(shapely.intersection(cell, shape)) > 0 if shapely.area(shape) else cell.intersects(shape)
            for shown_by, shape in shapes
            if shown_by == raster_id
        )
        if holds and (fits is None or fits(raster_id, (col, row, width, height))):
            due.append((raster_id, col, row, width, height))
    found, uncut = cells(rasters, edge=edge, shapes=shapes_of(shapes), fits=fits)
    assert found == due
    assert [raster_id for raster_id, _ in uncut] == [
        raster.id for raster in rasters if raster.id not in {window[0] for window in due}
    ]


def test_a_raster_without_cells_says_why():
    rasters = [Raster(id, 8, side, size=(4, 4)) for id, side in (("small", 3), ("empty", 8), ("dark", 8))]
    shapes = shapes_of([("small", shapely.Point(1, 1)), ("dark", shapely.Point(1, 1))])
    assert cells(rasters, shapes=shapes, fits=lambda *_: False)[1] == [
        ("small", "raster smaller than a chip"),
        ("empty", "no selected feature lies in it"),
        ("dark", "too much nodata"),
    ]


def test_the_order_of_rows_changes_nothing():
    rasters = rasters_of([Raster(id, 9, 7) for id in "cab"])
    shapes = shapes_of([(id, shapely.Point(col, 2)) for id in "abc" for col in (1, 5, 7)])
    planned = plan_grid(rasters, shapes=shapes)
    assert len(planned.chips) == 9
    assert plan_grid(rasters[::-1], shapes=shapes[::-1]) == planned


def test_a_plan_has_the_types_of_chips_also_when_it_is_empty():
    for rasters in ([], [Raster("r", 9, 9)]):
        planned = plan_grid(rasters_of(rasters))
        assert planned.chips.schema == CHIPS
        assert planned.uncut.column_names == ["raster_id", "reason"]


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((0, 4), {}, "no pixels"),
        ((4, 4), {"edge": "skip"}, "'skip' is not among 'drop', 'pad', 'shift'"),
        ((4, 6), {"overlap": 4}, "an overlap of 4 pixels leaves chips of 4 x 6 no step"),
        ((4, 6), {"overlap": -1}, "an overlap of -1 pixels"),
    ],
)
def test_an_option_out_of_range_is_named(size, options, message):
    with pytest.raises(UsageError, match=message):
        cells([Raster("r", 9, 9, size=size)], **options)
