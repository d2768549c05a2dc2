"""Read Label Studio's JSON export: rectangles, polygons, brush masks and keypoints, in percent of the image."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from geographer.base.errors import UsageError
from geographer.operations.add.annotations.brush_runs import decode_brush
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations, EncodedMask, ShapeCollector
from geographer.planning.exported_ids import HOLE_CLASS, SHOWN_DIGITS, read_exported_id

_TYPES: Final = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_PERCENT: Final = 100.0
_FEATURE: Final = "feature="
"""What the meta text of a region begins with that has the id of a feature."""


class _Region(msgspec.Struct):
    type: str = ""
    id: str | int | None = None
    value: dict[str, Any] = {}
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float | None = None
    item_index: int | None = None
    score: float | None = None
    meta: dict[str, Any] | None = None


class _Result(msgspec.Struct):
    result: list[_Region]
    was_cancelled: bool | None = None
    updated_at: str | None = None


class _Task(msgspec.Struct):
    data: dict[str, Any]
    id: int | str | None = None
    annotations: list[_Result] | UnsetType = UNSET


def read_label_studio(path: Path, content: bytes) -> Annotations:
    """Return the annotations of a JSON export of Label Studio: of each task, those that were submitted last.

    Tasks without a submitted annotation are left out. The id of a feature that was exported is in a region's meta text.
    `UsageError` if the file is no such export.
    """
    try:
        tasks = msgspec.json.decode(content, type=list[_Task])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"cannot read '{path}' as an export of Label Studio: {error}. Export the project as JSON, not JSON-MIN."
        ) from error
    result = Annotations(is_relative=True, edits_features=True, exported_dimensions=(0, 2))
    shapes, properties = ShapeCollector(), list[dict[str, Any]]()
    for number, task in enumerate(tasks, 1):
        name = f"task {number if task.id is None else task.id}"
        if task.annotations is UNSET:
            raise UsageError(f"'{path}': {name} has no annotations. Export the project as JSON, not JSON-MIN.")
        submitted = [item for item in task.annotations if not item.was_cancelled]
        if not submitted:
            continue
        result.revision = result.revision or _find_revision(task.data)
        latest = max(submitted, key=lambda item: item.updated_at or "")
        regions = [region for region in latest.result if region.type in _TYPES or _is_shape(region)]
        image = len(result.images)
        result.images.append(AnnotatedImage(_find_image_name(path, name, task.data), *_find_size(regions)))
        properties += [_add_region(result, shapes, image, name, region) for region in regions]
    shapes.set_shapes(result)
    result.set_properties(properties)
    return result


def parse_image_url(text: str) -> str:
    """Return the path that the URL of an image has, without that of Label Studio's server and its local files.

    `ValueError` if it is no URL.
    """
    parts = urlsplit(text)
    local = parse_qs(parts.query).get("d", [])
    path = local[0] if local else unquote(parts.path)
    return path.replace("\\", "/").removeprefix("/data/").lstrip("/")


def _is_shape(region: _Region) -> bool:
    """Return whether a region of an unknown type, such as an ellipse, has a place on the image."""
    return region.type.endswith("labels") and region.type not in ("labels", "hypertextlabels", "timeserieslabels")


def _find_image_name(path: Path, task: str, data: Mapping[str, Any]) -> str:
    if isinstance(raster := data.get("raster"), str):
        return raster
    named = [value for key, value in data.items() if isinstance(value, str) and key in ("image", "img", "url", "file")]
    others = [value for value in data.values() if isinstance(value, str) and "/" in value]
    if not (names := named or others):
        raise UsageError(f"'{path}': the data of {task} name no image. Its key must be image, img, url or file.")
    try:
        return parse_image_url(names[0])
    except ValueError as error:
        raise UsageError(f"'{path}': {task} has the image {names[0]!r}, no URL ({error}). Correct the file.") from error


def _find_revision(data: Mapping[str, Any]) -> str | None:
    """Return the start of the digest of the revision that a task was exported from."""
    revision = data.get("revision")
    return revision[:SHOWN_DIGITS] if isinstance(revision, str) and _DIGEST.fullmatch(revision) else None


def _find_size(regions: Sequence[_Region]) -> tuple[int | None, int | None]:
    sizes = [(region.original_width, region.original_height) for region in regions]
    return next(((width, height) for width, height in sizes if width and height), (None, None))


def _add_region(result: Annotations, shapes: ShapeCollector, image: int, task: str, region: _Region) -> dict[str, Any]:
    """Add the annotation of a region, and return its properties."""
    labels = region.value.get(region.type)
    label = labels[0] if isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str) else ""
    feature, revision = read_exported_id(_find_feature(region.meta))
    name = f"region {region.id} of {task}"
    row = result.add_annotation(image, label, name, feature, is_hole=label == HOLE_CLASS)
    result.revision = result.revision or revision
    if not label:
        shapes.problems[row] = "it has not exactly one label"
    elif region.item_index:
        shapes.problems[row] = "it is on a later page of a document of several images"
    elif region.image_rotation:
        shapes.problems[row] = "its image was rotated in Label Studio"
    elif (region.original_width or 0) < 1 or (region.original_height or 0) < 1:
        shapes.problems[row] = "it lacks original_width and original_height"
    else:
        result.drawn_sizes[row] = (region.original_width or 0, region.original_height or 0)
        try:
            _add_shape(shapes, row, region)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            shapes.problems[row] = f"its value is not that of {region.type}"
    return {} if region.score is None else {"score": region.score}


def _find_feature(meta: Mapping[str, Any] | None) -> str | None:
    texts = (meta or {}).get("text", [])
    lines = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
    found = [line for line in lines if isinstance(line, str) and line.startswith(_FEATURE)]
    return found[0].removeprefix(_FEATURE).strip() if found else None


def _add_shape(shapes: ShapeCollector, row: int, region: _Region) -> None:
    """Add the shape of a region; wrong keys, types and numbers raise Python's errors."""
    value = region.value
    width, height = float(region.original_width or 0), float(region.original_height or 0)
    if region.type == "rectanglelabels":
        _add_rectangle(shapes, row, value, width, height)
    elif region.type == "polygonlabels":
        points = [(float(x) * width / _PERCENT, float(y) * height / _PERCENT) for x, y in value["points"]]
        shapes.add_polygon(row, [number for point in points for number in point])
    elif region.type == "keypointlabels":
        shapes.add_points(row, [float(value["x"]) * width / _PERCENT, float(value["y"]) * height / _PERCENT])
    elif region.type == "brushlabels":
        mask = partial(decode_brush, value["rle"])
        shapes.add_mask(row, EncodedMask(region.original_width or 0, region.original_height or 0, mask))
    else:
        shapes.problems[row] = f"{region.type} are not read: use rectangles, polygons, brushes or keypoints"


def _add_rectangle(
    shapes: ShapeCollector, row: int, value: Mapping[str, Any], image_width: float, image_height: float
) -> None:
    """Add a rectangle, which is rotated clockwise, in pixels, around its upper left corner."""
    x, width = (float(value[key]) * image_width / _PERCENT for key in ("x", "width"))
    y, height = (float(value[key]) * image_height / _PERCENT for key in ("y", "height"))
    angle = math.radians(float(value.get("rotation") or 0))
    if not angle or width <= 0 or height <= 0:
        shapes.add_box(row, (x, y, x + width, y + height))
        return
    right = (width * math.cos(angle), width * math.sin(angle))
    down = (-height * math.sin(angle), height * math.cos(angle))
    corners = [(0.0, 0.0), right, (right[0] + down[0], right[1] + down[1]), down]
    shapes.add_polygon(row, [number for dx, dy in corners for number in (x + dx, y + dy)])
