"""Values that a filter compares with a column: of Python, numpy, pandas or Arrow, one or many."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isnan
from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.base.python_values import make_python_value
from geographer.base.text import is_unicode

INTEGER_TYPES: Final = frozenset({"BIGINT", "INTEGER", "UINTEGER", "SMALLINT", "HUGEINT", "UBIGINT"})
_ADVICE: Final = (
    "Use one value or a list of values; None is a missing value. Compare otherwise with an SQL expression (where)."
)


def convert_values(column: str, column_type: str, value: Any) -> tuple[list[Any], bool]:
    """Return the values, one or many, that a column of DuckDB's `column_type` may have, and whether it may be null.

    Raises:
        UsageError: a column of that type cannot have a value.
    """
    values = list_items(value)
    is_nested = column_type.startswith(("GEOMETRY", "STRUCT", "MAP")) or column_type.endswith("]")
    if is_nested and any(item is not None for item in values):
        raise UsageError(f"column '{column}' of type {column_type} cannot be compared with a value. {_ADVICE}")
    converted = [convert_value(column, column_type, item) for item in values]
    present = [item for item in converted if item is not None]
    return list(dict.fromkeys(present)), len(present) < len(converted)


def list_items(value: Any) -> list[Any]:
    """Return one value or many, also of numpy, pandas or Arrow, as a list of values of Python."""
    converted = make_python_value(value)
    is_single = isinstance(converted, str | bytes) or not isinstance(converted, Iterable)
    return [converted] if is_single else [make_python_value(item) for item in converted]


def convert_value(column: str, column_type: str, value: Any) -> Any:
    """Return a value as DuckDB compares it with a column of a type, or None for a missing value.

    Raises:
        UsageError: a column of that type cannot have the value.
    """
    if value is None or (isinstance(value, float) and isnan(value) and column_type not in ("DOUBLE", "FLOAT")):
        return None
    try:
        if column_type in INTEGER_TYPES:
            return _read_integer(value)
        if column_type in ("DOUBLE", "FLOAT"):
            return _read_number(value)
        if column_type == "BOOLEAN":
            return _read_boolean(value)
        if column_type == "DATE":
            return _read_time(value).date()
        if column_type.startswith("TIMESTAMP"):
            return _read_time(value)
        return _read_text(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            f"column '{column}' of type {column_type} cannot have the value {value!r}. {_ADVICE}"
        ) from error


def _read_integer(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if isinstance(value, bool) or not isinstance(number, int | float | Decimal) or number != int(number):
        raise ValueError(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return int(number)


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise TypeError(value)
    return float(value)


def _read_boolean(value: Any) -> bool:
    names = {"true": True, "false": False}
    result = names[value.lower()] if isinstance(value, str) and value.lower() in names else value
    if not isinstance(result, bool):
        raise TypeError(value)
    return result


def _read_time(value: Any) -> datetime:
    """Return a time in UTC; a date is its beginning."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        if not isinstance(value, date):
            raise TypeError(value)
        return datetime(value.year, value.month, value.day)
    time = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return datetime(*time.timetuple()[:6], time.microsecond)


def _read_text(value: Any) -> str:
    text = str(value) if isinstance(value, int | Decimal | date) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not is_unicode(text):
        raise TypeError(value)
    return text
