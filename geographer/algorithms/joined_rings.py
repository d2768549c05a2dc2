"""Joined rings: several polygons with holes as one ring, for formats whose objects have one ring."""

from collections.abc import Sequence

import numpy as np

from geographer.algorithms.connected_components import Floats


def join_rings(rings: Sequence[Floats]) -> Floats:
    """Join rings by bridges of no width, which are passed there and back.

    Each ring is joined to the nearest corner of those before it. Filled by the even-odd rule, the result covers the
    polygons without their holes, whatever the directions of the rings; bridges cover nothing.

    Args:
        rings: Rings of shape (n, 2) without the closing point; holes come after the shell around them.

    Returns:
        One ring, shape (m, 2), without the closing point.
    """
    joined = rings[0]
    for ring in rings[1:]:
        start, at = _find_nearest(ring, joined)
        detour = np.concatenate([np.roll(ring, -start, axis=0), ring[[start]]])
        joined = np.concatenate([joined[: at + 1], detour, joined[at:]])
    return joined


def _find_nearest(ring: Floats, joined: Floats) -> tuple[int, int]:
    """Return the indices of the nearest corners of two rings, the first of equally near ones."""
    nearest, smallest = (0, 0), np.inf
    for index, corner in enumerate(ring):
        distances = ((joined - corner) ** 2).sum(axis=1)
        other = int(np.argmin(distances))
        if distances[other] < smallest:
            nearest, smallest = (index, other), distances[other]
    return nearest
