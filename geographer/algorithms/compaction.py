"""Compaction: decide which of the newest segments of a history to join, so that few remain and little is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SHORTEST_RUN: Final = 4
"""Fewer segments are never joined."""


def find_run_to_join(sizes: Sequence[int]) -> int:
    """Return how many of the last segments to join into one; 0: none.

    `sizes` are the bytes of the segments, the oldest first. The shortest run of four or more is joined in which no
    segment is larger than the others together. So whatever is written again comes into a segment of at least twice the
    size: of B bytes in all, none is written more than log2(B) times. What remains decreases geometrically, apart from
    single large segments, so that n events lie in O(log n) segments.
    """
    total = sum(sizes[-(_SHORTEST_RUN - 1) :])
    largest = max(sizes[-(_SHORTEST_RUN - 1) :], default=0)
    for length in range(_SHORTEST_RUN, len(sizes) + 1):
        size = sizes[-length]
        total, largest = total + size, max(largest, size)
        if 2 * largest <= total:
            return length
    return 0
