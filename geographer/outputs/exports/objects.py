"""The objects on samples, in pixel coordinates: features by the graph, or the objects of one label, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import UsageError, quote_names
from geographer.base.values import Grid, LineWidth
from geographer.planning.context_classes import stage_context_classes
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from geographer.algorithms.bounding_boxes import Corners, ObjectBoxes
    from geographer.outputs.exports.export import ExportedSample, LabelInfo

Box = tuple[float, float, float, float]
_FOLDER: Final = Path(__file__).parent
_LABEL_OBJECTS: Final = """
    SELECT number, feature_id, class, value, instance, box, corners, visible,
           feature_id IN (SELECT feature_id FROM marked_feature) AS is_marked
    FROM current_label_object
    JOIN (SELECT number, raster_id FROM export_sample WHERE number IN (SELECT unnest($numbers::BIGINT[])))
        USING (raster_id)
    JOIN classes USING (class)
    LEFT JOIN feature_order USING (feature_id)
    WHERE label = $label AND value > 0 ORDER BY number, instance, added, added_by, feature_id
"""
_UNKNOWN_CLASSES: Final = """
    SELECT DISTINCT class FROM current_label_object SEMI JOIN export_sample USING (raster_id)
    ANTI JOIN classes USING (class) WHERE label = $label ORDER BY class
