"""Read COCO JSON: boxes, polygons, and masks in run-length encoding (RLE), whose outlines follow the pixels' edges."""

from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError, quote_names
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations, ShapeCollector
from geographer.rasters.mask_outlines import trace_mask

_FIRST_CODE: Final = 48
_BITS: Final = 5
_SIGN: Final = 16
_MORE: Final = 32
_MAX_BITS: Final = 60
"""The bits of a character of compressed runs, and how long a number may be."""

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
        _add_shape(shapes, row, item, file.images[index])
    result.geometry = shapes.build_geometries(len(result))
    result.problems = shapes.problems
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


def _add_shape(shapes: ShapeCollector, row: int, item: _Annotation, image: _Image) -> None:
    if isinstance(item.segmentation, _Rle):
        _add_mask(shapes, row, item.segmentation, image)
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


def _add_mask(shapes: ShapeCollector, row: int, rle: _Rle, image: _Image) -> None:
    if None not in (image.width, image.height) and rle.size != (image.height, image.width):
        shapes.problems[row] = f"its mask has {rle.size[1]} x {rle.size[0]} pixels, other than its image"
        return
    mask = decode_runs(rle.size, rle.counts)
    if mask is None:
        shapes.problems[row] = "the runs of its mask are not as many pixels as its size"
    elif not mask.any():
        shapes.problems[row] = "its mask has no pixel"
    else:
        shapes.add_geometry(row, trace_mask(mask))


def decode_runs(size: tuple[int, int], counts: list[int] | str) -> NDArray[np.bool_] | None:
    """Return the mask, shape (rows, columns), of COCO's runs, which go down the columns; None if they do not fit."""
    runs = parse_runs(counts) if isinstance(counts, str) else counts
    if runs is None or min(size) < 0 or min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        return None
    return repeat_runs(runs).reshape(size[::-1]).T


def repeat_runs(counts: list[int]) -> NDArray[np.bool_]:
    """Return the pixels of alternate runs, of which the first is outside of the mask."""
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def parse_runs(text: str) -> list[int] | None:
    """Return the runs of COCO's compressed text; None if it is damaged.

    A character holds 5 bits of a number, lowest first, and whether more follow; the last one has the sign. From the
    fourth run on, a number is the difference to the run before the last one.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - _FIRST_CODE
        if not 0 <= code < 2 * _MORE or shift > _MAX_BITS:
            return None
        number |= (code & (_MORE - 1)) << shift
        shift += _BITS
        if code & _MORE:
            continue
        number -= (1 << shift) if code & _SIGN else 0
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return None if shift else runs
