"""Values of columns in files that resolve conflicts: which JSON each column takes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import UsageError, quote_names
from geographer.operations.merge.columns import PROPERTY, REQUIRED_COLUMNS
from geographer.planning.merge_conflicts import NumberedConflict
from geographer.planning.user_columns import make_recordable
from geographer.storage.queries.revision import choose_common_type

UserTypes = Mapping[str, Mapping[str, str]]
"""The types of user columns by subject ('feature' or 'raster') and name."""

_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "BOOLEAN": (bool,),
    "BIGINT": (int,),
    "DOUBLE": (int, float),
    "VARCHAR": (str,),
}
_NOUNS: Final = {
    "BOOLEAN": "true or false",
    "BIGINT": "a whole number",
    "DOUBLE": "a number",
    "VARCHAR": "a text",
    "acquired": "a time as ISO 8601",
    "class": "the name of a class",
    "value": "a whole number from 0 to 2147483647",
    "recipe": "a recipe: an object with its kind and its parameters",
}
_MAX_CLASS_VALUE: Final = 2**31 - 1


def check_column(path: Path, item: NumberedConflict, value: Any, types: UserTypes) -> Any:
    """Return the value of the column in conflict that a file has, as the log records it.

    Raises:
        UsageError: it is not of the type of the column, or the column cannot have it; names the file.
    """
    subject, column = item.conflict.subject, item.conflict.column
    if column is not None and column.startswith(PROPERTY):
        return check_property(path, column.removeprefix(PROPERTY), value, types[subject], item)
    if value is None and column not in REQUIRED_COLUMNS:
        return None
    if subject == "class":
        return _require_form(
            path, "value", value, is_usable=_has_type(value, "BIGINT") and 0 <= value <= _MAX_CLASS_VALUE
        )
    if column == "class":
        return _require_form(path, "class", value, is_usable=isinstance(value, str) and value != "")
    if column == "id_is_integer":
        return _require_form(path, "BOOLEAN", value, is_usable=_is_kind_of_id(value, item.conflict.object_id))
    if column == "acquired":
        return _check_time(path, value)
    if subject == "user_column":
        return _check_type(path, value, item)
    if subject == "recipe" and column is None:
        return _require_form(path, "recipe", value, is_usable=_is_recipe(value))
    return value


def check_property(
    path: Path, name: str, value: Any, types: Mapping[str, str], item: NumberedConflict | None = None
) -> Any:
    """Return the value of a user column that a file has, as the log records it; see `check_column` for errors."""
    if name not in types:
        known = f"those are {quote_names(sorted(types), limit=20)}" if types else "there are none"
        raise UsageError(f"'{path}' has a value for '{name}', which is no user column ({known}). Correct the file.")
    if value is None:
        return None
    kind = types[name]
    # Columns of text keep other values, too, such as lists.
    texts = item.conflict[3:6] if item and kind == "VARCHAR" else ()
    is_known = type(value) in {type(json.loads(text)) for text in texts if text is not None}
    _require_form(path, kind, value, is_usable=is_known or _has_type(value, kind), column=name)
    return make_recordable(name, value)


def _require_form(path: Path, noun: str, value: Any, *, is_usable: bool, column: str = "") -> Any:
    if not is_usable:
        target = f"column '{column}' takes" if column else "this conflict takes"
        raise UsageError(
            f"'{path}' has {_quote_json(value)}, but {target} {_NOUNS[noun]}. Correct the file, or pass --take ours or "
            "theirs."
        )
    return value


def _quote_json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "BOOLEAN":
        return False
    is_in_range = not isinstance(value, int) or -(2**63) <= value < 2**63
    return isinstance(value, _PYTHON_TYPES[kind]) and is_in_range


def _is_kind_of_id(value: Any, object_id: str) -> bool:
    """Return whether an id can be of that kind: that of a whole number has no other form."""
    return isinstance(value, bool) and (not value or object_id.removeprefix("-").isdecimal())


def _check_time(path: Path, value: Any) -> str:
    try:
        time = datetime.fromisoformat(value)
        utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        _require_form(path, "acquired", value, is_usable=False)
        raise
    return utc.isoformat()


def _check_type(path: Path, value: Any, item: NumberedConflict) -> str:
    """Return the type of a user column; it must hold the values that one side has."""
    known = {json.loads(text) for text in (item.conflict.ours, item.conflict.theirs) if text is not None}
    usable = [kind for kind in _PYTHON_TYPES if choose_common_type([*{kind, *known}]) == kind]
    if value not in usable:
        raise UsageError(
            f"'{path}' has {_quote_json(value)}, but column '{item.conflict.object_id.partition('/')[2]}' can have the "
            f"type {quote_names(usable)}, or null to drop it. Correct the file."
        )
    return str(value)


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"kind", "parameters"} and isinstance(value["parameters"], dict)
