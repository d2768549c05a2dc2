"""Parts: polygons with equal ids on an image are parts of one feature, and polygons of the hole class are its holes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from geographer.operations.add.annotations.shapes import Annotations, join_parts

_Key = tuple[int, str | int | None, int]


def join_shapes(annotations: Annotations) -> Annotations:
    """Return annotations with one item for each feature on an image, with its parts and holes.

    A hole belongs to the smallest polygon around it: among those with its id, or without an id, on its image. What has
    a problem stays as it is.
    """
    rows = [row for row in range(len(annotations)) if row not in annotations.problems]
    groups: dict[_Key, list[int]] = defaultdict(list)
    for row in rows:
        if not annotations.is_hole[row]:
            groups[_make_key(annotations, row)].append(row)
    holes = _find_owners(annotations, [row for row in rows if annotations.is_hole[row]], groups)
    kept = sorted([*(members[0] for members in groups.values()), *annotations.problems])
    for key, members in groups.items():
        _join_group(annotations, members, holes[key])
    return _select_rows(annotations, list(dict.fromkeys(kept)))


def _make_key(annotations: Annotations, row: int) -> _Key:
    feature = annotations.ids[row]
    return annotations.image[row], feature, -1 if feature is not None else row


def _find_owners(annotations: Annotations, holes: list[int], groups: Mapping[_Key, list[int]]) -> dict[_Key, list[int]]:
    """Return the holes of each feature, and note those that no polygon is around."""
    found: dict[_Key, list[int]] = defaultdict(list)
    if not holes:
        return found
    outer = [(key, row) for key, members in groups.items() for row in members]
    shapes = annotations.geometry[[row for _, row in outer]]
    areas = shapely.area(shapes)
    points = shapely.point_on_surface(annotations.geometry[holes])
    around: dict[int, list[int]] = defaultdict(list)
    for number, index in shapely.STRtree(shapes).query(points, predicate="covered_by").T.tolist():
        around[number].append(index)
    for number, hole in enumerate(holes):
        image, feature = annotations.image[hole], annotations.ids[hole]
        candidates = [
            index for index in around[number] if outer[index][0][0] == image and feature in (None, outer[index][0][1])
        ]
        if candidates:
            found[outer[min(candidates, key=lambda index: (areas[index], index))][0]].append(hole)
        else:
            annotations.problems[hole] = "it is a hole outside of every polygon"
    return found


def _join_group(annotations: Annotations, members: list[int], holes: list[int]) -> None:
    """Make the first of `members` the feature of them all."""
    shapes = [annotations.geometry[row] for row in members]
    annotations.drawn[members[0]] = annotations.geometry[[*members, *holes]]
    if len({int(shapely.get_dimensions(shape)) for shape in shapes}) > 1:
        annotations.problems[members[0]] = "its parts are of several kinds (points, lines, polygons)"
        return
    if len({annotations.classes[row] for row in members}) > 1:
        annotations.problems[members[0]] = "its parts have several classes"
        return
    cut = _cut_holes(shapes, [annotations.geometry[row] for row in holes])
    annotations.geometry[members[0]] = cut[0] if len(cut) == 1 else _join_shapes(cut)


def _join_shapes(shapes: Sequence[Any]) -> Any:
    parts = shapely.get_parts(np.array(shapes, object))
    kind = shapely.get_type_id(parts[0])
    if kind == shapely.GeometryType.POLYGON:
        return join_parts(parts)
    return shapely.multipoints(parts) if kind == shapely.GeometryType.POINT else shapely.multilinestrings(parts)


def _cut_holes(shapes: list[Any], holes: list[Any]) -> list[Any]:
    """Return polygons without their holes; a hole inside of a polygon keeps its vertices."""
    result = []
    for shape in shapes:
        point_holes = [hole for hole in holes if shapely.covers(shape, shapely.point_on_surface(hole))]
        inner = [hole for hole in point_holes if shape.geom_type == hole.geom_type == "Polygon" and shape.covers(hole)]
        cut = shape
        if inner:
            rings = [hole.exterior for hole in inner]
            candidate = shapely.Polygon(shape.exterior, [*shape.interiors, *rings])
            cut = candidate if candidate.is_valid else shapely.difference(shape, shapely.union_all(inner))
        others = [hole for hole in point_holes if hole not in inner]
        result.append(shapely.difference(cut, shapely.union_all(others)) if others else cut)
    return result


def _select_rows(annotations: Annotations, rows: list[int]) -> Annotations:
    """Return the annotations of some rows, with their problems."""
    number = {row: index for index, row in enumerate(rows)}
    return Annotations(
        images=annotations.images,
        image=[annotations.image[row] for row in rows],
        geometry=annotations.geometry[rows],
        classes=[annotations.classes[row] for row in rows],
        ids=[annotations.ids[row] for row in rows],
        names=[annotations.names[row] for row in rows],
        properties={name: [values[row] for row in rows] for name, values in annotations.properties.items()},
        problems={number[row]: reason for row, reason in annotations.problems.items()},
        is_hole=[annotations.is_hole[row] for row in rows],
        drawn={number[row]: shapes for row, shapes in annotations.drawn.items()},
        is_relative=annotations.is_relative,
        tolerance=annotations.tolerance,
        revision=annotations.revision,
        edits_features=annotations.edits_features,
        exported_dimensions=annotations.exported_dimensions,
    )
