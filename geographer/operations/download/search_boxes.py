"""Merge the boxes of many features into few search boxes, trading requests against irrelevant results."""

from typing import Final

import numpy as np
import shapely

from geographer.algorithms.connected_components import Floats, Ints, group_indices, label_components

_MERGE_DISTANCE: Final = 0.5
"""Boxes closer than this, in degrees, are clustered first; it is about half the width of a scene."""
_MAX_SIDE: Final = 10.0
"""Maximum side of a search box in degrees, because archives page unreliably through very many results."""
_SCENES_PER_PAGE, _SCENES_PER_CELL = 100.0, 1.5
"""Assumed page size of an archive, and scenes per date that meet a cell of 1 degree."""
_MARGIN: Final = 1e-4
"""Degrees added around a search box, so that the box of a point has an area."""
_OUTWARDS: Final = np.array([-1.0, -1.0, 1.0, 1.0])


def make_search_boxes(boxes: Floats, n_dates: float = 10.0) -> Floats:
    """Return boxes to search, from west to east, that contain all of `boxes`.

    A search takes one request per page of results. Distant features share a search if the area between them adds fewer
    pages than separate searches. `n_dates` is the approximate number of dates with scenes of a location.

    Boxes are xmin, ymin, xmax, ymax in degrees, shape (n, 4), within -180 to 180 and -90 to 90. A geometry across the
    antimeridian contributes a box for each of its parts.
    """
    boxes = np.asarray(boxes, np.float64)
    if not len(boxes):
        return boxes
    min_fill = float(np.clip(_SCENES_PER_CELL * n_dates / _SCENES_PER_PAGE, 0.02, 0.5))
    # Boxes with centres in one cell of half the merge distance are closer than that distance. Grouping them first keeps
    # the number of pairs small for a million features in one city.
    cells = list(group_indices(_label_cells((boxes[:, :2] + boxes[:, 2:]) / _MERGE_DISTANCE)).values())
    hulls = np.array([_compute_hull(boxes[cell]) for cell in cells])
    tree = shapely.STRtree(shapely.box(*hulls.T))
    padded_hulls = shapely.box(*(hulls + _MERGE_DISTANCE * _OUTWARDS).T)
    links = tree.query(padded_hulls, predicate="intersects").T
    clusters = group_indices(label_components(len(cells), links)).values()
    parts = [part for cluster in clusters for part in _split_groups(boxes, [cells[i] for i in cluster], min_fill)]
    merged = [_compute_hull(boxes[part]) for part in _split_groups(boxes, parts, min_fill)]
    clipped = np.clip(np.array(merged) + _MARGIN * _OUTWARDS, [-180, -90, -180, -90], [180, 90, 180, 90])
    return np.asarray(clipped[np.lexsort(clipped.T[::-1])])


def _split_groups(boxes: Floats, groups: list[Ints], min_fill: float) -> list[Ints]:
    """Merge all groups of boxes, and halve the result until each hull is short and filled to at least `min_fill`."""
    hulls = np.array([_compute_hull(boxes[group]) for group in groups])
    accepted: list[Ints] = []
    pending = [np.arange(len(groups))]
    while pending:
        part = pending.pop()
        hull = _compute_hull(hulls[part])
        members = np.concatenate([groups[index] for index in part])
        is_long = max(hull[2] - hull[0], hull[3] - hull[1]) > _MAX_SIDE
        if len(part) == 1 or (not is_long and _compute_fill_fraction(boxes[members], hull) >= min_fill):
            accepted.append(members)
            continue
        axis = int(hull[3] - hull[1] > hull[2] - hull[0])
        order = np.argsort(hulls[part, axis] + hulls[part, axis + 2], kind="stable")
        half = len(part) // 2
        pending += [part[order[:half]], part[order[half:]]]
    return accepted


def _compute_fill_fraction(boxes: Floats, hull: Floats) -> float:
    """Return the fraction of the hull's 1-degree cells that contain the centre or a corner of a box."""
    first, last = np.floor(hull[:2]), np.floor(hull[2:])
    points = np.concatenate([boxes[:, :2], boxes[:, 2:], (boxes[:, :2] + boxes[:, 2:]) / 2])
    return len(np.unique(_label_cells(points))) / float(np.prod(last - first + 1))


def _label_cells(points: Floats) -> Ints:
    """Return the label of the unit cell that contains each point, shape (points,)."""
    columns, rows = np.floor(points).astype(np.int64).T
    return np.asarray(columns * 1_000_000 + rows)


def _compute_hull(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
