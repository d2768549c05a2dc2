"""Read a patch: nothing in it is trusted, so every line is checked; errors name the line and the member."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from geographer.base.atomic_files import translate_os_errors
from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.base.errors import UnsupportedVersionError, UsageError
from geographer.base.input_paths import require_input_path
from geographer.base.redaction import has_credentials, is_secret_name, redact_column_value
from geographer.base.text import quote_start
from geographer.diff.patch.model import (
    FORMAT,
    KEYS,
    ORDERED_TABLES,
    PATCH_TABLES,
    RECIPE,
    REMOVAL,
    VALUES,
    VERSION,
    Order,
    Patch,
    PatchChange,
    PatchHeader,
    Values,
    encode_change,
    list_files,
    normalise_order,
)
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.events.row_tables import list_column_types
from geographer.storage.workspace.chip_windows import find_window_fault
from geographer.storage.workspace.paths import find_path_fault
from geographer.storage.workspace.roots import find_reference_fault

_MAX_INTEGERS: Final = {"INTEGER": 2**31 - 1, "BIGINT": 2**53 - 1}
_REQUIRED: Final = {
    "class_change": ("value",),
    "feature_change": ("class", "id_is_integer", "geometry", "crs"),
    "raster_change": ("collection", "storage", "crs", "outline"),
    "label_change": ("path",),
}
"""The values that must not be null."""
_CHECKSUMS: Final = {"md5": "[0-9a-f]{32}", "sha256": "[0-9a-f]{64}"}
_MAX_ORDER: Final = (2**31 - 1, 2**32 - 1)
"""The largest position of an event, and the largest place in it."""
_MAX_DEPTH: Final = 64
"""How deep values may be nested."""


class PatchLineError(Exception):
    """What is wrong with a line, and with which of its members."""

    def __init__(self, member: str, problem: str) -> None:
        super().__init__(f"{member}: {problem}")


def read_patch(path: str | Path) -> Patch:
    """Read and check the patch in a file.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not a patch; the message names the line and the member.
        UnsupportedVersionError: A newer version of geographer wrote it.
        StorageError: It cannot be read.
    """
    file = require_input_path(path)
    if file.is_dir():
        raise UsageError(f"'{path}' is a folder. Name the file of a patch.")
    with translate_os_errors(file):
        content = file.read_bytes()
    return parse_patch(content, str(path))


def parse_patch(content: bytes, name: str) -> Patch:
    """Return the patch with this content; errors call it `name`. See `read_patch`."""
    lines = content.split(b"\n")
    if lines.pop() != b"":
        _raise_error(name, len(lines) + 1, "the line has no end: the file is incomplete")
    if not lines:
        _raise_error(name, 1, "the file is empty")
    header = _parse_header(lines[0], name)
    changes: list[PatchChange] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            change = _parse_change(line, header)
            if changes and changes[-1][:2] >= change[:2]:
                raise PatchLineError("key", "the lines are not in order of table and key, or an object occurs twice")
        except PatchLineError as error:
            _raise_error(name, number, str(error))
        changes.append(change)
    if list_files(changes) != header.files:
        _raise_error(name, 1, "files: they are not those that the values have")
    return Patch(header, tuple(changes))


def _parse_header(line: bytes, name: str) -> PatchHeader:
    try:
        values = _parse_json(line)
        found = values.get("format"), values.get("version")
        if found[0] == FORMAT and isinstance(found[1], int) and found[1] > VERSION:
            raise UnsupportedVersionError(
                f"'{name}' is a patch of version {found[1]}, which this version does not know. Upgrade geographer."
            )
        if canonical_json(values).encode() != line:
            raise PatchLineError("the line", "it is not canonical JSON (RFC 8785)")
        header = msgspec.convert(values, PatchHeader)
        for sides in (header.columns.feature, header.columns.raster):
            for columns in (sides.old, sides.new):
                if len({column for column, _ in columns}) < len(columns):
                    raise PatchLineError("columns", "a name occurs twice")
                for column, _ in columns:
                    _check_text("columns", column)
    except (PatchLineError, UsageError, msgspec.ValidationError) as error:
        _raise_error(name, 1, f"{error}. The first line is the header of a patch")
    return header


def _parse_change(line: bytes, header: PatchHeader) -> PatchChange:
    values = _parse_json(line)
    table = values.get("table")
    if table not in PATCH_TABLES:
        raise PatchLineError("table", f"unknown {quote_start(repr(table))}")
    members = {"table", "key", "old", "new"}
    if not members <= values.keys() or values.keys() - members - {"old_order", "new_order"}:
        raise PatchLineError("the line", "its members are not table, key, old, new and, of objects with an order, that")
    key = _parse_key(table, values["key"])
    old, new = (_parse_values(table, key, side, values[side]) for side in ("old", "new"))
    orders = [_parse_order(table, name, values) for name in ("old_order", "new_order")]
    change = PatchChange(table, key, old, new, *orders)
    _check_sides(change)
    _check_property_names(change, header)
    try:
        if encode_change(change).encode() != line:
            raise PatchLineError("the line", "it is not canonical JSON (RFC 8785)")
    except (UsageError, ValueError) as error:
        raise PatchLineError("the line", str(error)) from error
    return change


def _parse_json(line: bytes) -> dict[str, Any]:
    try:
        values = parse_canonical_json(line.decode())
    except (ValueError, RecursionError) as error:
        raise PatchLineError("the line", f"it is not JSON in UTF-8 ({quote_start(str(error))})") from error
    if not isinstance(values, dict):
        raise PatchLineError("the line", "it is not a JSON object")
    for member, value in values.items():
        _check_depth(member, value)
    return values


def _check_depth(member: str, value: Any) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise PatchLineError(member, f"its values are nested deeper than {_MAX_DEPTH} levels")


def _parse_key(table: str, key: Any) -> tuple[str, ...]:
    if not isinstance(key, dict) or {*key} != {*KEYS[table]}:
        raise PatchLineError("key", f"its members are not {', '.join(KEYS[table])}")
    for name in KEYS[table]:
        if not isinstance(key[name], str) or not key[name]:
            raise PatchLineError(name, "it is not a text, or empty")
        _check_text(name, key[name])
    return tuple(key[name] for name in KEYS[table])


def _parse_values(table: str, key: tuple[str, ...], side: str, values: Any) -> Values | None:
    if values is None:
        return None
    if not isinstance(values, dict) or {*values} != {*VALUES[table]}:
        raise PatchLineError(side, f"its members are not {', '.join(VALUES[table]) or 'none'}")
    if table == RECIPE:
        _check_recipe(side, key[0], values)
    elif table != REMOVAL:
        types = list_column_types(table)
        for name, value in values.items():
            if value is not None:
                _check_value(f"{side}.{name}", types[name], value)
            elif name in _REQUIRED.get(table, ()):
                raise PatchLineError(f"{side}.{name}", "it is null")
        _check_row(table, side, values)
    return values


def _check_value(member: str, kind: str, value: Any) -> None:
    if kind == "BOOLEAN":
        is_valid = isinstance(value, bool)
    elif kind in _MAX_INTEGERS:
        limit = _MAX_INTEGERS[kind]
        is_valid = isinstance(value, int) and not isinstance(value, bool) and -limit <= value <= limit
    else:
        is_valid = isinstance(value, str)
    if not is_valid:
        raise PatchLineError(member, f"{quote_start(repr(value))} is not {_TYPE_NAMES[kind]}")
    if kind == "BLOB":
        try:
            is_valid = b64encode(b64decode(value, validate=True)).decode() == value
        except (Base64Error, ValueError):
            is_valid = False
        if not is_valid:
            raise PatchLineError(member, "it is not WKB in Base64")
    elif kind == "VARCHAR":
        _check_text(member, value)


_TYPE_NAMES: Final = {
    **{"BOOLEAN": "true or false", "INTEGER": "an integer in 32 bits", "BIGINT": "an integer below 2^53"},
    **{"VARCHAR": "a text", "BLOB": "a text in Base64"},
}


def _check_text(member: str, text: str) -> None:
    if "\0" in text:
        raise PatchLineError(member, "the text has a NUL")
    if _MAY_BE_SECRET.search(text) and has_credentials(text):
        raise PatchLineError(member, "it holds a credential, which the log would keep")


_MAY_BE_SECRET: Final = re.compile(r"[:=@]|%3a", re.IGNORECASE)


def _check_row(table: str, side: str, values: Values) -> None:
    """Check what a row must meet so that files can be found and written: paths, checksums, properties."""
    if table in ("raster_change", "label_change"):
        storage = values.get("storage", "dvc")
        if storage not in ("dvc", "reference", "remote", "virtual", "catalogue"):
            raise PatchLineError(f"{side}.storage", "it is not dvc, reference, remote, virtual or catalogue")
        if storage == "virtual" and (fault := find_window_fault(values["path"], values["sha256"])):
            raise PatchLineError(f"{side}.path", fault)
        find_fault = {"dvc": find_path_fault, "reference": find_reference_fault}.get(storage)
        if find_fault and (fault := find_fault(values["path"])):
            raise PatchLineError(f"{side}.path", fault)
        if find_fault:
            for name, pattern in _CHECKSUMS.items():
                if not re.fullmatch(pattern, values[name] or ""):
                    raise PatchLineError(f"{side}.{name}", "it is not a checksum in hex")
            if values["size"] is None or values["size"] < 0:
                raise PatchLineError(f"{side}.size", "it is not a number of bytes")
    if values.get("properties") is not None:
        _check_properties(f"{side}.properties", values["properties"])
    if table == "class_change" and values["value"] < 0:
        raise PatchLineError(f"{side}.value", "it is negative")


def _check_properties(member: str, text: str) -> None:
    try:
        properties = json.loads(text, object_pairs_hook=_make_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PatchLineError(member, f"it is not a JSON object ({quote_start(str(error))})") from error
    if not isinstance(properties, dict):
        raise PatchLineError(member, "it is not a JSON object")
    _check_depth(member, properties)
    for name, value in properties.items():
        is_secret = isinstance(value, str) and (is_secret_name(name) or _MAY_BE_SECRET.search(value))
        if is_secret and redact_column_value(name, value) != value:
            raise PatchLineError(f"{member}.{name}", "it holds a credential, which the log would keep")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _check_property_names(change: PatchChange, header: PatchHeader) -> None:
    """Check that the header declares the columns that rows have values of."""
    sides = {"feature_change": header.columns.feature, "raster_change": header.columns.raster}.get(change.table)
    if sides is None:
        return
    for side, values, columns in (("old", change.old, sides.old), ("new", change.new, sides.new)):
        if values is not None and values["properties"] is not None:
            undeclared = json.loads(values["properties"]).keys() - {name for name, _ in columns}
            if undeclared:
                raise PatchLineError(
                    f"{side}.properties.{quote_start(min(undeclared))}", "the header does not declare this column"
                )


def _check_recipe(side: str, name: str, values: Mapping[str, Any]) -> None:
    from geographer.base.redaction import redact_values

    form = values["form"]
    try:
        record = msgspec.convert(
            {"name": name, "kind": values["kind"], "parameters": values["parameters"]}, RecipeRecord
        )
    except msgspec.ValidationError as error:
        raise PatchLineError(side, str(error)) from error
    if form is not None and not isinstance(form, dict):
        raise PatchLineError(f"{side}.form", "it is neither null nor an object")
    for member, value in (("kind", record.kind), ("parameters", record.parameters), ("form", form)):
        if redact_values(value) != value:
            raise PatchLineError(f"{side}.{member}", "it holds a credential, which the log would keep")


def _parse_order(table: str, name: str, values: Mapping[str, Any]) -> Order | None:
    if name not in values:
        return None
    order = values[name]
    is_order = isinstance(order, list) and len(order) == len(_MAX_ORDER) and table in ORDERED_TABLES
    if not is_order or not all(
        type(number) is int and 0 <= number <= limit for number, limit in zip(order, _MAX_ORDER, strict=True)
    ):
        limits = "of which the first is below 2^31 and the second below 2^32"
        raise PatchLineError(name, f"it is not a pair of whole numbers {limits}, or the table has no order")
    return order[0], order[1]


def _check_sides(change: PatchChange) -> None:
    """Check that a change has a value, and an order on each side where it needs one."""
    if change.old is None and change.new is None:
        raise PatchLineError("new", "both values are null")
    if change.is_empty or normalise_order(change) != change:
        raise PatchLineError("new", "both values and orders are equal")
    for name, value, order in (
        ("old_order", change.old, change.old_order),
        ("new_order", change.new, change.new_order),
    ):
        if value is None and order is not None:
            raise PatchLineError(name, "there is no value on this side")
    if change.table in ORDERED_TABLES and not _is_selected_input(change):
        is_moved = change.old is not None and change.new is not None
        has_orders = (change.old_order is not None) + (change.new_order is not None)
        if has_orders != 1 if not is_moved else has_orders == 1:
            raise PatchLineError("new_order", "an order is missing")


def _is_selected_input(change: PatchChange) -> bool:
    return change.table == "recipe_input" and change.key[1] != "box"


def _raise_error(name: str, number: int, problem: str) -> NoReturn:
    raise UsageError(f"'{name}', line {number}: {problem}. See docs/patch-format.md, or write the patch again.")
