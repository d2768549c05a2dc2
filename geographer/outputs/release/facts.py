"""The facts that a release states: read from the log and the tables of a revision, never written by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import NotFoundError
from geographer.planning.attributes import read_attributes
from geographer.planning.description import KnownDescription, read_description
from geographer.storage.log.ancestry import locate_merged_events
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_TAG: Final = """
    SELECT tag, position, tagged_position, digest, content_digest, merkle_root, version FROM state.tag
    WHERE tag = $tag ORDER BY position DESC LIMIT 1
"""
_PREVIOUS_TAG: Final = """
    SELECT tag, tagged_position FROM state.tag
    WHERE tagged_position < $at AND position <= $event ORDER BY tagged_position DESC, tag DESC LIMIT 1
"""
_NO_JSON: Final = ("null", "{}", "null")
"""The recipe, the software and the command of an event that records none."""
_SHORT_DIGEST: Final = 12
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"


class ReleasedTag(NamedTuple):
    """The tag that is released: the position of its event and of the revision, digests, and when, by whom and why."""

    name: str
    event_position: int
    position: int
    digest: str
    content_digest: str
    merkle_root: str | None
    version: str
    recorded_at: str
    author: str
    message: str

    @property
    def semantic_version(self) -> str:
        """The version as three numbers: 1.2 is 1.2.0; a tag without a number is 0.0 and the position."""
        if re.fullmatch(r"\d+(\.\d+){0,2}", self.version):
            return ".".join([*self.version.split("."), "0", "0"][:3])
        return f"0.0.{self.position}"


class CollectionFacts(NamedTuple):
    """What a collection of rasters holds; see `collections.sql`. The resolution is in metres on the ground."""

    name: str
    rasters: int
    files: int
    bytes: int
    chips: int
    references: int
    footprints: int
    widths: list[int]
    heights: list[int]
    bands: list[int]
    dtypes: list[str]
    crs: list[str]
    resolution: float | None
    first: datetime | None
    last: datetime | None
    licences: list[str]
    sources: list[str]
    parents: list[str]
    recipe: str | None
    is_made_by_command: bool = False

    @property
    def is_source(self) -> bool:
        """Whether the rasters were neither cut from others nor made by an outside step."""
        return self.chips == 0 and not self.is_made_by_command


class ClassFacts(NamedTuple):
    """A class, its value, the number of its features, and of those that no raster shows."""

    name: str
    value: int | None
    features: int
    unseen: int


class PartFacts(NamedTuple):
    """A part of a split (None: left out), its rasters, and the features that they show, by class."""

    split: str
    part: str | None
    rasters: int
    features: int
    classes: dict[str, int]


class LabelFacts(NamedTuple):
    """The labels of one name; see `label_counts.sql`."""

    name: str
    kind: str | None
    files: int
    bytes: int
    collections: list[str]
    objects: int | None
    tiny: int | None


class Spread(NamedTuple):
    """How the features are spread over the globe; see `feature_spread.sql`. Bounds are in degrees."""

    features: int
    west: float | None
    south: float | None
    east: float | None
    north: float | None
    gap_west: float | None
    gap_east: float | None
    northern: int
    tropical: int
    cells: int
    fullest: int | None
    median_lat: float | None

    @property
    def lonlat_bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north; west is greater than east if the features lie on both sides of the antimeridian."""
        if self.west is None or self.south is None or self.east is None or self.north is None:
            return None
        west, east = self.west, self.east
        if self.gap_west is not None and self.gap_east is not None:
            crosses = self.gap_east - self.gap_west > 360 - east + west
            west, east = (self.gap_east, self.gap_west) if crosses else (west, east)
        return round(west, 6), round(self.south, 6), round(east, 6), round(self.north, 6)


class EventFacts(NamedTuple):
    """An event that leads to the revision; the recipe, the versions of software and the outside step that it records.

    Those of a merged branch have no position. `command` has `words`, `commit`, `collection` and `label`.
    """

    position: int | None
    kind: str
    recorded_at: str
    author: str
    message: str
    digest: str
    recipe: Mapping[str, Any] | None
    software: Mapping[str, str]
    command: Mapping[str, Any] | None = None

    @property
    def short_title(self) -> str:
        """The position or, in a merged branch, the beginning of the digest, and the kind."""
        return f"@{self.position} {self.kind}" if self.position else f"{self.digest[:12]} {self.kind}"

    @property
    def entity_name(self) -> str:
        """What names the event in documents."""
        return f"event-{self.position or self.digest[:12]}"


class ReleaseFacts(NamedTuple):
    """All facts of a release."""

    dataset: str
    tag: ReleasedTag
    previous_tag: str | None
    previous_position: int
    description: KnownDescription
    classes: list[ClassFacts]
    collections: list[CollectionFacts]
    labels: list[LabelFacts]
    parts: list[PartFacts]
    recipes: list[tuple[str, str, Mapping[str, Any]]]
    spread: Spread
    events: list[EventFacts]
    attributes: Mapping[str, Any]

    @property
    def features(self) -> int:
        """The number of features."""
        return self.spread.features if not self.classes else sum(item.features for item in self.classes)

    @property
    def software_versions(self) -> dict[str, list[str]]:
        """The versions of each library that made files or rows, ascending as text."""
        versions: dict[str, set[str]] = {}
        for event in self.events:
            for name, version in event.software.items():
                versions.setdefault(name, set()).add(version)
        return {name: sorted(found) for name, found in sorted(versions.items())}

    @property
    def time_range(self) -> tuple[str, str] | None:
        """The first and last time of acquisition of source rasters, in UTC; None if none is known."""
        times = [time for item in self.collections for time in (item.first, item.last) if time]
        return (min(times).strftime(_TIME_FORMAT) + "Z", max(times).strftime(_TIME_FORMAT) + "Z") if times else None

    def list_splits(self) -> list[str]:
        """Return the names of the splits."""
        return sorted({part.split for part in self.parts})


