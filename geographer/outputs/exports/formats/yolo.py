"""YOLO: images, and the objects on each in a text file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import yaml

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.outputs.audit.names import normalise_subset
from geographer.outputs.exports.pictures import PictureExporter

if TYPE_CHECKING:
    from geographer.base.values import Grid
    from geographer.outputs.exports.export import Export
    from geographer.outputs.exports.objects import ExportedObject, ObjectOptions

_DECIMALS: Final = 10
_BANDS: Final = "SELECT min(bands), max(bands) FROM export_sample"
_USUAL_BANDS: Final = 3


class YoloTextExporter(PictureExporter, kw_only=True, frozen=True):
    """A format of Ultralytics: a text file for each image, in which a line is an object, and `data.yaml`."""

    layout: ClassVar[Mapping[str, str]] = {
        "data.yaml": "the folders of the subsets, and the classes; for Ultralytics",
        "images/PART/NAME": "an image",
        "labels/PART/NAME.txt": "the objects on the image, one a line; empty without objects",
    }

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        options = self.choose_objects(export)
        self.check_options(options)
        positions = {item.name: item.position for item in export.classes}
        export.folder.write_bytes("data.yaml", self._make_document(export).encode())
        for folder in export.folders:
            for sample, objects in export.iter_objects(options, folder):
                self.write_image(export, sample, f"images/{folder}")
                lines = (
                    f"{positions[item.class_name]} {format_numbers(self.describe_object(item, sample.grid))}\n"
                    for item in objects
                )
                export.folder.write_bytes(f"labels/{folder}/{sample.stem}.txt", "".join(lines).encode())

    def check_options(self, options: ObjectOptions) -> None:
        """Raise `UsageError` if the objects lack what the format needs."""

    def describe_object(self, item: ExportedObject, grid: Grid) -> Sequence[float]:
        """Return the numbers of an object after that of its class, as fractions of width and height."""
        raise NotImplementedError

    def _make_document(self, export: Export) -> str:
        """Return the text of `data.yaml`; without `path`, folders are relative to it."""
        document: dict[str, object] = {}
        for folder in export.folders:
            key = "train" if not export.parts else normalise_subset(folder) or folder
            document[folder if key in document else key] = f"images/{folder}"
        fewest, most = export.revision.fetch_rows(_BANDS)[0]
        if self.images == "geotiff" and fewest == most != _USUAL_BANDS:
            document["channels"] = most
        document["names"] = {item.position: item.name for item in export.classes}
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


class YoloExporter(YoloTextExporter, kw_only=True, frozen=True):
    """Write images, and the objects on each as boxes or polygons of YOLO, for Ultralytics and others.

    A line is the index of the class, from 0 in the order of class values, and numbers from 0 to 1 relative to width and
    height of the image: centre, width and height of the box, or the corners of the area with `--task segment`. All is
    clipped to the image; the file of an image without objects is empty.

    A line holds one ring. So the parts and holes of an area are joined by bridges of no width, and an object stays one
    line; by the even-odd rule, which OpenCV uses, holes stay open.

    Images are 8-bit pictures by default: OpenCV reads neither the compression nor the georeference of the GeoTIFFs.
    With --labels NAME of a label of boxes or instances, its objects are written.
    """

    format: ClassVar[str] = "yolo"
    title: ClassVar[str] = "YOLO"
    example: ClassVar[str] = "export yolo --to ../yolo --task segment --bands 4,3,2"
    usage: ClassVar[str] = (
        'from ultralytics import YOLO\n\nYOLO("yolo11n.pt").train(data="data.yaml")  # yolo11n-seg.pt for polygons'
    )

    task: Annotated[Literal["detect", "segment"], Parameter("What a line has: a box, or a polygon.")] = "detect"

    def check_options(self, options: ObjectOptions) -> None:
        """See `YoloTextExporter.check_options`."""
        if self.task == "segment" and options.label is not None and options.label.kind == "boxes":
            raise UsageError(
                f"label '{options.label.name}' has boxes, not polygons. Use --task detect, or leave out --labels."
            )

    def describe_object(self, item: ExportedObject, grid: Grid) -> Sequence[float]:
        """See `YoloTextExporter.describe_object`."""
        if self.task == "segment":
            return scale_points(_join_polygons(item), grid)
        (x0, y0, x1, y1), width, height = item.box, grid.width, grid.height
        return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]


def scale_points(points: Sequence[Sequence[float]], grid: Grid) -> Sequence[float]:
    """Return x, y, x, y … of points on an image as fractions of its width and height, at least 0 and at most 1."""
    size = (grid.width, grid.height)
    return [min(max(value / side, 0.0), 1.0) for point in points for value, side in zip(point, size, strict=True)]


def format_numbers(numbers: Sequence[float]) -> str:
    """Return numbers as text, separated by spaces."""
    return " ".join(f"{round(number, _DECIMALS):.{_DECIMALS}f}".rstrip("0").rstrip(".") for number in numbers)


def _join_polygons(item: ExportedObject) -> Sequence[Sequence[float]]:
    """Return one ring around the polygons of an object, without the closing point."""
    import shapely

    from geographer.algorithms.joined_rings import join_rings

    rings = [ring for polygon in item.shape.polygons for ring in (polygon.exterior, *polygon.interiors)]
    corners: list[list[float]] = join_rings([shapely.get_coordinates(ring)[:-1] for ring in rings]).tolist()
    return corners
