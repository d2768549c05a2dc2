"""Difference: all that changed between two revisions, as typed tables, counts, measures and flags."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from geographer.base.errors import UsageError
from geographer.base.html import render_fields
from geographer.diff.changes import (
    ObjectChange,
    Sides,
    fetch_changed_geometries,
    fetch_changes,
    iter_changes,
    list_renamings_between,
    stage_changed_geometries,
    stage_changes,
)
from geographer.diff.geometry import measure_changed_geometries
from geographer.diff.other_dataset import stage_other_changes
from geographer.diff.pixels import FileChange, FileFinder, compare_changed_files
from geographer.diff.reviews import read_reviews
from geographer.diff.selection import DiffSelection, stage_selection
from geographer.storage.log.read import read_event
from geographer.storage.queries.renamings import RecordedRenaming
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from geographer.algorithms.geometry_change import GeometryChanges
    from geographer.diff.flags.flag import Flag
    from geographer.storage.queries.revision import Revision

_TAGS: Final = "SELECT list(tag ORDER BY tag) FROM state.tag WHERE tagged_position = $position"
_FOOTPRINTS: Final = Path(__file__).with_name("changed_footprints.sql")
_CLASS_VALUES: Final = "SELECT value, class FROM state.class WHERE valid_from <= $position AND valid_to > $position"
_LABEL_OBJECT: Final = "label_object"
_SHOWN_OBJECTS: Final = 10


class RevisionName(NamedTuple):
    """A revision: its position, the digest of its event, the time of that (UTC), and its tags."""

    position: int
    digest: str
    recorded_at: str
    tags: tuple[str, ...]


class Count(NamedTuple):
    """The number of objects of a kind and group (class, collection or name) that changed in one way."""

    object: str
    group: str
    change: str
    number: int


class DiffOptions(NamedTuple):
    """What to find beside the objects that differ: flags, footprints, and, with `find_files`, changed pixels.

    `read_geometries` reads the geometries later, when they are needed; flags need them at once.
    """

    with_flags: bool = False
    with_footprints: bool = False
    read_geometries: Callable[[], pa.Table] | None = None
    find_files: FileFinder | None = None


class Diff:
    """What differs between two revisions.

    Attributes:
        old: The revision that is compared.
        new: The revision that it is compared with.
        changes: By kind of object (`OBJECT_KINDS`), an Arrow table with a row for each object that differs: its keys,
            `change` (added, removed, changed), `position` (of the event), `old` and `new` (structs, null if absent).
        geometries: `feature_id`, `old_geometry`, `new_geometry` (WKB, longitude/latitude) and `is_changed` of features;
            read when they are first used.
        flags: The unusual changes, ranked; empty unless it was asked for.
        files: The changed pixels of rasters and labels; empty unless they were asked for.
        footprints: `raster_id`, `old_footprint`, `new_footprint` (WKB, longitude/latitude) of rasters and chips; None
            unless they were asked for.
        value_names: The classes by value, on the new side.
        reviews: The reviews of this difference; see `read_reviews`.
        renamings: What was renamed between the two revisions: it is one object, under its name on the new side.
    """

    def __init__(
        self,
        old: RevisionName,
        new: RevisionName,
        changes: Mapping[str, pa.Table],
        geometries: pa.Table | Callable[[], pa.Table] | None,
        flags: Sequence[Flag] = (),
        files: Sequence[FileChange] = (),
        footprints: pa.Table | None = None,
        value_names: Mapping[int, str] | None = None,
        reviews: pa.Table | None = None,
        renamings: Sequence[RecordedRenaming] = (),
    ) -> None:
        self.old, self.new = old, new
        self.changes, self._geometries = changes, geometries
        self.flags, self.files, self.footprints = flags, files, footprints
        self.value_names = dict(value_names or {})
        self.reviews = [] if reviews is None else reviews.to_pylist()
        self.renamings = renamings

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.renamings and not any(map(len, self.changes.values()))

    def _read_geometries(self) -> pa.Table:
        """See the attributes."""
        return self._geometries() if callable(self._geometries) else self._geometries

    def _make_table(self) -> Table:
        """One row for each changed value, with the columns object, id, change, what, from and to, all text.

        Chips count as rasters here. Geometries are WKT.
        """
        rows = [
            row
            for kind in _TABLE_ORDER
            for row in sorted(
                self._iter_value_rows(kind), key=lambda row: (row["change"], row["id"], row["what"] or "")
            )
        ]
        names = ("object", "id", "change", "what", "from", "to")
        return Table(pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names}))

    def _make_counts(self) -> dict[tuple[str, str], int]:
        """The number of objects by (object, change), as in `table`."""
        counts: dict[tuple[str, str], int] = {}
        for kind in _TABLE_ORDER:
            if kind in self.changes:
                changes = _count_rows(self.changes[kind].select(["change"]))
                counts |= {(_format_kind(kind), change): number for (change,), number in sorted(changes.items())}
        return counts

    @cached_property
    def group_counts(self) -> list[Count]:
        """The numbers of objects by kind, group and change; chips are apart from other rasters."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for kind, table in self.changes.items():
            for (*group, change), number in _count_rows(_name_groups(kind, table)).items():
                counts[group[0], group[1], change] += number
        return [Count(*key, number) for key, number in sorted(counts.items(), key=lambda item: _sort_group(item[0]))]

    @cached_property
    def class_changes(self) -> Counter[tuple[str, str]]:
        """The numbers of features by old and new class, where the class differs."""
        if "feature" not in self.changes:
            return Counter()
        return _count_pairs(self.changes["feature"], "class")

    def _make_moves(self) -> Counter[tuple[str, str | None, str | None]]:
        """The numbers of rasters by split, old and new subset (None: excluded), where they moved."""
        if "split" not in self.changes:
            return Counter()
        table = self.changes["split"].filter(pc.equal(self.changes["split"]["change"], "changed"))
        old, new = (pc.struct_field(table[side], "part") for side in ("old", "new"))
        return _count_rows(pa.table({"split": table["split"], "from": old, "to": new}))

    def _make_measures(self) -> tuple[pa.Array, GeometryChanges]:
        """The features whose geometry changed, and by how much; see `GeometryChanges` for the units."""
        return measure_changed_geometries(self.geometries)

    @cached_property
    def measures_by_id(self) -> dict[str, dict[str, float]]:
        """The measures of each feature whose geometry changed, by name; without those that have no meaning for it."""
        ids, measures = self.measures
        columns = {**measures._asdict(), "shift": measures.shift_distance, "area_ratio": measures.area_ratio}
        names, values = list(columns), zip(*(column.tolist() for column in columns.values()), strict=True)
        return {
            feature_id: {name: value for name, value in zip(names, row, strict=True) if value == value}
            for feature_id, row in zip(ids.to_pylist(), values, strict=True)
        }

    @cached_property
    def geometry_by_id(self) -> dict[str, tuple[bytes | None, bytes | None]]:
        """The geometries of changed features on both sides: WKB, longitude/latitude."""
        columns = (self.geometries[name].to_pylist() for name in ("feature_id", "old_geometry", "new_geometry"))
        return {feature_id: (old, new) for feature_id, old, new in zip(*columns, strict=True)}

    geometries = cached_property(_read_geometries)
    table = cached_property(_make_table)
    counts = cached_property(_make_counts)
    moves = cached_property(_make_moves)
    measures = cached_property(_make_measures)

    def _repr_html_(self) -> str:
        counts = [
            {"object": name, "change": change, "number": number} for (name, change), number in self.counts.items()
        ]
        objects = [
            {"object": _format_kind(item.kind), "id": format_id(item.kind, item.keys), "change": item.change}
            for item in islice(self.iter_objects(), _SHOWN_OBJECTS)
        ]
        fields = {"from": self.old, "to": self.new, "changes": counts, "objects": objects, "flags": [*self.flags]}
        return render_fields("Diff", {name: value for name, value in fields.items() if value})

    def iter_objects(self) -> Iterator[ObjectChange]:
        """Yield the objects that differ, by kind and key."""
        for kind, table in self.changes.items():
            yield from iter_changes(kind, table)

    def iter_grouped_objects(self, limit: int) -> Iterator[tuple[str, str, int, Iterator[ObjectChange]]]:
        """Yield each kind (chips are apart from other rasters) and group, the number of its objects, and some of them.

        At most `limit` objects are read: changed ones first, then removed and added ones.
        """
        rows: dict[tuple[str, str], tuple[str, dict[str, list[int]]]] = {}
        for kind, table in self.changes.items():
            for (name, group, change), indices in _group_rows(_name_groups(kind, table)):
                rows.setdefault((name, group), (kind, {}))[1][change] = indices
        for key in _sort_groups(rows):
            kind, by_change = rows[key]
            ordered = pa.concat_arrays([by_change[change] for change in _LISTED_ORDER if change in by_change])
            yield *key, len(ordered), iter_changes(kind, self.changes[kind].take(ordered.slice(0, limit)))

    def has_other_geometry(self, feature_id: str) -> bool:
        """Return whether the geometry of a feature differs between the two sides."""
        return feature_id in self._changed_geometry_ids

    @cached_property
    def _changed_geometry_ids(self) -> frozenset[str]:
        return frozenset(self.geometries.filter(self.geometries["is_changed"])["feature_id"].to_pylist())

    def _iter_value_rows(self, kind: str) -> Iterator[dict[str, str | None]]:
        for item in iter_changes(kind, self.changes[kind]) if kind in self.changes else ():
            head = {"object": _format_kind(kind), "id": format_id(kind, item.keys), "change": item.change}
            old, new = self.list_values(item)
            named = (old.keys() | new.keys()) - _UNLISTED
            names = sorted(name for name in named if old.get(name) != new.get(name))
            if item.change != "changed" and kind not in ("edge", "split"):
                names = []
            if not names:
                yield {**head, "what": None, "from": None, "to": None}
            for name in names:
                yield {**head, "what": name, "from": _to_text(old.get(name)), "to": _to_text(new.get(name))}

    def list_values(self, item: ObjectChange) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the old and the new values of an object, empty if it is absent; geometries as shapely objects."""
        sides = [dict(side or {}) for side in (item.old, item.new)]
        if item.kind == "feature":
            import shapely

            for values, wkb in zip(sides, self.geometry_by_id.get(item.keys[0], (None, None)), strict=True):
                if wkb is not None:
                    values["geometry"] = shapely.from_wkb(wkb)
            if item.change == "changed" and not self.has_other_geometry(item.keys[0]):
                sides[1]["geometry"] = sides[0].get("geometry")
        return sides[0], sides[1]


def compute_diff(revision: Revision, sides: Sides, selection: DiffSelection, options: DiffOptions) -> Diff:
    """Compute what differs between two revisions, and read its reviews; `revision` is the head.

    Raises:
        UsageError: the selection's filter is not an SQL expression over columns of features or rasters.
        StorageError: pixels are compared, and the remote that has them cannot be reached.
    """
    stage_changes(revision, sides)
    stage_selection(revision, sides, selection)
    names = _name_revision(revision, sides.old), _name_revision(revision, sides.new)
    geometries = None
    if options.with_flags or options.read_geometries is None:
        stage_changed_geometries(revision)
        geometries = fetch_changed_geometries(revision)
    diff = _collect_changes(revision, sides, names, selection, options, geometries)
    diff.renamings = list_renamings_between(revision, sides)
    return diff


def compute_other_diff(
    ours: Revision, theirs: Revision, selection: DiffSelection, options: DiffOptions, common: int = 0
) -> Diff:
    """Compute what differs between a revision of this dataset and one of another dataset or branch.

    Both have a common history. `common` is the last position that they share, if it is known; then the cost follows
    what differs. Flags are only those of features and subsets: the others need the state of one branch.

    Raises:
        UsageError: the selection has conditions beside kinds and ids, or needs footprints.
    """
    if selection.has_conditions and not selection.chooses_by_id_only:
        raise UsageError(
            "between two datasets or branches, only --only and --id choose objects. Leave the other conditions out."
        )
    if options.with_footprints:
        raise UsageError("GeoJSON compares revisions of one branch. Use --json for two datasets or branches.")
    stage_other_changes(ours, theirs, common)
    sides = Sides(ours.position, 0)
    stage_selection(ours, sides, selection)
    names = _name_revision(ours, ours.position), _name_revision(theirs, theirs.position)
    diff = _collect_changes(ours, sides, names, selection, options, fetch_changed_geometries(ours))
    diff.value_names = dict(theirs.fetch_rows(_CLASS_VALUES, {"position": theirs.position}))
    return diff


def _collect_changes(
    revision: Revision,
    sides: Sides,
    names: tuple[RevisionName, RevisionName],
    selection: DiffSelection,
    options: DiffOptions,
    geometries: pa.Table | None,
) -> Diff:
    """Return the staged changes; `geometries` is None if they are read later."""
    changes = {kind: fetch_changes(revision, kind, selection.build_condition(kind)) for kind in selection.list_kinds()}
    files = compare_changed_files(changes, options.find_files) if options.find_files else []
    flags: Sequence[Flag] = ()
    if options.with_flags:
        from geographer.diff.flags.find import find_flags

        assert geometries is not None
        flags = find_flags(revision, sides, geometries, selection, files)
    return Diff(
        *names,
        changes=changes,
        geometries=options.read_geometries if geometries is None else geometries,
        flags=flags,
        files=files,
        footprints=revision.fetch_arrow(_FOOTPRINTS.read_text()) if options.with_footprints else None,
        value_names=dict(revision.fetch_rows(_CLASS_VALUES, {"position": sides.new})),
        reviews=read_reviews(revision, sides.old, sides.new),
    )


def format_id(kind: str, keys: Sequence[str]) -> str:
    """Return the keys of an object in one text: `mask/chips/a_17`; those of an edge with a dash between."""
    return " \N{EN DASH} ".join(keys) if kind == "edge" else "/".join(keys)


def _sort_groups(groups: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return kinds and groups of objects in the order in which they are shown."""
    return sorted(groups, key=lambda group: (_SHOWN_ORDER.index(group[0]), group[1]))


