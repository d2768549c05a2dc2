"""CVAT: images, and the features as annotations of 'CVAT for images 1.1'."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import BinaryIO, ClassVar, Final
from xml.sax.saxutils import escape, quoteattr

from geographer.outputs.exports.annotated_images import (
    AnnotationExporter,
    Shape,
    choose_colour,
    iter_shapes,
    list_class_names,
    make_image_name,
)
from geographer.outputs.exports.export import Export, ExportedSample
from geographer.outputs.revision_folder import describe_revision
from geographer.planning.exported_ids import FEATURE_ATTRIBUTE, HOLE_CLASS

_TAGS: Final = {"polygon": "polygon", "line": "polyline", "point": "points"}
_INSTRUCTIONS: Final = """# Annotate in CVAT

1. Create a task. Labels > Raw: paste `labels.json`. Select files: the folder `images`, as a zip or
   from the connected file share, so that the images keep their paths.
2. Open the task's menu > Upload annotations > CVAT 1.1: `annotations.xml`.
3. Annotate. A polygon with the label `(hole)` is a hole of the polygon around it. Do not change the
   attribute `feature` of a shape: it leads back to the feature. A new shape has none; of a copy of
   a shape, empty it.
4. Menu > Export job dataset > CVAT for images 1.1, and bring the annotations back:

   ```bash
   geographer import cvat annotations.xml --replace --sync
   ```

Features that were not edited stay exactly as they are; CVAT writes two decimals of a pixel, and
edits below that are not seen. `--replace` changes those that were edited, `--sync` also removes
those that were deleted; without them, the command lists them.
"""


class CvatExporter(AnnotationExporter, kw_only=True, frozen=True):
    """Write images, and the features as 'CVAT for images 1.1'.

    It is what CVAT needs to edit the features. Images are PNGs. Features are boxes, polygons, polylines and points,
    cut at the border of the image; `import cvat` brings the annotations back.
    """

    format: ClassVar[str] = "cvat"
    title: ClassVar[str] = "CVAT for images 1.1"
    example: ClassVar[str] = "export cvat --to ../task --bands 4,3,2"
    layout: ClassVar[Mapping[str, str]] = {
        "images/RASTER.png": "an image, by the id of its raster",
        "annotations.xml": "the features, as CVAT for images 1.1",
        "labels.json": "the labels of the task",
        "INSTRUCTIONS.md": "how to set up the task, and how to bring the annotations back",
    }

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        classes = list_class_names(export)
        labels = json.dumps(make_labels(classes), indent=2, ensure_ascii=False)
        export.folder.write_bytes("labels.json", f"{labels}\n".encode())
        export.folder.write_bytes("INSTRUCTIONS.md", _INSTRUCTIONS.encode())
        self.write_images(export)
        export.folder.write_file("annotations.xml", lambda file: _write_annotations(file, export, classes))


def make_labels(classes: Sequence[str]) -> list[dict[str, object]]:
    """Return the labels of a task, each with the attribute that leads back to a feature."""
    attribute = {"name": FEATURE_ATTRIBUTE, "input_type": "text", "mutable": False, "default_value": "", "values": [""]}
    labels: list[dict[str, object]] = [
        {"name": name, "type": "any", "color": choose_colour(number), "attributes": [attribute]}
        for number, name in enumerate(classes)
    ]
    return [*labels, {"name": HOLE_CLASS, "type": "polygon", "color": "#000000", "attributes": [attribute]}]


def _write_annotations(file: BinaryIO, export: Export, classes: Sequence[str]) -> None:
    digest = describe_revision(export.revision)["digest"]
    file.write(_make_header(export.count, classes).encode())
    for sample, shapes in iter_shapes(export, digest):
        file.write(format_image(sample, shapes).encode())
    file.write(b"</annotations>\n")


def _make_header(count: int, classes: Sequence[str]) -> str:
    attribute = (
        f"<attribute><name>{FEATURE_ATTRIBUTE}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
    )
    labels = "".join(
        f"        <label><name>{escape(name)}</name><attributes>{attribute}</attributes></label>\n"
        for name in (*classes, HOLE_CLASS)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <size>{count}</size>\n      <mode>annotation</mode>\n      <labels>\n{labels}      </labels>\n"
        "    </task>\n  </meta>\n"
    )


def format_image(sample: ExportedSample, shapes: Sequence[Shape]) -> str:
    """Return the element of an image with its shapes."""
    name, grid = quoteattr(make_image_name(sample)), sample.grid
    first = f'  <image id="{sample.number - 1}" name={name} width="{grid.width}" height="{grid.height}">\n'
    return first + "".join(map(_format_shape, shapes)) + "  </image>\n"


def _format_shape(shape: Shape) -> str:
    order = f'label={quoteattr(shape.class_name)} source="manual" occluded="0" z_order="{int(shape.is_hole)}"'
    attribute = f'<attribute name="{FEATURE_ATTRIBUTE}">{escape(shape.feature)}</attribute>'
    if shape.kind == "box":
        (left, top), (right, bottom) = shape.points
        sides = f'xtl="{left!r}" ytl="{top!r}" xbr="{right!r}" ybr="{bottom!r}"'
        return f"    <box {order} {sides}>{attribute}</box>\n"
    tag, points = _TAGS[shape.kind], ";".join(f"{x!r},{y!r}" for x, y in shape.points)
    return f'    <{tag} {order} points="{points}">{attribute}</{tag}>\n'
