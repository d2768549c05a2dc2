"""Version numbers from the data: whether a change raises PATCH, MINOR or MAJOR, by the rule of Croissant 1.1.

PATCH: the data are the same. MINOR: data were only added. MAJOR: data were edited, removed, moved between subsets of a
split, or can no longer be retrieved. Data are classes, features, rasters, chips, labels and splits; recipes, tags and
messages are not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from geographer.base.errors import ConflictError, UsageError
from geographer.base.html import render_object
from geographer.base.text import format_count, quote_start
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

Level = Literal["PATCH", "MINOR", "MAJOR"]

FIRST_VERSION: Final = "1.0.0"
AUTO: Final = "auto"
MAX_NUMBER: Final = 999_999_999
"""The largest component of a version number."""

NUMBER_PATTERN: Final = r"(?:0|[1-9][0-9]{0,8})"
VERSION_PATTERN: Final = rf"^{NUMBER_PATTERN}\.{NUMBER_PATTERN}\.{NUMBER_PATTERN}$"

_SQL: Final = Path(__file__).with_name("version.sql")
_TAGS: Final = (
    "SELECT tag, version, tagged_position FROM state.tag WHERE digest IN (SELECT digest FROM state.event) "
    "ORDER BY tagged_position DESC, position DESC"
)
_MAX_EXAMPLES: Final = 3
_TABLES: Final = {
    **{"class": "class", "feature": "feature", "raster": "raster", "chip": "raster", "label": "label"},
    **{"label object": "label_object", "split assignment": "split"},
}
"""The table of the state that has the versions of each kind of object."""
_FILE_COLUMNS: Final = ("size", "md5", "sha256", "pixel_digest")
_SHAPE_COLUMNS: Final = ("geometry", "outline")


class ValueChange(NamedTuple):
    """A value that differs: its name, and both values; of a geometry or a file's bytes, only the name."""

    what: str
    before: Any = None
    after: Any = None

    def format_text(self) -> str:
        """Return the change in words: `class 'pond' → 'lake'`."""
        if self.before is None and self.after is None:
            return self.what
        return f"{self.what} {quote_start(repr(self.before))} → {quote_start(repr(self.after))}"


class VersionReason(NamedTuple):
    """A number of objects that changed in one way.

    `change` is 'added', 'removed', 'changed', 'relocated' (the same bytes at another path, or stored otherwise),
    'assigned' (an excluded raster got a subset), 'moved' (a raster left its subset), or 'withdrawn' (of files).
    """

    level: Level
    object: str
    change: str
    number: int

    def format_text(self) -> str:
        """Return the reason in words: `2 features added`."""
        return f"{format_count(self.number, self.object)} {self.change}"


class VersionExample(NamedTuple):
    """An object that decides about the level: how the event at `position` changed it, and the values that differ."""

    object: str
    id: str
    change: str
    position: int
    values: tuple[ValueChange, ...] = ()

    def format_text(self) -> str:
        """Return the example in words: `feature 'p1' was changed @13: class 'pond' → 'lake'`."""
        values = ", ".join(value.format_text() for value in self.values)
        return f"{self.object} '{quote_start(self.id)}' was {self.change} @{self.position}{values and f': {values}'}"


class VersionChange(NamedTuple):
    """What the difference of two revisions means for a version number.

    The level is that of the strongest reason; the examples are objects of that level.
    """

    level: Level
    reasons: tuple[VersionReason, ...]
    examples: tuple[VersionExample, ...]

    def format_reasons(self) -> str:
        """Return the reasons of the level in words."""
        return ", ".join(reason.format_text() for reason in self.reasons if reason.level == self.level)


class VersionNumber(NamedTuple):
    """A version number, `major.minor.patch`."""

    major: int
    minor: int
    patch: int

    @classmethod
    def from_text(cls, text: str) -> VersionNumber:
        """Return the number of a text such as `1.2.0`.

        Raises:
            UsageError: it is not three whole numbers without leading zeros, each at most 999,999,999.
        """
        if not isinstance(text, str) or not re.fullmatch(VERSION_PATTERN, text):
            shown = quote_start(text) if isinstance(text, str) else text
            raise UsageError(f"invalid version {shown!r}. Use three whole numbers, such as 1.2.0, or {AUTO}.")
        return cls(*map(int, text.split(".")))

    def raise_level(self, level: Level) -> VersionNumber:
        """Return the next number after a change of this level; `ConflictError` if it would be too large."""
        index = 2 - get_args(Level).index(level)
        if self[index] >= MAX_NUMBER:
            raise ConflictError(f"no version number after {self}: a component is at most {MAX_NUMBER:,}.")
        major, minor, patch, *_ = (*self[:index], self[index] + 1, 0, 0)
        return VersionNumber(major, minor, patch)

    def find_level(self, previous: VersionNumber) -> Level:
        """Return the level that a larger number claims after `previous`: that of the first component that differs."""
        index = next(index for index in range(3) if self[index] != previous[index])
        level: Level = get_args(Level)[2 - index]
        return level

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class TaggedVersion(NamedTuple):
    """A tag, its version number (None: it has none), and the position of the revision that it names."""

    tag: str
    version: str | None
    position: int


