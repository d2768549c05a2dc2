"""Values of numpy, pandas and Arrow as values of Python, without importing any of these libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MISSING_TYPES: Final = frozenset({"NAType", "NaTType"})
"""The types of the values of pandas that mean a missing one."""
_PLAIN_TYPES: Final = frozenset({str, int, float, bool, bytes, type(None)})


def make_python_value(value: Any) -> Any:
    """Return a scalar as a value of Python, an array, a series or a column as a list; also inside of containers.

    Missing values of pandas are None. Times of numpy are those of Python, to microseconds. Other objects stay.
    """
    if type(value) in _PLAIN_TYPES:
        return value
    if type(value).__name__ in _MISSING_TYPES:
        return None
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: make_python_value(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(make_python_value, value))
    return _convert_object(value)


def _convert_object(value: Any) -> Any:
    if type(value).__module__ == "numpy" and getattr(value, "dtype", None) is not None and value.dtype.kind in "mM":
        return value.astype("datetime64[us]" if value.dtype.kind == "M" else "timedelta64[us]").tolist()
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return make_python_value(value.tolist())
    for name in ("to_pylist", "as_py"):
        if hasattr(value, name) and not hasattr(value, "column_names"):
            return getattr(value, name)()
    return value
