"""Ring reduction: leave out vertices of polygons outside a window, so that drawing in the window gives equal pixels.

Of successive vertices on one outer side of the window, only the first and the last are kept. The edge between them lies
on that side, too: it crosses the window nowhere, and a line of pixels as often, modulo 2, as the edges that it
replaces. All edges that meet the window keep both of their vertices. So a scanline algorithm finds the same crossings
inside the window, and the same parity at its border.

GDAL fills a horizontal edge through pixel centres on one of two sides, by the direction of its ring, which it finds at
the vertex with the smallest y (then the largest x). That vertex and its neighbours are kept, too.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]

_BLOCK: Final = 64
_TOLERANCE: Final = 1e-4
"""Vertices whose y differs by less, or neighbours that are so close, may be in another order after rounding."""


class RingReducer:
    """Rings of any number of vertices, and the bounds of blocks of their vertices, to reduce them to windows."""

    def __init__(self, points: Points, rings: Indices) -> None:
        """Use the vertices `points`, shape (n, 2), of closed rings; `rings`, shape (n,), is the ring of each."""
        self._points, self._rings = points, rings
        starts = np.flatnonzero(np.diff(rings, prepend=-1))
        lengths = np.diff(starts, append=len(rings))
        self._find_lowest(starts, lengths)
        counts = -(-lengths // _BLOCK)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        self._firsts = np.repeat(starts, counts) + within * _BLOCK
        self._lasts = np.minimum(self._firsts + _BLOCK, np.repeat(starts + lengths, counts)) - 1
        self._minima = np.minimum.reduceat(points, self._firsts)
        self._maxima = np.maximum.reduceat(points, self._firsts)

    def _find_lowest(self, starts: Indices, lengths: Indices) -> None:
        """Find the vertices that decide the directions of rings, their neighbours, and whether these are clear."""
        y = self._points[:, 1]
        is_lowest = y <= np.repeat(np.minimum.reduceat(y, starts), lengths) + _TOLERANCE
        is_lowest[starts + lengths - 1] = False
        lowest = np.flatnonzero(is_lowest)
        first, last = np.repeat(starts, lengths)[lowest], np.repeat(starts + lengths - 1, lengths)[lowest]
        before, after = np.where(lowest == first, last - 1, lowest - 1), lowest + 1
        sides = [self._points[neighbour] - self._points[lowest] for neighbour in (before, after)]
        (x0, y0), (x1, y1) = (side.T for side in sides)
        are_apart = all(bool((np.abs(side).max(axis=1) > _TOLERANCE).all()) for side in sides)
        self.has_clear_directions = are_apart and bool((np.abs(x1 * y0 - x0 * y1) > _TOLERANCE**2).all())
        closing = last[lowest == first]
        self._fixed = np.unique(np.concatenate([lowest, before, after, closing]))
        self._is_fixed = np.zeros(len(self._points), np.bool_)
        self._is_fixed[self._fixed] = True

    def select_vertices(self, xmin: float, ymin: float, xmax: float, ymax: float) -> Indices:
        """Return the indices of the vertices to draw in a window, in order; none of rings on one side of it.

        Each ring that is kept stays closed, and has at least four vertices.
        """
        sides = _find_sides(self._minima, self._maxima, (xmin, ymin, xmax, ymax))
        indices = np.union1d(self._list_candidates(sides), self._fixed)
        points = self._points[indices]
        codes = _find_sides(points, points, (xmin, ymin, xmax, ymax))
        rings = self._rings[indices]
        begins = np.diff(rings, prepend=-1) != 0
        ends = np.append(begins[1:], True)
        is_inner = (codes != 0) & ~begins & ~ends & ~self._is_fixed[indices]
        is_inner[1:] &= codes[1:] == codes[:-1]
        is_inner[:-1] &= codes[:-1] == codes[1:]
        starts = np.flatnonzero(begins)
        lowest, highest = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
        is_shown = (lowest != highest) | (lowest == 0)
        is_kept = ~is_inner & np.repeat(is_shown, np.diff(starts, append=len(codes)))
        return np.asarray(indices[is_kept])

    def _list_candidates(self, sides: Indices) -> Indices:
        """Return all vertices of the blocks with the side 0, and the first and the last of each other block."""
        counts = np.where(sides == 0, self._lasts - self._firsts + 1, np.minimum(self._lasts - self._firsts + 1, 2))
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        is_last = np.repeat(sides != 0, counts) & (offsets == 1)
        return np.where(is_last, np.repeat(self._lasts, counts), np.repeat(self._firsts, counts) + offsets)


def _find_sides(minima: Points, maxima: Points, window: tuple[float, float, float, float]) -> Indices:
    """Return the outer side of a window on which points or boxes lie, 1 to 4, or 0 for none; shape (n,)."""
    xmin, ymin, xmax, ymax = window
    conditions = [maxima[:, 0] < xmin, minima[:, 0] > xmax, maxima[:, 1] < ymin, minima[:, 1] > ymax]
    return np.select(conditions, [np.int8(side) for side in (1, 2, 3, 4)], np.int8(0))
