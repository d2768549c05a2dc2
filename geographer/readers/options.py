"""Validate the options that a recipe passes to a reader: JSON values, checked when the reader is made."""

from __future__ import annotations

from geographer.base.errors import UsageError, quote_names
from geographer.readers.base import Reader


def reject_unknown_options(reader: Reader, names: set[str]) -> None:
    """Raise UsageError unless all options of the reader have one of these `names`."""
    unknown = sorted(set(reader.options) - names)
    if unknown:
        valid = ", ".join(("bands", "resolution", *sorted(names)))
        noun = "option" if len(unknown) == 1 else "options"
        raise UsageError(f"reader '{reader.name}' has no {noun} {quote_names(unknown)}. Its options are: {valid}.")


def read_text_option(reader: Reader, name: str) -> str | None:
    """Return an option that is a text, or None if it is not given; raise UsageError for another type."""
    value = reader.options.get(name)
    if value is not None and not (isinstance(value, str) and value):
        raise _make_type_error(reader, name, "a text")
    return value


def read_names_option(reader: Reader, name: str) -> tuple[str, ...]:
    """Return an option that is a list of names, empty if it is not given; raise UsageError for another type."""
    value = reader.options.get(name, ())
    if not (isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)):
        raise _make_type_error(reader, name, "a list of names")
    return tuple(value)


def read_flag_option(reader: Reader, name: str) -> bool:
    """Return an option that is true or false, False if it is not given; raise UsageError for another type."""
    value = reader.options.get(name, False)
    if not isinstance(value, bool):
        raise _make_type_error(reader, name, "true or false")
    return value


def read_number_option(reader: Reader, name: str) -> float | None:
    """Return an option that is a number or the text `nan`, or None if it is not given; else raise UsageError."""
    value = reader.options.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if value == "nan":
        return float("nan")
    raise _make_type_error(reader, name, "a number")


def _make_type_error(reader: Reader, name: str, expected: str) -> UsageError:
    return UsageError(f"invalid option {name} of reader '{reader.name}': {reader.options[name]!r}. Use {expected}.")
