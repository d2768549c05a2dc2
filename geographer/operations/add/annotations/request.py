"""Requests that import annotations: COCO, YOLO, Label Studio and CVAT."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import UsageError
from geographer.base.input_paths import require_input_path
from geographer.base.parameters import Parameter
from geographer.operations.add.events import AnnotationsImported
from geographer.operations.add.features import Replace
from geographer.planning.shared_parameters import OBJECT_SCHEMA, OPTIONAL_TEXT, TEXT, OnError
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

if TYPE_CHECKING:
    from geographer.operations.add.annotations.shapes import Annotations


def _require_class(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"invalid --as-class {name!r}. Use the name of a class.")
    return name


def _read_class_map(value: Any) -> dict[str, str]:
    """Return new class names by those of the file; `UsageError` if they are not texts."""
    names = dict(value or {})
    if not all(isinstance(name, str) and name for pair in names.items() for name in pair):
        raise UsageError("invalid --class-map. Use NAME=CLASS with names that are not empty.")
    return names


def _make_source(path: Path, root: Path) -> str:
    """Return the path of a file relative to the dataset's folder, as POSIX text: the same from any current folder."""
    try:
        return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()


_PATH: Final = Parameter(
    "The file, or the folder of YOLO's label files.", "PATH", cli="argument", convert=str, schema=TEXT
)
_COLLECTION: Final = Parameter(
    "The collection whose rasters the images show.", "NAME", "all collections", schema=OPTIONAL_TEXT
)
_CLASS_MAP: Final = Parameter(
    "The class in the dataset for a class of the file.",
    *("NAME=CLASS", "the same name"),
    convert=_read_class_map,
    cli="pairs",
    schema={**OBJECT_SCHEMA, "additionalProperties": {"type": "string", "minLength": 1}},
)
_AS_CLASS: Final = Parameter(
    "Give all features this class.", "NAME", "the classes of the file", convert=_require_class, schema=OPTIONAL_TEXT
)
_SYNC: Final = "Also remove what earlier imports from this path made on the same images, and the file lacks now."
_EDIT_SYNC: Final = "Also remove the features that were exported on these images and that the file lacks."
_REPAIR: Final = Parameter("Repair polygons that cross or touch themselves, instead of refusing them.")
_IDS: Final = Parameter("Take ids from the annotations, or make them from the geometry.")


class _PathRequest(Request, frozen=True):
    path: Annotated[str | Path, _PATH]


class AnnotationRequest(_PathRequest, kw_only=True, frozen=True):
    """A request that makes features of annotations in pixel coordinates."""

    event: ClassVar[type[AnnotationsImported]] = AnnotationsImported
    format_name: ClassVar[Literal["coco", "yolo", "label-studio", "cvat"]]
    id_advice: ClassVar[str] = ""

    collection: Annotated[str | None, _COLLECTION] = None
    class_map: Annotated[Mapping[str, str], _CLASS_MAP] = msgspec.field(default_factory=dict)
    as_class: Annotated[str | None, _AS_CLASS] = None
    replace: Replace = False
    sync: Annotated[bool, Parameter(_SYNC)] = False
    repair: Annotated[bool, _REPAIR] = False
    on_error: OnError = "fail"

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        return {"format": self.format_name, **super().list_recorded_parameters()}

    @classmethod
    def make_schema(cls, version: int | None = None) -> dict[str, Any]:
        """See `Request.make_schema`."""
        schema = super().make_schema(version)
        properties = {"format": {"const": cls.format_name}, **schema["properties"]}
        return {**schema, "properties": properties, "required": ["format", *schema["required"]]}

    def read_annotations(self, path: Path, content: bytes) -> "Annotations":
        """Read the file, whose bytes are `content`."""
        raise NotImplementedError

    def make_plan(self, revision: Revision, context: PlanContext, /) -> Change:
        """See `plan_annotations`."""
        from geographer.operations.add.annotations.plan import plan_annotations

        path = require_input_path(self.path)
        content = self.read_bytes(path)
        sha256, source = hashlib.sha256(content).hexdigest(), _make_source(path, context.root)
        return plan_annotations(revision, self, self.read_annotations(path, content), sha256, source)

    def read_bytes(self, path: Path) -> bytes:
        """Return what the event records the SHA-256 of: the bytes of the file."""
        if path.is_dir():
            raise UsageError(f"'{path}' is a folder. Name a file.")
        with translate_os_errors(path):
            return path.read_bytes()


