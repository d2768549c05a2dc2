"""Plan a grid of windows over each raster."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from geographer.base.errors import UsageError
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_grid_chip_name
from geographer.operations.cut.windows.chips import Chip, Obstacle, PlannedChips, Shortage, WindowFilter

if TYPE_CHECKING:
    from geographer.operations.cut.grid import CutGrid

_NO_FEATURE = "no selected feature lies in it"


def plan_grid(
    rasters: pa.Table, recipe: "CutGrid", feature_geometries: pa.Table | None, accepts_window: WindowFilter
) -> PlannedChips:
    """Tile each raster with windows from its upper-left pixel; chips are by raster, row, column.

    `rasters` has `raster_id`, `rank` (int64, unique), `width`, `height`, `chip_width`, `chip_height` (pixels). With
    `feature_geometries` (`raster_id`, and `wkb` in pixels of the raster), only windows that contain some of them are
    kept: a polygon has to reach the window's interior; a point or line may lie on its edge. Windows that
    `accepts_window` rejects are omitted. Raise `UsageError` if the overlap is as large as a window.
    """
    chips, uncut = [], []
    geometries: dict[str, list[bytes]] = defaultdict(list)
    for row in feature_geometries.to_pylist() if feature_geometries else ():
        geometries[row["raster_id"]].append(row["wkb"])
    for raster in rasters.sort_by("rank").to_pylist():
        raster_id = raster["raster_id"]
        cells, reason = list(_iter_cells(raster, recipe)), Obstacle.RASTER_TOO_SMALL.reason_text
        if cells and feature_geometries is not None:
            cells, reason = _select_cells_with_features(cells, geometries[raster_id]), _NO_FEATURE
        if cells:
            cells = [cell for cell in cells if accepts_window(raster_id, cell)]
            reason = Obstacle.TOO_MUCH_NODATA.reason_text
        chips += [Chip(make_grid_chip_name(raster_id, cell.col, cell.row), raster_id, None, cell) for cell in cells]
        if not cells:
            uncut.append(Shortage(raster_id, reason))
    return PlannedChips(chips, uncut)


def _iter_cells(raster: dict[str, int], recipe: "CutGrid") -> Iterator[Window]:
    width, height = size = raster["chip_width"], raster["chip_height"]
    if recipe.overlap >= min(size):
        raise UsageError(
            f"invalid overlap {recipe.overlap}. Use 0 or more pixels, and fewer than the chip's {width} x {height}."
        )
    cols = _compute_tile_starts(raster["width"], width, recipe)
    rows = _compute_tile_starts(raster["height"], height, recipe)
    return (Window(col, row, *size) for row, col in product(rows, cols))


def _compute_tile_starts(extent: int, size: int, recipe: "CutGrid") -> list[int]:
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
    is_polygon = shapely.get_dimensions(geometries[geometry]) == 2
    only_touches = is_polygon & shapely.touches(boxes[cell], geometries[geometry])
    return [cells[index] for index in np.unique(cell[~only_touches])]
