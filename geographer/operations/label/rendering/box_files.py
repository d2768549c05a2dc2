"""Render box labels: a JSON file for each raster with its objects' boxes in pixel coordinates."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from geographer.algorithms.bounding_boxes import compute_boxes
from geographer.base.atomic_files import write_atomic
from geographer.base.canonical_json import canonical_json
from geographer.base.executors.task_files import locate_file
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, iter_pixel_geometries
from geographer.operations.label.tasks import LabelledObject, LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.checksums import compute_content_checksums

if TYPE_CHECKING:
    from geographer.operations.label.boxes import LabelBoxes

AXES: Final = "x is the column and y the row, in pixels; both are 0 at the outer corner of the first pixel"


def render_boxes(tasks: Sequence[LabelTask], recipe: "LabelBoxes", _settings: LabelSettings) -> Iterator[LabelResult]:
    """Write the boxes of the objects on rasters; background objects have none, and erase none."""
    geometries = iter_pixel_geometries(tasks, recipe.line_width, represent_small=False)
    return map(partial(_write_boxes, recipe), tasks, geometries)


def _write_boxes(recipe: "LabelBoxes", task: LabelTask, shapes: PixelGeometries) -> LabelResult:
    objects, entries, dropped = [], [], []
    for item, geometry in zip(shapes.objects, shapes.geometries, strict=True):
        boxes = compute_boxes(geometry, task.grid.width, task.grid.height) if item.value != 0 else None
        if boxes is not None and boxes.visible < recipe.min_visible:
            dropped.append(item.feature_id)
        elif boxes is not None:
            objects.append(LabelledObject(item.feature_id, item.class_name, None, None, *boxes))
            names = {"feature_id": item.feature_id, "class": item.class_name, "value": item.value}
            entries.append(names | boxes._asdict())
    document = {
        "raster": task.raster_id,
        "size": [task.grid.width, task.grid.height],
        "axes": AXES,
        "crs": task.grid.crs,
        "transform": [float(coefficient) for coefficient in task.grid.transform],
        "objects": entries,
    }
    content = canonical_json(document).encode() + b"\n"
    write_atomic(locate_file(task.destination), content)
    checksums = compute_content_checksums(content)
    return LabelResult(task.destination, checksums, None, tuple(objects), {"dropped": tuple(dropped)})