class ImportCoco(AnnotationRequest, kw_only=True, frozen=True):
    """Import the boxes, polygons and masks (RLE) of a COCO file as features.

    Images are matched to rasters by their file names or the ids of rasters. A box or polygon becomes a feature in the
    CRS of its raster; the outline of a mask follows the edges of its pixels. Properties become columns: iscrowd, score
    and attributes, and image, the raster.
    """

    example = "import coco instances.json --collection chips"
    format_name = "coco"
    id_advice = ", or --ids content to add them as other features"

    ids: Annotated[Literal["annotation", "content"], _IDS] = "annotation"

    def read_annotations(self, path: Path, content: bytes) -> "Annotations":
        """See `AnnotationRequest.read_annotations`."""
        from geographer.operations.add.annotations.coco import read_coco

        return read_coco(path, content, self.ids)


class ImportYolo(AnnotationRequest, kw_only=True, frozen=True):
    """Import the boxes, oriented boxes and polygons of a YOLO folder as features.

    Images are matched to rasters by the names of the label files. Class names come from data.yaml or classes.txt. Ids
    are made from the geometry.
    """

    example = "import yolo ../ships --collection chips"
    format_name = "yolo"

    def read_bytes(self, path: Path) -> bytes:
        """Return the SHA-256 and the name of each file that is read, as `sha256sum` prints them."""
        from geographer.operations.add.annotations.yolo import list_yolo_files

        if not path.is_dir():
            raise UsageError(f"'{path}' is a file. Name the folder with the label files.")
        lines = []
        for file in list_yolo_files(path):
            with translate_os_errors(file):
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
            lines.append(f"{digest}  {file.relative_to(path).as_posix()}\n")
        return "".join(sorted(lines)).encode(errors="backslashreplace")

    def read_annotations(self, path: Path, _content: bytes) -> "Annotations":
        """See `AnnotationRequest.read_annotations`."""
        from geographer.operations.add.annotations.yolo import read_yolo

        return read_yolo(path)


class ImportLabelStudio(AnnotationRequest, kw_only=True, frozen=True):
    """Import annotations of Label Studio: its JSON export of rectangles, polygons, brushes and keypoints.

    Features of an export by geographer are found again: those that were not edited stay exactly as they are, edited
    ones are changed with --replace, deleted ones are removed with --sync. Tasks without a submitted annotation are left
    out. A polygon with the label '(hole)' is a hole of the polygon around it.
    """

    example = "import label-studio project-1.json --replace"
    format_name = "label-studio"

    sync: Annotated[bool, Parameter(_EDIT_SYNC)] = False

    def read_annotations(self, path: Path, content: bytes) -> "Annotations":
        """See `AnnotationRequest.read_annotations`."""
        from geographer.operations.add.annotations.label_studio import read_label_studio

        return read_label_studio(path, content)


class ImportCvat(AnnotationRequest, kw_only=True, frozen=True):
    """Import annotations of CVAT: its file 'CVAT for images 1.1' of boxes, polygons, polylines, points and masks.

    Features of an export by geographer are found again: those that were not edited stay exactly as they are, edited
    ones are changed with --replace, deleted ones are removed with --sync. A polygon with the label '(hole)' is a hole
    of the polygon around it. Attributes become columns.
    """

    example = "import cvat annotations.xml --replace"
    format_name = "cvat"

    sync: Annotated[bool, Parameter(_EDIT_SYNC)] = False

    def read_annotations(self, path: Path, content: bytes) -> "Annotations":
        """See `AnnotationRequest.read_annotations`."""
        from geographer.operations.add.annotations.cvat import read_cvat

        return read_cvat(path, content)
