"""GDAL tags as user columns: one type for all files, and each file's values as JSON."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Final

from geographer.base.errors import NotFoundError, quote_names
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names, infer_column_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def make_tag_columns(names: Sequence[str], tags: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Turn tags into user columns.

    A column is BIGINT if all values are integers, DOUBLE if all are numbers, otherwise VARCHAR. Missing and blank tags
    are null. A name that would hide a built-in column gets an underscore.

    Args:
        names: The tags to keep.
        tags: The tags of each file.

    Returns:
        The columns with their types, and the JSON properties of each file.

    Raises:
        NotFoundError: No file has one of the tags.
    """
    tags = [{name: text for name, text in file_tags.items() if text.strip()} for file_tags in tags]
    available = {name for file_tags in tags for name in file_tags}
    missing = [name for name in names if name not in available]
    if missing and tags:
        raise NotFoundError(
            f"no file has the tag {quote_names(missing)}. Available tags: "
            f"{quote_names(sorted(available), limit=20) or 'none'}."
        )
    columns = deduplicate_column_names(names, RESERVED_COLUMNS)
    types = {
        name: infer_column_type([_parse_number(file_tags[name]) for file_tags in tags if name in file_tags])
        for name in columns
    }
    convert = {"BIGINT": int, "DOUBLE": float, "VARCHAR": str}
    rows = [
        {columns[name]: convert[types[name]](file_tags[name]) if name in file_tags else None for name in columns}
        for file_tags in tags
    ]
    return {columns[name]: types[name] for name in columns}, [json.dumps(row, ensure_ascii=False) for row in rows]


def _parse_number(text: str) -> int | float | str:
    """Return a tag as an integer of 64 bits, a finite number, or unchanged text."""
    if not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        return text
    return int(text) if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 else float(text)
