"""Tables that window planners return: chips to cut, features in too few chips, rasters without chips, and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geographer.base.errors import UsageError
from geographer.base.values import Window

_IntArray = npt.NDArray[np.int64]

WindowPredicate = Callable[[str, Window], bool]
"""Takes a raster id and a window; returns whether the window has enough valid pixels for a chip."""

CHIPS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("raster_id", pa.string()),
        ("feature_id", pa.string()),
        *((name, pa.int64()) for name in Window._fields),
    ]
)
"""Chips to cut: file stem, parent raster, the feature that it is cut for (or null), and the window in parent pixels."""

UNMET_SCHEMA = pa.schema(
    [("feature_id", pa.string()), ("reason", pa.string()), ("chip_count", pa.int64()), ("target_count", pa.int64())]
)
"""Features in fewer chips than their target, and why."""

UNCUT_SCHEMA = pa.schema([("raster_id", pa.string()), ("reason", pa.string())])
"""Rasters without chips, and why."""


OBSTACLE_TEXTS = (
    "",
    "its chip would cross the raster's edge",
    "no window inside the raster holds it",
    "raster smaller than a chip",
    "larger than a chip",
    "too much nodata",
)
"""Why a raster gives a feature no chip, by number; 0 is no obstacle. Events keep these texts as keys."""

CROSSES_EDGE, NO_WINDOW_INSIDE, RASTER_TOO_SMALL, FEATURE_TOO_LARGE, TOO_MUCH_NODATA = range(1, len(OBSTACLE_TEXTS))
"""Where several apply, the greatest number is reported."""


class PlannedChips(NamedTuple):
    """The chips to cut (`CHIPS_SCHEMA`), in planning order, and what has too few (`UNMET_SCHEMA`), by rank."""

    chips: pa.Table
    unmet: pa.Table


def make_chips_table(rows: Iterable[tuple[str, str, str | None, Window]]) -> pa.Table:
    """Make a table of `CHIPS_SCHEMA` from rows of name, raster id, feature id and window."""
    return make_table([(name, raster, feature, *window) for name, raster, feature, window in rows], CHIPS_SCHEMA)


def make_table(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table from rows, which may be empty."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def make_unmet_table(
    feature_ids: Sequence[str], feature: _IntArray, obstacle: _IntArray, counts: _IntArray, target_count: int
) -> pa.Table:
    """Make a table of `UNMET_SCHEMA`.

    Args:
        feature_ids: All features.
        feature: For each pair of feature and raster, the feature's index in `feature_ids`; sorted.
        obstacle: For each pair, its obstacle (see `OBSTACLE_TEXTS`).
        counts: In how many chips each feature is.
        target_count: In how many chips each feature should be.
    """
    bounds = np.searchsorted(feature, np.arange(len(feature_ids) + 1)).tolist()
    rows = [
        (feature_id, _describe_shortage(obstacle[start:stop]), count, target_count)
        for feature_id, (start, stop), count in zip(feature_ids, pairwise(bounds), counts.tolist(), strict=True)
        if count < target_count
    ]
    return make_table(rows, UNMET_SCHEMA)


def _describe_shortage(obstacles: _IntArray) -> str:
    """Explain why a feature has too few chips, from its obstacle in each raster that contains it."""
    if not len(obstacles):
        return "no raster contains it"
    if obstacles.any():
        return "; ".join(OBSTACLE_TEXTS[number] for number in np.unique(obstacles[obstacles > 0])[::-1].tolist())
    return "only 1 raster contains it" if len(obstacles) == 1 else f"only {len(obstacles)} rasters contain it"


def validate_chip_sizes(rasters: pa.Table) -> None:
    """Raise `UsageError` if a raster's chips would have no pixels."""
    for name in ("chip_width", "chip_height"):
        if len(rasters) and (smallest := int(rasters[name].to_numpy().min())) < 1:
            raise UsageError(f"a chip size of {smallest} pixels is too small. Use 1 or more.")
