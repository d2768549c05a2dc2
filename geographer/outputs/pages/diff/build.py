"""Build the page of a difference from its parts: head, flags, map, table, and chips."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from geographer.base.errors import UsageError
from geographer.base.html import render_fields
from geographer.base.text import format_count
from geographer.diff.difference import Count, Diff, RevisionName
from geographer.diff.flags.flag import Flag
from geographer.diff.wording import describe_move
from geographer.outputs.pages.diff.chips import DEFAULT_CHIPS, MAX_BYTES, encode_pairs, list_chips, read_side_pictures
from geographer.outputs.pages.diff.facts import (
    PageSide,
    RasterPlace,
    RowEvent,
    read_events,
    read_raster_places,
    read_raster_points,
)
from geographer.outputs.pages.diff.layers import (
    Rasters,
    list_feature_densities,
    list_map_layers,
    make_raster_density,
    select_rasters_by_change,
)
from geographer.outputs.pages.diff.rows import DiffRow, ListedRows, Place, RowContext, encode_row, list_rows
from geographer.outputs.pages.map import DensityLayer, PageMap, build_map
from geographer.outputs.pages.page import read_script, render_page, require_packages, resolve_page_path, write_page

MAX_OBJECTS: Final = 20_000
"""The most objects that a page draws one by one."""
LISTED_OBJECTS: Final = 5_000
"""The number of objects in the table of a page that has a density picture of all."""
_FOLDER: Final = Path(__file__).parent
_CHANGES: Final = ("added", "removed", "changed")
_SHOWN_FLAGS, _SHOWN_GROUPS, _SHOWN_PAIRS = 200, 12, 30
_HIGH, _MEDIUM = 2.0, 1.0
_RELATED: Final = 5


class DiffPageOptions(NamedTuple):
    """What a page shows.

    Attributes:
        limit: The most objects in the table; None: 20,000, or 5,000 of more.
        chips: The most chips whose pictures are in the page; None: 24, and at most 5 MB of pictures.
        flagged_only: Whether only flagged objects are listed and drawn.
    """

    limit: int | None = None
    chips: int | None = None
    flagged_only: bool = False


class WrittenDiffPage(NamedTuple):
    """A page that was written.

    Attributes:
        path: The file.
        size: Its size in bytes.
        objects: The number of objects that differ; edges count only if nothing else differs.
        listed: The number of those in the table.
        flags: The number of flags.
        chips: The number of chips that are in the page with their pictures.
        chips_left_out: The number of other chips that differ, of those in the table.
        chips_without_pixels: The number of chips in the page whose pixels are not on this machine.
        is_empty: Whether nothing differs.
    """

    path: Path
    size: int
    objects: int
    listed: int
    flags: int
    chips: int
    chips_left_out: int
    chips_without_pixels: int
    is_empty: bool

    def format_text(self) -> str:
        """Return what was written in one line."""
        parts = [f"{format_count(self.objects, 'object')}, {format_count(self.flags, 'flag')}"]
        if self.listed < self.objects:
            parts.append(f"{self.listed:,} of them listed")
        if self.chips or self.chips_left_out:
            left_out = f" ({self.chips_left_out:,} left out)" if self.chips_left_out else ""
            parts.append(f"pictures of {format_count(self.chips - self.chips_without_pixels, 'chip')}{left_out}")
        if self.chips_without_pixels:
            parts.append(f"pixels of {format_count(self.chips_without_pixels, 'chip')} are not on this machine")
        return f"'{self.path}': {', '.join(parts)}, {self.size / 1e6:.1f} MB"

    def _repr_html_(self) -> str:
        return render_fields(type(self).__name__, self._asdict())


def write_diff_page(
    diff: Diff, old: PageSide, new: PageSide, path: str | Path, options: DiffPageOptions
) -> WrittenDiffPage:
    """Write the page of a difference to a file.

    Args:
        diff: The difference, with flags.
        old: Where the old side is read from.
        new: Where the new side is read from.
        path: The file; nothing outside it is needed to read the page.
        options: What the page shows.

    Raises:
        MissingLibraryError: bokeh or jinja2 is not installed.
        UsageError: a number is invalid; for the path, see `write_page`.
        StorageError: see `write_page`.
    """
    require_packages("the page of a difference", "jinja2", "bokeh")
    for root in (old.root, new.root):
        resolve_page_path(path, root)
    for name, value in (("limit", options.limit), ("chips", options.chips)):
        _require_count(name, value)
    parts = _collect_parts(diff, old, new, options)
    page = _render_parts(diff, old, new, parts)
    write_page(path, page, old.root)
    size = len(page.encode(errors="backslashreplace"))
    numbers = (parts.listed.total, len(parts.listed.rows), len(diff.flags), len(parts.pictured))
    left_out = len(parts.chips) - len(parts.pictured)
    return WrittenDiffPage(Path(path), size, *numbers, left_out, parts.without_pixels, diff.is_empty)


def _require_count(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 0):
        raise UsageError(f"invalid {name} {value!r}. Use a whole number from 0.")


class _Parts(NamedTuple):
    """What the page shows beside the difference."""

    listed: ListedRows
    encoded: list[list[Any]]
    events: Mapping[int, RowEvent]
    places: Mapping[Place, int]
    map: PageMap
    has_density: bool
    chips: Sequence[str]
    pictured: Sequence[str]
    without_pixels: int
    pairs: Mapping[str, Any]
    split: str | None


def _collect_parts(diff: Diff, old: PageSide, new: PageSide, options: DiffPageOptions) -> _Parts:
    objects = sum(len(table) for kind, table in diff.changes.items() if kind != "edge")
    has_density = objects > MAX_OBJECTS and not options.flagged_only
    limit = options.limit if options.limit is not None else LISTED_OBJECTS if has_density else MAX_OBJECTS
    listed = list_rows(diff, limit, flagged_only=options.flagged_only)
    ids = [row.place[1] for row in listed.rows if row.place is not None and row.place[0] == "raster"]
    positions = {row.item.position for row in listed.rows} | {flag.position for flag in diff.flags}
    old_rasters, old_points, _ = _read_side(old, ids, diff, has_density, (), ("removed",))
    new_rasters, new_points, events = _read_side(new, ids, diff, has_density, positions, ("added", "changed"))
    rasters = {name: (old_rasters.get(name), new_rasters.get(name)) for name in dict.fromkeys(ids)}
    split = _choose_split(rasters)
    places = {
        place: number for number, place in enumerate(dict.fromkeys(row.place for row in listed.rows if row.place))
    }
    geometries, measures, changed = _read_geometries(diff, listed.rows)
    context = RowContext(places, rasters, split, measures, changed)
    densities = [*list_feature_densities(diff), *old_points, *new_points] if has_density else []
    page_map = build_map(
        list_map_layers(listed.rows, places, geometries, rasters, split), densities, label="Map of what differs"
    )
    chips, pictures = list_chips(listed.rows, rasters), _read_pictures(listed.rows, rasters, old, new, options)
    pictured = [name for name in chips if any(name in side for side in pictures)]
    seen = {name for side in pictures for name, picture in side.items() if picture.image is not None}
    return _Parts(
        listed,
        [encode_row(row, context) for row in listed.rows],
        events,
        places,
        page_map,
        has_density,
        chips,
        pictured,
        sum(name not in seen for name in pictured),
        encode_pairs(pictured, places, pictures),
        split,
    )


def _read_side(
    side: PageSide,
    raster_ids: Iterable[str],
    diff: Diff,
    has_density: bool,
    positions: Iterable[int],
    changes: Sequence[str],
) -> tuple[dict[str, RasterPlace], list[DensityLayer], dict[int, RowEvent]]:
    """Return the rasters of the table, the densities of rasters of some changes, and events, of one side."""
    with side.open_revision() as revision:
        found = select_rasters_by_change(diff) if has_density else {}
        densities = [
            make_raster_density(change, read_raster_points(revision, found[change]))
            for change in changes
            if change in found
        ]
        return read_raster_places(revision, raster_ids), densities, read_events(revision, positions)


def _choose_split(rasters: Rasters) -> str | None:
    """Return the split that has most of the rasters; the first by name of equal ones."""
    counts = Counter(split for sides in rasters.values() for side in sides if side is not None for split in side.parts)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _read_geometries(
    diff: Diff, rows: Sequence[DiffRow]
) -> tuple[dict[str, tuple[bytes | None, bytes | None]], dict[str, dict[str, float]], frozenset[str]]:
    """Return the geometries of the features of rows, the measures of those that changed, and their ids."""
    ids = [row.item.keys[0] for row in rows if row.item.kind == "feature"]
    if not ids:
        return {}, {}, frozenset()
    table = diff.geometries.filter(pc.is_in(diff.geometries["feature_id"], pa.array(ids, pa.string())))
    columns = (table[name].to_pylist() for name in ("feature_id", "old_geometry", "new_geometry"))
    geometries = {name: (old, new) for name, old, new in zip(*columns, strict=True)}
    measured = Diff(diff.old, diff.new, {}, table)
    changed = frozenset(table.filter(table["is_changed"])["feature_id"].to_pylist())
    return geometries, measured.measures_by_id, changed & _find_changed(rows)


def _find_changed(rows: Sequence[DiffRow]) -> frozenset[str]:
    return frozenset(row.item.keys[0] for row in rows if row.item.kind == "feature" and row.item.change == "changed")


def _read_pictures(
    rows: Sequence[DiffRow], rasters: Rasters, old: PageSide, new: PageSide, options: DiffPageOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pictures of chips of both sides; a chip without that of a side that has it is left out."""
    chips = list_chips(rows, rasters)[: DEFAULT_CHIPS if options.chips is None else options.chips]
    max_bytes = MAX_BYTES // 2 if options.chips is None else None
    pictures = []
    for number, side in enumerate((old, new)):
        wanted = [name for name in chips if rasters[name][number] is not None]
        found = read_side_pictures(side, wanted, max_bytes)
        chips = [name for name in chips if rasters[name][number] is None or name in found]
        pictures.append(found)
    return {name: item for name, item in pictures[0].items() if name in chips}, pictures[1]