def read_facts(revision: Revision, tag: str) -> ReleaseFacts:
    """Read the facts of the tag `tag`, at whose revision `revision` is open.

    Raises:
        NotFoundError: there is no such tag.
    """
    return _read_all(revision, _read_tag(revision, tag))


def read_untagged_facts(revision: Revision) -> ReleaseFacts:
    """Read the same facts of an open revision that needs no tag: `@POSITION` and its digest take the tag's place."""
    return _read_all(revision, _name_revision(revision))


def _read_all(revision: Revision, tag_facts: ReleasedTag) -> ReleaseFacts:
    merged = locate_merged_events(revision.connection)
    merged_digests = [digest for digest, position in merged.items() if position <= revision.position]
    events = [
        EventFacts._make((*row[:6], *(json.loads(text or none) for text, none in zip(row[6:], _NO_JSON, strict=True))))
        for row in _run_sql(revision, "release_events.sql", {"position": revision.position, "merged": merged_digests})
    ]
    made_by_commands = {event.command["collection"] for event in events if event.command and not event.command["label"]}
    previous_tag, previous_position = _find_previous_tag(revision, tag_facts.event_position)
    parts = _run_sql(revision, "part_counts.sql")
    recipes = revision.fetch_rows("SELECT name, kind, parameters FROM recipes")
    return ReleaseFacts(
        dataset=events[0].digest,
        tag=tag_facts,
        previous_tag=previous_tag,
        previous_position=previous_position,
        description=read_description(revision),
        classes=[ClassFacts(*row) for row in _run_sql(revision, "class_counts.sql") if row[0] is not None],
        collections=[_make_collection(row, made_by_commands) for row in _run_sql(revision, "collections.sql")],
        labels=[LabelFacts(*row) for row in _run_sql(revision, "label_counts.sql")],
        parts=[PartFacts._make((*row[:4], _count_classes(row[4]))) for row in parts],
        recipes=[(name, kind, json.loads(parameters)) for name, kind, parameters in recipes],
        spread=Spread(*_run_sql(revision, "feature_spread.sql")[0]),
        events=events,
        attributes=read_attributes(revision),
    )


def _run_sql(revision: Revision, name: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    return revision.fetch_rows((_FOLDER / name).read_text(), dict(parameters or {}))


def _count_classes(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {row["class"]: row["features"] for row in rows}


def _make_collection(row: Sequence[Any], made_by_commands: Collection[str]) -> CollectionFacts:
    """Return the facts of a row; lists are None without values, and resolutions have three significant digits."""
    item = CollectionFacts(*row)
    item = item._replace(is_made_by_command=item.name in made_by_commands)
    names = ("widths", "heights", "bands", "dtypes", "crs", "licences", "sources", "parents")
    changes: dict[str, Any] = {name: getattr(item, name) or [] for name in names}
    changes["resolution"] = float(f"{item.resolution:.3g}") if item.resolution else None
    return item._replace(**changes)


def _read_tag(revision: Revision, tag: str) -> ReleasedTag:
    rows = revision.fetch_rows(_TAG, {"tag": tag})
    if not rows:
        raise NotFoundError(f"there is no tag '{tag}'. A release needs one: geographer tags lists them.")
    name, event_position, position, digest, content_digest, merkle_root, version = rows[0]
    query = "SELECT recorded_at, author, message FROM chain_event WHERE position = $at"
    ((recorded_at, author, message),) = revision.fetch_rows(query, {"at": event_position})
    number = version or name.removeprefix("v")
    return ReleasedTag(
        name, event_position, position, digest, content_digest, merkle_root, number, recorded_at, author, message
    )


def _name_revision(revision: Revision) -> ReleasedTag:
    """Return what takes the place of a tag: the position as name, the beginning of the event's digest as version."""
    position = revision.position
    query = "SELECT digest, recorded_at, author, message FROM chain_event WHERE position = $at"
    ((digest, recorded_at, author, message),) = revision.fetch_rows(query, {"at": position})
    content_digest, merkle_root = revision.compute_content_digest(), revision.compute_merkle_root()
    name, version = f"@{position}", digest[:_SHORT_DIGEST]
    return ReleasedTag(
        name, position, position, digest, content_digest, merkle_root, version, recorded_at, author, message
    )


def _find_previous_tag(revision: Revision, event: int) -> tuple[str | None, int]:
    """Return the tag of the last earlier revision, tagged before `event`, and its position; None and 0 without one."""
    rows = revision.fetch_rows(_PREVIOUS_TAG, {"at": revision.position, "event": event})
    return (str(rows[0][0]), int(rows[0][1])) if rows else (None, 0)
