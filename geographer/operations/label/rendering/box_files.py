"""Writes box labels: for each raster a JSON file of its objects' boxes, in pixel coordinates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geographer.algorithms.bounding_boxes import boxed
from geographer.base.canonical_json import canonical_json
from geographer.base.values import Checksums, LineWidth
from geographer.operations.label.rendering.pixel_geometries import shapes_on
from geographer.operations.label.rendering.render import LabelMade, LabelOrder, Listed
from geographer.rasters.write import write_whole

AXES: Final = "x is the column and y the row, in pixels; both are 0 at the outer corner of the first pixel"
DROPPED: Final = "too little of it visible"


@dataclass(frozen=True, slots=True)
class BoxDrawing:
    """Upright and oriented boxes of the objects that a raster shows; background has none, and erases none.

    An object is transformed into the raster's pixel grid first, then clipped to it, then boxed. One of whose area less
    than `min_visible` lies on the raster is dropped; with 0 only those of which nothing does. Lines and points are
    boxed at their `width`.
    """

    width: LineWidth
    min_visible: float = 0.0

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`."""
        shapes = shapes_on(order.grid, order.shown, self.width, standing_in=False)
        listed, values, dropped = [], [], []
        for one, geometry in zip(shapes.shown, shapes.geometries, strict=True):
            found = boxed(geometry, order.grid.width, order.grid.height) if one.value != 0 else None
            if found is None:
                continue
            if found.visible < self.min_visible:
                dropped.append(one.feature_id)
                continue
            listed.append(Listed(one.feature_id, one.class_name, None, None, *found))
            values.append(one.value)
        content = canonical_json(_document(order, listed, values)).encode() + b"\n"
        write_whole(Path(order.destination), content)
        md5, sha256 = hashlib.md5(content, usedforsecurity=False), hashlib.sha256(content)
        sums = Checksums(len(content), md5.hexdigest(), sha256.hexdigest())
        return LabelMade(order.destination, sums, None, tuple(listed), {DROPPED: tuple(dropped)})


def _document(order: LabelOrder, listed: list[Listed], values: list[int]) -> dict[str, Any]:
    return {
        "raster": order.raster_id,
        "size": [order.grid.width, order.grid.height],
        "axes": AXES,
        "crs": order.grid.crs,
        "transform": [float(number) for number in order.grid.transform],
        "objects": [
            {
                "feature_id": one.feature_id,
                "class": one.class_name,
                "value": value,
                "box": list(one.box or ()),
                "corners": [list(corner) for corner in one.corners or ()],
                "visible": one.visible,
            }
            for one, value in zip(listed, values, strict=True)
        ],
    }