def _render_parts(diff: Diff, old: PageSide, new: PageSide, parts: _Parts) -> str:
    names = _name_revision(diff.old), _name_revision(diff.new)
    title = f"{old.name}: {names[0]} → {names[1]}" + (f" in {new.name}" if new.root != old.root else "")
    return render_page(
        "diff/diff.html.jinja",
        title=title,
        description=f"What changed in the dataset {old.name} between {names[0]} and {names[1]}.",
        scripts=[*parts.map.scripts, read_script("table.js"), read_script("diff.js", _FOLDER)],
        styles=[read_script("map.css"), read_script("diff.css", _FOLDER)],
        data={
            "map-data": parts.map.data,
            "diff-data": {
                "rows": parts.encoded,
                "total": parts.listed.total,
                "flags": _encode_flags(diff.flags, parts.listed.rows),
                "events": {str(number): list(event[1:]) for number, event in parts.events.items()},
                "split": parts.split,
            },
            "chip-data": parts.pairs,
        },
        diff=diff,
        dataset=old,
        other=new if new.root != old.root else None,
        names=names,
        parts=parts,
        page_map=parts.map,
        counts=_group_counts(diff.group_counts),
        class_changes=diff.class_changes.most_common(_SHOWN_PAIRS),
        class_changes_left=max(len(diff.class_changes) - _SHOWN_PAIRS, 0),
        moves=[describe_move(*move, format_count(number, "raster")) for move, number in diff.moves.most_common()],
        flags=[_describe_flag(flag, number, parts) for number, flag in enumerate(diff.flags[:_SHOWN_FLAGS])],
        max_objects=MAX_OBJECTS,
    )


