"""Annotations as all formats give them: images, and shapes in pixel coordinates with class, id and properties.

Pixel coordinates are x = column, y = row, both 0 at the outer corner of the first pixel.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]
Floats = NDArray[np.float64]

_MIN_POINTS: Final = 3
_FLOAT_LIMIT: Final = 2**1023


class AnnotatedImage(NamedTuple):
    """An image of a file: its name, and its size in the unit of the coordinates; None: the file does not say."""

    name: str
    width: float | None = None
    height: float | None = None


class EncodedMask(NamedTuple):
    """A mask that was not decoded yet.

    Attributes:
        width: Its columns.
        height: Its rows.
        decode: Returns the mask, shape (rows, columns), of a width and a height; `ValueError` with the reason if the
            data are not those of a mask of this size.
        place: The column and the row of the image that its first pixel is at; None: it covers the image.
    """

    width: int
    height: int
    decode: Callable[[int, int], NDArray[np.bool_]]
    place: tuple[int, int] | None = None


@dataclass(slots=True)
class Annotations:
    """The annotations of a file; lists and arrays have one item for each annotation.

    Attributes:
        images: The images that were annotated, also those without annotations.
        image: The index of its image.
        geometry: The shape in pixel coordinates; None if there is a problem, or a mask that was not decoded yet.
        masks: The masks, by index; those of a file become geometries when the sizes of the rasters are known.
        drawn_sizes: The width and height of the image that it was drawn on, by index; others: those of its image.
        classes: The name of its class.
        ids: The id of the feature; None: made from the content.
        names: What messages call it.
        properties: User columns.
        problems: What is wrong with an annotation, by index.
        is_hole: Whether it is a hole of another polygon.
        drawn: The shapes and holes that were joined to one feature, by index, as they were drawn.
        is_relative: Whether an image may be shown at another size than its raster's: coordinates are scaled.
        tolerance: Pixels within which a coordinate is the one that was exported.
        revision: The digest, or its start, of the revision that was exported; None: unknown.
        edits_features: Whether equal ids are shapes of one feature, which the file may have from an export.
        exported_dimensions: The dimensions of the geometries that an export writes: 0 points, 1 lines, 2 polygons.
    """

    images: list[AnnotatedImage] = field(default_factory=list)
    image: list[int] = field(default_factory=list)
    geometry: Geometries = field(default_factory=lambda: np.empty(0, object))
    classes: list[str] = field(default_factory=list)
    ids: list[str | int | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    properties: dict[str, list[Any]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    masks: dict[int, EncodedMask] = field(default_factory=dict)
    drawn_sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    is_hole: list[bool] = field(default_factory=list)
    drawn: dict[int, Geometries] = field(default_factory=dict)
    is_relative: bool = False
    tolerance: float = 1.5e-6
    revision: str | None = None
    edits_features: bool = False
    exported_dimensions: tuple[int, ...] = (0, 1, 2)

    def __len__(self) -> int:
        return len(self.image)

    def add_annotation(
        self, image: int, class_name: str, name: str, feature_id: str | int | None = None, *, is_hole: bool = False
    ) -> int:
        """Add an annotation whose shape and properties are set later, and return its index."""
        self.image.append(image)
        self.classes.append(class_name)
        self.names.append(name)
        self.ids.append(feature_id)
        self.is_hole.append(is_hole)
        return len(self.image) - 1

    def set_properties(self, rows: Sequence[dict[str, Any]]) -> None:
        """Set the user columns from a dictionary for each annotation; columns without values are left out."""
        names = dict.fromkeys(name for row in rows for name in row)
        self.properties = {name: unify_types([row.get(name) for row in rows]) for name in names}


def unify_types(values: list[Any]) -> list[Any]:
    """Return values of one type that Arrow has: booleans, integers, floats, or texts for anything else."""
    kinds = {type(value) for value in values if value is not None}
    if (
        kinds <= {bool}
        or kinds <= {str}
        or (kinds <= {int} and all(v is None or -(2**63) <= v < 2**63 for v in values))
    ):
        return values
    if kinds <= {int, float} and all(value is None or abs(value) < _FLOAT_LIMIT for value in values):
        return [None if value is None else float(value) for value in values]
    return [None if value is None else make_text(value) for value in values]


def make_text(value: Any) -> str:
    """Return a value of JSON as text: JSON, but for texts."""
    import json

    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


class ShapeCollector:
    """Collects shapes by the indices of their annotations, and makes all geometries at once."""

    def __init__(self) -> None:
        self.problems: dict[int, str] = {}
        self.masks: dict[int, EncodedMask] = {}
        self._geometries: dict[int, Any] = {}
        self._box_rows: list[int] = []
        self._boxes: list[Sequence[float]] = []
        self._ring_rows: list[int] = []
        self._rings: list[Sequence[float]] = []

    def add_box(self, row: int, box: Sequence[float]) -> None:
        """Add a box (xmin, ymin, xmax, ymax)."""
        self._box_rows.append(row)
        self._boxes.append(box)

    def add_polygon(self, row: int, coordinates: Sequence[float]) -> None:
        """Add the ring x1, y1, x2, y2, … of a polygon; several polygons of an annotation follow each other."""
        if len(coordinates) % 2:
            self.problems[row] = "its polygon has an odd number of coordinates"
        elif len(coordinates) < 2 * _MIN_POINTS:
            self.problems[row] = "its polygon has fewer than 3 points"
        else:
            self._ring_rows.append(row)
            self._rings.append(coordinates)

    def add_line(self, row: int, coordinates: Sequence[float]) -> None:
        """Add the line x1, y1, x2, y2, …."""
        if len(coordinates) % 2 or len(coordinates) < 4:
            self.problems[row] = "its line has fewer than 2 points, or an odd number of coordinates"
        else:
            self._geometries[row] = shapely.LineString(np.reshape(coordinates, (-1, 2)))

    def add_points(self, row: int, coordinates: Sequence[float]) -> None:
        """Add one or several points x1, y1, x2, y2, …."""
        if len(coordinates) % 2 or not coordinates:
            self.problems[row] = "it has no point, or an odd number of coordinates"
        else:
            points = shapely.points(np.reshape(coordinates, (-1, 2)))
            self._geometries[row] = points[0] if len(points) == 1 else shapely.multipoints(points)

    def add_mask(self, row: int, mask: EncodedMask) -> None:
        """Add a mask, whose outline is drawn when the size of its raster is known."""
        self.masks[row] = mask

    def set_shapes(self, annotations: "Annotations") -> None:
        """Set the geometries, masks and problems of annotations to those that were collected."""
        annotations.geometry = self._build_geometries(len(annotations))
        annotations.masks = self.masks
        annotations.problems = self.problems

    def _build_geometries(self, count: int) -> Geometries:
        geometries = np.full(count, None, object)
        self._build_boxes(geometries)
        self._build_polygons(geometries)
        for row, geometry in self._geometries.items():
            geometries[row] = geometry
        geometries[[*self.problems]] = None
        return geometries

    def _build_boxes(self, geometries: Geometries) -> None:
        boxes = np.array(self._boxes, np.float64).reshape(-1, 4)
        rows = np.array(self._box_rows, np.int64)
        is_finite = np.isfinite(boxes).all(axis=1)
        has_area = ~is_finite | ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
        self._note_problems(rows[~is_finite], "its coordinates are not finite")
        self._note_problems(rows[~has_area], "its box has no area")
        usable = is_finite & has_area
        xmin, ymin, xmax, ymax = boxes[usable].T
        corners = np.stack([xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax], axis=1).reshape(-1, 4, 2)
        geometries[rows[usable]] = shapely.polygons(corners)

    def _build_polygons(self, geometries: Geometries) -> None:
        counts = np.fromiter(map(len, self._rings), np.int64, len(self._rings)) // 2
        points = np.fromiter(chain.from_iterable(self._rings), np.float64, 2 * counts.sum()).reshape(-1, 2)
        owner, rows = np.repeat(np.arange(len(counts)), counts), np.array(self._ring_rows, np.int64)
        is_finite = np.ones(len(counts), bool)
        is_finite[owner[~np.isfinite(points).all(axis=1)]] = False
        self._note_problems(rows[~is_finite], "its coordinates are not finite")
        selected = is_finite[owner]
        numbers = np.cumsum(is_finite) - 1
        polygons = shapely.polygons(shapely.linearrings(points[selected], indices=numbers[owner[selected]]))
        found, first, parts = np.unique(rows[is_finite], return_index=True, return_counts=True)
        single = parts == 1
        geometries[found[single]] = polygons[first[single]]
        for row, start, part_count in zip(found[~single], first[~single], parts[~single], strict=True):
            geometries[row] = join_parts(polygons[start : start + part_count])

    def _note_problems(self, rows: Iterable[int], reason: str) -> None:
        self.problems.update({int(row): reason for row in rows})


def join_parts(parts: Sequence[Any]) -> Any:
    """Return polygons, or polygons that overlap or touch, as one geometry; invalid ones as they are."""
    joined = shapely.multipolygons(np.asarray(parts, object)) if len(parts) > 1 else parts[0]
    if not shapely.is_valid(joined) and shapely.is_valid(np.asarray(parts, object)).all():
        return shapely.union_all(np.asarray(parts, object))
    return joined
