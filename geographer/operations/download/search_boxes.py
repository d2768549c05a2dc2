"""Few boxes to search for many features, so that requests grow with what there is to find, not with features."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from geographer.algorithms.connected_components import Ints, components

Floats = npt.NDArray[np.float64]

_NEAR: Final = 0.5
"""Boxes so near, in degrees, are searched together in any case: about half of a scene's width."""

_LONGEST: Final = 10.0
"""No search is longer than that, in degrees: archives page badly through very many results."""

_PAGE: Final = 100.0
"""So many scenes a page of an archive may hold."""

_SCENES_A_CELL: Final = 1.5
"""So many scenes of one date show some of a cell of 1°."""

_MARGIN: Final = 1e-4
"""Degrees around a search's box, so that a point is no empty one."""


def search_boxes(boxes: Floats, dates: float = 10.0) -> Floats:
    """Boxes of longitude and latitude that together hold all of `boxes`, in which little is found in vain.

    A search takes a request for each page of what it finds. So features far apart are searched together as long as
    what lies between them takes fewer pages than a search for each.

    Args:
        boxes: xmin, ymin, xmax, ymax in degrees, shape (n, 4), within -180 to 180: of the parts of what crosses the
            antimeridian.
        dates: On about how many dates there are scenes of a place.

    Returns:
        The same four of each search, shape (m, 4), within -180 to 180 and -90 to 90, from west to east.
    """
    boxes = np.asarray(boxes, np.float64)
    if not len(boxes):
        return boxes
    worth = float(np.clip(_SCENES_A_CELL * dates / _PAGE, 0.02, 0.5))
    # Boxes with their middles in one cell, half as wide as what is near, are near in any case: so that a city of a
    # million features has few pairs.
    spots = _by_number(_cells((boxes[:, :2] + boxes[:, 2:]) / _NEAR))
    hulls = np.array([_hull(boxes[spot]) for spot in spots])
    tree = shapely.STRtree(shapely.box(*hulls.T))
    around = shapely.box(*(hulls + _outwards(_NEAR)).T)
    clusters = _by_number(components(len(spots), tree.query(around, predicate="intersects").T))
    small = [part for cluster in clusters for part in _parted(boxes, [spots[one] for one in cluster], worth)]
    padded = np.array([_hull(boxes[part]) for part in _parted(boxes, small, worth)]) + _outwards(_MARGIN)
    clipped = np.clip(padded, [-180, -90, -180, -90], [180, 90, 180, 90])
    return np.asarray(clipped[np.lexsort(clipped.T[::-1])])


def _parted(boxes: Floats, groups: list[Ints], worth: float) -> list[Ints]:
    """Groups of boxes, joined where their hull is short, and a share `worth` of its cells is filled; else halved."""
    hulls = np.array([_hull(boxes[group]) for group in groups])
    ready: list[Ints] = []
    waiting = [np.arange(len(groups))]
    while waiting:
        part = waiting.pop()
        hull = _hull(hulls[part])
        members = np.concatenate([groups[one] for one in part])
        long = max(hull[2] - hull[0], hull[3] - hull[1]) > _LONGEST
        if len(part) == 1 or (not long and _share_filled(boxes[members], hull) >= worth):
            ready.append(members)
            continue
        axis = int(hull[3] - hull[1] > hull[2] - hull[0])
        order = np.argsort(hulls[part, axis] + hulls[part, axis + 2], kind="stable")
        half = len(part) // 2
        waiting += [part[order[:half]], part[order[half:]]]
    return ready


def _share_filled(boxes: Floats, hull: Floats) -> float:
    """Which share of the cells of 1° that a hull meets holds the middle, or a corner, of a box."""
    first, last = np.floor(hull[:2]), np.floor(hull[2:])
    places = np.concatenate([boxes[:, :2], boxes[:, 2:], (boxes[:, :2] + boxes[:, 2:]) / 2])
    return len(np.unique(_cells(places))) / float(np.prod(last - first + 1))


def _cells(places: Floats) -> Ints:
    """A number for the cell, one unit wide and high, that each place lies in."""
    columns, rows = np.floor(places).astype(np.int64).T
    return np.asarray(columns * 1_000_000 + rows)


def _by_number(numbers: Ints) -> list[Ints]:
    """The places at which each number stands."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _outwards(degrees: float) -> Floats:
    return np.array([-degrees, -degrees, degrees, degrees])


def _hull(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