def _encode_flags(flags: Sequence[Flag], rows: Sequence[DiffRow]) -> dict[str, list[Any]]:
    """Return the codes and the text of the flags of rows, by number."""
    numbers = sorted({number for row in rows for number in row.flags})
    return {
        str(number): [[reason.code for reason in flags[number].reasons], flags[number].format_text()]
        for number in numbers
    }


def _name_revision(revision: RevisionName) -> str:
    return ", ".join(revision.tags) or f"@{revision.position}"


def _group_counts(counts: Sequence[Count]) -> list[dict[str, Any]]:
    """Return a line for each kind of object, and below it one for each class, collection or name."""
    groups: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for count in counts:
        groups[count.object][count.group][count.change] = count.number
    lines = []
    for kind, by_name in groups.items():
        named = [{"name": name, **dict.fromkeys(_CHANGES, 0), **numbers} for name, numbers in by_name.items() if name]
        totals = {change: sum(numbers.get(change, 0) for numbers in by_name.values()) for change in _CHANGES}
        lines.append(
            {"kind": kind, **totals, "groups": named[:_SHOWN_GROUPS], "left": max(len(named) - _SHOWN_GROUPS, 0)}
        )
    return lines


def _describe_flag(flag: Flag, number: int, parts: _Parts) -> dict[str, Any]:
    """Return what the list of flags shows: the severity, the reasons, and the rows and places that it leads to."""
    rows = {row.name: index for index, row in reversed([*enumerate(parts.listed.rows)]) if number in row.flags}
    targets = [_find_target(name, flag.object, rows, parts) for name in flag.ids]
    related = [_find_target(name, "raster", {}, parts) for name in flag.related[:_RELATED]]
    severity = "high" if flag.score >= _HIGH else "medium" if flag.score >= _MEDIUM else "low"
    return {
        "severity": severity,
        "score": f"{flag.score:.2f}",
        "text": flag.format_text(),
        "position": flag.position,
        "event": parts.events.get(flag.position),
        "targets": targets,
        "related": [target for target in related if target["place"] >= 0],
    }


def _find_target(name: str, kind: str, rows: Mapping[str, int], parts: _Parts) -> dict[str, Any]:
    """Return the row of an object and its place on the map; -1 if it has none."""
    places = [("feature" if kind == "feature" else "raster", name)]
    place = next((parts.places[item] for item in places if item in parts.places), -1)
    row = rows.get(name, next((index for text, index in rows.items() if text.endswith(f"/{name}")), -1))
    # What has neither, such as a class that vanished, chooses the objects that have its name.
    filters = [filter for filter, values in _list_names(parts).items() if filter == kind and name in values]
    return {"name": name, "row": row, "place": place, "filter": filters[0] if filters else ""}


def _list_names(parts: _Parts) -> dict[str, set[str]]:
    """Return the classes and the splits that rows have, by what flags call them."""
    rows = [row.item for row in parts.listed.rows]
    sides = [side for item in rows for side in (item.old, item.new) if side]
    classes = {side["class"] for side in sides if side.get("class") is not None}
    return {"class": classes, "split": {item.keys[0] for item in rows if item.kind == "split"}}
