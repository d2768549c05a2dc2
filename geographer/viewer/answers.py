"""Answers: what each address of the viewer answers, as JSON, tiles, pictures and files of the page."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import (
    ConflictError,
    CorruptError,
    GeographerError,
    NotFoundError,
    StorageError,
    UsageError,
)
from geographer.outputs.pictures.palette import (
    CHANGE_STYLES,
    COLOURS,
    DASHES,
    OTHER_COLOUR,
    Style,
    assign_styles,
    assign_subset_styles,
)
from geographer.viewer.libraries import MAPLIBRE_FILES, find_maplibre_folder
from geographer.viewer.map_selection import (
    MapSelection,
    Parameters,
    parse_selection,
    read_box,
    read_number,
    read_text,
)
from geographer.viewer.map_tables import MAX_TILE_OBJECTS, ListedObject, SelectionSummary

if TYPE_CHECKING:
    from geographer.storage.events import Event
    from geographer.viewer.session import ViewerSession

logger = logging.getLogger(__name__)

_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_TILE_ADDRESS: Final = re.compile(r"[0-9]{1,2}(/[0-9]{1,8}){2}")
_JSON: Final = "application/json; charset=utf-8"
_TILE: Final = "application/vnd.mapbox-vector-tile"
_STATUSES: Final = (
    (NotFoundError, 404),
    (UsageError, 400),
    (ConflictError, 409),
    (StorageError, 503),
    (CorruptError, 500),
)
_CLASSES: Final = "SELECT class FROM classes ORDER BY value"
_COLLECTIONS: Final = "SELECT DISTINCT collection FROM current_raster ORDER BY collection"
_TAGS: Final = "SELECT tag, position FROM tags ORDER BY position DESC, tag LIMIT $limit"
_MAX_ROWS: Final = 200
_MAX_EVENTS: Final = 500
_MAX_RELATED: Final = 50
_LISTS: Final = ("rasters", "features", "chips")
_MAX_HISTORY: Final = 200
_MAX_TAGS: Final = 1_000
_SHOWN_FLAGS: Final = 100
_MAX_COMPONENTS: Final = 200


@dataclass(frozen=True)
class ViewerAnswer:
    """What a request gets: an HTTP status, the type of the content, and the content."""

    status: int
    type: str
    content: bytes = field(repr=False)


class ViewerAnswers:
    """Answers the requests of one session; any thread may call it."""

    def __init__(self, session: ViewerSession, files: Mapping[str, Path] | None = None) -> None:
        self._session = session
        self._files = files or _find_files()
        self._answers: dict[str, Callable[[Parameters], Any]] = {
            "dataset": self._describe_dataset,
            "status": self._describe_status,
            "revision": self._describe_revision,
            "events": self._list_events,
            "count": self._count_objects,
            "list": self._list_objects,
            "search": self._search_ids,
            "object": self._describe_object,
            "why": self._explain_object,
            "history": self._list_history,
            "diff": self._describe_diff,
            "components": self._list_components,
            "picture": self._describe_picture,
        }

    def answer_request(self, path: str, parameters: Parameters) -> ViewerAnswer:
        """Return the answer to a request; `path` is what follows the token."""
        try:
            session = self._session.choose_chain(read_text(parameters, "chain"))
            answers = self if session is self._session else ViewerAnswers(session, self._files)
            return answers._route_request(path, parameters)
        except GeographerError as error:
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
            return make_json_answer({"error": str(error)}, status)

    def _route_request(self, path: str, parameters: Parameters) -> ViewerAnswer:
        first, _, rest = path.partition("/")
        if first == "api" and rest in self._answers:
            return make_json_answer(self._answers[rest](parameters))
        if first == "tiles":
            return self._read_tile(rest, parameters)
        if path == "picture.png":
            return self._read_picture(parameters)
        return self._read_file(path or "index.html")

    def _read_file(self, name: str) -> ViewerAnswer:
        path = self._files.get(name)
        if path is None:
            raise NotFoundError("there is nothing at this address. Open the address that geographer view printed.")
        return ViewerAnswer(200, _TYPES[path.suffix], path.read_bytes())

    # The dataset and its revisions

    def _describe_dataset(self, parameters: Parameters) -> dict[str, Any]:
        """Return what all revisions share: names, styles, tags, limits."""
        dataset, tables = self._session.dataset, self._session.map_tables
        head = tables.head
        with dataset.open_position(head) as revision:
            classes = [name for (name,) in revision.fetch_rows(_CLASSES)]
            tags = revision.fetch_rows(_TAGS, {"limit": _MAX_TAGS})
            columns = {name: revision.describe_columns(name) for name in ("features", "rasters")}
            collections = [name for (name,) in revision.fetch_rows(_COLLECTIONS)]
        splits = tables.list_splits()
        subsets = sorted({subset for split in splits for subset in tables.count_split(head, split)} - {"(excluded)"})
        return {
            "name": dataset.root.name,
            "folder": str(dataset.root),
            "branch": dataset.chain,
            "branches": [branch.name for branch in dataset.list_chains()],
            "head": head,
            "start": self._session.start_position,
            "tags": [{"tag": tag, "position": position} for tag, position in tags],
            "splits": splits,
            "columns": columns,
            "styles": {
                "class": _make_styles(_vary_dashes(assign_styles(classes))),
                "collection": _make_styles(_vary_dashes(assign_styles(collections))),
                "subset": _make_styles(assign_subset_styles(subsets)),
                "change": _make_styles(CHANGE_STYLES),
                "component": _make_styles(_vary_dashes(assign_styles([str(number) for number in range(len(COLOURS))]))),
                "other": OTHER_COLOUR,
            },
            "maxTileObjects": MAX_TILE_OBJECTS,
        }

    def _describe_status(self, parameters: Parameters) -> dict[str, Any]:
        """Return the head, which other commands may have moved."""
        event = self._session.follow_head()
        return {"head": self._session.map_tables.head, "replaced": self._session.replaced, "event": _make_event(event)}

    def _describe_revision(self, parameters: Parameters) -> dict[str, Any]:
        """Return a revision, by default that at which the viewer began: its event, and its numbers of objects."""
        tables = self._session.map_tables
        at = tables.require_position(read_number(parameters, "at", 1, 2**53, self._session.start_position))
        features, rasters = MapSelection("features", at), MapSelection("rasters", at)
        splits = {split: tables.count_split(at, split) for split in tables.list_splits()}
        return {
            "event": _make_event(self._session.dataset.read_event_at(at)),
            "features": _make_counts(tables.summarize_selection(features)),
            "rasters": _make_counts(tables.summarize_selection(rasters)),
            "splits": {split: subsets for split, subsets in splits.items() if subsets},
            "box": tables.summarize_selection(features).box or tables.summarize_selection(rasters).box,
        }

    def _list_events(self, parameters: Parameters) -> list[dict[str, Any]]:
        """Return events from the position `first` to `last`, at most 500, oldest first."""
        head = self._session.map_tables.head
        first = read_number(parameters, "first", 1, head)
        last = read_number(parameters, "last", first, head)
        last = min(last, first + _MAX_EVENTS - 1)
        return [_make_event(event) for event in self._session.dataset.list_events(first, last)]

    # Objects of a revision

    def _count_objects(self, parameters: Parameters) -> dict[str, Any]:
        """Return how many objects of which kind a selection has, which checks its filter, too."""
        selection = self._parse_selection(parameters)
        return _make_counts(self._session.map_tables.summarize_selection(selection))

    def _list_objects(self, parameters: Parameters) -> dict[str, Any]:
        """Return a page of the objects of a selection."""
        tables, selection, box = self._session.map_tables, self._parse_selection(parameters), read_box(parameters)
        number, _ = tables.count_objects(selection, box)
        offset = read_number(parameters, "offset", 0, 2**53, 0)
        limit = read_number(parameters, "limit", 1, _MAX_ROWS, 50)
        rows = tables.list_objects(selection, box, offset, limit)
        return {"number": number, "offset": offset, "rows": [_make_row(row) for row in rows]}

    def _search_ids(self, parameters: Parameters) -> list[dict[str, str]]:
        """Return the objects whose ids have a text."""
        text, at = read_text(parameters, "text"), self._read_position(parameters)
        if not text:
            return []
        found = self._session.map_tables.find_ids(at, text, 20)
        return [{"subject": subject, "id": identity, "kind": kind} for subject, identity, kind in found]

    def _describe_object(self, parameters: Parameters) -> dict[str, Any]:
        """Return a feature or raster: its columns, where it is, and what it is related to."""
        at, subject, identity = self._read_object(parameters)
        dataset = self._session.dataset
        with dataset.wait_for_turn():
            row = dataset.read_object(at, subject, identity)
            relations = dataset.list_relations(at, subject, identity, _MAX_RELATED)
        geometry = row.pop("geometry", None) or row.pop("footprint", None)
        return {
            "subject": subject,
            "id": identity,
            "at": at,
            "columns": row,
            "geometry": geometry,
            "place": self._find_place(at, subject, identity),
            "relations": {name: _shorten_list(value) if name in _LISTS else value for name, value in relations.items()},
            "fetch": f"geographer -C {_quote_path(dataset.root)} checkout",
        }

    def _find_place(self, at: int, subject: str, identity: str) -> dict[str, Any] | None:
        row = self._session.map_tables.find_object("features" if subject == "feature" else "rasters", at, identity)
        return None if row is None else _make_row(row)

    def _explain_object(self, parameters: Parameters) -> dict[str, Any]:
        """Return the sentences that say where an object comes from."""
        at, subject, identity = self._read_object(parameters)
        dataset = self._session.dataset
        with dataset.wait_for_turn():
            facts = dataset.explain_object(f"{subject}:{identity}", dataset.name_position(at))
        return {"sentences": facts["sentences"]}

    def _list_history(self, parameters: Parameters) -> dict[str, Any]:
        """Return the events that touched an object, newest first."""
        _, subject, identity = self._read_object(parameters)
        rows = self._session.dataset.list_history(subject, identity)
        return {"number": len(rows), "rows": [*reversed(rows[-_MAX_HISTORY:])]}

    # Differences, components and pictures

    def _describe_diff(self, parameters: Parameters) -> dict[str, Any]:
        """Return what differs between two revisions: counts, flags, and the command that writes the page."""
        since, at = read_number(parameters, "since", 1, 2**53), self._read_position(parameters)
        diff = self._session.read_diff(since, at)
        dataset = self._session.dataset
        names = [dataset.name_position(position) for position in (since, at)]
        shown = [f"@{name}" if isinstance(name, int) else str(name)[:12] for name in names]
        return {
            "since": since,
            "at": at,
            "counts": [count._asdict() for count in diff.group_counts],
            "flags": [_make_flag(flag) for flag in diff.flags[:_SHOWN_FLAGS]],
            "flagNumber": len(diff.flags),
            "command": f"geographer -C {_quote_path(dataset.root)} diff {shown[0]} {shown[1]} --html diff.html",
        }

    def _list_components(self, parameters: Parameters) -> dict[str, Any]:
        """Return the components of a split's rasters by falling size, each with its subsets and some members."""
        at, split = self._read_position(parameters), read_text(parameters, "split")
        self._session.stage_components(at, split)
        rows = self._session.map_tables.list_components(at, split, _MAX_COMPONENTS)
        return {"split": split, "number": rows[0]["total"] if rows else 0, "rows": rows}

    def _describe_picture(self, parameters: Parameters) -> dict[str, Any]:
        """Return the size of a picture, its overlays and boxes, or why there is none."""
        at, raster_id = self._read_position(parameters), _read_id(parameters)
        picture = self._session.read_picture(at, raster_id)
        return {
            "id": raster_id,
            "width": picture.width,
            "height": picture.height,
            "hasImage": picture.image is not None,
            "overlays": list(picture.overlays),
            "boxes": {name: [box._asdict() for box in boxes] for name, boxes in picture.boxes.items()},
            "classes": dict(picture.classes),
            "problem": picture.problem,
        }

    def _read_picture(self, parameters: Parameters) -> ViewerAnswer:
        """Return the image of a raster, or the overlay of one of its labels."""
        at = self._read_position(parameters)
        raster_id, label = _read_id(parameters), read_text(parameters, "label")
        picture = self._session.read_picture(at, raster_id)
        content = picture.overlays.get(label) if label else picture.image
        if content is None:
            raise NotFoundError(picture.problem or f"raster '{raster_id}' has no such picture.")
        return ViewerAnswer(200, "image/png", content)

    def _read_tile(self, path: str, parameters: Parameters) -> ViewerAnswer:
        """Return the tile `features/z/x/y` or `rasters/z/x/y`."""
        subject, *numbers = path.split("/")
        if _TILE_ADDRESS.fullmatch("/".join(numbers)) is None:
            raise NotFoundError("there is no such tile. Use tiles/features/ZOOM/COLUMN/ROW.")
        zoom, column, row = map(int, numbers)
        selection = self._prepare_selection(parse_selection(subject, parameters))
        return ViewerAnswer(200, _TILE, self._session.map_tables.read_tile(selection, zoom, column, row))

    # Parameters

    def _read_position(self, parameters: Parameters) -> int:
        return self._session.map_tables.require_position(read_number(parameters, "at", 1, 2**53))

    def _read_object(self, parameters: Parameters) -> tuple[int, str, str]:
        subject, identity = read_text(parameters, "subject"), _read_id(parameters)
        if subject not in ("feature", "raster"):
            raise UsageError(f"unknown object '{subject[:40]}'. Use feature or raster.")
        return self._read_position(parameters), subject, identity

    def _parse_selection(self, parameters: Parameters) -> MapSelection:
        return self._prepare_selection(parse_selection(read_text(parameters, "subject") or "features", parameters))

    def _prepare_selection(self, selection: MapSelection) -> MapSelection:
        """Make what a selection needs: the difference or the components that it shows."""
        if selection.since is not None:
            self._session.prepare_diff(selection.since, selection.at)
        elif selection.split and (selection.component is not None or selection.colour == "component"):
            self._session.stage_components(selection.at, selection.split)
        return selection


