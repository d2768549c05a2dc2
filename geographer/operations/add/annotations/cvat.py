"""Read CVAT for images 1.1 (XML): boxes, polygons, polylines, points and masks with their attributes."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.operations.add.annotations.mask_runs import repeat_runs
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations, EncodedMask, ShapeCollector
from geographer.planning.exported_ids import FEATURE_ATTRIBUTE, HOLE_CLASS, read_exported_id

_WRITTEN_DECIMALS: Final = 2
"""CVAT writes coordinates with two decimals: what it did not change differs by half of the last one at most."""
_ROUNDING: Final = 0.5 * 10**-_WRITTEN_DECIMALS
_INTEGER_TEXT: Final = 18

Element = ElementTree.Element


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a document without a DOCTYPE, which could define entities that expand without end."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise UsageError("it has a DOCTYPE, which CVAT does not write")


def read_cvat(path: Path, content: bytes) -> Annotations:
    """Return the annotations of a file of CVAT for images 1.1.

    The id of a feature that was exported is an attribute. `UsageError` if the file is no such file.
    """
    root = _parse_document(path, content)
    result, shapes, properties = Annotations(edits_features=True), ShapeCollector(), list[dict[str, Any]]()
    has_short_numbers = True
    for element in root.iter("image"):
        image = len(result.images)
        name = element.get("name", "")
        if not name:
            raise UsageError(f"'{path}': an image has no name. Export again as CVAT for images 1.1.")
        sizes = [_parse_size(path, name, element.get(key)) for key in ("width", "height")]
        result.images.append(AnnotatedImage(name, *sizes))
        for number, shape in enumerate(element, 1):
            if shape.tag == "tag":
                continue
            label = f"{shape.tag} {number} of image '{name}'"
            properties.append(_add_element(result, shapes, image, label, shape))
            has_short_numbers = has_short_numbers and _has_short_numbers(shape)
    if has_short_numbers:
        result.tolerance += _ROUNDING
    shapes.set_shapes(result)
    result.set_properties(properties)
    return result


def _parse_document(path: Path, content: bytes) -> Element:
    try:
        root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, UsageError, ValueError, LookupError) as error:
        raise UsageError(f"cannot read '{path}' as XML: {error}. Export again as CVAT for images 1.1.") from error
    if root.tag != "annotations" or root.find("track") is not None:
        kind = "annotations of CVAT for video" if root.find("track") is not None else "no annotations of CVAT"
        raise UsageError(f"'{path}' has {kind}. Export as CVAT for images 1.1.")
    return root


def _parse_size(path: Path, image: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _INTEGER_TEXT:
        raise UsageError(f"'{path}': the size of image '{image}' is {text!r}, not a number. Correct the file.")
    return int(text)


def _add_element(result: Annotations, shapes: ShapeCollector, image: int, name: str, shape: Element) -> dict[str, Any]:
    """Add the annotation of an element, and return its properties."""
    attributes = {item.get("name", ""): (item.text or "").strip() for item in shape.iter("attribute")}
    feature, revision = read_exported_id(attributes.pop(FEATURE_ATTRIBUTE, None))
    label = shape.get("label", "")
    row = result.add_annotation(image, label, name, feature, is_hole=label == HOLE_CLASS)
    result.revision = result.revision or revision
    if not label:
        shapes.problems[row] = "it has no label"
    elif shape.tag not in _READERS:
        shapes.problems[row] = (
            f"shapes of the kind {shape.tag} are not read: use boxes, polygons, lines, points or masks"
        )
    else:
        try:
            _READERS[shape.tag](shapes, row, shape)
        except (KeyError, TypeError, ValueError, OverflowError):
            shapes.problems[row] = f"its numbers are not those of a {shape.tag}"
    return {key: _parse_attribute(text) for key, text in attributes.items() if key and text}


def _parse_attribute(text: str) -> Any:
    """Return the value of an attribute: CVAT writes checkboxes and numbers as text."""
    if text in ("true", "false"):
        return text == "true"
    if text.removeprefix("-").isdigit() and text.isascii() and str(int(text[:_INTEGER_TEXT])) == text:
        return int(text)
    return text


def _parse_points(shape: Element) -> list[float]:
    return [float(number) for point in shape.attrib["points"].split(";") for number in _split_point(point)]


def _split_point(point: str) -> list[str]:
    numbers = point.split(",")
    if len(numbers) != 2:
        raise ValueError(point)
    return numbers


def _add_box(shapes: ShapeCollector, row: int, shape: Element) -> None:
    """Add a box, which is rotated clockwise around its centre."""
    xmin, ymin, xmax, ymax = (float(shape.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(float(shape.get("rotation") or 0))
    if not angle or xmax <= xmin or ymax <= ymin:
        shapes.add_box(row, (xmin, ymin, xmax, ymax))
        return
    x, y, cosine, sine = (xmin + xmax) / 2, (ymin + ymax) / 2, math.cos(angle), math.sin(angle)
    corners = [(xmin - x, ymin - y), (xmax - x, ymin - y), (xmax - x, ymax - y), (xmin - x, ymax - y)]
    turned = [(x + dx * cosine - dy * sine, y + dx * sine + dy * cosine) for dx, dy in corners]
    shapes.add_polygon(row, [number for corner in turned for number in corner])


def _add_mask(shapes: ShapeCollector, row: int, shape: Element) -> None:
    left, top, width, height = (int(float(shape.attrib[key])) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in shape.attrib["rle"].split(",")]
    shapes.add_mask(row, EncodedMask(width, height, partial(_decode_mask, runs), (left, top)))


def _decode_mask(runs: list[int], width: int, height: int) -> NDArray[np.bool_]:
    """Return the mask, shape (rows, columns), of runs along the rows; `ValueError` if they have another size."""
    return repeat_runs(runs, width * height).reshape(height, width)


_READERS: Final[Mapping[str, Callable[[ShapeCollector, int, Element], None]]] = {
    "box": _add_box,
    "polygon": lambda shapes, row, shape: shapes.add_polygon(row, _parse_points(shape)),
    "polyline": lambda shapes, row, shape: shapes.add_line(row, _parse_points(shape)),
    "points": lambda shapes, row, shape: shapes.add_points(row, _parse_points(shape)),
    "mask": _add_mask,
}


def _has_short_numbers(shape: Element) -> bool:
    """Return whether all coordinates of a shape have at most the decimals that CVAT writes."""
    texts = [shape.get(key, "") for key in ("xtl", "ytl", "xbr", "ybr")]
    texts += [number for point in shape.get("points", "").split(";") for number in point.split(",")]
    return all(len(text.partition(".")[2]) <= _WRITTEN_DECIMALS for text in texts)
