"""Pascal VOC: images, the boxes of the objects on each in an XML file, and masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from xml.etree import ElementTree

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.outputs.exports.pictures import PictureExporter

if TYPE_CHECKING:
    from geographer.base.values import Grid
    from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo
    from geographer.outputs.exports.objects import ExportedObject

_VOID: Final = 255
"""The value of pixels that training ignores."""


class VocExporter(PictureExporter, kw_only=True, frozen=True):
    """Write images, the boxes of the objects on each as an XML file, and masks as Pascal VOC.

    A box is that of all pixels that the object touches, counted from 1 with both ends in it, as VOC does. An object of
    which a part is outside of the image is `truncated`.

    With --labels NAME of a label of masks, `SegmentationClass` has the class values as PNGs with a palette, and 255
    where training ignores pixels. With --labels NAME of a label of boxes or instances, its objects are written. Images
    are 8-bit pictures by default.
    """

    format: ClassVar[str] = "voc"
    title: ClassVar[str] = "Pascal VOC"
    example: ClassVar[str] = "export voc --to ../voc --labels mask"
    layout: ClassVar[Mapping[str, str]] = {
        "JPEGImages/NAME": "an image; by its suffix, in spite of the folder's name",
        "Annotations/NAME.xml": "the objects on the image",
        "SegmentationClass/NAME.png": "the class values of the pixels, if a label of masks is exported",
        "ImageSets/Main/PART.txt": "the names of a subset",
        "ImageSets/Segmentation/PART.txt": "those that have a mask",
    }
    usage: ClassVar[str] = (
        "from xml.etree import ElementTree\n\n"
        'boxes = ElementTree.parse("Annotations/NAME.xml").findall("object/bndbox")'
    )

    difficult_where: Annotated[str | None, Parameter("Difficult objects: features for which it is true.", "SQL")] = None

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        options = self.choose_objects(
            export, also=("mask",), marked_where=self.difficult_where, flag="--difficult-where"
        )
        mask = _choose_mask(export)
        for folder in export.folders:
            names, masked = [], []
            for sample, objects in export.iter_objects(options, folder):
                has_mask = mask is not None and mask.name in sample.labels
                image = self.write_image(export, sample, "JPEGImages")
                document = _make_document(sample, image, self.count_bands(sample), objects, is_segmented=has_mask)
                export.folder.write_bytes(f"Annotations/{sample.stem}.xml", document)
                names.append(sample.stem)
                if mask is not None and has_mask:
                    _write_mask(export, sample, mask)
                    masked.append(sample.stem)
            export.folder.write_bytes(f"ImageSets/Main/{folder}.txt", _join_lines(names))
            if mask is not None:
                export.folder.write_bytes(f"ImageSets/Segmentation/{folder}.txt", _join_lines(masked))


def _choose_mask(export: Export) -> LabelInfo | None:
    """Return the label of masks to write; `UsageError` if there are several, or a value of a class is above 254."""
    masks = export.list_labels("mask")
    if len(masks) > 1:
        raise UsageError(f"'{masks[0].name}' and '{masks[1].name}' are both masks. Name one of them with --labels.")
    if masks and (high := [item for item in export.classes if item.value >= _VOID]):
        raise UsageError(
            f"class '{high[0].name}' has the value {high[0].value}, and masks of VOC hold values up to 254. Leave the "
            "label of masks out."
        )
    return masks[0] if masks else None


def _make_document(
    sample: ExportedSample, image: str, depth: int, objects: Sequence[ExportedObject], *, is_segmented: bool
) -> bytes:
    """Return the XML of an image."""
    root = ElementTree.Element("annotation")
    _add_texts(root, {"folder": "JPEGImages", "filename": image})
    _add_texts(ElementTree.SubElement(root, "source"), {"database": "geographer", "annotation": sample.raster_id})
    size = {"width": sample.grid.width, "height": sample.grid.height, "depth": depth}
    _add_texts(ElementTree.SubElement(root, "size"), size)
    _add_texts(root, {"segmented": int(is_segmented)})
    for item in objects:
        element = ElementTree.SubElement(root, "object")
        flags = {"truncated": int(item.is_cut), "difficult": int(item.is_marked)}
        _add_texts(element, {"name": item.class_name, "pose": "Unspecified", **flags})
        _add_texts(ElementTree.SubElement(element, "bndbox"), _find_pixel_box(item, sample.grid))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8")) + b"\n"


def _add_texts(parent: ElementTree.Element, texts: Mapping[str, str | int]) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)


def _find_pixel_box(item: ExportedObject, grid: Grid) -> dict[str, int]:
    """Return the first and last columns and rows, counted from 1, of the pixels that the box of an object touches."""
    x0, y0, x1, y1 = item.box
    xmin, ymin = min(math.floor(x0) + 1, grid.width), min(math.floor(y0) + 1, grid.height)
    return {"xmin": xmin, "ymin": ymin, "xmax": max(math.ceil(x1), xmin), "ymax": max(math.ceil(y1), ymin)}


def _write_mask(export: Export, sample: ExportedSample, mask: LabelInfo) -> None:
    import numpy as np

    from geographer.rasters.class_values import read_class_values
    from geographer.rasters.pictures import encode_pixels

    path, size = sample.labels[mask.name].path, (sample.grid.height, sample.grid.width)

    def encode_mask() -> bytes:
        values = read_class_values(path, size)
        if mask.ignore is not None:
            values = np.where(values == mask.ignore, _VOID, values)
        return encode_pixels(values[np.newaxis].astype(np.uint8), "png", _make_palette())

    name = f"SegmentationClass/{sample.stem}.png"
    export.folder.write_content(name, encode_mask)


@cache
def _make_palette() -> Mapping[int, tuple[int, int, int]]:
    """Return the colours of VOC by value: the bits of a value in turn become bits of red, green and blue."""
    palette = {}
    for value in range(_VOID + 1):
        colour = [sum((value >> (3 * step + channel) & 1) << (7 - step) for step in range(3)) for channel in range(3)]
        palette[value] = (colour[0], colour[1], colour[2])
    return palette


def _join_lines(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