class DatasetVersion(NamedTuple):
    """The version number that a revision should get.

    Attributes:
        base: The tag or the position that the revision is compared with; None if no revision before it is tagged.
        position: The position of the revision.
        change: The change from the base; None without a base.
        next_version: The number; None if the base was named and has none.
    """

    base: TaggedVersion | None
    position: int
    change: VersionChange | None
    next_version: str | None

    def _repr_html_(self) -> str:
        return render_object(self)

    def format_lines(self) -> list[str]:
        """Return the version in words: the level and the next number, then every reason, then examples."""
        change, base = self.change, self.base
        if change is None or base is None:
            return [f"no tag at or before @{self.position}: the first version is {self.next_version}"]
        name = f"tag '{base.tag}' @{base.position}" if base.tag else f"@{base.position}"
        number = (
            f"the next version after {base.version} is" if base.version else "no tag has a version number: the first is"
        )
        lines = [f"{change.level}: {number} {self.next_version}" if self.next_version else change.level]
        lines.append(f"from {name} to @{self.position}{':' if change.reasons else ', the data are the same'}")
        lines += [f"  {reason.level}  {reason.format_text()}" for reason in change.reasons]
        return [*lines, *(f"  {example.format_text()}" for example in change.examples)]

    def to_json(self) -> dict[str, Any]:
        """Return the version as `geographer version --json` prints it."""
        change, base = self.change, self.base
        return {
            "level": change.level if change else None,
            "next": self.next_version,
            "from": base and {"tag": base.tag or None, "version": base.version, "position": base.position},
            "to": {"position": self.position},
            "reasons": [_reason_to_json(reason) for reason in change.reasons] if change else [],
            "examples": [_example_to_json(example) for example in change.examples] if change else [],
        }


def classify_change(revision: Revision, from_position: int, to_position: int) -> VersionChange:
    """Return what the change of the data from one position to another means for a version number.

    Only versions of objects that are valid at one of the two positions are compared. The second position may be
    before the first.

    Args:
        revision: An open revision at or after both positions, whose state is read.
        from_position: The position of the earlier version of the dataset.
        to_position: The position of the version that is to be numbered.
    """
    rows = revision.fetch_rows(_SQL.read_text(), {"from_position": from_position, "to_position": to_position})
    levels: tuple[Level, ...] = get_args(Level)
    found = [
        (VersionReason(levels[step - 1], kind, change, count), id, position)
        for step, kind, change, count, id, position in rows
    ]
    reasons, examples = _find_withdrawals(revision, from_position, to_position)
    reasons += [reason for reason, *_ in found]
    level = reasons[0].level if reasons else "PATCH"
    for reason, id, position in found[: _MAX_EXAMPLES - len(examples)]:
        if reason.level == level:
            values = tuple(_iter_value_changes(revision, reason, id, from_position, to_position))
            examples.append(VersionExample(reason.object, id, reason.change, position, values))
    return VersionChange(level, tuple(reasons), tuple(examples))


def compute_version(revision: Revision, to_position: int, from_position: int | None = None) -> DatasetVersion:
    """Return the version number that a revision should get.

    Args:
        revision: The open head.
        to_position: The position of the revision that is to be numbered.
        from_position: The position to compare it with. Default: that of the last tag with a version number at or
            before `to_position`, else that of the last tag.
    """
    tags = _read_tags(revision)
    if from_position is not None:
        at_position = [tag for tag in tags if tag.position == from_position]
        unnamed = TaggedVersion("", None, from_position)
        base = next((tag for tag in at_position if tag.version), at_position[0] if at_position else unnamed)
    else:
        earlier = [tag for tag in tags if tag.position <= to_position]
        versioned = next((tag for tag in earlier if tag.version), None)
        if versioned is None and not earlier:
            return DatasetVersion(None, to_position, None, FIRST_VERSION)
        base = versioned or earlier[0]
    change = classify_change(revision, base.position, to_position)
    if base.version:
        number = str(VersionNumber.from_text(base.version).raise_level(change.level))
        return DatasetVersion(base, to_position, change, number)
    return DatasetVersion(base, to_position, change, None if from_position is not None else FIRST_VERSION)


def choose_version(revision: Revision, position: int, version: str) -> str:
    """Return the version number of a new tag of the revision at `position`: `version`, or what the data say if 'auto'.

    Raises:
        ConflictError: the number contradicts the data since the previous version, is not above that version, or does
            not fit to the versions of other tags.
        UsageError: it is no version number.
    """
    others = [tag for tag in _read_tags(revision) if tag.version]
    previous = next((tag for tag in others if tag.position <= position), None)
    later = [tag for tag in others if tag.position > position]
    if previous is None:
        number = VersionNumber.from_text(FIRST_VERSION if version == AUTO else version)
    else:
        # If even the right number does not fit, no advice to use it helps.
        _require_below_later(later, _number_after(revision, previous, position, AUTO), position)
        number = _number_after(revision, previous, position, version)
    _require_below_later(later, number, position)
    return str(number)


