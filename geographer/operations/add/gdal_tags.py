"""GDAL tags as user columns: one type for all files, and each file's values as JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final

from geographer.base.errors import NotFoundError, quote_names
from geographer.planning.user_columns import (
    RESERVED_COLUMNS,
    deduplicate_column_names,
    infer_column_type,
    make_recordable,
    require_column_names,
)

_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def make_tag_columns(names: Sequence[str], tags: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Return the user columns, with their types, of the tags `names`, and the JSON properties of each file.

    A column is BIGINT if all values are integers, DOUBLE if all are numbers, otherwise VARCHAR. Missing and blank tags
    are null. A name that would hide a built-in column gets an underscore. `NotFoundError` if no file has one of them.
    """
    tags = [{name: text for name, text in file_tags.items() if text.strip()} for file_tags in tags]
    available = {name for file_tags in tags for name in file_tags}
    missing = [name for name in names if name not in available]
    if missing and tags:
        found = quote_names(sorted(available), limit=20) or "none"
        raise NotFoundError(f"no file has the tag {quote_names(missing)}. Available tags: {found}.")
    columns = deduplicate_column_names(names, RESERVED_COLUMNS)
    require_column_names(columns)
    texts = {
        column: [make_recordable(name, file_tags.get(name)) for file_tags in tags] for name, column in columns.items()
    }
    types = {column: infer_column_type([_parse_number(text) for text in texts[column] if text]) for column in texts}
    convert = {"BIGINT": int, "DOUBLE": float, "VARCHAR": str}
    rows = [
        {column: convert[types[column]](values[index]) if values[index] else None for column, values in texts.items()}
        for index in range(len(tags))
    ]
    return types, [json.dumps(row, ensure_ascii=False) for row in rows]


def _parse_number(text: str) -> int | float | str:
    """Return a tag as an integer of 64 bits, a finite number, or unchanged text."""
    if not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        return text
    return int(text) if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 else float(text)
