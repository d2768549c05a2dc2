"""Tables of a split: which column names the image, which the subset, the class and the box of an object."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.documents import Document
from geographer.outputs.audit.names import is_subset_word, normalise_subset
from geographer.outputs.audit.samples import BoxExtent, BoxSummary

_NAMES = (
    "path filepath file_path image_path img_path relative_path filename file_name file image img image_name "
    "image_file tile chip patch_id patch image_id raster_id sample_id sample id name key fname"
)
_NAME_COLUMNS: Final = tuple(_NAMES.split())
_SUBSETS = "split subset set partition fold part phase usage stage is_in split_name"
_SUBSET_COLUMNS: Final = tuple(_SUBSETS.split())
_CLASSS = "class class_name classname label label_name category category_name target species"
_CLASS_COLUMNS: Final = tuple(_CLASSS.split())
_BOX_COLUMNS: Final = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_SAMPLE_ROWS: Final = 500
_MIN_SHARE: Final = 0.5
_MIN_SUBSET_SHARE: Final = 0.9


class TableEntry(NamedTuple):
    """An image in a list: its name, subset and class; `is_by_file` if the name of the list gives the subset.

    `boxes` are those of its objects, in pixels.
    """

    name: str
    subset: str | None
    class_name: str | None
    is_by_file: bool = False
    boxes: BoxSummary | None = None


class _Columns(NamedTuple):
    name: int
    subset: int | None
    class_name: int | None
    box: tuple[int, ...] | None
    has_header: bool


def read_table_entries(index: FolderIndex, document: Document, subset: str | None) -> Iterator[TableEntry]:
    """Yield the images that a table lists; `subset` is that of the table's name, for one without such a column.

    The columns are found by their names and by their values, so that they may have any order, and no header.
    """
    rows = document.read_rows()
    if not rows:
        return
    wide = _find_subset_columns(rows)
    if wide:
        yield from _read_wide(rows, wide)
        return
    columns = _find_columns(index, document, rows)
    if columns is None or (columns.subset is None and subset is None):
        return
    data = rows[1:] if columns.has_header else rows
    yield from _read_boxes(data, columns, subset) if columns.box else _read_plain(data, columns, subset)


def read_class_table(index: FolderIndex, document: Document) -> dict[str, str]:
    """Return the class of each image by a table with one row for each; none if it has no such columns."""
    rows = document.read_rows()
    columns = _find_columns(index, document, rows) if rows else None
    if columns is None or columns.class_name is None or columns.box is not None:
        return {}
    classes: dict[str, str] = {}
    for row in rows[1:]:
        for path in index.resolve_entry(_get_text(row, columns.name), document.folder_name):
            classes[path] = _get_text(row, columns.class_name)
    return classes


def _find_subset_columns(rows: Sequence[Sequence[Any]]) -> dict[int, str]:
    """Return the columns of a table that has one column of ids for each subset."""
    header = rows[0]
    named = {number: normalise_subset(value) or "" for number, value in enumerate(header) if is_subset_word(value)}
    return named if len(named) > 1 and len(named) >= len(header) - 1 and len(rows) > 1 else {}


def _read_wide(rows: Sequence[Sequence[Any]], wide: dict[int, str]) -> Iterator[TableEntry]:
    for number, subset in wide.items():
        for row in rows[1:]:
            if text := _get_text(row, number):
                yield TableEntry(text.removesuffix(".0"), subset, None)


def _read_plain(rows: Sequence[Sequence[Any]], columns: _Columns, subset: str | None) -> Iterator[TableEntry]:
    for row in rows:
        if name := _get_text(row, columns.name):
            class_name = _get_text(row, columns.class_name) or None
            yield TableEntry(name, _find_row_subset(row, columns, subset), class_name, columns.subset is None)


def _find_row_subset(row: Sequence[Any], columns: _Columns, subset: str | None) -> str | None:
    if columns.subset is None:
        return subset
    value = normalise_subset(_get_text(row, columns.subset))
    return f"fold {value.removesuffix('.0')}" if value is not None and _is_number(value) else value


def _read_boxes(rows: Sequence[Sequence[Any]], columns: _Columns, subset: str | None) -> Iterator[TableEntry]:
    """Yield one entry for each image of a table that has one row for each object."""
    objects: dict[tuple[str, str | None], list[tuple[tuple[float, ...], str]]] = {}
    for row in rows:
        if name := _get_text(row, columns.name):
            boxes = objects.setdefault((name, _find_row_subset(row, columns, subset)), [])
            box = tuple(_to_number(_get_text(row, number)) for number in columns.box or ())
            if all(map(math.isfinite, box)):
                boxes.append((box, _get_text(row, columns.class_name)))
    for (name, found_subset), boxes in objects.items():
        yield TableEntry(name, found_subset, None, columns.subset is None, summarise_boxes(boxes))


def summarise_boxes(boxes: Sequence[tuple[tuple[float, ...], str]]) -> BoxSummary | None:
    """Summarise boxes (left, top, right, bottom) with their classes; None if there are none."""
    if not boxes:
        return None
    text = repr(sorted((tuple(round(value, 2) for value in box), name) for box, name in boxes))
    lows, highs = [box[:2] for box, _ in boxes], [box[2:4] for box, _ in boxes]
    low, high = map(min, zip(*lows, strict=True)), map(max, zip(*highs, strict=True))
    return BoxSummary(text, BoxExtent(*low, *high), tuple(sorted({name for _, name in boxes if name})))


def _find_columns(index: FolderIndex, document: Document, rows: Sequence[Sequence[Any]]) -> _Columns | None:
    header = [str(value).strip().lower() for value in rows[0]]
    sample = rows[1 : _SAMPLE_ROWS + 1] or rows[:1]
    shares = [_count_images(index, document, sample, number) for number in range(len(header))]
    if not shares:
        return None
    order = {name: rank for rank, name in enumerate(_NAME_COLUMNS)}
    name = max(
        range(len(header)), key=lambda number: (round(shares[number], 1), -order.get(header[number], 99), -number)
    )
    is_named = any(column in header for column in (*_NAME_COLUMNS, *_SUBSET_COLUMNS))
    if shares[name] < _MIN_SHARE and not (is_named and shares[name] > 0):
        return None
    is_data = bool(index.resolve_entry(str(rows[0][name]), document.folder_name))
    subset = _find_subset_column(header, sample, name)
    class_name = next((header.index(column) for column in _CLASS_COLUMNS if column in header), None)
    box = next((tuple(map(header.index, names)) for names in _BOX_COLUMNS if set(names) <= set(header)), None)
    return _Columns(name, subset, class_name, box, not is_data)


def _count_images(index: FolderIndex, document: Document, rows: Sequence[Sequence[Any]], number: int) -> float:
    """Return the share of rows whose value in a column means an image."""
    texts = [_get_text(row, number) for row in rows]
    names = [text for text in texts if text and not is_subset_word(text)]
    return sum(bool(index.resolve_entry(text, document.folder_name)) for text in names) / len(texts)


def _find_subset_column(header: Sequence[str], rows: Sequence[Sequence[Any]], name: int) -> int | None:
    """Return the column of subsets: by its values, or else by its name."""
    best = None
    for number in range(len(header)):
        values = [text for row in rows if (text := _get_text(row, number))]
        if number != name and values and sum(map(is_subset_word, values)) >= _MIN_SUBSET_SHARE * len(values):
            best = number if best is None or header[number] in _SUBSET_COLUMNS else best
    if best is not None:
        return best
    return next(
        (header.index(column) for column in _SUBSET_COLUMNS if column in header and header.index(column) != name), None
    )


def _get_text(row: Sequence[Any], number: int | None) -> str:
    value = row[number] if number is not None and number < len(row) else None
    return "" if value is None else str(value).strip()


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_number(text: str) -> bool:
    return not math.isnan(_to_number(text))
