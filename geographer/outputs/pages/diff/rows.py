"""Rows: the objects that the table of a page lists, the most unusual first, and what it shows of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from geographer.diff.changes import OBJECT_KINDS, ObjectChange, iter_changes
from geographer.diff.difference import Diff, format_id, list_name_differences
from geographer.diff.wording import HIDDEN_VALUES, describe_byte_change, describe_geometry_change

if TYPE_CHECKING:
    from geographer.outputs.pages.diff.facts import RasterPlace

_LISTED_CHANGES: Final = ("changed", "removed", "added")
_MAX_TEXT: Final = 200
_CHIP_KIND: Final = "chip"

Place = tuple[str, str]
"""What is shown on the map: 'feature' or 'raster', and an id."""
Value = str | None


class DiffRow(NamedTuple):
    """A row of the table.

    Attributes:
        item: The object that differs, with the values of both sides.
        kind: The kind of object in words; a chip is no raster.
        name: Its id in one text.
        place: What the map shows of it; None if it is nowhere.
        flags: The numbers of its flags.
    """

    item: ObjectChange
    kind: str
    name: str
    place: Place | None
    flags: tuple[int, ...]


class ListedRows(NamedTuple):
    """The rows of a page, and how many objects there are in all (without edges, if other objects differ)."""

    rows: list[DiffRow]
    total: int


def list_page_kinds(diff: Diff) -> list[str]:
    """Return the kinds of objects that a page lists; edges, of which there are many, only if nothing else differs."""
    kinds = [kind for kind, table in diff.changes.items() if len(table)]
    return [kind for kind in kinds if kind != "edge"] or kinds


def list_rows(diff: Diff, limit: int, *, flagged_only: bool = False) -> ListedRows:
    """Return at most `limit` objects that differ: flagged ones in the order of flags, then some of each kind.

    Objects of each kind and change get an equal share of the places, as far as there are so many; changed objects come
    before removed and added ones.
    """
    kinds = list_page_kinds(diff)
    flagged = _FlaggedObjects(diff)
    first = list(_iter_flagged(diff, kinds, flagged))[:limit]
    first.sort(key=lambda row: row.flags)
    rows, total = first, sum(len(diff.changes[kind]) for kind in kinds)
    if not flagged_only:
        taken = {(row.item.kind, row.item.keys) for row in first}
        rows = first + list(_iter_others(diff, kinds, flagged, taken, limit - len(first)))
    return ListedRows(rows, len(first) if flagged_only else total)


def allocate_places(sizes: Sequence[int], limit: int) -> list[int]:
    """Return how many of each group to take, at most `limit` in all: equal numbers, and all of small groups."""
    taken = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda index: sizes[index])
    for place, index in enumerate(order):
        share = (limit - sum(taken)) // (len(order) - place)
        taken[index] = min(sizes[index], share)
    return taken


def find_place(item: ObjectChange) -> Place | None:
    """Return what the map shows of an object: a feature, or the raster that it is, lies on or is about."""
    if item.kind == "feature":
        return "feature", item.keys[0]
    if item.kind in ("recipe", "class"):
        return None
    return "raster", item.keys[0 if item.kind == "raster" else 1]


def name_kind(item: ObjectChange) -> str:
    """Return the kind of an object in words; a chip is no raster."""
    if item.kind == "raster" and (item.new or item.old or {}).get("parent_id") is not None:
        return _CHIP_KIND
    return item.kind.replace("_", " ")


def describe_values(
    item: ObjectChange, measures: Mapping[str, float] | None, *, has_other_geometry: bool
) -> list[list[Value]]:
    """Return what the details of an object show: name, old and new value; or name and a text, if there is no value."""
    differences = list_name_differences(item.old or {}, item.new or {})
    shown: list[list[Value]] = []
    if has_other_geometry:
        shown.append(["geometry", describe_geometry_change(measures).strip("()") or "differs"])
    for name, (old, new) in differences.items():
        if name not in HIDDEN_VALUES:
            shown.append([name, format_value(old), format_value(new)])
    if item.change == "changed" and (text := describe_byte_change(differences)):
        shown.append(["file", text])
    return shown


def format_value(value: Any) -> Value:
    """Return a value as text, exactly; a long one is cut. None stays None."""
    if value is None:
        return None
    plain = msgspec.to_builtins(value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


class RowContext(NamedTuple):
    """What `encode_row` needs beside a row.

    Attributes:
        places: The numbers of what the map shows.
        rasters: The rasters of the rows by id, on the old and the new side.
        split: The split whose parts are the subsets of rasters; None: there is no split.
        measures: The measures of changed geometries by feature; see `Diff.measures_by_id`.
        changed_geometries: The features whose geometry differs.
    """

    places: Mapping[Place, int]
    rasters: Mapping[str, tuple[RasterPlace | None, RasterPlace | None]]
    split: str | None
    measures: Mapping[str, Mapping[str, float]]
    changed_geometries: frozenset[str]


def encode_row(row: DiffRow, context: RowContext) -> list[Any]:
    """Return a row as a JSON array; `diff.js` names its items."""
    key = row.item.keys[0] if row.item.kind == "feature" else None
    return [
        row.kind,
        row.name,
        row.item.change,
        _join_sides(*_read_both(row.item, "class")) if row.item.kind != "class" else row.name,
        _find_collection(row.item, context),
        _join_sides(*_find_subsets(row.item, context)),
        row.item.position or None,
        list(row.flags),
        -1 if row.place is None else context.places.get(row.place, -1),
        describe_values(
            row.item, context.measures.get(key or ""), has_other_geometry=key in context.changed_geometries
        ),
    ]


def _join_sides(old: Value, new: Value) -> Value | list[Value]:
    """Return one value if both sides have it or one side has none at all, else both."""
    return new if old == new else [old, new]


def _read_both(item: ObjectChange, name: str) -> tuple[Value, Value]:
    """Return a value on both sides; an object that one side lacks has that of the other."""
    old, new = item.old or item.new or {}, item.new or item.old or {}
    return old.get(name), new.get(name)


def _find_collection(item: ObjectChange, context: RowContext) -> Value:
    if item.kind == "raster":
        return _read_both(item, "collection")[1]
    place = find_place(item)
    if place is None or place[0] != "raster":
        return None
    sides = context.rasters.get(place[1], (None, None))
    return next((side.collection for side in reversed(sides) if side is not None), None)


def _find_subsets(item: ObjectChange, context: RowContext) -> tuple[Value, Value]:
    """Return the subsets of a raster on both sides; those of a split assignment are of its split."""
    if item.kind == "split":
        return (item.old or {}).get("part"), (item.new or {}).get("part")
    place = find_place(item)
    if place is None or place[0] != "raster" or context.split is None:
        return None, None
    old, new = context.rasters.get(place[1], (None, None))
    parts = [side.parts.get(context.split) if side is not None else None for side in (old, new)]
    if old is None or new is None:
        return (parts[1], parts[1]) if old is None else (parts[0], parts[0])
    return parts[0], parts[1]


class _FlaggedObjects:
    """The objects that flags name, and the numbers of their flags."""

    def __init__(self, diff: Diff) -> None:
        self._flags: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, flag in enumerate(diff.flags):
            for name in flag.ids:
                self._flags[flag.object, name].append(number)

    def find_flags(self, item: ObjectChange, kind: str, name: str) -> tuple[int, ...]:
        """Return the numbers of the flags of an object; those of a chip are also its split assignments'."""
        keys = [(kind, name)]
        if item.kind == "split":
            keys += [(_CHIP_KIND, item.keys[1]), ("raster", item.keys[1])]
        return tuple(sorted({number for key in keys for number in self._flags.get(key, ())}))

    def filter_table(self, kind: str, table: pa.Table) -> pa.Table:
        """Return the rows of a table of changes that may have flags."""
        names = {name for flagged, name in self._flags if flagged in _FLAGGED_KINDS.get(kind, (kind,))}
        if not names:
            return table.slice(0, 0)
        key = table[_FLAGGED_KEYS[kind]] if kind in _FLAGGED_KEYS else _join_keys(kind, table)
        return table.filter(pc.is_in(key, pa.array(sorted(names), key.type)))


