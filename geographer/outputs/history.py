"""History: the events that touched an object, and those of the source rasters and the feature that it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from geographer.base.errors import NotFoundError
from geographer.base.text import encode_chip_id, quote_start
from geographer.storage.log.branches import read_branch
from geographer.storage.queries.object_changes import (
    MERGE_KIND,
    ChangeEvent,
    Role,
    RowAddress,
    fetch_events,
    fetch_merged_events,
    fetch_merged_rows,
    fetch_object_rows,
    fetch_rows_of_ids,
    find_object_rows,
    find_rows_of_ids,
)

if TYPE_CHECKING:
    import duckdb

Subject = Literal["feature", "raster", "label", "class", "recipe", "split"]
"""What an object can be; a chip is a raster."""

_RECIPE_HISTORY: Final = Path(__file__).with_name("recipe_history.sql")
_CLASS_HISTORY: Final = Path(__file__).with_name("class_history.sql")
_MAX_SOURCES: Final = 1_000
"""So many source rasters are followed at most."""
_SOURCE_LISTS: Final = {"raster": "geographer rasters", "feature": "geographer features", "class": "geographer classes"}
_OTHER_LISTS: Final = {"label": "geographer labels", "recipe": "geographer status", "split": "geographer splits"}


class ObjectName(NamedTuple):
    """An object's subject and id; subject None: a feature or a raster, or both."""

    subject: Subject | None
    name: str


class ObjectEvent(NamedTuple):
    """One row of a history, before its event is read: where it is, and what the event did.

    `parent` is the id of the source raster or feature through which the event concerns the object; for a chip itself,
    its source raster.
    """

    position: int
    object: str
    ordinal: int
    change: str
    detail: str | None
    parent: str | None = None


def parse_object(text: str) -> ObjectName:
    """Return the object that a text such as `lake-17`, `raster:a` or `label:mask/a` names."""
    prefix, colon, name = text.partition(":")
    subject = next((subject for subject in get_args(Subject) if subject == prefix), None)
    return ObjectName(subject, name) if colon and subject is not None else ObjectName(None, text)


def list_meanings(text: str) -> list[ObjectName]:
    """Return the objects that a text may name, the likeliest first.

    An id may itself begin with a prefix, and a chip may be named without the percent-encoding of its id.
    """
    name = parse_object(text)
    names = [name, ObjectName(None, text)]
    if name.subject == "label":
        label, slash, raster_id = name.name.partition("/")
        names.append(ObjectName("label", f"{label}{slash}{encode_chip_id(raster_id)}"))
    elif name.subject in (None, "raster"):
        names.append(ObjectName(name.subject, encode_chip_id(name.name)))
    return list(dict.fromkeys(names))


def read_history(connection: duckdb.DuckDBPyConnection, text: str) -> list[dict[str, Any]]:
    """Return the events that touched an object and what it comes from, oldest first; the log and state are attached.

    Columns: position, kind, recorded_at (UTC), author, message, object, change, detail, parent, and history, the digest
    of the history that an import or a merge added. Before a merge come the events that it added: they have its
    position, and as history their own digest.

    Raises:
        NotFoundError: no event ever touched such an object.
    """
    reader = _HistoryReader(connection)
    rows = next(filter(None, map(reader.read_object, list_meanings(text))), [])
    if not rows:
        raise make_missing_error(parse_object(text))
    reader.load_events(row.position for row in rows)
    rows.sort(key=attrgetter(*ObjectEvent._fields[:4]))
    merged = reader.read_merged(rows)
    return [
        _make_row(event, item)
        for position, group in groupby(rows, key=attrgetter("position"))
        for event, item in (*merged.get(position, ()), *((reader.events[position], row) for row in group))
    ]


def make_missing_error(name: ObjectName) -> NotFoundError:
    """Return the error for an object that no event touched."""
    shown = quote_start(name.name)
    if name.subject is None:
        return NotFoundError(
            f"no feature or raster '{shown}' in any revision. See geographer features and geographer rasters; other "
            "objects are label:NAME/RASTER, class:NAME, recipe:NAME or split:NAME."
        )
    command = {**_SOURCE_LISTS, **_OTHER_LISTS}[name.subject]
    return NotFoundError(f"no {name.subject} '{shown}' in any revision. See {command}.")


