"""Made files: the derived files of a revision, and the event that made each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.values import Checksums, Window
from geographer.planning.label_files import LABEL_FILES
from geographer.storage.events import Event
from geographer.storage.events.payload import list_payload_classes
from geographer.storage.log.chain import list_row_tables
from geographer.storage.queries.revision import Revision

_COMMAND_OUTPUTS: Final = Path(__file__).with_name("command_outputs.sql")
_MADE_FILES: Final = Path(__file__).with_name("made_files.sql")
_EVENT_ROWS: Final = {
    "raster": 'SELECT change, NULL AS label, raster_id, parent_id, col, "row", width, height, feature_id, md5, sha256 '
    "FROM chain_raster_change WHERE position = $position ORDER BY ordinal",
    "label": "SELECT change, label, raster_id, NULL, NULL, NULL, NULL, NULL, NULL, md5, sha256 FROM chain_label_change "
    "WHERE position = $position ORDER BY ordinal",
}
_OBJECT_ROWS: Final = (
    "SELECT label, raster_id, change, feature_id, class, instance, pixels, box, corners, visible "
    "FROM chain_label_object_change WHERE position = $position"
)
_GROUPS: Final = "SELECT label, name, digest, list(md5) FROM ({}) GROUP BY label, name, digest"
_REPLAYABLE_EVENTS: Final = "SELECT digest, kind FROM log.event WHERE list_contains($kinds::VARCHAR[], kind)"
_KIND: Final = "SELECT kind FROM chain_event WHERE position = $position"


FileKey = tuple[str | None, str]
"""The label of an event's file ("" of a raster) and the raster id; None and the path of other output of a command."""


class MadeFile(NamedTuple):
    """A derived file of a revision.

    Attributes:
        label: The name of the label; None: the file is a chip, or something else that a command made.
        raster_id: The id of the raster, or of that which the label is of; of another output of a command, its path.
        recipe: The name of the recipe or of the collection, as the revision has it.
        path: The recorded path.
        checksums: Its size, MD5 and SHA-256.
        pixel_digest: The digest of its pixels and grid; None for labels in JSON.
        since: The position since which the revision has this version.
        position: The event of the revision's own chain that made it; None if there is none.
        digest: The digest of the event that made it, of any chain; None: no event of the log made it.
        made_as: The name that the recipe, or the label of a label, had in that event.
        is_raster: Whether it is a raster or a label; else it is an output of a command that only its digest is kept of.
    """

    label: str | None
    raster_id: str
    recipe: str | None
    path: str
    checksums: Checksums
    pixel_digest: str | None
    since: int
    position: int | None
    digest: str | None
    made_as: str | None = None
    is_raster: bool = True

    @property
    def file_key(self) -> FileKey:
        """What identifies the file among those of its event."""
        if not self.is_raster:
            return None, self.raster_id
        return "" if self.label is None else self.made_as or self.label, self.raster_id

    @property
    def object_key(self) -> tuple[str | None, str]:
        """Label and raster id: what identifies the file in its revision."""
        return self.label, self.raster_id


class MadeFileGroup(NamedTuple):
    """The derived files of one recipe or label that events of one kind made.

    Attributes:
        label: The name of the label; None: the files are chips or other rasters.
        recipe: The name of the recipe, label or collection.
        kind: The kind of the events; None: no event of the log made the files.
        md5s: The MD5 of each file.
    """

    label: str | None
    recipe: str | None
    kind: str | None
    md5s: list[str]


class EventFile(NamedTuple):
    """A file as the event that made it recorded it: where it was cut, for which feature, and its checksums."""

    label: str | None
    raster_id: str
    parent_id: str | None
    window: Window | None
    feature_id: str | None
    md5: str
    sha256: str


class RecordedOutcome(NamedTuple):
    """What an event recorded: files, the objects (label or None, raster id) that it removed, and objects on labels."""

    files: list[EventFile]
    removed: list[tuple[str | None, str]]
    objects: dict[tuple[str, str], set[tuple[object, ...]]]


def list_made_files(revision: Revision, name: str | None = None) -> list[MadeFile]:
    """Return the chips, labels and other files that events of the log made; only those of recipe or collection `name`.

    The maker of a file is the last event that recorded its bytes as its own work: in the revision's chain, or else in
    another one, from which a merge took them.
    """
    values = {"kinds": _list_replayable_kinds(), "label_files": LABEL_FILES}
    files = []
    for row in revision.fetch_rows(_MADE_FILES.read_text(), values):
        label, raster_id, recipe, path, size, md5, sha256, *others = row
        files.append(MadeFile(label, raster_id, recipe, path, Checksums(size, md5, sha256), *others))
    if "command_file" in list_row_tables(revision.connection):
        files += _list_command_outputs(revision)
    return [file for file in files if name is None or file.recipe == name]


def group_made_files(revision: Revision) -> list[MadeFileGroup]:
    """Return the chips, labels and rasters of commands that `list_made_files` gives, by recipe and event kind."""
    kinds = _list_replayable_kinds()
    kind_of_event = dict(revision.fetch_rows(_REPLAYABLE_EVENTS, {"kinds": kinds}))
    groups: dict[tuple[str | None, str | None, str | None], list[str]] = {}
    values = {"kinds": kinds, "label_files": LABEL_FILES}
    for label, recipe, digest, md5s in revision.fetch_rows(_GROUPS.format(_MADE_FILES.read_text()), values):
        groups.setdefault((label, recipe, kind_of_event.get(digest)), []).extend(md5s)
    order = sorted(groups, key=lambda key: (key[0] is not None, *(part or "" for part in key)))
    return [MadeFileGroup(*key, sorted(groups[key])) for key in order]


def _list_replayable_kinds() -> list[str]:
    return [cls.kind for cls in list_payload_classes() if cls.is_replayable]


def _list_command_outputs(revision: Revision) -> list[MadeFile]:
    rows = revision.fetch_rows(_COMMAND_OUTPUTS.read_text())
    return [
        MadeFile(None, path, name, path, Checksums(*checksums), None, position, position, digest, name, is_raster=False)
        for path, name, *checksums, position, digest in rows
    ]


def find_first_event(revision: Revision, position: int) -> str:
    """Return the kind of the event at `position`, the first with a file that no event of the log made."""
    return str(revision.fetch_value(_KIND, {"position": position}))


def read_outcome(revision: Revision, event: Event) -> RecordedOutcome:
    """Return what an event recorded; `revision` is that of the event, or a later one of its chain."""
    values = {"position": event.position}
    files, removed = [], []
    for query in _EVENT_ROWS.values():
        for change, label, raster_id, parent, col, row, width, height, feature_id, md5, sha256 in revision.fetch_rows(
            query, values
        ):
            if change == "removed":
                removed.append((label, raster_id))
                continue
            window = None if col is None else Window(col, row, width, height)
            files.append(EventFile(label, raster_id, parent, window, feature_id, md5, sha256))
    objects: dict[tuple[str, str], set[tuple[object, ...]]] = {}
    for label, raster_id, *fields in revision.fetch_rows(_OBJECT_ROWS, values):
        objects.setdefault((label, raster_id), set()).add(tuple(fields))
    return RecordedOutcome(files, removed, objects)
