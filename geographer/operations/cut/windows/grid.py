"""Plan a grid of windows over each raster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import shapely

from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.plan_tables import (
    OBSTACLE_TEXTS,
    RASTER_TOO_SMALL,
    TOO_MUCH_NODATA,
    UNCUT_SCHEMA,
    WindowPredicate,
    make_chips_table,
    make_table,
    validate_chip_sizes,
)

if TYPE_CHECKING:
    from geographer.operations.cut.grid import CutGrid

EdgePolicy = Literal["drop", "pad", "shift"]

_NO_FEATURE = "no selected feature lies in it"
_POLYGON_DIMENSION = 2


class GridPlan(NamedTuple):
    """The cells to cut (`CHIPS_SCHEMA`, by raster, row, column) and the rasters without cells (`UNCUT_SCHEMA`)."""

    chips: pa.Table
    uncut: pa.Table


def plan_grid(
    rasters: pa.Table,
    recipe: CutGrid,
    feature_geometries: pa.Table | None = None,
    accepts_window: WindowPredicate | None = None,
) -> GridPlan:
    """Tile each raster with windows from its upper-left pixel.

    Args:
        rasters: `raster_id`, `rank` (int64, unique), `width`, `height`, `chip_width`, `chip_height` (pixels).
        recipe: The options.
        feature_geometries: If given, keep only windows that contain some of these geometries: `raster_id`, and `wkb`
            in pixels of the raster. A polygon has to reach the window's interior; a point or line may lie on its edge.
        accepts_window: Omit windows for which this is false.

    Raises:
        UsageError: An option is out of range.
    """
    validate_chip_sizes(rasters)
    if recipe.edge not in get_args(EdgePolicy):
        raise UsageError(f"invalid edge '{recipe.edge}'. Use one of {quote_names(list(get_args(EdgePolicy)))}.")
    chips, uncut = [], []
    geometries: dict[str, list[bytes]] = defaultdict(list)
    if feature_geometries is not None:
        for row in feature_geometries.to_pylist():
            geometries[row["raster_id"]].append(row["wkb"])
    for raster in rasters.sort_by("rank").to_pylist():
        raster_id = raster["raster_id"]
        cells, reason = list(_iter_cells(raster, recipe)), OBSTACLE_TEXTS[RASTER_TOO_SMALL]
        if cells and feature_geometries is not None:
            cells, reason = _select_cells_with_features(cells, geometries[raster_id]), _NO_FEATURE
        if cells and accepts_window is not None:
            cells = [cell for cell in cells if accepts_window(raster_id, cell)]
            reason = OBSTACLE_TEXTS[TOO_MUCH_NODATA]
        chips += [(make_grid_chip_name(raster_id, cell.col, cell.row), raster_id, None, cell) for cell in cells]
        if not cells:
            uncut.append((raster_id, reason))
    return GridPlan(make_chips_table(chips), make_table(uncut, UNCUT_SCHEMA))


def _iter_cells(raster: dict[str, int], recipe: CutGrid) -> Iterator[Window]:
    width, height = size = raster["chip_width"], raster["chip_height"]
    if not 0 <= recipe.overlap < min(size):
        raise UsageError(
            f"invalid overlap {recipe.overlap}. Use 0 or more pixels, and fewer than the chip's {width} x {height}."
        )
    cols = _compute_tile_starts(raster["width"], width, recipe)
    rows = _compute_tile_starts(raster["height"], height, recipe)
    return (Window(col, row, *size) for row, col in product(rows, cols))


def _compute_tile_starts(extent: int, size: int, recipe: CutGrid) -> list[int]:
    """Return the first pixel of each tile along an axis of `extent` pixels."""
    step = size - recipe.overlap
    if recipe.edge == "pad":
        return list(range(0, max(extent - recipe.overlap, 1), step))
    starts = list(range(0, extent - size + 1, step))
    if recipe.edge == "shift" and starts and starts[-1] + size < extent:
        starts.append(extent - size)
    return starts


def _select_cells_with_features(cells: list[Window], wkbs: list[bytes]) -> list[Window]:
    if not wkbs:
        return []
    boxes = shapely.box(*np.array([(c.col, c.row, c.col + c.width, c.row + c.height) for c in cells]).T)
    geometries = shapely.from_wkb(wkbs)
    geometry, cell = shapely.STRtree(boxes).query(geometries, predicate="intersects")
    is_polygon = shapely.get_dimensions(geometries[geometry]) == _POLYGON_DIMENSION
    only_touches = is_polygon & shapely.touches(boxes[cell], geometries[geometry])
    return [cells[index] for index in np.unique(cell[~only_touches])]