_FLAGGED_KINDS: Final = {"raster": ("raster", _CHIP_KIND), "split": ("raster", _CHIP_KIND)}
"""What flags call the objects of a kind."""
_FLAGGED_KEYS: Final = {"feature": "feature_id", "raster": "raster_id", "split": "raster_id", "class": "class"}


def _join_keys(kind: str, table: pa.Table) -> pa.ChunkedArray:
    columns = [table[key] for key in OBJECT_KINDS[kind].keys]
    return columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, "/")


def _iter_flagged(diff: Diff, kinds: Iterable[str], flagged: _FlaggedObjects) -> Iterator[DiffRow]:
    for kind in kinds:
        for item in iter_changes(kind, flagged.filter_table(kind, diff.changes[kind])):
            row = _make_row(item, flagged)
            if row.flags:
                yield row


def _iter_others(
    diff: Diff, kinds: Iterable[str], flagged: _FlaggedObjects, taken: set[tuple[str, tuple[str, ...]]], limit: int
) -> Iterator[DiffRow]:
    """Yield objects that are not taken yet, an equal share of each kind and change."""
    groups = []
    for kind in kinds:
        table = diff.changes[kind]
        count = sum(name == kind for name, _ in taken)
        for change in _LISTED_CHANGES:
            # Those that are taken may lie in front: read as many more.
            rows = pc.indices_nonzero(pc.equal(table["change"], change))
            groups.append((kind, rows.slice(0, limit + count), len(rows)))
    shares = allocate_places([size for *_, size in groups], max(limit, 0))
    for (kind, rows, _), share in zip(groups, shares, strict=True):
        left = share
        for item in iter_changes(kind, diff.changes[kind].take(rows)) if share else ():
            if left and (item.kind, item.keys) not in taken:
                left -= 1
                yield _make_row(item, flagged)


def _make_row(item: ObjectChange, flagged: _FlaggedObjects) -> DiffRow:
    kind, name = name_kind(item), format_id(item.kind, item.keys)
    return DiffRow(item, kind, name, find_place(item), flagged.find_flags(item, kind, name))
