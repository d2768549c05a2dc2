"""Tags of raster files, as columns of a person's own: one type for all files, and each file's values as JSON."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import NotFoundError, quote_names
from geographer.planning.user_columns import RESERVED_COLUMNS, deduplicate_column_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def tag_columns(names: Sequence[str], tags: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[str]]:
    """The columns that the tags `names` become, with their types, and the properties (JSON text) of each file.

    A column is BIGINT if every file that has the tag says a whole number, DOUBLE if every one says a number, else
    VARCHAR. A name that would hide a column of ours gets an underscore. A tag that is missing or blank gives null.

    Args:
        names: Which tags.
        tags: The tags of each file.

    Raises:
        NotFoundError: no file has one of them.
    """
    tags = [{name: text for name, text in one.items() if text.strip()} for one in tags]
    found = {name for one in tags for name in one}
    missing = [name for name in names if name not in found]
    if missing and tags:
        known = quote_names(sorted(found), limit=20) or "none"
        raise NotFoundError(f"no file has the tag {quote_names(missing)}: they have {known}")
    columns = deduplicate_column_names(names, RESERVED_COLUMNS)
    types = {name: type_of([one[name] for one in tags if name in one]) for name in columns}
    rows = [{columns[name]: _value(one.get(name), types[name]) for name in columns} for one in tags]
    return {columns[name]: types[name] for name in columns}, [json.dumps(row, ensure_ascii=False) for row in rows]


def type_of(texts: Sequence[str]) -> str:
    """The narrowest type that all of `texts` can be read as."""
    if all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts):
        return "BIGINT"
    if all(_NUMBER.fullmatch(text) and isfinite(float(text)) for text in texts):
        return "DOUBLE"
    return "VARCHAR"


def _value(text: str | None, kind: str) -> Any:
    if text is None or kind == "VARCHAR":
        return text
    return int(text) if kind == "BIGINT" else float(text)
