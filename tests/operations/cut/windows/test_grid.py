"""Test grids of windows, pixel by pixel."""

from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.base.errors import UsageError
from geographer.operations.cut.grid import CutGrid
from geographer.operations.cut.windows.grid import plan_grid
from tests.operations.cut.windows.pixel_oracle import (
    TRANSFORMS,
    Raster,
    accept_all,
    chip_sizes,
    contained_geometries,
    list_windows,
    make_rasters_table,
    make_table,
    predicates,
    side_lengths,
)


def plan_cells(rasters, geometries=None, accepts_window=None, overlap=0, edge="shift"):
    recipe = CutGrid("tiles", size=1, overlap=overlap, edge=edge)  # the table of rasters has the sizes
    plan = plan_grid(make_rasters_table(rasters), recipe, geometries, accepts_window or accept_all)
    return list_windows(plan), [(shortage.id, shortage.reason) for shortage in plan.unmet]


def make_geometries_table(geometries):
    """Make the table of geometries that `plan_grid` takes, from pairs of raster id and geometry in pixels."""
    rows = [(raster_id, shapely.to_wkb(geometry)) for raster_id, geometry in geometries]
    return make_table([("raster_id", "string"), ("wkb", "binary")], rows)


lengths = st.integers(1, 12)
edges = st.sampled_from(["shift", "pad", "drop"])


@given(lengths, lengths, st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), edges)
def test_grid_covers_raster_with_fewest_windows(width, height, w, h, overlap, edge):
    overlap = min(overlap, w - 1, h - 1)
    windows, uncut = plan_cells([Raster("r", width, height, chip_size=(w, h))], overlap=overlap, edge=edge)
    cover_counts = np.zeros((height + h, width + w), int)
    for _, col, row, *size in windows:
        assert tuple(size) == (w, h)
        assert col >= 0
        assert row >= 0
        cover_counts[row : row + h, col : col + w] += 1
    is_too_small = edge != "pad" and (width < w or height < h)
    assert uncut == ([("r", "raster smaller than a chip")] if is_too_small else [])
    if is_too_small:
        assert windows == []
        return
    assert windows[0] == ("r", 0, 0, w, h)
    cols, rows = (sorted({window[axis] for window in windows}) for axis in (1, 2))
    assert windows == [("r", col, row, w, h) for row, col in product(rows, cols)]
    for starts, size, extent in ((cols, w, width), (rows, h, height)):
        steps = np.diff(starts)
        assert (steps[:-1] == size - overlap).all()
        if edge == "shift":
            assert starts[-1] + size == extent
            assert (steps[-1:] <= size - overlap).all()
        else:
            assert (steps == size - overlap).all()
        # One window fewer would leave pixels uncovered, and one more is not needed.
        end = starts[-1] + size
        if edge == "pad":
            assert end >= extent > (starts[-2] + size if len(starts) > 1 else 0)
        elif edge == "drop":
            assert end <= extent < end + size - overlap
        else:
            assert len(starts) == 1 or starts[-2] + size < extent
    if edge != "drop":
        assert cover_counts[:height, :width].all()
    if overlap == 0 and edge != "shift":
        assert cover_counts.max() == 1


def test_grid_is_ordered_by_raster_row_column():
    windows, _ = plan_cells([Raster("b", 9, 7, chip_size=(4, 3)), Raster("a", 4, 3, chip_size=(4, 3))])
    assert windows == [("b", col, row, 4, 3) for row in (0, 3, 4) for col in (0, 4, 5)] + [("a", 0, 0, 4, 3)]


def test_each_raster_has_own_chip_size():
    windows, _ = plan_cells([Raster("a", 4, 4, chip_size=(4, 2)), Raster("b", 4, 4, chip_size=(2, 4))])
    assert windows == [("a", 0, 0, 4, 2), ("a", 0, 2, 4, 2), ("b", 0, 0, 2, 4), ("b", 2, 0, 2, 4)]


@st.composite
def raster_geometries(draw):
    """Draw rasters and geometries in their pixels."""
    ids = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    rasters = [
        Raster(id, draw(side_lengths), draw(side_lengths), draw(st.sampled_from(TRANSFORMS)), draw(chip_sizes))
        for id in ids
    ]
    geometries = [
        (raster.id, draw(contained_geometries(raster.width + 2, raster.height)))
        for raster in rasters
        for _ in range(draw(st.integers(0, 2)))
    ]
    return rasters, geometries


@settings(max_examples=80, deadline=None)
@given(raster_geometries(), edges, predicates)
def test_grid_keeps_cells_with_features(case, edge, accepts_window):
    """A polygon must share area with a cell; a point or line may touch its edge."""
    rasters, geometries = case
    all_cells, _ = plan_cells(rasters, edge=edge)
    expected = []
    for raster_id, col, row, width, height in all_cells:
        cell = shapely.box(col, row, col + width, row + height)
        has_feature = any(
            shapely.area(cell & geometry) > 0 if shapely.area(geometry) else cell.intersects(geometry)
            for geometry_raster_id, geometry in geometries
            if geometry_raster_id == raster_id
        )
        if has_feature and (accepts_window is None or accepts_window(raster_id, (col, row, width, height))):
            expected.append((raster_id, col, row, width, height))
    table = make_geometries_table(geometries)
    windows, uncut = plan_cells(rasters, table, accepts_window, edge=edge)
    assert windows == expected
    assert [raster_id for raster_id, _ in uncut] == [
        raster.id for raster in rasters if raster.id not in {window[0] for window in expected}
    ]


def test_uncut_raster_has_a_reason():
    rasters = [Raster(id, 8, side, chip_size=(4, 4)) for id, side in (("small", 3), ("empty", 8), ("dark", 8))]
    geometries = make_geometries_table([("small", shapely.Point(1, 1)), ("dark", shapely.Point(1, 1))])
    assert plan_cells(rasters, geometries, accepts_window=lambda *_: False)[1] == [
        ("small", "raster smaller than a chip"),
        ("empty", "no selected feature lies in it"),
        ("dark", "too much nodata"),
    ]


def test_plan_grid_ignores_row_order():
    rasters = make_rasters_table([Raster(id, 9, 7) for id in "cab"])
    geometries = make_geometries_table([(id, shapely.Point(col, 2)) for id in "abc" for col in (1, 5, 7)])
    recipe = CutGrid("tiles", size=4)
    plan = plan_grid(rasters, recipe, geometries, accept_all)
    assert len(plan.chips) == 9
    assert plan_grid(rasters[::-1], recipe, geometries[::-1], accept_all) == plan


def test_grid_without_rasters_is_empty():
    assert plan_cells([]) == ([], [])


def test_overlap_as_large_as_a_chip_is_rejected():
    message = "invalid overlap 4. Use 0 or more pixels, and fewer than the chip's 4 x 6"
    with pytest.raises(UsageError, match=message):
        plan_cells([Raster("r", 9, 9, chip_size=(4, 6))], overlap=4)
