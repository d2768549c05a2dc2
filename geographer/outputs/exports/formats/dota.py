"""DOTA: images, and the rotated boxes of the objects on each in a text file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from geographer.base.errors import UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.outputs.exports.pictures import PictureExporter

if TYPE_CHECKING:
    from geographer.outputs.exports.export import Export
    from geographer.outputs.exports.objects import ExportedObject


class DotaExporter(PictureExporter, kw_only=True, frozen=True):
    """Write images, and the rotated boxes of the objects on each, as DOTA.

    A line has the four corners (x, y) of the smallest rectangle around the part of the object on the image, in pixels
    from its upper left corner, then the class and 1 if the object is difficult, else 0. Corners may lie outside of the
    image. Blanks in names of classes become `-`, as in DOTA's `small-vehicle`.

    Images are 8-bit pictures by default. With --labels NAME of a label of boxes, the corners are those of the label.
    """

    format: ClassVar[str] = "dota"
    title: ClassVar[str] = "DOTA"
    example: ClassVar[str] = "export dota --to ../dota --difficult-where \"quality = 'poor'\""
    layout: ClassVar[Mapping[str, str]] = {
        "PART/images/NAME": "an image",
        "PART/labelTxt/NAME.txt": "the objects on the image, one a line: x1 y1 x2 y2 x3 y3 x4 y4 class difficult",
    }
    usage: ClassVar[str] = (
        "from pathlib import Path\n\n"
        'for line in Path("train/labelTxt/NAME.txt").read_text().splitlines():\n'
        "    *corners, name, difficult = line.split()"
    )

    difficult_where: Annotated[str | None, Parameter("Difficult objects: features for which it is true.", "SQL")] = None

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        options = self.choose_objects(export, marked_where=self.difficult_where, flag="--difficult-where")
        names = _make_names([item.name for item in export.classes])
        for folder in export.folders:
            for sample, objects in export.iter_objects(options, folder):
                self.write_image(export, sample, f"{folder}/images")
                lines = "".join(_format_line(item, names) for item in objects)
                export.folder.write_bytes(f"{folder}/labelTxt/{sample.stem}.txt", lines.encode())


def _make_names(classes: list[str]) -> dict[str, str]:
    """Return the names of classes without blanks; `UsageError` if two would be equal."""
    names = {name: re.sub(r"\s+", "-", name) for name in classes}
    used = [*names.values()]
    if equal := [name for name, short in names.items() if used.count(short) > 1]:
        raise UsageError(
            f"the classes {quote_names(equal)} would have the same name, as DOTA has no blanks in names. Rename one: "
            "geographer rename class"
        )
    return names


def _format_line(item: ExportedObject, names: Mapping[str, str]) -> str:
    corners = " ".join(f"{value:g}" if value == int(value) else f"{value!r}" for xy in item.box_corners for value in xy)
    return f"{corners} {names[item.class_name]} {int(item.is_marked)}\n"