class _HistoryReader:
    """Reads the rows of objects; remembers the events that they belong to."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._object_id = ""
        self.events: dict[int, ChangeEvent] = {}

    def load_events(self, positions: Iterable[int]) -> None:
        """Read the events at these positions that are not known yet."""
        if missing := set(positions) - self.events.keys():
            self.events |= fetch_events(self._connection, missing)

    def read_object(self, name: ObjectName) -> list[ObjectEvent]:
        """Return the rows of an object, and of what it comes from; none if there is no such object."""
        if name.subject == "class":
            return self._read_query(_CLASS_HISTORY, name.name)
        if name.subject in ("recipe", "split"):
            return self._read_recipe(name.name, kind=name.subject)
        if name.subject == "label":
            return self._read_label(name.name)
        self._object_id = name.name
        as_feature: tuple[Role, ...] = ("feature", "chip feature")
        as_raster: tuple[Role, ...] = ("raster", "parent", "label", "split")
        roles = {None: (*as_feature, *as_raster), "feature": as_feature, "raster": as_raster}[name.subject]
        found = find_object_rows(self._connection, name.name, roles, with_unreadable=True)
        self.load_events(address.position for addresses in found.values() for address in addresses)
        rows = [row for role, addresses in found.items() for row in self._read_role(name.name, role, addresses)]
        rows += [row for role in _CHIP_ROLES & found.keys() for row in self._read_removals(rows, role)]
        return [*rows, *self._read_origins(name.name, found.get("raster", []))] if rows else []

    def read_merged(self, rows: Iterable[ObjectEvent]) -> dict[int, list[tuple[ChangeEvent, ObjectEvent]]]:
        """Return, by the position of a merge, what the events that it added did to the objects of its rows."""
        found: dict[int, list[tuple[ChangeEvent, ObjectEvent]]] = {}
        merged_events: dict[int, list[ChangeEvent]] = {}
        for position, objects in self._find_merged_objects(rows).items():
            events = merged_events.setdefault(position, fetch_merged_events(self._connection, self.events[position]))
            by_key = {event.event_key: event for event in events}
            for role, object_id, shown in objects:
                columns = _ROLE_OBJECTS[role][1]
                for key, *values in fetch_merged_rows(self._connection, object_id, role, events, columns):
                    item = ObjectEvent(position, shown.object, *values)
                    found.setdefault(position, []).append((by_key[key], item._replace(parent=shown.parent)))
        return found

    def _find_merged_objects(self, rows: Iterable[ObjectEvent]) -> dict[int, list[tuple[Role, str, ObjectEvent]]]:
        """Return the rows of merges with the role and the id under which they are found, by position."""
        found: dict[int, list[tuple[Role, str, ObjectEvent]]] = {}
        for row in rows:
            role = _OBJECT_ROLES.get(row.object)
            object_id = row.parent if row.object in _ORIGINS.values() else self._object_id
            if role and object_id and self.events[row.position].kind == MERGE_KIND:
                found.setdefault(row.position, []).append((role, object_id, row))
        return found

    def _read_role(self, object_id: str, role: Role, addresses: list[RowAddress]) -> Iterator[ObjectEvent]:
        """Yield what the rows say that name an object in one role."""
        object_name, columns = _ROLE_OBJECTS[role]
        rows = fetch_object_rows(self._connection, object_id, role, addresses, self.events, columns)
        for position, ordinal, change, detail, parent in rows:
            yield ObjectEvent(position, object_name, ordinal, change, detail, parent)

    def _read_removals(self, rows: Iterable[ObjectEvent], role: Role) -> list[ObjectEvent]:
        """Return the removals of chips whose last rows before them name the object: a removal names the chip only."""
        object_name, _ = _ROLE_OBJECTS[role]
        own = {(row.position, row.ordinal): row.detail for row in rows if row.object == object_name}
        chips = sorted({chip for chip in own.values() if chip is not None})
        if not chips:
            return []
        versions = find_rows_of_ids(self._connection, chips, "raster")
        found = {chip: addresses for chip, addresses in versions.items() if len(addresses) > 1}
        self.load_events(address.position for addresses in found.values() for address in addresses)
        return [
            ObjectEvent(position, object_name, ordinal, change, chip)
            for chip, chip_rows in fetch_rows_of_ids(self._connection, found, "raster", self.events).items()
            for before, (position, ordinal, change) in pairwise(chip_rows)
            if change == "removed" and before[:2] in own
        ]

    def _read_origins(self, raster_id: str, addresses: list[RowAddress]) -> Iterator[ObjectEvent]:
        """Yield the rows of the rasters that a raster was cut from, up to the scene, and of the features on them."""
        seen, waiting = {("raster", raster_id)}, [(raster_id, addresses)]
        while waiting and len(seen) < _MAX_SOURCES:
            object_id, found = waiting.pop()
            rows = fetch_object_rows(self._connection, object_id, "raster", found, self.events, "parent_id, feature_id")
            origins: list[tuple[Role, str]] = [("raster", row[3]) for row in rows if row[3] is not None]
            origins += [("feature", row[4]) for row in rows if row[4] is not None]
            for role, origin in dict.fromkeys(origins):
                if (role, origin) in seen:
                    continue
                seen.add((role, origin))
                own = find_object_rows(self._connection, origin, [role], with_unreadable=True)[role]
                self.load_events(address.position for address in own)
                for row in self._read_role(origin, role, own):
                    yield row._replace(object=_ORIGINS[role], parent=origin)
                if role == "raster":
                    waiting.append((origin, own))

    def _read_label(self, name: str) -> list[ObjectEvent]:
        """Return the rows of `NAME/RASTER_ID`, or those of the recipe `NAME`; with the raster's own and its origins."""
        label, slash, raster_id = name.partition("/")
        if not slash:
            return self._read_recipe(name, kind="label")
        raster = self.read_object(ObjectName("raster", raster_id))
        labels = [row for row in raster if row.object == "label" and row.detail == label]
        sources = [row._replace(parent=row.parent or raster_id) for row in raster if row.object in _LABEL_ORIGINS]
        recipe = [row for row in self._read_recipe(label, kind="label") if row.object == "recipe"]
        return [*labels, *sources, *recipe] if labels else []

    def _read_recipe(self, name: str, *, kind: str) -> list[ObjectEvent]:
        rows = self._read_query(_RECIPE_HISTORY, name)
        kinds = {row.detail.partition(" ")[0] for row in rows if row.object == "recipe" and row.detail}
        return rows if kind == "recipe" or kind in kinds or not kinds else []

    def _read_query(self, path: Path, name: str) -> list[ObjectEvent]:
        fields = ", ".join(ObjectEvent._fields)
        query = f"SELECT {fields} FROM ({path.read_text().rstrip().rstrip(';')})"  # noqa: S608
        rows = self._connection.execute(query, {"name": name, "branch": read_branch(self._connection)}).fetchall()
        return [ObjectEvent(*row) for row in rows]