"""
_COUNTS: Final = "SELECT number, count(*) FROM sample_object GROUP BY number"
_DECIMALS: Final = 6
_MIN_AREA: Final = 1e-6
"""See `geographer.algorithms.bounding_boxes`: the same limits as for labels of boxes."""


class ObjectOptions(NamedTuple):
    """Which objects to list.

    Attributes:
        width: The width of lines and points.
        min_visible: The smallest fraction of an object's area on the raster.
        marked_where: An SQL expression over features: those that are marked, such as crowds and difficult objects.
        mark_flag: The option that it is from, for errors.
        label: A label of boxes or instances whose objects are listed. None: the features that each sample contains or
            intersects.
    """

    width: LineWidth
    min_visible: float = 0.0
    marked_where: str | None = None
    mark_flag: str = "--crowd-where"
    label: LabelInfo | None = None


class ObjectShape(NamedTuple):
    """The area of an object on a raster.

    Attributes:
        polygons: Its polygons in pixel coordinates; empty for the objects of a label of boxes.
        area: The area in square pixels, that of the box without polygons.
        has_holes: Whether a polygon has a hole.
    """

    polygons: Sequence[BaseGeometry]
    area: float
    has_holes: bool = False


class ExportedObject:
    """An object on a sample, in pixel coordinates: x = column, y = row, 0 at the outer corner of the first pixel.

    Attributes:
        feature_id: The id of the feature.
        class_name, value: Its class, and the value of the class.
        shape: The area on the raster.
        box: (x0, y0, x1, y1) of the part on the raster.
        visible: The fraction of the area on the raster; None for the objects of a label of instances.
        is_marked: Whether `marked_where` marks it, such as a crowd, whose objects cannot be distinguished.
    """

    def __init__(
        self,
        feature_id: str,
        class_name: str,
        value: int,
        shape: ObjectShape,
        box: Box,
        visible: float | None,
        *,
        is_marked: bool = False,
    ) -> None:
        self.feature_id = feature_id
        self.class_name = class_name
        self.value = value
        self.shape = shape
        self.box = box
        self.visible = visible
        self.is_marked = is_marked

    @cached_property
    def box_corners(self) -> Corners:
        """The corners of the smallest rectangle, see `ObjectBoxes`; they may lie outside of the raster."""
        import shapely

        from geographer.algorithms.bounding_boxes import find_corners

        return find_corners(shapely.MultiPolygon(list(self.shape.polygons)))

    @property
    def object_boxes(self) -> ObjectBoxes:
        """The boxes as a label of boxes has them."""
        from geographer.algorithms.bounding_boxes import ObjectBoxes

        return ObjectBoxes(self.box, self.box_corners, 1.0 if self.visible is None else self.visible)

    @property
    def is_cut(self) -> bool:
        """Whether a part lies outside of the raster; False if that is not known."""
        return self.visible is not None and self.visible < 1


class ObjectReader:
    """Reads the objects on pages of samples."""

    def __init__(self, revision: Revision, options: ObjectOptions) -> None:
        """Check the options, and find the marked features.

        `UsageError` for an SQL expression that cannot be evaluated, or a label with classes that are no more.
        """
        self._revision = revision
        self._options = options
        self._query = (_FOLDER / "objects_on_samples.sql").read_text()
        stage_context_classes(revision)
        run_script(revision.connection, (_FOLDER / "sample_objects.sql").read_text())
        _stage_marked_features(revision, options)
        if options.label is not None:
            _require_usable_label(revision, options, options.label)

    def count_objects(self) -> Mapping[int, int]:
        """Return how many features each sample has, by its number; samples without features are missing."""
        return dict(self._revision.fetch_rows(_COUNTS))

    def read_page(self, samples: Sequence[ExportedSample]) -> Iterator[list[ExportedObject]]:
        """Yield the objects of each sample, in the order of addition, or of the numbers in a label of instances."""
        numbers = [sample.number for sample in samples]
        label = self._options.label
        if label is None:
            rows = self._revision.fetch_rows(self._query, {"numbers": numbers})
            by_sample = group_feature_objects(rows, {sample.number: sample.grid for sample in samples}, self._options)
            yield from (by_sample.get(number, []) for number in numbers)
            return
        of_label: dict[int, list[tuple[Any, ...]]] = {}
        for number, *row in self._revision.fetch_rows(_LABEL_OBJECTS, {"numbers": numbers, "label": label.name}):
            of_label.setdefault(number, []).append(tuple(row))
        read = self._make_boxes if label.kind == "boxes" else self._trace_instances
        yield from (read(sample, of_label.get(sample.number, [])) for sample in samples)

    def _make_boxes(self, _sample: ExportedSample, rows: Iterable[tuple[Any, ...]]) -> list[ExportedObject]:
        objects = []
        for feature_id, class_name, value, _, box, corners, visible, is_marked in rows:
            x0, y0, x1, y1 = box
            if visible >= self._options.min_visible:
                shape = ObjectShape([], (x1 - x0) * (y1 - y0))
                found = ExportedObject(
                    feature_id, class_name, value, shape, (x0, y0, x1, y1), visible, is_marked=is_marked
                )
                found.box_corners = tuple((x, y) for x, y in corners)
                objects.append(found)
        return objects

    def _trace_instances(self, sample: ExportedSample, rows: Iterable[tuple[Any, ...]]) -> list[ExportedObject]:
        import shapely

        from geographer.rasters.class_values import read_class_values
        from geographer.rasters.mask_outlines import trace_mask

        label = self._options.label
        if label is None or label.name not in sample.labels:
            return []
        pixels = read_class_values(sample.labels[label.name].path, (sample.grid.height, sample.grid.width))
        objects = []
        for feature_id, class_name, value, instance, *_, is_marked in rows:
            polygons = shapely.get_parts(trace_mask(pixels == instance))
            has_holes = bool(shapely.get_num_interior_rings(polygons).any())
            shape = ObjectShape(polygons.tolist(), float(shapely.area(polygons).sum()), has_holes)
            box = (*shapely.total_bounds(polygons).tolist(),)
            objects.append(ExportedObject(feature_id, class_name, value, shape, box, None, is_marked=is_marked))
        return objects


def group_feature_objects(
    rows: Sequence[tuple[Any, ...]], grids: Mapping[int, Grid], options: ObjectOptions
) -> dict[int, list[ExportedObject]]:
    """Return the objects of features by the number of their sample.

    Args:
        rows: Number of the sample, feature id, class, value, WKB in the raster's CRS, and whether it is marked.
        grids: The grids of the samples by number.
        options: Which objects to list.
    """
    import numpy as np
    import shapely

    if not rows:
        return {}
    own = [grids[row[0]] for row in rows]
    areas = _make_areas([row[4] for row in rows], own, options.width)
    sizes = np.array([(grid.width, grid.height) for grid in own], np.float64)
    polygons, owners = _clip_areas(areas, sizes)
    shown = np.bincount(owners, shapely.area(polygons), len(rows))
    total = shapely.area(areas)
    fractions = np.round(np.minimum(np.divide(shown, total, out=np.zeros_like(shown), where=total > 0), 1), 8)
    kept = (shown > _MIN_AREA * np.minimum(1, total)) & (fractions >= options.min_visible)
    limits = np.searchsorted(owners, np.arange(len(rows) + 1))
    boxes = _join_bounds(shapely.bounds(polygons), limits)
    holes = np.bincount(owners, shapely.get_num_interior_rings(polygons), len(rows)) > 0
    columns = [column.tolist() for column in (boxes, fractions, shown, holes)]
    parts, bounds = polygons.tolist(), limits.tolist()
    found: dict[int, list[ExportedObject]] = {}
    for index in np.flatnonzero(kept).tolist():
        number, feature_id, class_name, value, _, is_marked = rows[index]
        box, fraction, area, has_holes = (column[index] for column in columns)
        shape = ObjectShape(parts[bounds[index] : bounds[index + 1]], area, has_holes=has_holes)
        found.setdefault(number, []).append(
            ExportedObject(feature_id, class_name, value, shape, tuple(box), fraction, is_marked=is_marked)
        )
    return found


def _join_bounds(bounds: NDArray[np.float64], limits: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the boxes of areas, shape (n, 4), of which area i has the polygons from limit i to i + 1."""
    import numpy as np

    boxes = np.zeros((len(limits) - 1, 4))
    has_parts = np.diff(limits) > 0
    starts = limits[:-1][has_parts]
    if len(starts):
        rounded = np.round(bounds, _DECIMALS) + 0.0
        boxes[has_parts, :2] = np.minimum.reduceat(rounded[:, :2], starts)
        boxes[has_parts, 2:] = np.maximum.reduceat(rounded[:, 2:], starts)
    return boxes


