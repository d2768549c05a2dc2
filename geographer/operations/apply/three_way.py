"""Merge an object three-way: its old and new values in a patch, and those at the head."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from geographer.diff.patch.model import RECIPE, PatchChange, Values
from geographer.operations.apply.conflicts import ObjectConflict, make_conflict

OnConflict = Literal["fail", "ours", "theirs"]
Status = Literal["equal", "clean", "combined", "conflict"]

_MISSING: Final = object()


class ColumnVersions(NamedTuple):
    """The columns of an object in the patch's old version, at the head, and in the patch's new version."""

    base: Mapping[str, Any]
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]


class MergedObject(NamedTuple):
    """What applying a patch does to an object.

    Attributes:
        change: The change of the patch.
        ours: The values at the head; None: it is not there.
        status: 'equal': the head has the new values; 'clean': it has the old ones; 'combined': the head and the patch
            changed different columns; 'conflict': the same ones.
        values: The values after applying; None: it is not there.
        conflicts: The columns that both changed.
    """

    change: PatchChange
    ours: Values | None
    status: Status
    values: Values | None
    conflicts: tuple[ObjectConflict, ...] = ()

    @property
    def is_taken(self) -> bool:
        """Whether applying changes the object."""
        return self.values != self.ours


def merge_object(change: PatchChange, ours: Values | None, on_conflict: OnConflict) -> MergedObject:
    """Return what applying a change does, with conflicts resolved by `on_conflict` ('fail' keeps ours)."""
    if ours == change.new:
        return MergedObject(change, ours, "equal", ours)
    if ours == change.old:
        return MergedObject(change, ours, "clean", change.new)
    if ours is not None and change.old is not None and change.new is not None:
        if change.table == "feature_change":
            return _merge_feature(change, ours, on_conflict)
        if change.table == RECIPE and change.old["kind"] == ours["kind"] == change.new["kind"]:
            return _merge_recipe(change, ours, on_conflict)
    conflict = make_conflict(change, None, change.old, ours, change.new)
    return MergedObject(change, ours, "conflict", change.new if on_conflict == "theirs" else ours, (conflict,))


def _merge_feature(change: PatchChange, ours: Values, on_conflict: OnConflict) -> MergedObject:
    base, theirs = change.old or {}, change.new or {}
    sides = ColumnVersions(*map(_split_feature, (base, ours, theirs)))
    columns, conflicts = _merge_columns(change, sides, on_conflict)
    geometry, crs = columns.pop("geometry")
    values = {"class": columns.pop("class"), "geometry": geometry, "crs": crs}
    values |= {"id_is_integer": columns.pop("id_is_integer"), "properties": _join_properties(columns, ours, theirs)}
    return MergedObject(change, ours, "conflict" if conflicts else "combined", values, conflicts)


def _merge_recipe(change: PatchChange, ours: Values, on_conflict: OnConflict) -> MergedObject:
    base, theirs = change.old or {}, change.new or {}
    sides = ColumnVersions(*(side["parameters"] for side in (base, ours, theirs)))
    parameters, conflicts = _merge_columns(change, sides, on_conflict)
    form = theirs["form"] if ours["form"] == base["form"] else ours["form"]
    values = {"kind": ours["kind"], "parameters": parameters, "form": form}
    return MergedObject(change, ours, "conflict" if conflicts else "combined", values, conflicts)


def _merge_columns(
    change: PatchChange, sides: ColumnVersions, on_conflict: OnConflict
) -> tuple[dict[str, Any], tuple[ObjectConflict, ...]]:
    """Return the merged columns, ours first, and the conflicts."""
    merged: dict[str, Any] = {}
    conflicts = []
    for name in dict.fromkeys((*sides.ours, *sides.theirs, *sides.base)):
        before, here, there = (side.get(name, _MISSING) for side in sides)
        if here not in (before, there) and there != before:
            shown = (None if value is _MISSING else _show_value(value) for value in (before, here, there))
            conflicts.append(make_conflict(change, name, *shown))
            value = there if on_conflict == "theirs" else here
        else:
            value = there if here == before else here
        if value is not _MISSING:
            merged[name] = value
    return merged, tuple(conflicts)


def _split_feature(values: Values) -> dict[str, Any]:
    """Return the columns of a feature that can be merged on their own; those of users as JSON text."""
    properties = msgspec.json.decode(values["properties"] or "{}", type=dict[str, msgspec.Raw])
    return {
        **{name: values[name] for name in ("class", "id_is_integer")},
        "geometry": (values["geometry"], values["crs"]),
        **{f"properties.{name}": bytes(raw).decode() for name, raw in properties.items()},
    }


def _join_properties(columns: Mapping[str, str], ours: Values, theirs: Values) -> str | None:
    """Return the properties as JSON text, that of a side if it has the same ones."""
    for side in (ours, theirs):
        own = {name: value for name, value in _split_feature(side).items() if name.startswith("properties.")}
        if own == columns:
            text: str | None = side["properties"]
            return text
    names = {name: msgspec.json.encode(name.removeprefix("properties.")).decode() for name in columns}
    return "{" + ",".join(f"{names[name]}:{value}" for name, value in columns.items()) + "}"


def _show_value(value: Any) -> Any:
    """Return the value of a column as data: of a geometry, the WKB in Base64 and the CRS."""
    return {"geometry": value[0], "crs": value[1]} if isinstance(value, tuple) else value
