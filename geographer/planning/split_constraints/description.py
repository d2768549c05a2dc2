"""Describe what connects two rasters of a split, for messages."""

from collections.abc import Sequence
from typing import Final

from geographer.algorithms.connected_components import Ints

MAX_PATH_NODES: Final = 9
"""The most rasters and features between two rasters that a message lists."""

Path = Sequence[tuple[str, int]]
"""Rasters and features by index, and links between two rasters by their reason and -1; its ends are rasters."""


def describe_path(
    path: Path, rasters: Sequence[str], feature_ids: Sequence[str], part: Ints, names: Sequence[str]
) -> str:
    """Return what connects two rasters: with their ids, and the names of their parts, of which `part` has numbers."""
    ends = [f"raster '{rasters[index]}' ({names[part[index]]})" for _, index in (path[0], path[-1])]
    ids = {"raster": rasters, "feature": feature_ids}
    between = [f"{noun} '{ids[noun][index]}'" if index >= 0 else f"their {noun}" for noun, index in path[1:-1]]
    if len(between) > MAX_PATH_NODES:
        half = MAX_PATH_NODES // 2
        between[half:-half] = [f"{len(between) - 2 * half} more"]
    return f"{' and '.join(ends)} are connected by {', '.join(between)}"