def _make_areas(wkb: Sequence[bytes], grids: Sequence[Grid], width: LineWidth) -> NDArray[np.object_]:
    """Return valid areas in pixel coordinates, shape (n,); lines and points get a width."""
    import numpy as np
    import shapely

    from geographer.rasters.pixel_geometries import buffer_lines_and_points, transform_each_to_pixels

    geometries = transform_each_to_pixels(wkb, np.array([grid.transform for grid in grids], np.float64))
    thin = np.flatnonzero((shapely.get_dimensions(geometries) < 2) & ~shapely.is_empty(geometries))
    if width.unit == "px" and len(thin):
        geometries[thin] = buffer_lines_and_points(geometries[thin], width, grids[0])
    else:
        for index in thin.tolist():
            geometries[[index]] = buffer_lines_and_points(geometries[[index]], width, grids[index])
    invalid = ~shapely.is_valid(geometries)
    geometries[invalid] = shapely.make_valid(geometries[invalid])
    return geometries


def _clip_areas(areas: NDArray[np.object_], sizes: NDArray[np.float64]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Return the polygons of the areas on rasters of these sizes, (width, height), and the index of each one's area."""
    import numpy as np
    import shapely

    clipped = areas.copy()
    bounds = shapely.bounds(areas)
    crossing = ~((bounds[:, :2] >= 0).all(axis=1) & (bounds[:, 2:] <= sizes).all(axis=1))
    frames = shapely.box(0, 0, *sizes[crossing].T)
    clipped[crossing] = shapely.intersection(areas[crossing], frames)
    parts, owners = shapely.get_parts(clipped, return_index=True)
    nested = shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT
    if nested.any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    # Where an object touches the border, clipping leaves lines and points.
    is_area = (shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)
    return parts[is_area], np.asarray(owners[is_area])


def _stage_marked_features(revision: Revision, options: ObjectOptions) -> None:
    from geographer.storage.database.sql_sandbox import translate_sql_errors

    where, flag = options.marked_where, options.mark_flag
    with translate_sql_errors(where, flag):
        condition = "false" if where is None else revision.validate_filter("features", where, flag)
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE marked_feature AS "  # noqa: S608
            f"SELECT feature_id::VARCHAR AS feature_id FROM features WHERE {condition}"
        )


def _require_usable_label(revision: Revision, options: ObjectOptions, label: LabelInfo) -> None:
    unknown = [name for (name,) in revision.fetch_rows(_UNKNOWN_CLASSES, {"label": label.name})]
    if unknown:
        raise UsageError(
            f"label '{label.name}' has objects of the class {quote_names(unknown)}, which the dataset no longer has. "
            "Run geographer update."
        )
    if label.kind == "instances" and options.min_visible > 0:
        raise UsageError(
            f"--min-visible needs the whole objects, and label '{label.name}' has only what is visible. Leave one out."
        )
