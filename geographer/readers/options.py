"""The options that a recipe gives a reader: JSON values, checked when the reader is made."""

from __future__ import annotations

from geographer.base.errors import UsageError, quote_names
from geographer.readers.base import Reader


def checked(reader: Reader, known: set[str]) -> None:
    """Raise unless the reader was given options of these names only.

    Raises:
        UsageError: it was given others.
    """
    unknown = sorted(set(reader.options) - known)
    if unknown:
        message = f"reader '{reader.name}' knows no option {quote_names(unknown)}: it knows bands, resolution"
        raise UsageError(", ".join([message, *sorted(known)]))


def text(reader: Reader, name: str) -> str | None:
    """An option that is a text, or None.

    Raises:
        UsageError: it is something else.
    """
    value = reader.options.get(name)
    if value is not None and not (isinstance(value, str) and value):
        raise _wrong(reader, name, "a text")
    return value


def texts(reader: Reader, name: str) -> tuple[str, ...]:
    """An option that is a list of texts; empty if it is not given.

    Raises:
        UsageError: it is something else.
    """
    value = reader.options.get(name, ())
    if not (isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value)):
        raise _wrong(reader, name, "a list of names")
    return tuple(value)


def truth(reader: Reader, name: str) -> bool:
    """An option that is true or false, which it is if it is not given.

    Raises:
        UsageError: it is something else.
    """
    value = reader.options.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(reader, name, "true or false")
    return value


def number(reader: Reader, name: str) -> float | None:
    """An option that is a number (`nan` is one, as a text), or None.

    Raises:
        UsageError: it is something else.
    """
    value = reader.options.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if value == "nan":
        return float("nan")
    raise _wrong(reader, name, "a number")


def _wrong(reader: Reader, name: str, kind: str) -> UsageError:
    return UsageError(f"option {name} of reader '{reader.name}' is {reader.options[name]!r}: give it {kind}")
