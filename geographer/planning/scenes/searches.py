"""Few boxes to search for many features: one for each cluster, so that requests grow with clusters and pages."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from geographer.planning.components import Ints, components

Floats = npt.NDArray[np.float64]

_NEAR: Final = 0.5
"""Boxes so near, in degrees, are searched together: about half of a scene's width."""

_FULL: Final = 0.1
"""So much of a search's box, in cells of 1°, is to hold features, or it is split: the rest is asked for in vain."""

_LONGEST: Final = 10.0
"""No search is longer than that, in degrees: archives page badly through very many results."""

_MARGIN: Final = 1e-4
"""Degrees around a search's box, so that a point is no empty one."""


def search_boxes(boxes: Floats) -> Floats:
    """Boxes of longitude and latitude that together hold all of `boxes`, as few as is sensible.

    Args:
        boxes: xmin, ymin, xmax, ymax in degrees, shape (n, 4), within -180 to 180: of the parts of what crosses the
            antimeridian.

    Returns:
        The same four of each search, shape (m, 4), within -180 to 180 and -90 to 90, from west to east.
    """
    boxes = np.asarray(boxes, np.float64)
    if not len(boxes):
        return boxes
    tree = shapely.STRtree(shapely.box(*boxes.T))
    around = shapely.box(*(boxes + _outwards(_NEAR)).T)
    labels = components(len(boxes), tree.query(around, predicate="intersects").T)
    order = np.argsort(labels, kind="stable")
    clusters = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    found = [_hull(boxes[one]) for cluster in clusters for one in _filled(boxes, cluster)]
    padded = np.array(found) + _outwards(_MARGIN)
    clipped = np.clip(padded, [-180, -90, -180, -90], [180, 90, 180, 90])
    return np.asarray(clipped[np.lexsort(clipped.T[::-1])])


def _filled(boxes: Floats, members: Ints) -> list[Ints]:
    """A cluster, or parts of it whose hulls are small and full enough: it is halved along its longer side."""
    ready, waiting = [], [members]
    while waiting:
        part = waiting.pop()
        hull = _hull(boxes[part])
        long = max(hull[2] - hull[0], hull[3] - hull[1]) > _LONGEST
        if len(part) == 1 or (not long and _share_filled(boxes[part], hull) >= _FULL):
            ready.append(part)
            continue
        axis = int(hull[3] - hull[1] > hull[2] - hull[0])
        middles = boxes[part, axis] + boxes[part, axis + 2]
        order = np.argsort(middles, kind="stable")
        half = len(part) // 2
        waiting += [part[order[:half]], part[order[half:]]]
    return ready


def _share_filled(boxes: Floats, hull: Floats) -> float:
    """Which share of the cells of 1° that a hull meets holds the middle, or a corner, of a box."""
    first, last = np.floor(hull[:2]), np.floor(hull[2:])
    places = np.concatenate([boxes[:, :2], boxes[:, 2:], (boxes[:, :2] + boxes[:, 2:]) / 2])
    return len(np.unique(np.floor(places), axis=0)) / float(np.prod(last - first + 1))


def _outwards(degrees: float) -> Floats:
    return np.array([-degrees, -degrees, degrees, degrees])


def _hull(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