def _require_below_later(later: Iterable[TaggedVersion], number: VersionNumber, position: int) -> None:
    for tag in later:
        if VersionNumber.from_text(str(tag.version)) <= number:
            raise ConflictError(
                f"version {number} of @{position} would not be below {tag.version}, that of tag '{tag.tag}' of the "
                f"later revision @{tag.position}. Tag a revision after that, or leave --version out."
            )


def _number_after(revision: Revision, previous: TaggedVersion, position: int, version: str) -> VersionNumber:
    """Return the number after that of `previous`; `ConflictError` if a given one contradicts the data."""
    base = VersionNumber.from_text(str(previous.version))
    change = classify_change(revision, previous.position, position)
    if version == AUTO:
        return base.raise_level(change.level)
    number = VersionNumber.from_text(version)
    since = f"tag '{previous.tag}' (version {base}, @{previous.position})"
    if number <= base:
        advice = f"Use {base.raise_level(change.level)} or --version {AUTO}."
        raise ConflictError(f"version {number} is not above that of {since}. {advice}")
    if number.find_level(base) != change.level:
        raise ConflictError(
            f"version {number} contradicts the data. Since {since}, {_explain_level(change)}. That is a {change.level} "
            f"change: use {base.raise_level(change.level)} or --version {AUTO}."
        )
    return number


def _explain_level(change: VersionChange) -> str:
    example = f" ({change.examples[0].format_text()})" if change.examples else ""
    if change.level == "PATCH":
        return f"no data changed{f', but {change.format_reasons()}' if change.reasons else ''}{example}"
    if change.level == "MINOR":
        return f"nothing was edited or removed, only added: {change.format_reasons()}{example}"
    return change.examples[0].format_text() if change.examples else change.format_reasons()


def _read_tags(revision: Revision) -> list[TaggedVersion]:
    """Return the tags of revisions that the log has, those of the latest revisions first."""
    return [TaggedVersion(*row) for row in revision.fetch_rows(_TAGS)]


def _find_withdrawals(
    revision: Revision, from_position: int, to_position: int
) -> tuple[list[VersionReason], list[VersionExample]]:
    """Return how many files were withdrawn between two positions, so that old data are gone, and one of them."""
    withdrawn = list_withdrawn_files(revision.connection)
    files = [file for file in withdrawn.values() if from_position < file.position <= to_position]
    if not files:
        return [], []
    example = VersionExample("raster", files[0].raster_id, "withdrawn", files[0].position)
    return [VersionReason("MAJOR", "file", "withdrawn", len(files))], [example]


def _iter_value_changes(
    revision: Revision, reason: VersionReason, id: str, from_position: int, to_position: int
) -> Iterator[ValueChange]:
    """Yield the values of an object that differ between two positions, if it has versions at both."""
    if reason.object not in _TABLES or reason.change in ("added", "removed"):
        return
    old, new = (_read_values(revision, _TABLES[reason.object], id, at) for at in (from_position, to_position))
    if not old or not new:
        return
    for name in _SHAPE_COLUMNS:
        if old.get(name) != new.get(name):
            yield ValueChange("geometry")
    if any(old.get(name) != new.get(name) for name in _FILE_COLUMNS):
        yield ValueChange("bytes")
    for name in old:
        if name not in (*_SHAPE_COLUMNS, *_FILE_COLUMNS, "properties") and _is_other(old[name], new[name]):
            yield ValueChange(name, _make_json_value(old[name]), _make_json_value(new[name]))
    properties = [json.loads(values.get("properties") or "{}") for values in (old, new)]
    for name in sorted({*properties[0], *properties[1]}):
        before, after = (values.get(name) for values in properties)
        if _is_other(before, after):
            yield ValueChange(name, _make_json_value(before), _make_json_value(after))


def _read_values(revision: Revision, table: str, id: str, position: int) -> Mapping[str, Any]:
    """Return the values of the version of an object that is valid at a position; empty if there is none."""
    keys = KEY_COLUMNS[f"{table}_change"]
    columns = [name for name in ROW_TABLES[f"{table}_change"] if name not in keys]
    query = (
        f"""SELECT {", ".join(f'"{name}"' for name in columns)} FROM state.{table} """  # noqa: S608
        f"WHERE concat_ws('/', {', '.join(keys)}) = $id AND valid_from <= $position AND valid_to > $position"
    )
    rows = revision.fetch_rows(query, {"id": id, "position": position})
    return dict(zip(columns, rows[0], strict=True)) if rows else {}


def _is_other(before: Any, after: Any) -> bool:
    """Return whether two values differ; NaN equals NaN."""
    return repr(before) != repr(after)


def _make_json_value(value: Any) -> Any:
    """Return a value that JSON has: a text, a finite number, a boolean or None; others as text."""
    is_plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else str(value)


def _reason_to_json(reason: VersionReason) -> dict[str, Any]:
    return {"level": reason.level, "object": reason.object, "change": reason.change, "count": reason.number}


def _example_to_json(example: VersionExample) -> dict[str, Any]:
    values = [{"what": value.what, "from": value.before, "to": value.after} for value in example.values]
    return {**example._asdict(), "values": values}
