"""Plan the windows of user-drawn boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import make_feature_chip_name
from geographer.operations.cut.windows.clipping import clip_window, crosses_edge
from geographer.operations.cut.windows.plan_tables import (
    CROSSES_EDGE,
    TOO_MUCH_NODATA,
    PlannedChips,
    WindowPredicate,
    make_chips_table,
    make_unmet_table,
)
from geographer.operations.cut.windows.positions import SUBPIXEL_STEPS

if TYPE_CHECKING:
    from geographer.operations.cut.boxes import CutBoxes


def plan_boxes(
    candidates: pa.Table,
    rasters: pa.Table,
    boxes: pa.Table,
    recipe: CutBoxes,
    accepts_window: WindowPredicate | None = None,
) -> PlannedChips:
    """Plan, for each box, the smallest window of whole pixels that contains it, in up to `target_count` rasters.

    Box edges within 1/2048 pixel of a pixel edge are moved onto it, so a box drawn along pixels gets just those pixels.

    Args:
        candidates: One row for each pair of a box and a raster that intersects it: `box_id`, `raster_id`, and the box's
            bounds in the raster's pixels, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` (float64, (0, 0) is the outer
            corner of the first pixel).
        rasters: `raster_id`, `rank` (int64, unique), `width`, `height` (pixels).
        boxes: All boxes in their order: `box_id`.
        recipe: The options.
        accepts_window: Omit windows for which this is false.

    Returns:
        Chips by box, then raster. `unmet` has box ids in its column `feature_id`.
    """
    raster_by_id = {row["raster_id"]: row for row in rasters.to_pylist()}
    box_ids = boxes["box_id"].to_pylist()
    index_of = {box_id: index for index, box_id in enumerate(box_ids)}
    rows = candidates.to_pylist()
    pairs = [(index_of[row["box_id"]], raster_by_id[row["raster_id"]], _to_window(row)) for row in rows]
    pairs = [pair for pair in pairs if clip_window(pair[2], *_get_extent(pair[1]))]
    pairs.sort(key=lambda pair: (pair[0], pair[1]["rank"]))
    pair_boxes = np.array([box for box, _, _ in pairs], np.int64)
    counts, obstacles = np.zeros(len(box_ids), np.int64), np.zeros(len(pairs), np.int64)
    chips = []
    for index, (box, raster, window) in enumerate(pairs):
        if counts[box] >= recipe.target_count:
            continue
        if crosses_edge(window, *_get_extent(raster)) and not recipe.allows_padding:
            obstacles[index] = CROSSES_EDGE
        elif accepts_window and not accepts_window(raster["raster_id"], window):
            obstacles[index] = TOO_MUCH_NODATA
        else:
            counts[box] += 1
            name = make_feature_chip_name(raster["raster_id"], box_ids[box])
            chips.append((name, raster["raster_id"], None, window))
    unmet = make_unmet_table(box_ids, pair_boxes, obstacles, counts, recipe.target_count)
    return PlannedChips(make_chips_table(chips), unmet)


def _to_window(row: dict[str, float]) -> Window:
    """Return the smallest window of whole pixels that contains a box's bounds."""
    steps = [round(row[name] * SUBPIXEL_STEPS) for name in ("pmin_col", "pmin_row", "pmax_col", "pmax_row")]
    left, top = (step // SUBPIXEL_STEPS for step in steps[:2])
    right, bottom = (-(-step // SUBPIXEL_STEPS) for step in steps[2:])
    return Window(left, top, max(right - left, 1), max(bottom - top, 1))


def _get_extent(raster: dict[str, int]) -> tuple[int, int]:
    return raster["width"], raster["height"]
