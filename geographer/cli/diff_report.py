"""The text of a difference: counts, flags, tables of changes, and the objects that differ."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from geographer.base.text import format_count
from geographer.cli.output import format_table
from geographer.diff.wording import HIDDEN_VALUES, describe_byte_change, describe_geometry_change, describe_move

if TYPE_CHECKING:
    from geographer.diff.changes import ObjectChange
    from geographer.diff.difference import Diff, RevisionName
    from geographer.diff.pixels import FileChange

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}
_SHOWN_VALUES: Final = {"class": "value", "split": "part", "recipe": "kind"}
_OBJECTS, _FLAGS, _GROUPS, _CLASSES, _VALUE_LENGTH = 20, 50, 6, 12, 40


def format_diff(diff: "Diff", sections: Collection[str], limit: int | None, place: str | None = None) -> Iterator[str]:
    """Yield the lines of the sections 'counts', 'flags' and 'objects' of a difference.

    `place` is the other dataset that has the new side. Control characters in ids are escaped, so that each object is
    one line.
    """
    for line in _iter_lines(diff, sections, limit, place):
        yield "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line)


def _iter_lines(diff: "Diff", sections: Collection[str], limit: int | None, place: str | None) -> Iterator[str]:
    where = f" in '{place}'" if place else ""
    yield f"{_format_revision(diff.old)} → {_format_revision(diff.new)}{where}"
    for review in diff.reviews:
        yield f"{review['verdict']} by {review['author']}: {review['message']}  @{review['position']}"
    for renaming in diff.renamings:
        yield f"renamed: {renaming.subject} {renaming.old_name} → {renaming.name}{_format_event(renaming.position)}"
    if diff.is_empty:
        yield "no differences"
        return
    if "counts" in sections:
        yield from _format_counts(diff)
    if "flags" in sections:
        yield from _format_flags(diff, _FLAGS if limit is None else limit)
    if "objects" in sections or "counts" in sections:
        yield from _format_tables(diff, _OBJECTS if limit is None else limit)
    if "objects" in sections:
        yield from _format_objects(diff, _OBJECTS if limit is None else limit)


def _format_revision(revision: "RevisionName") -> str:
    tags = f" ({', '.join(revision.tags)})" if revision.tags else ""
    return f"@{revision.position} {revision.digest[:12]}{tags} of {revision.recorded_at[:19].replace('T', ' ')}"


def _format_counts(diff: "Diff") -> Iterator[str]:
    """Yield a line for each kind of object: its numbers in all, then by class, collection or name."""
    by_kind: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for count in diff.group_counts:
        by_kind[count.object][count.group][count.change] = count.number
    for kind, groups in by_kind.items():
        totals = {change: sum(group.get(change, 0) for group in groups.values()) for change in _SIGNS}
        named = [f"{name} {_format_changes(group)}" for name, group in groups.items() if name]
        more = f", and {len(named) - _GROUPS} more" if len(named) > _GROUPS else ""
        yield f"{_format_plural(kind):<14}{_format_changes(totals):<24}{', '.join(named[:_GROUPS])}{more}".rstrip()


def _format_plural(noun: str) -> str:
    return format_count(2, noun).partition(" ")[2]


def _format_changes(numbers: Mapping[str, int]) -> str:
    return " ".join(f"{sign}{numbers[change]:,}" for change, sign in _SIGNS.items() if numbers.get(change))


def _format_flags(diff: "Diff", limit: int) -> Iterator[str]:
    if not diff.flags:
        yield "nothing unusual"
        return
    yield f"to look at ({len(diff.flags):,}):"
    for flag in diff.flags[:limit]:
        yield f"! {flag.format_text()}{_format_event(flag.position)}"
    if len(diff.flags) > limit:
        yield f"  … and {len(diff.flags) - limit:,} more: --limit {len(diff.flags)}"


def _format_tables(diff: "Diff", limit: int) -> Iterator[str]:
    """Yield the classes of features that changed as a confusion table, moves between subsets, and pixels."""
    if diff.class_changes:
        yield "classes of features, before (rows) and after (columns):"
        yield from (f"  {line}" for line in _format_class_changes(diff))
    for (split, old, new), number in diff.moves.most_common():
        yield describe_move(split, old, new, format_count(number, "raster"))
    files = sorted(diff.files, key=lambda file: -file.changed_pixels)
    for file in files[:limit]:
        yield from _format_file(file, diff.value_names)
    if len(files) > limit:
        yield f"  … and {len(files) - limit:,} more files: --limit {len(files)}"


def _format_class_changes(diff: "Diff") -> list[str]:
    pairs = diff.class_changes
    if len({name for pair in pairs for name in pair}) > _CLASSES:
        return [f"{old} → {new}: {number:,}" for (old, new), number in pairs.most_common(_CLASSES)]
    rows, columns = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    return format_table(["", *columns], [[old, *(pairs.get((old, new), "") for new in columns)] for old in rows])


def _format_file(file: "FileChange", value_names: Mapping[int, str]) -> Iterator[str]:
    name = f"{file.kind} {file.id}"
    if file.problem:
        yield f"{name}: pixels not compared, because {file.problem}"
    elif file.change is not None:
        change = file.change
        if not change.changed:
            yield f"{name}: equal pixels, with another georeference, type or metadata"
            return
        share = f"{change.changed:,} of {format_count(change.pixels, 'pixel')} differ"
        yield f"{name}: {share} ({change.changed / change.pixels:.1%})"
        for band in change.bands:
            means = " → ".join("no data" if mean is None else f"{mean:.6g}" for mean in (band.old_mean, band.new_mean))
            largest = "" if band.max_difference is None else f", largest difference {band.max_difference:.6g}"
            yield f"  band {band.band}: {band.changed:,} differ, mean {means}{largest}"
    elif file.values is not None and not file.values:
        yield f"{name}: equal pixels, with another georeference, type or metadata"
    elif file.values:
        moves = sorted(file.values.items(), key=lambda item: -item[1])
        texts = [
            f"{_name_value(value_names, old)} → {_name_value(value_names, new)} {number:,}"
            for (_, old, new), number in moves
        ]
        more = f", and {len(texts) - _GROUPS} more" if len(texts) > _GROUPS else ""
        yield f"{name}: pixels {', '.join(texts[:_GROUPS])}{more}"


def _format_objects(diff: "Diff", limit: int) -> Iterator[str]:
    """Yield the objects, by kind and group; edges, of which there are many, only where nothing else was asked for."""
    for kind, group, count, items in diff.iter_grouped_objects(limit):
        if kind == "edge" and set(diff.changes) != {"edge"}:
            continue
        yield f"{_format_plural(kind)}{f' {group}' if group else ''}:"
        for item in items:
            yield f"  {_SIGNS[item.change]} {_format_object(diff, item)}{_format_event(item.position)}"
        if count > limit:
            yield f"  … and {count - limit:,} more: --limit {count}"


def _format_object(diff: "Diff", item: "ObjectChange") -> str:
    from geographer.diff.difference import format_id, list_name_differences

    name = format_id(item.kind, item.keys)
    if item.old is None or item.new is None:
        value = (item.new or item.old or {}).get(_SHOWN_VALUES.get(item.kind, ""))
        return name if value is None else f"{name} ({value})"
    differences, texts = list_name_differences(item.old, item.new), []
    if item.kind == "feature" and diff.has_other_geometry(item.keys[0]):
        texts.append(f"geometry {describe_geometry_change(diff.measures_by_id.get(item.keys[0]))}".rstrip())
    for key, (old, new) in differences.items():
        texts += [] if key in HIDDEN_VALUES else [f"{key} {_format_value(old)} → {_format_value(new)}"]
    if (bytes_text := describe_byte_change(differences)) is not None:
        texts.append(bytes_text)
    return f"{name}: {', '.join(texts)}" if texts else name


def _name_value(value_names: Mapping[int, str], value: int) -> str:
    return value_names.get(value, str(value))


def _format_event(position: int) -> str:
    """Return the event of a change; that of another dataset, which lacks the object, is unknown."""
    return f"  @{position}" if position else ""


def _format_value(value: Any) -> str:
    text = "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