def _find_files() -> dict[str, Path]:
    """Return the files of the page by name, with MapLibre's."""
    files = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}
    return files | {name: find_maplibre_folder() / name for name in MAPLIBRE_FILES}


def _read_id(parameters: Parameters) -> str:
    """Return the id of an object as it is, with spaces at its ends."""
    ids = parameters.get("id", ())
    if len(ids) != 1:
        raise UsageError("no id, or several. Name one object.")
    return ids[0]


def make_json_answer(value: Any, status: int = 200) -> ViewerAnswer:
    """Return a value as JSON; times and other values that JSON lacks become text."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return ViewerAnswer(status, _JSON, text.encode(errors="replace"))


def _make_styles(styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    return [{"name": name, **style._asdict()} for name, style in styles.items()]


def _vary_dashes(styles: Mapping[str, Style]) -> dict[str, Style]:
    """Return styles whose outlines differ by dashes, too, also where only colours and markers do."""
    dashes = enumerate(styles.items())
    return {name: style._replace(dash=DASHES[place % len(DASHES)]) for place, (name, style) in dashes}


def _make_event(event: Event) -> dict[str, Any]:
    names = ("position", "kind", "recorded_at", "author", "message", "digest")
    return {name: getattr(event, name) for name in names}


def _make_counts(summary: SelectionSummary) -> dict[str, Any]:
    return summary._asdict()


def _make_row(row: ListedObject) -> dict[str, Any]:
    return row._asdict()


def _make_flag(flag: Any) -> dict[str, Any]:
    facts = {name: getattr(flag, name) for name in ("object", "ids", "number", "position")}
    return {**facts, "text": flag.format_text()}


def _shorten_list(value: list[Any]) -> dict[str, Any]:
    """Return a list of related objects without the one beyond the limit, which says that there are more."""
    return {"rows": value[:_MAX_RELATED], "hasMore": len(value) > _MAX_RELATED}


def _quote_path(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
