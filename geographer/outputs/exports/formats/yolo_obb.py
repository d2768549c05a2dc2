"""YOLO-OBB: images, and the rotated boxes of the objects on each in a text file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from geographer.outputs.exports.formats.yolo import YoloTextExporter, scale_points

if TYPE_CHECKING:
    from geographer.base.values import Grid
    from geographer.outputs.exports.objects import ExportedObject


class YoloObbExporter(YoloTextExporter, kw_only=True, frozen=True):
    """Write images, and the rotated boxes of the objects on each, for the OBB models of Ultralytics.

    A line is the index of the class, from 0 in the order of class values, and the four corners of the smallest
    rectangle around the part of the object on the image, relative to width and height. Ultralytics leaves out images
    with numbers outside of 0 to 1: corners beyond the image are moved to its border.

    Images are 8-bit pictures by default. With --labels NAME of a label of boxes, the corners are those of the label.
    """

    format: ClassVar[str] = "yolo-obb"
    title: ClassVar[str] = "YOLO-OBB"
    example: ClassVar[str] = "export yolo-obb --to ../obb --min-visible 0.3"
    usage: ClassVar[str] = 'from ultralytics import YOLO\n\nYOLO("yolo11n-obb.pt").train(data="data.yaml")'

    def describe_object(self, item: ExportedObject, grid: Grid) -> Sequence[float]:
        """See `YoloTextExporter.describe_object`."""
        return scale_points(item.box_corners, grid)
