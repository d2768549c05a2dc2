"""COCO: images, and the objects on them in one JSON file for each subset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Final, Literal

import msgspec

from geographer.base.parameters import Parameter
from geographer.outputs.exports.folder import HashedStream
from geographer.outputs.exports.pictures import ImageFormat, PictureExporter

if TYPE_CHECKING:
    from geographer.base.values import Grid
    from geographer.outputs.exports.export import Export, ExportedSample
    from geographer.outputs.exports.objects import ExportedObject, ObjectOptions

_DECIMALS: Final = 6
_encode = msgspec.json.Encoder().encode


class CocoExporter(PictureExporter, kw_only=True, frozen=True):
    """Write images, and the objects on them as COCO: boxes, polygons or run lengths, and crowds.

    Coordinates are pixels from the upper left corner of the image, and everything is clipped to it. A category has the
    value of its class as id. Ids of images and annotations count from 1 in the order of samples; `raster_id` and
    `feature_id` lead back to the dataset, and images have `crs` and `transform`.

    An object with a hole, or in a crowd, has run lengths, because polygons of COCO cannot express it. They have the
    pixels whose centres the polygons contain, and with --labels NAME of a label of instances exactly its pixels.
    The objects of a label of boxes have no segmentation.
    """

    format: ClassVar[str] = "coco"
    title: ClassVar[str] = "COCO"
    example: ClassVar[str] = "export coco --to ../coco --split chips"
    layout: ClassVar[Mapping[str, str]] = {
        "images/PART/NAME": "an image",
        "annotations/instances_PART.json": "the objects on the images of a subset, which are in `images/PART`",
    }
    usage: ClassVar[str] = (
        "from pycocotools.coco import COCO\n\n"
        'coco = COCO("annotations/instances_train.json")\n'
        "mask = coco.annToMask(next(iter(coco.anns.values())))"
    )

    images: ImageFormat = "geotiff"
    segmentation: Annotated[
        Literal["polygons", "rle", "compressed-rle"],
        Parameter("How areas are written; compressed-rle needs the extra coco."),
    ] = "polygons"
    crowd_where: Annotated[
        str | None,
        Parameter("Crowds, whose objects cannot be distinguished: features for which it is true.", "SQL"),
    ] = None

    def list_packages(self) -> Mapping[str, str]:
        """See `Exporter.list_packages`."""
        return {"pycocotools": "coco"} if self.segmentation == "compressed-rle" else {}

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        options = self.choose_objects(export, marked_where=self.crowd_where, flag="--crowd-where")
        head = _make_head(export)
        ids = count(1)
        for folder in export.folders:
            with (
                export.folder.open_stream(f"annotations/instances_{folder}.json") as stream,
                TemporaryFile(dir=export.folder.path) as images,
            ):
                stream.write(head + b',\n"annotations": [')
                self._write_objects(export, folder, options, ids, stream, images)
                stream.write(b'\n],\n"images": [')
                images.seek(0)
                shutil.copyfileobj(images, stream)
                stream.write(b"\n]\n}\n")

    def _write_objects(
        self,
        export: Export,
        folder: str,
        options: ObjectOptions,
        ids: Iterator[int],
        stream: HashedStream,
        images: BinaryIO,
    ) -> None:
        """Write the images, their descriptions to `images`, and their annotations to `stream`."""
        is_first_image = is_first_annotation = True
        for sample, objects in export.iter_objects(options, folder):
            name = self.write_image(export, sample, f"images/{folder}")
            images.write((b"\n" if is_first_image else b",\n") + _encode(_describe_image(sample, name)))
            is_first_image = False
            if objects:
                lines = b",\n".join(_encode(self._describe_object(sample, item, next(ids))) for item in objects)
                stream.write((b"\n" if is_first_annotation else b",\n") + lines)
                is_first_annotation = False

    def _describe_object(self, sample: ExportedSample, item: ExportedObject, id: int) -> dict[str, Any]:
        x0, y0, x1, y1 = item.box
        segmentation, area = self._describe_area(sample.grid, item)
        return {
            "id": id,
            "image_id": sample.number,
            "category_id": item.value,
            "bbox": [x0, y0, round(x1 - x0, _DECIMALS), round(y1 - y0, _DECIMALS)],
            "area": area,
            "segmentation": segmentation,
            "iscrowd": int(item.is_marked),
            "feature_id": item.feature_id,
        }

    def _describe_area(self, grid: Grid, item: ExportedObject) -> tuple[Any, float]:
        """Return segmentation and area: of the polygons, or the number of pixels of run lengths."""
        if item.shape.polygons and (self.segmentation != "polygons" or item.is_marked or item.shape.has_holes):
            counts = _encode_pixels(grid, item)
            encoded = {"counts": counts, "size": [grid.height, grid.width]}
            return self._compress_counts(encoded, grid), float(sum(counts[1::2]))
        return [_list_corners(polygon) for polygon in item.shape.polygons], round(item.shape.area, _DECIMALS)

    def _compress_counts(self, encoded: dict[str, Any], grid: Grid) -> dict[str, Any]:
        if self.segmentation != "compressed-rle":
            return encoded
        from pycocotools import mask

        return {**encoded, "counts": mask.frPyObjects(encoded, grid.height, grid.width)["counts"].decode()}


def _make_head(export: Export) -> bytes:
    """Return the start of each file: what it is, licences, and categories."""
    from geographer.planning.description import read_description

    described = read_description(export.revision)
    licence, url = described.find_text("licence"), described.find_text("url")
    info = {
        "description": described.find_text("title") or "",
        "url": url or "",
        "version": f"@{export.revision.position}",
    }
    licences = [{"id": 1, "name": licence, "url": ""}] if licence else []
    categories = [{"id": item.value, "name": item.name, "supercategory": ""} for item in export.classes]
    parts = {"info": info, "licenses": licences, "categories": categories}
    return b"{\n" + b",\n".join(_encode(name) + b": " + _encode(part) for name, part in parts.items())


def _describe_image(sample: ExportedSample, name: str) -> dict[str, Any]:
    grid = sample.grid
    return {
        "id": sample.number,
        "file_name": name,
        "width": grid.width,
        "height": grid.height,
        "date_captured": "" if sample.acquired is None else sample.acquired.isoformat(),
        "raster_id": sample.raster_id,
        "collection": sample.collection,
        "crs": grid.crs,
        "transform": [*grid.transform],
    }


def _encode_pixels(grid: Grid, item: ExportedObject) -> list[int]:
    from geographer.algorithms.run_lengths import encode_run_lengths
    from geographer.rasters.burning import rasterize_object

    mask, window = rasterize_object(item.shape.polygons, grid.width, grid.height)
    return encode_run_lengths(mask, window.col, window.row, grid.width, grid.height)


def _list_corners(polygon: Any) -> Sequence[float]:
    """Return x, y, x, y … of the shell of a polygon, without the closing point."""
    import shapely

    corners: list[float] = shapely.get_coordinates(polygon)[:-1].round(_DECIMALS).ravel().tolist()
    return corners