def list_name_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ by name, user columns one by one; None if one side lacks the value."""
    sides = [{**side, **json.loads(side.get("properties") or "{}")} for side in (old, new)]
    for side in sides:
        side.pop("properties", None)
    names = [*sides[1], *(name for name in sides[0] if name not in sides[1])]
    pairs = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


_UNLISTED: Final = frozenset({"size", "recipe", "feature_id"})
"""Values that `Diff.table` has never listed."""
_TABLE_ORDER: Final = ("class", "feature", "raster", "edge", "label", _LABEL_OBJECT, "split")


def _format_kind(kind: str) -> str:
    return kind.replace("_", " ")


def _name_revision(revision: Revision, position: int) -> RevisionName:
    event = read_event(revision.connection, position)
    tags = revision.fetch_value(_TAGS, {"position": position}) or []
    return RevisionName(position, event.digest, event.recorded_at, tuple(tags))


def _name_groups(kind: str, table: pa.Table) -> pa.Table:
    """Return `kind`, `group` (class of a feature, collection of a raster, or a name) and `change` of each row."""
    names, groups = pa.scalar(_format_kind(kind)), pa.scalar("")
    if kind in ("label", _LABEL_OBJECT, "split"):
        groups = table["label" if kind != "split" else "split"]
    elif kind == "raster":
        names = pc.if_else(pc.is_null(_coalesce_sides(table, "parent_id")), "raster", "chip")
        groups = _coalesce_sides(table, "collection")
    elif kind not in ("recipe", "class"):
        groups = _coalesce_sides(table, "class" if kind == "feature" else "relation")
    columns = {"kind": names, "group": groups, "change": table["change"]}
    return pa.table(
        {
            name: pa.repeat(column, len(table)) if isinstance(column, pa.Scalar) else column
            for name, column in columns.items()
        }
    )


def _count_rows(table: pa.Table) -> Counter[tuple[Any, ...]]:
    """Return how often each row is in a table, in the order of the first ones."""
    grouped = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
    keys = zip(*(grouped[name].to_pylist() for name in table.column_names), strict=True)
    return Counter(dict(zip(keys, grouped["count_all"].to_pylist(), strict=True)))


def _group_rows(table: pa.Table) -> Iterator[tuple[tuple[Any, ...], pa.Array]]:
    """Yield each row that is in a table, and the indices of its occurrences."""
    names = table.column_names
    numbered = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    grouped = numbered.group_by(names, use_threads=False).aggregate([("row", "list")])
    rows = grouped["row_list"].combine_chunks()
    for number, values in enumerate(grouped.select(names).to_pylist()):
        yield tuple(values.values()), rows[number].values


def _coalesce_sides(table: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.coalesce(*(pc.struct_field(table[side], name) for side in ("new", "old")))


def _count_pairs(table: pa.Table, name: str) -> Counter[tuple[Any, ...]]:
    table = table.filter(pc.equal(table["change"], "changed"))
    old, new = (pc.struct_field(table[side], name) for side in ("old", "new"))
    return _count_rows(pa.table({"old": old, "new": new}).filter(pc.not_equal(old, new)))


_SHOWN_ORDER: Final = ("recipe", "class", "feature", "raster", "chip", "edge", "label", "label object", "split")
_LISTED_ORDER: Final = ("changed", "removed", "added")
_CHANGE_ORDER: Final = ("added", "removed", "changed")


def _sort_group(key: tuple[str, str, str]) -> tuple[int, str, int]:
    return _SHOWN_ORDER.index(key[0]), key[1], _CHANGE_ORDER.index(key[2])


def _to_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return getattr(value, "wkt", None) or str(msgspec.to_builtins(value))
