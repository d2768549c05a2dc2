"""Plan the windows of user-drawn boxes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from geographer.base.values import Window, clip_window
from geographer.operations.cut.windows.chip_names import make_feature_chip_name
from geographer.operations.cut.windows.chips import Chip, Obstacle, PlannedChips, WindowFilter, list_unmet
from geographer.operations.cut.windows.positions import SUBPIXEL_STEPS

if TYPE_CHECKING:
    from geographer.operations.cut.boxes import CutBoxes


def plan_boxes(
    candidates: pa.Table, rasters: pa.Table, box_ids: Sequence[str], recipe: "CutBoxes", accepts_window: WindowFilter
) -> PlannedChips:
    """Plan, for each box, the smallest window of whole pixels that contains it, in up to `target_count` rasters.

    Box edges within 1/2048 pixel of a pixel edge are moved onto it, so a box drawn along pixels gets just those pixels.
    Chips are by box, then raster; `unmet` has box ids. Windows that `accepts_window` rejects are omitted.

    `candidates` has one row for each pair of a box and a raster that intersects it: `box_id`, `raster_id`, and the
    box's bounds in the raster's pixels, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row`. `rasters` has `raster_id`,
    `rank` (int64, unique), `width`, `height` (pixels); `box_ids` are all boxes in their order.
    """
    raster_by_id = {row["raster_id"]: row for row in rasters.to_pylist()}
    index_of = {box_id: index for index, box_id in enumerate(box_ids)}
    rows = candidates.to_pylist()
    pairs = [(index_of[row["box_id"]], raster_by_id[row["raster_id"]], _to_window(row)) for row in rows]
    chips, counts, obstacles = [], [0] * len(box_ids), []
    for box, raster, window in sorted(pairs, key=lambda pair: (pair[0], pair[1]["rank"])):
        obstacle, inside = 0, clip_window(window, raster["width"], raster["height"])
        if inside is None:
            continue
        if counts[box] < recipe.target_count:
            if inside != window and not recipe.allows_padding:
                obstacle = Obstacle.CROSSES_EDGE
            elif not accepts_window(raster["raster_id"], window):
                obstacle = Obstacle.TOO_MUCH_NODATA
            else:
                counts[box] += 1
                name = make_feature_chip_name(raster["raster_id"], box_ids[box])
                chips.append(Chip(name, raster["raster_id"], None, window))
        obstacles.append((box, obstacle))
    return PlannedChips(chips, list_unmet(box_ids, obstacles, counts, recipe.target_count))


def _to_window(row: dict[str, float]) -> Window:
    """Return the smallest window of whole pixels that contains a box's bounds."""
    steps = [round(row[name] * SUBPIXEL_STEPS) for name in ("pmin_col", "pmin_row", "pmax_col", "pmax_row")]
    left, top = (step // SUBPIXEL_STEPS for step in steps[:2])
    right, bottom = (-(-step // SUBPIXEL_STEPS) for step in steps[2:])
    return Window(left, top, max(right - left, 1), max(bottom - top, 1))
