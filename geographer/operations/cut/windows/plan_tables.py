"""The tables of windows that a plan of chips hands over, and what all such plans share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from geographer.base.errors import UsageError
from geographer.base.values import Window
from geographer.operations.cut.windows.positions import OBSTACLES, Ints

Fits = Callable[[str, Window], bool]
"""Whether the pixels that a raster, by its id, has in a window are good enough for a chip."""

CHIPS = pa.schema(
    [
        ("name", pa.string()),
        ("raster_id", pa.string()),
        ("feature_id", pa.string()),
        *((name, pa.int64()) for name in Window._fields),
    ]
)
"""Chips to make: the file's stem, the parent, the feature that it was cut for (or null), and the parent's pixels."""

UNMET = pa.schema([("feature_id", pa.string()), ("reason", pa.string()), ("have", pa.int64()), ("wanted", pa.int64())])
"""Features in fewer chips than wanted, and why."""

UNCUT = pa.schema([("raster_id", pa.string()), ("reason", pa.string())])
"""Rasters that give no chip, and why."""


def chips_table(rows: Iterable[tuple[str, str, str | None, Window]]) -> pa.Table:
    """Chips, given as name, raster, feature and window, as a table."""
    return table([(name, raster, feature, *window) for name, raster, feature, window in rows], CHIPS)


def table(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, also when there is none."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def unmet_table(feature_ids: Sequence[str], turns: Sequence[int], have: Ints, obstacle: Ints, wanted: int) -> pa.Table:
    """The features in fewer chips than wanted, and why; `turns` bounds each feature's rows of `obstacle`."""
    rows = [
        (
            feature_ids[feature],
            _reason(obstacle[turns[feature] : turns[feature + 1]]),
            int(have[feature]),
            wanted,
        )
        for feature in np.flatnonzero(have < wanted).tolist()
    ]
    return table(rows, UNMET)


def _reason(obstacle: Ints) -> str:
    """Why a feature has too few chips, from the obstacles in the rasters that contain it."""
    if not len(obstacle):
        return "no raster contains it"
    if obstacle.any():
        return "; ".join(OBSTACLES[kind] for kind in np.unique(obstacle[obstacle > 0])[::-1].tolist())
    return "only 1 raster contains it" if len(obstacle) == 1 else f"only {len(obstacle)} rasters contain it"


def check_sizes(rasters: pa.Table) -> None:
    """Raise unless every raster's chips have pixels."""
    for name in ("chip_width", "chip_height"):
        if len(rasters) and (smallest := int(rasters[name].to_numpy().min())) < 1:
            raise UsageError(f"a chip of {smallest} pixels has no pixels: pass a size of 1 or more")
