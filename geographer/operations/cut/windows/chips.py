"""Chips that window planners return, what gets too few of them and why, and the edges of rasters."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from geographer.base.values import Window

WindowFilter = Callable[[str, Window], bool]
"""Takes a raster id and a window; returns whether the window has enough valid pixels for a chip."""

RasterWindow = tuple[int, Window]
"""A raster, by its index among those of a plan, and one of its windows."""

_OBSTACLE_TEXTS = (
    *("its chip would cross the raster's edge", "no window inside the raster holds it", "raster smaller than a chip"),
    *("larger than a chip", "too much nodata"),
)


class Obstacle(IntEnum):
    """Why a raster gives a feature no chip; where several apply, the greatest is reported. 0 is no obstacle."""

    CROSSES_EDGE, NO_WINDOW_INSIDE, RASTER_TOO_SMALL, FEATURE_TOO_LARGE, TOO_MUCH_NODATA = range(1, 6)

    @property
    def reason_text(self) -> str:
        """The text that events record."""
        return _OBSTACLE_TEXTS[self - 1]


class Chip(NamedTuple):
    """A chip: file stem, parent raster, the feature that it is cut for, and the window in pixels of the parent."""

    name: str
    raster_id: str
    feature_id: str | None
    window: Window


class Shortage(NamedTuple):
    """A feature, a box (in fewer chips than its target) or a raster (without chips), by its id, and why."""

    id: str
    reason: str
    chip_count: int = 0
    target_count: int = 1


class PlannedChips(NamedTuple):
    """The chips to cut, in planning order, and what has too few, by rank."""

    chips: list[Chip]
    unmet: list[Shortage]


def list_unmet(
    ids: Sequence[str], obstacles: Iterable[tuple[int, int]], counts: Sequence[int], target_count: int
) -> list[Shortage]:
    """Return the features that are in fewer than `target_count` chips; `counts` are those that each is in.

    `obstacles` has, for each pair of a feature and a raster, the feature's index and the pair's `Obstacle`, or 0.
    """
    obstacles_by_index: dict[int, list[int]] = defaultdict(list)
    for index, obstacle in obstacles:
        obstacles_by_index[index].append(obstacle)
    return [
        Shortage(id, _describe_shortage(obstacles_by_index[index]), count, target_count)
        for index, (id, count) in enumerate(zip(ids, counts, strict=True))
        if count < target_count
    ]


def _describe_shortage(obstacles: Sequence[int]) -> str:
    """Explain why a feature has too few chips, from its obstacle in each raster that contains it."""
    if any(obstacles):
        return "; ".join(Obstacle(number).reason_text for number in sorted({*obstacles} - {0}, reverse=True))
    count = len(obstacles)
    return f"only {count} rasters contain it" if count > 1 else f"{'only 1' if count else 'no'} raster contains it"
