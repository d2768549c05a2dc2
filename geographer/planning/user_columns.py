"""User columns: names, types and prefixes of the columns that come from input data."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar, Final

import msgspec

from geographer.base.errors import UsageError
from geographer.base.text import is_unicode
from geographer.storage.events.payload import Columns, EventPayload, UserColumn
from geographer.storage.events.row_tables import ROW_TABLES

PROBABILITY_PREFIX: Final = "prob_of_class_"
"""Prefix of the feature columns that hold class probabilities; the class name follows."""

_UNUSABLE_NAMES: Final = ("*", "(key)")
"""Names with another meaning: that of all members in JSON paths, and that of the key column of views."""

RESERVED_COLUMNS: Final = frozenset(ROW_TABLES["raster_change"]) | {"footprint"}
"""Built-in columns of rasters, which a user column must not hide."""


class ObjectColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user columns of features and of rasters that an import brings."""

    feature: Columns
    raster: Columns


class ImportEvent(EventPayload, kw_only=True, frozen=True):
    """An event that adds user columns of features and of rasters."""

    columns: ObjectColumns

    def iter_user_columns(self) -> Iterator[UserColumn]:
        """See `EventPayload.iter_user_columns`."""
        for subject, columns in msgspec.structs.asdict(self.columns).items():
            yield from (UserColumn(subject, *column) for column in columns.items())


class ColumnsEvent(EventPayload, kw_only=True, frozen=True):
    """An event that adds, changes or drops (type None) user columns of its `subject`, 'feature' or 'raster'."""

    subject: ClassVar[str]

    columns: Mapping[str, str | None]

    def iter_user_columns(self) -> Iterator[UserColumn]:
        """See `EventPayload.iter_user_columns`."""
        for name, column_type in self.columns.items():
            yield UserColumn(self.subject, name, column_type)


def make_user_columns(rows: Sequence[Mapping[str, Any]], first: Iterable[str] = ()) -> tuple[Columns, list[str]]:
    """Return the types of the user columns that `rows` of rasters have, and each row as JSON text.

    Names are unique; those of `first`, which rows may lack, are made unique before others. Texts are recorded without
    credentials. `UsageError` if a name or a text cannot be recorded.
    """
    names = deduplicate_column_names((*first, *(name for row in rows for name in row)), RESERVED_COLUMNS)
    require_column_names(names)
    renamed = [{names[name]: make_recordable(name, value) for name, value in row.items()} for row in rows]
    used = dict.fromkeys(name for row in renamed for name in row)
    types = {name: infer_column_type([row[name] for row in renamed if name in row]) for name in used}
    return types, [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in renamed]


def make_recordable(name: str, value: Any) -> Any:
    """Return the value of a user column without credentials; numbers that JSON or BIGINT lack become text.

    Raise `UsageError` if it is a text that is not Unicode.
    """
    from geographer.base.redaction import redact_column_value

    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if not isinstance(value, str):
        return value
    if not is_unicode(value):
        raise UsageError(f"column '{name}' has the text {value!r}, which is not valid Unicode. Correct the input.")
    return redact_column_value(name, value)


def require_column_names(names: Iterable[str]) -> None:
    """Raise `UsageError` if one of the names of user columns is empty, holds a credential or is not Unicode."""
    from geographer.base.redaction import require_no_credentials

    for name in names:
        if not name or not is_unicode(name) or "\0" in name or name in _UNUSABLE_NAMES:
            raise UsageError(f"the input has a column with the name {name!r}, which cannot be used. Rename the column.")
    require_no_credentials("column name", names)


def infer_column_type(values: Sequence[Any]) -> str:
    """Return the narrowest DuckDB type that holds all of `values`: strings, numbers and booleans."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


def deduplicate_column_names(
    names: Iterable[str], reserved: Collection[str], known: Collection[str] = ()
) -> dict[str, str]:
    """Map each name to a unique one: append underscores until it equals neither a reserved nor an earlier name.

    Names that differ only in case are equal, as in SQL. A name that equals one of the `known` names of the dataset but
    for case becomes that one.
    """
    unique_names: dict[str, str] = {}
    taken = {name.lower() for name in reserved}
    distinct_names = dict.fromkeys(names)
    known_names = {name.lower(): name for name in reversed([*known]) if name.lower() not in taken}
    for name in distinct_names:
        known_name = known_names.get(name.lower(), name)
        unique_name = name if name in known or known_name in distinct_names else known_name
        while unique_name.lower() in taken:
            unique_name += "_"
        taken.add(unique_name.lower())
        unique_names[name] = unique_name
    return unique_names
