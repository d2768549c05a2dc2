"""Read COCO JSON: boxes, polygons, and masks in run-length encoding (RLE), whose outlines follow the pixels' edges."""

from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from geographer.base.errors import UsageError, quote_names
from geographer.operations.add.annotations.mask_runs import decode_runs
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations, EncodedMask, ShapeCollector

_ID_LIMIT: Final = 2**63

CocoIds = Literal["annotation", "content"]


class _Image(msgspec.Struct, gc=False):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(msgspec.Struct, gc=False):
    id: int | str
    name: str


class _Rle(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: list[int] | str


class _Annotation(msgspec.Struct, gc=False):
    image_id: int | str
    category_id: int | str
    id: int | str | None = None
    feature_id: int | str | None = None
    bbox: list[float] | None = None
    segmentation: list[list[float]] | _Rle | None = None
    iscrowd: int | bool | None = None
    score: float | None = None
    attributes: dict[str, Any] | None = None


class _File(msgspec.Struct, gc=False):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(path: Path, content: bytes, ids: CocoIds = "annotation") -> Annotations:
    """Return the annotations of a COCO file; an annotation's id is its `feature_id`, else its `id`.

    `UsageError` if the file is no COCO JSON, or an annotation names an image or a category that the file lacks.
    """
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"cannot read '{path}' as COCO: {error}. A COCO file is a JSON object with images, annotations and "
            "categories. Correct the file."
        ) from error
    images = _number_ids(path, "image", [image.id for image in file.images])
    _number_ids(path, "category", [category.id for category in file.categories])
    classes = {category.id: category.name for category in file.categories}
    result = Annotations([AnnotatedImage(image.file_name, image.width, image.height) for image in file.images])
    shapes = ShapeCollector()
    for number, item in enumerate(file.annotations):
        name = f"annotation {number + 1 if item.id is None else item.id}"
        if item.image_id not in images or item.category_id not in classes:
            lacking = "image" if item.image_id not in images else "category"
            value = item.image_id if lacking == "image" else item.category_id
            raise UsageError(
                f"'{path}': {name} has the {lacking}_id {value!r}, which the file lacks. Correct the file."
            )
        given = item.id if item.feature_id is None else item.feature_id
        index = images[item.image_id]
        row = result.add_annotation(index, classes[item.category_id], name, given if ids == "annotation" else None)
        if ids == "annotation" and isinstance(given, int) and not -_ID_LIMIT <= given < _ID_LIMIT:
            shapes.problems[row] = "its id is a number of more than 64 bits"
        else:
            _add_shape(shapes, row, item)
    shapes.set_shapes(result)
    result.set_properties([_list_properties(item) for item in file.annotations])
    return result


def _number_ids(path: Path, noun: str, ids: list[int | str]) -> dict[int | str, int]:
    numbers = {value: index for index, value in enumerate(ids)}
    if len(numbers) < len(ids):
        repeated = [str(value) for index, value in enumerate(ids) if numbers[value] != index]
        raise UsageError(f"'{path}' has several objects with the {noun} id {quote_names(repeated)}. Correct the file.")
    return numbers


def _list_properties(item: _Annotation) -> dict[str, Any]:
    found: dict[str, Any] = {"iscrowd": True} if item.iscrowd else {}
    if item.score is not None:
        found["score"] = item.score
    return found | (item.attributes or {})


def _add_shape(shapes: ShapeCollector, row: int, item: _Annotation) -> None:
    if isinstance(item.segmentation, _Rle):
        rows, columns = item.segmentation.size
        shapes.add_mask(row, EncodedMask(columns, rows, partial(decode_runs, item.segmentation.counts)))
    elif item.segmentation:
        for ring in item.segmentation:
            shapes.add_polygon(row, ring)
    elif item.bbox is None:
        shapes.problems[row] = "it has neither a bbox nor a segmentation"
    elif len(item.bbox) != 4:
        shapes.problems[row] = f"its bbox has {len(item.bbox)} numbers, not 4"
    else:
        x, y, width, height = item.bbox
        shapes.add_box(row, (x, y, x + width, y + height))
