"""COCO: annotation files with images, annotations and categories; a file, a folder or a field names the subset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from geographer.base.errors import UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.builder import LayoutBuilder
from geographer.outputs.audit.layouts.documents import Document, DocumentError, describe_names
from geographer.outputs.audit.layouts.split_lists import find_list_subset
from geographer.outputs.audit.layouts.tables import summarise_boxes
from geographer.outputs.audit.names import find_path_subset, normalise_subset, sort_subsets
from geographer.outputs.audit.report import Severity, show_path
from geographer.outputs.audit.samples import Layout, Sample

_OBJECT_KEYS: Final = ("object_id", "feature_id", "track_id", "instance_id")


class _Image(msgspec.Struct):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None
    split: Any = None
    subset: Any = None


class _Annotation(msgspec.Struct):
    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    object_id: Any = None
    feature_id: Any = None
    track_id: Any = None
    instance_id: Any = None


class _Category(msgspec.Struct):
    id: Any = None
    name: Any = None


class _Content(msgspec.Struct):
    images: list[_Image] = []
    annotations: list[_Annotation] = []
    categories: list[_Category] = []


class _Objects(NamedTuple):
    """The subsets that name each object id, and each annotation as (id, box, category)."""

    by_object: dict[str, set[str]]
    by_annotation: dict[tuple[Any, ...], set[str]]


def is_coco(document: Document) -> bool:
    """Return whether a document is an annotation file of COCO."""
    return (
        document.is_json and "images" in document.json_keys and bool({"annotations", "categories"} & document.json_keys)
    )


def read_coco(index: FolderIndex, documents: Sequence[Document], *, is_chosen: bool = False) -> Layout | None:
    """Return the layout that annotation files of COCO give; None if there is none.

    Raises:
        UsageError: The user chose the file (`is_chosen`), and it cannot be read.
    """
    chosen = [document for document in documents if is_coco(document)]
    if not chosen:
        return None
    builder = LayoutBuilder(index, f"COCO annotations ({describe_names([document.name for document in chosen])})")
    objects = _Objects({}, {})
    for document in chosen:
        try:
            content = document.read_json(_Content)
        except DocumentError as error:
            if is_chosen:
                raise UsageError(f"'{show_path(document.name)}' cannot be read: {error}.") from error
            builder.add_finding("unreadable annotations", Severity.FAULT, document.name, str(error))
            continue
        _add_content(builder, document, content, objects)
    _add_shared_objects(builder, objects)
    return builder.build_layout()


def _add_content(builder: LayoutBuilder, document: Document, content: _Content, objects: _Objects) -> None:
    subset = find_list_subset(document.name)
    builder.declared |= {subset} if subset else set()
    names = {_to_key(category.id): str(category.name) for category in content.categories}
    by_image: dict[str, list[_Annotation]] = {}
    for annotation in content.annotations:
        by_image.setdefault(_to_key(annotation.image_id), []).append(annotation)
    used: Counter[str | None] = Counter()
    for image in content.images:
        own = normalise_subset(image.split if image.split is not None else image.subset) or subset
        annotations = by_image.pop(_to_key(image.id), [])
        used[_add_image(builder, document, image, own, annotations, names)] += 1
        _add_objects(objects, annotations, own)
    _report_strays(builder, document, by_image)
    listed = ", ".join(f"{show_path(name or 'no subset')} {count:,}" for name, count in used.items())
    builder.notes.append(f"{show_path(document.name)}: images by subset: {listed or 'none'}")


def _add_image(
    builder: LayoutBuilder,
    document: Document,
    image: _Image,
    subset: str | None,
    annotations: Sequence[_Annotation],
    names: dict[str, str],
) -> str | None:
    """Add an image with its annotations, and return its subset."""
    entry = str(image.file_name) if isinstance(image.file_name, str) else str(image.id)
    paths = builder.index.resolve_entry(entry, document.folder_name, subset)
    if not paths:
        builder.add_missing(entry, subset, document.name)
        return subset
    boxes = [
        (box, names.get(_to_key(a.category_id), _to_key(a.category_id))) for a in annotations if (box := _find_box(a))
    ]
    summary = summarise_boxes(boxes)
    _check_boxes(builder, document, image, annotations)
    path = paths[0]
    own = subset or find_path_subset(path)
    builder.add_sample(Sample(path, own, image_id=_to_key(image.id)))
    if summary is not None:
        builder.replace_annotations([path], own, summary)
    return own


def _check_boxes(builder: LayoutBuilder, document: Document, image: _Image, annotations: Sequence[_Annotation]) -> None:
    """Report the boxes that are no boxes, or that leave the size that the annotation file gives to the image."""
    width, height = _to_size(image.width), _to_size(image.height)
    for annotation in annotations:
        if annotation.bbox in (None, []):
            continue
        box = _find_box(annotation)
        fault = None
        if box is None or box[2] <= box[0] or box[3] <= box[1]:
            fault = f"its box {str(annotation.bbox)[:80]} has no area"
        elif box[0] < -1 or box[1] < -1 or box[2] > width + 1 or box[3] > height + 1:
            fault = f"its box {str(annotation.bbox)[:80]} leaves the image of {width:g}x{height:g} pixels"
        if fault:
            subject = f"annotation {_to_key(annotation.id)} of {image.file_name}"
            fields = {"listed_in": show_path(document.name)}
            builder.add_finding("box out of image", Severity.FAULT, subject, fault, fields)


def _report_strays(builder: LayoutBuilder, document: Document, strays: dict[str, list[_Annotation]]) -> None:
    for image_id, members in sorted(strays.items()):
        for annotation in members:
            subject = f"annotation {_to_key(annotation.id)} in {document.name}"
            detail = f"its image {image_id} is not in the file"
            builder.add_finding("annotation without image", Severity.FAULT, subject, detail)


def _add_objects(objects: _Objects, annotations: Sequence[_Annotation], subset: str | None) -> None:
    if subset is None:
        return
    for annotation in annotations:
        for key in _OBJECT_KEYS:
            if (value := getattr(annotation, key)) is not None:
                objects.by_object.setdefault(f"{key} {_to_key(value)}", set()).add(subset)
        if annotation.id is not None and (box := _find_box(annotation)):
            identity = _to_key(annotation.id), box, _to_key(annotation.category_id)
            objects.by_annotation.setdefault(identity, set()).add(subset)


def _add_shared_objects(builder: LayoutBuilder, objects: _Objects) -> None:
    """Report what several subsets name; as a hint, because ids may have been counted from 1 in each file."""
    for kind, subject, subsets in _iter_shared(objects):
        fields = {"subsets": sort_subsets(subsets)}
        detail = f"the subsets {', '.join(sort_subsets(subsets))} have it"
        builder.add_finding(kind, Severity.HINT, subject, detail, fields)


def _iter_shared(objects: _Objects) -> Iterator[tuple[str, str, set[str]]]:
    for name, subsets in sorted(objects.by_object.items()):
        if len(subsets) > 1:
            yield "same object id", name, subsets
    for (identity, box, _), subsets in sorted(objects.by_annotation.items(), key=str):
        if len(subsets) > 1:
            yield "same annotation", f"annotation {identity} with the box {', '.join(f'{x:g}' for x in box)}", subsets


def _find_box(annotation: _Annotation) -> tuple[float, ...] | None:
    """Return left, top, right and bottom; None if the box is no list of four numbers."""
    values = annotation.bbox
    if not isinstance(values, list) or len(values) != 4 or not all(isinstance(v, int | float) for v in values):
        return None
    x, y, width, height = map(float, values)
    return (x, y, x + width, y + height) if all(map(math.isfinite, (x, y, width, height))) else None


def _to_size(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else math.inf


def _to_key(value: Any) -> str:
    return str(value)[:200]
