"""Bounding boxes of users: west, south, east, north in degrees, also across the antimeridian."""

from __future__ import annotations

from math import isfinite
from typing import Any

from geographer.base.errors import UsageError

BoundingBox = tuple[float, float, float, float]
"""West, south, east, north in degrees (EPSG:4326); west exceeds east across the antimeridian."""


def parse_bbox(value: Any) -> BoundingBox:
    """Return a bounding box given as four numbers or as text `WEST,SOUTH,EAST,NORTH`; else raise `UsageError`."""
    try:
        numbers = [float(number) for number in (value.split(",") if isinstance(value, str) else value)]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or not all(map(isfinite, numbers)) or numbers[1] > numbers[3]:
        raise UsageError(f"invalid --bbox {value!r}. Use WEST,SOUTH,EAST,NORTH in degrees, e.g. 6.5,45,7,45.5.")
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def require_degrees(box: BoundingBox) -> None:
    """Raise `UsageError` for longitudes beyond 180 degrees and latitudes beyond 90, such as metres."""
    if not all(-limit <= number <= limit for number, limit in zip(box, (180, 90, 180, 90), strict=True)):
        text = ",".join(f"{number:g}" for number in box)
        raise UsageError(
            f"invalid --bbox {text}: longitudes are from -180 to 180 degrees, latitudes from -90 to 90. A box across "
            "the antimeridian has its west in the east, e.g. 179,-17,-179,-16."
        )