_ROLE_OBJECTS: Final[dict[Role, tuple[str, str]]] = {
    "feature": ("feature", "class, NULL"),
    "raster": ("raster", "path, parent_id"),
    "parent": ("chip of it", "raster_id, NULL"),
    "chip feature": ("chip around it", "raster_id, NULL"),
    "label": ("label", "label, NULL"),
    "split": ("split", "split || if(change = 'removed', '', '/' || coalesce(part, '(left out)')), NULL"),
}
"""What a row is called that names the object in a role, and what its detail and its parent are."""

_CHIP_ROLES: Final[frozenset[Role]] = frozenset({"parent", "chip feature"})
"""The roles in which the row of a chip names what it was cut from and for."""

_ORIGINS: Final[dict[Role, str]] = {"raster": "source raster", "feature": "feature on it"}
_OBJECT_ROLES: Final[dict[str, Role]] = {
    **{"feature": "feature", "raster": "raster", "label": "label", "split": "split"},
    **{shown: role for role, shown in _ORIGINS.items()},
}
_LABEL_ORIGINS: Final = frozenset({"raster", *_ORIGINS.values()})


def _make_row(event: ChangeEvent, row: ObjectEvent) -> dict[str, Any]:
    names = ("position", "kind", "recorded_at", "author", "message")
    result = {name: getattr(event, name) for name in names}
    result |= {name: getattr(row, name) for name in ("object", "change", "detail", "parent")}
    return {**result, "history": event.history}
