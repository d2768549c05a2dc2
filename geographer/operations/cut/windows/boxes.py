"""Which windows given boxes are in the rasters that show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import chip_name
from geographer.operations.cut.windows.plan_tables import Fits, chips_table, unmet_table
from geographer.operations.cut.windows.positions import CROSSES, NODATA, Ints

_STEPS = 1024  # a box's edge is rounded to this fraction of a pixel


@dataclass(frozen=True, slots=True)
class GivenPlan:
    """The chips of given boxes (`windows.CHIPS`), and the boxes short of chips (`windows.UNMET`)."""

    chips: pa.Table
    unmet: pa.Table


def plan_given(
    candidates: pa.Table,
    rasters: pa.Table,
    boxes: pa.Table,
    *,
    target_count: int = 1,
    padded: bool = False,
    fits: Fits | None = None,
) -> GivenPlan:
    """For each box, the smallest windows of whole pixels that hold it, in up to `target_count` rasters.

    A box's edge within 1/2048 pixel of a pixel's lies on it: boxes drawn along pixels become just those.

    Args:
        candidates: one row for each pair of a box and a raster that shows some of it: `box_id`, `raster_id`, and the
            box's bounds in the raster's pixels, `pmin_col`, `pmin_row`, `pmax_col`, `pmax_row` (float64, (0, 0) the
            outer corner of the first pixel).
        rasters: `raster_id`, `turn` (int64, all different), `width`, `height` (pixels).
        boxes: all of them: `box_id`, in order.
        target_count: from how many rasters each box is wanted.
        padded: also windows that reach over the raster's edge.
        fits: whether a window will do, by its pixels.
    """
    scenes = {row["raster_id"]: row for row in rasters.to_pylist()}
    names = boxes["box_id"].to_pylist()
    place = {name: number for number, name in enumerate(names)}
    shown = [row for row in candidates.to_pylist() if _meets(_window(row), scenes[row["raster_id"]])]
    rows = sorted(shown, key=lambda row: (place[row["box_id"]], scenes[row["raster_id"]]["turn"]))
    have, obstacle = np.zeros(len(names), np.int64), np.zeros(len(rows), np.int64)
    chips = []
    for number, row in enumerate(rows):
        box, raster_id = row["box_id"], row["raster_id"]
        if have[place[box]] >= target_count:
            continue
        window = _window(row)
        obstacle[number] = _obstacle(raster_id, window, scenes[raster_id], padded=padded, fits=fits)
        if not obstacle[number]:
            have[place[box]] += 1
            chips.append((chip_name(raster_id, box), raster_id, None, window))
    turns: Ints = np.searchsorted([place[row["box_id"]] for row in rows], np.arange(len(names) + 1))
    return GivenPlan(chips_table(chips), unmet_table(names, turns.tolist(), have, obstacle, target_count))


def _window(row: dict[str, float]) -> Window:
    snapped = {name: round(row[name] * _STEPS) / _STEPS for name in ("pmin_col", "pmin_row", "pmax_col", "pmax_row")}
    col, row_ = int(np.floor(snapped["pmin_col"])), int(np.floor(snapped["pmin_row"]))
    right, bottom = int(np.ceil(snapped["pmax_col"])), int(np.ceil(snapped["pmax_row"]))
    return Window(col, row_, max(right - col, 1), max(bottom - row_, 1))


def _obstacle(raster_id: str, window: Window, scene: dict[str, int], *, padded: bool, fits: Fits | None) -> int:
    right, bottom = window.col + window.width, window.row + window.height
    crosses = window.col < 0 or window.row < 0 or right > scene["width"] or bottom > scene["height"]
    if crosses and not padded:
        return CROSSES
    return NODATA if fits and not fits(raster_id, window) else 0


def _meets(window: Window, scene: dict[str, int]) -> bool:
    """Whether some of a window's pixels are the raster's."""
    inside_across = window.col < scene["width"] and window.col + window.width > 0
    return inside_across and window.row < scene["height"] and window.row + window.height > 0
