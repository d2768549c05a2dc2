"""Label Studio: images, tasks with the features as predictions, and the labelling configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, BinaryIO, ClassVar, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from geographer.base.parameters import Parameter
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
from geographer.planning.exported_ids import HOLE_CLASS, SHOWN_DIGITS

_CONTROLS: Final = {
    "box": ("rectangle", "RectangleLabels"),
    "polygon": ("polygon", "PolygonLabels"),
    "point": ("point", "KeyPointLabels"),
}
"""The names and the tags of the controls for the kinds of shapes; Label Studio has none for lines."""
_PERCENT: Final = 100.0
_POINT_SIZE: Final = 0.5
_INSTRUCTIONS: Final = """# Annotate in Label Studio

1. Let Label Studio serve the images of this folder, and start it:

   ```bash
   export LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
   export LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="$PWD"
   label-studio start
   ```

2. Create a project. Settings > Labeling Interface > Code: paste `label_config.xml`.
3. Settings > Cloud Storage > Add Source Storage > Local files: the absolute path of `images`. Save,
   do not sync.
4. Import `tasks.json`. The features are predictions: Label Studio shows them in each task, and they
   become the annotation that you edit and submit. A polygon with the label `(hole)` is a hole of
   the polygon around it. Do not change the meta text `feature=...` of a region: it leads back to
   the feature. A new region has none.
5. Export as JSON, and bring the annotations back:

   ```bash
   geographer import label-studio project-1.json --replace --sync
   ```

Only submitted tasks count. Features that were not edited stay exactly as they are. `--replace`
changes those that were edited, `--sync` also removes those that were deleted; without them, the
command lists them. Lines are not exported: Label Studio has none.
"""


class LabelStudioExporter(AnnotationExporter, kw_only=True, frozen=True):
    """Write images, tasks with the features, and the labelling configuration.

    It is what Label Studio needs to edit the features. Images are PNGs. Features are predictions, polygons cut at
    the border of the image; `import label-studio` brings the annotations back. Lines are left out: Label Studio has
    none.
    """

    format: ClassVar[str] = "label-studio"
    title: ClassVar[str] = "tasks of Label Studio"
    example: ClassVar[str] = "export label-studio --to ../tasks --bands 4,3,2"
    layout: ClassVar[Mapping[str, str]] = {
        "images/RASTER.png": "an image, by the id of its raster",
        "tasks.json": "the tasks, with the features as predictions",
        "label_config.xml": "the labelling configuration",
        "INSTRUCTIONS.md": "how to set up the project, and how to bring the annotations back",
    }

    url: Annotated[
        str, Parameter("What comes before the paths of images in URLs.", "URL", "Label Studio's local files")
    ] = "/data/local-files/?d=images/"

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        classes = list_class_names(export)
        export.folder.write_bytes("label_config.xml", make_label_config(classes).encode())
        export.folder.write_bytes("INSTRUCTIONS.md", _INSTRUCTIONS.encode())
        self.write_images(export)
        export.folder.write_file("tasks.json", lambda file: self._write_tasks(file, export))

    def _write_tasks(self, file: BinaryIO, export: Export) -> None:
        """Write the tasks, one a line."""
        digest = describe_revision(export.revision)["digest"]
        separator = b"[\n"
        for sample, shapes in iter_shapes(export, digest):
            task = make_task(sample, shapes, self.url + quote(make_image_name(sample)), digest)
            file.write(separator + json.dumps(task, ensure_ascii=False).encode())
            separator = b",\n"
        file.write(b"\n]\n")


def make_task(sample: ExportedSample, shapes: Sequence[Shape], url: str, digest: str) -> dict[str, Any]:
    """Return the task of an image."""
    drawn = [shape for shape in shapes if shape.kind in _CONTROLS]
    regions = [_make_region(sample, number, shape) for number, shape in enumerate(drawn, 1)]
    prediction = {"model_version": f"geographer {digest[:SHOWN_DIGITS]}", "result": regions}
    data = {"image": url, "raster": sample.raster_id, "revision": digest}
    return {"data": data, "predictions": [prediction]}


def _make_region(sample: ExportedSample, number: int, shape: Shape) -> dict[str, Any]:
    name, tag = _CONTROLS[shape.kind]
    width, height = sample.grid.width, sample.grid.height
    points = [[x / width * _PERCENT, y / height * _PERCENT] for x, y in shape.points]
    value: dict[str, Any]
    if shape.kind == "box":
        (x, y), (right, bottom) = points
        value = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0}
    elif shape.kind == "point":
        value = {"x": points[0][0], "y": points[0][1], "width": _POINT_SIZE}
    else:
        value = {"points": points, "closed": True}
    return {
        "id": f"region-{number}",
        "type": tag.lower(),
        "from_name": name,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, tag.lower(): [shape.class_name]},
        "meta": {"text": [f"feature={shape.feature}"]},
    }


def make_label_config(classes: Sequence[str]) -> str:
    """Return the labelling configuration: a control for each kind of shape, with all classes; holes are polygons."""
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true" zoomControl="true"/>']
    for name, tag in (*_CONTROLS.values(), ("brush", "BrushLabels")):
        lines.append(f'  <{tag} name="{name}" toName="image">')
        labels = [*classes, *([HOLE_CLASS] if tag == "PolygonLabels" else [])]
        for number, label in enumerate(labels):
            colour = "#000000" if label == HOLE_CLASS else choose_colour(number)
            # Label Studio's converters want the index of keypoints.
            index = f' model_index="{number}"' if tag == "KeyPointLabels" else ""
            lines.append(f'    <Label value={quoteattr(label)} background="{colour}"{index}/>')
        lines.append(f"  </{tag}>")
    return "\n".join([*lines, "</View>", ""])
