"""Ids that callers pass: a text or a whole number, also of numpy, pandas or Arrow; one or many."""

from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.base.python_values import make_python_value
from geographer.base.text import is_unicode

_MAX_ID_BITS: Final = 128


def read_id(value: Any) -> str:
    """Return the text of one id; `UsageError` for other values than a text or a whole number."""
    values, is_single = list_ids(value)
    if not is_single:
        raise UsageError(f"invalid id {value!r}. Use a text or a whole number.")
    return str(values[0])


def read_ids(ids: Any) -> list[str]:
    """Return the texts of one id or of many."""
    return [*map(str, list_ids(ids)[0])]


def list_ids(ids: Any) -> tuple[list[str | int], bool]:
    """Return one or many ids, also of numpy, pandas or Arrow, and whether it was one; `UsageError` for other values."""
    converted = make_python_value(ids)
    is_single = isinstance(converted, str | int)
    try:
        values = [converted] if is_single else [make_python_value(value) for value in converted]
    except TypeError as error:
        raise UsageError(f"invalid id {ids!r}. Use a text or a whole number, or many of them.") from error
    for value in values:
        if isinstance(value, int) and value.bit_length() > _MAX_ID_BITS:
            raise UsageError(f"invalid id: a whole number of more than {_MAX_ID_BITS} bits. Use a text.")
        if not isinstance(value, str | int) or isinstance(value, bool) or not is_unicode(str(value)):
            raise UsageError(f"invalid id {value!r}. Use a text or a whole number.")
    return values, is_single
