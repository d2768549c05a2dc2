"""Edits: which of the exported features were changed, deleted or left as they are in a tool."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import shapely

from geographer.base.errors import quote_names
from geographer.operations.add.annotations.images import ShownRaster
from geographer.operations.add.annotations.pixel_checks import repair_area
from geographer.operations.add.annotations.shapes import Annotations, Floats
from geographer.planning.shown_features import ShownFeature

_AREA: Final = 2
CurrentDigests = Mapping[str, str]
"""The digests of the versions of the features that the dataset has now, by id."""


@dataclass(slots=True)
class Edits:
    """What became of the features that a file was exported with.

    Attributes:
        new: The indices of annotations that add a feature.
        changed: The index of the annotation that changed a feature, by the feature's id.
        keeps_geometry: The ids of changed features that have another class only.
        unchanged: The ids of features that are as they were exported.
        deleted: The ids of features that no image has any more.
        kept: The ids of features that some images have, and others not any more.
    """

    new: list[int] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    keeps_geometry: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def find_edits(
    annotations: Annotations, shown: Mapping[int, ShownRaster], exported: Sequence[ShownFeature], head: CurrentDigests
) -> Edits:
    """Return the edits, and note the problems of those that cannot be taken.

    The geometry of an edited feature becomes, outside of the image that was edited, what it was.
    """
    versions = {(item.raster_id, item.feature_id): item for item in exported}
    images = {raster.raster_id: index for index, raster in shown.items()}
    rows_of: dict[str, list[int]] = defaultdict(list)
    edits = Edits()
    for row, feature in enumerate(annotations.ids):
        if feature is not None:
            rows_of[str(feature)].append(row)
        elif row not in annotations.problems:
            edits.new.append(row)
    rasters_of: dict[str, list[str]] = defaultdict(list)
    for item in exported:
        rasters_of[item.feature_id].append(item.raster_id)
    for feature, rows in rows_of.items():
        _classify_feature(annotations, shown, versions, head, edits, feature, rows)
    for feature, rasters in rasters_of.items():
        there = {annotations.image[row] for row in rows_of.get(feature, [])}
        if not there:
            edits.deleted.append(feature)
        elif {images[raster] for raster in rasters} - there:
            edits.kept.append(feature)
    return edits


def _classify_feature(
    annotations: Annotations,
    shown: Mapping[int, ShownRaster],
    versions: Mapping[tuple[str, str], ShownFeature],
    head: CurrentDigests,
    edits: Edits,
    feature: str,
    rows: Sequence[int],
) -> None:
    """Classify one feature, which `rows` are annotations of, and add it to the edits."""
    usable = [row for row in rows if row not in annotations.problems]
    before = {row: versions.get((shown[annotations.image[row]].raster_id, feature)) for row in usable}
    known = next((version for version in before.values() if version is not None), None)
    moved = [row for row in usable if not _is_as_exported(annotations, row, before[row])]
    renamed = [row for row in usable if before[row] and annotations.classes[row] != before[row].class_name]  # type: ignore[union-attr]
    edited = list(dict.fromkeys([*moved, *renamed]))
    if not usable or (known is not None and not edited):
        edits.unchanged |= {feature} if usable else set()
    elif known is not None and head.get(feature) != known.row_digest:
        _note_reason(annotations, edited, "the dataset has another version of its feature by now: export again")
    elif len(moved) > 1:
        names = quote_names([annotations.images[annotations.image[row]].name for row in moved])
        _note_reason(
            annotations, edited, f"its feature '{feature}' was edited on several images ({names}): edit it on one"
        )
    elif len({annotations.classes[row] for row in renamed}) > 1:
        _note_reason(annotations, edited, f"its feature '{feature}' got several classes")
    elif feature in head or known is not None:
        edits.changed[feature] = row = moved[0] if moved else edited[0]
        annotations.classes[row] = annotations.classes[renamed[0]] if renamed else annotations.classes[row]
        version = before[row]
        if not moved:
            edits.keeps_geometry.add(feature)
        elif version is not None and version.is_cut:
            grid = shown[annotations.image[row]].grid
            annotations.geometry[row] = extend_geometry(
                annotations.geometry[row], version.whole, shapely.box(0, 0, grid.width, grid.height)
            )
    elif len(usable) > 1:
        _note_reason(annotations, usable, f"its id '{feature}', which the dataset lacks, is on several images")
    else:
        edits.new.append(usable[0])


def _note_reason(annotations: Annotations, rows: Iterable[int], reason: str) -> None:
    annotations.problems.update(dict.fromkeys(rows, reason))


def extend_geometry(edited: Any, whole: Any, image: Any) -> Any:
    """Return an edited geometry with the part of the `whole` one that lies outside of the image."""
    if shapely.get_dimensions(edited) != shapely.get_dimensions(whole):
        return edited
    outside = shapely.difference(whole if shapely.is_valid(whole) else repair_area(whole), image)
    if shapely.is_empty(outside):
        return edited
    return shapely.union(edited, outside)


def _is_as_exported(annotations: Annotations, row: int, version: ShownFeature | None) -> bool:
    drawn = annotations.drawn.get(row, annotations.geometry[row])
    return version is not None and is_same_shape(version.geometry, drawn, annotations.tolerance)


def is_same_shape(first: Any, second: Any, tolerance: float) -> bool:
    """Return whether two geometries have the same rings, lines or points, in any order, to a tolerance in pixels.

    Each may be an array of geometries. Rings may begin anywhere and go either way.
    """
    others = _list_paths(second)
    for path in _list_paths(first):
        match = next((index for index, other in enumerate(others) if _is_same_path(path, other, tolerance)), None)
        if match is None:
            return False
        others.pop(match)
    return not others


def _list_paths(geometry: Any) -> list[tuple[bool, Floats]]:
    """Return rings without the last point, lines and points, each with whether it is a ring."""
    parts = shapely.get_parts(geometry)
    is_area = shapely.get_dimensions(parts) == _AREA
    rings = [(True, shapely.get_coordinates(ring)[:-1]) for ring in shapely.get_rings(parts[is_area])]
    return rings + [(False, shapely.get_coordinates(part)) for part in parts[~is_area]]


def _is_same_path(first: tuple[bool, Floats], second: tuple[bool, Floats], tolerance: float) -> bool:
    (is_ring, points), (is_other_ring, others) = first, second
    if is_ring != is_other_ring or len(points) != len(others):
        return False
    if np.abs(points - others).max() <= tolerance:
        return True
    turned = [others[::-1]]
    if is_ring:
        starts = np.flatnonzero((np.abs(others - points[0]) <= tolerance).all(axis=1))
        turned = [np.roll(others, -start, axis=0) for start in starts]
        turned += [np.roll(others[::-1], start + 1 - len(others), axis=0) for start in starts]
    return any(np.abs(points - candidate).max() <= tolerance for candidate in turned)
