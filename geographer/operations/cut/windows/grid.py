"""Which cells of a grid over each raster become chips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import shapely

from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import cell_name
from geographer.operations.cut.windows.plan_tables import UNCUT, Fits, check_sizes, chips_table, table
from geographer.operations.cut.windows.positions import NODATA, OBSTACLES, RASTER_SMALLER

Edge = Literal["drop", "pad", "shift"]

_NO_FEATURE = "no selected feature lies in it"
_POLYGON = 2


@dataclass(frozen=True, slots=True)
class GridPlan:
    """The cells to make (`windows.CHIPS`, by raster, then row, then column), and the rasters without (`UNCUT`)."""

    chips: pa.Table
    uncut: pa.Table


def plan_grid(
    rasters: pa.Table,
    *,
    overlap: int = 0,
    edge: Edge = "shift",
    shapes: pa.Table | None = None,
    fits: Fits | None = None,
) -> GridPlan:
    """The windows that tile each raster from its upper-left pixel.

    Args:
        rasters: `raster_id`, `turn` (int64, all different), `width`, `height`, `chip_width`, `chip_height` (pixels).
        overlap: how many columns or rows of pixels neighbours share.
        edge: what happens to the last column and row where they would reach over the raster's edge: `shift` moves
            them inside (they share more pixels with their neighbours), `pad` leaves them, `drop` leaves them out. A
            raster smaller than a chip has no cells, except with `pad`.
        shapes: only cells that hold one of these: `raster_id`, and `wkb`, a feature in the raster's pixels. A polygon
            has to reach a cell's interior; a point or line may also lie on its edge.
        fits: whether a window will do, by its pixels.

    Raises:
        UsageError: an option is out of range.
    """
    check_sizes(rasters)
    if edge not in get_args(Edge):
        raise UsageError(f"'{edge}' is not among {quote_names(list(get_args(Edge)))}: pass one of them")
    chips, uncut = [], []
    held = _by_raster(shapes) if shapes is not None else None
    for raster in rasters.sort_by("turn").to_pylist():
        raster_id = raster["raster_id"]
        cells, reason = list(_cells(raster, overlap, edge)), OBSTACLES[RASTER_SMALLER]
        if cells and held is not None:
            cells, reason = _holding(cells, held.get(raster_id, [])), _NO_FEATURE
        if cells and fits is not None:
            cells, reason = [cell for cell in cells if fits(raster_id, cell)], OBSTACLES[NODATA]
        chips += [(cell_name(raster_id, cell.col, cell.row), raster_id, None, cell) for cell in cells]
        if not cells:
            uncut.append((raster_id, reason))
    return GridPlan(chips_table(chips), table(uncut, UNCUT))


def _cells(raster: dict[str, int], overlap: int, edge: Edge) -> Iterator[Window]:
    size = raster["chip_width"], raster["chip_height"]
    if not 0 <= overlap < min(size):
        raise UsageError(f"an overlap of {overlap} pixels leaves chips of {size[0]} x {size[1]} no step: pass less")
    cols, rows = (
        _tiles(extent, length, overlap, edge)
        for extent, length in zip((raster["width"], raster["height"]), size, strict=True)
    )
    return (Window(col, row, *size) for row, col in product(rows, cols))


def _tiles(extent: int, size: int, overlap: int, edge: Edge) -> list[int]:
    """Where the tiles of an axis of `extent` pixels begin."""
    step = size - overlap
    if edge == "pad":
        return list(range(0, max(extent - overlap, 1), step))
    inside = list(range(0, extent - size + 1, step))
    if edge == "shift" and inside and inside[-1] + size < extent:
        inside.append(extent - size)
    return inside


def _by_raster(shapes: pa.Table) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for raster_id, wkb in zip(shapes["raster_id"].to_pylist(), shapes["wkb"].to_pylist(), strict=True):
        found.setdefault(raster_id, []).append(wkb)
    return found


def _holding(cells: list[Window], shapes: list[bytes]) -> list[Window]:
    """The cells that hold one of the shapes."""
    if not shapes:
        return []
    boxes = shapely.box(*np.array([(c.col, c.row, c.col + c.width, c.row + c.height) for c in cells]).T)
    geometries = shapely.from_wkb(shapes)
    shape, cell = shapely.STRtree(boxes).query(geometries, predicate="intersects")
    only_touches = (shapely.get_dimensions(geometries[shape]) == _POLYGON) & shapely.touches(
        boxes[cell], geometries[shape]
    )
    return [cells[number] for number in np.unique(cell[~only_touches])]
