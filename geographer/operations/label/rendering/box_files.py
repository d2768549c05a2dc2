"""Render box labels: a JSON file for each raster with its objects' boxes in pixel coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geographer.algorithms.bounding_boxes import compute_boxes
from geographer.base.atomic_files import write_atomic
from geographer.base.canonical_json import canonical_json
from geographer.base.values import LineWidth
from geographer.operations.label.rendering.pixel_geometries import to_pixel_geometries
from geographer.operations.label.rendering.render import LabelledObject, LabelResult, LabelTask
from geographer.rasters.checksums import compute_content_checksums

AXES: Final = "x is the column and y the row, in pixels; both are 0 at the outer corner of the first pixel"
DROPPED: Final = "too little of it visible"
"""Note, and key of the event's payload: objects below `min_visible`."""


@dataclass(frozen=True, slots=True)
class BoxRenderer:
    """Writes axis-aligned and oriented boxes of the objects on a raster; background objects have none, and erase none.

    An object is transformed to the raster's pixel grid, then clipped to it, then boxed.

    Attributes:
        width: The width to which lines and points are buffered.
        min_visible: The smallest fraction of an object's area that must lie on the raster; 0: any.
    """

    width: LineWidth
    min_visible: float = 0.0

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one file; see `LabelRenderer.render_label`."""
        shapes = to_pixel_geometries(task.grid, task.objects, self.width, represent_small=False)
        objects, entries, dropped = [], [], []
        for item, geometry in zip(shapes.objects, shapes.geometries, strict=True):
            boxes = compute_boxes(geometry, task.grid.width, task.grid.height) if item.value != 0 else None
            if boxes is None:
                continue
            if boxes.visible < self.min_visible:
                dropped.append(item.feature_id)
                continue
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
        write_atomic(Path(task.destination), content)
        checksums = compute_content_checksums(content)
        return LabelResult(task.destination, checksums, None, tuple(objects), {DROPPED: tuple(dropped)})
