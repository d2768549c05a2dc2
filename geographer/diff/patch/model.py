"""Patch: its header and its changes, one for each object that differs; and how they are written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from geographer.base.atomic_files import write_atomic
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError
from geographer.base.input_paths import require_utf8_name
from geographer.storage.events.payload import Digest
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES

FORMAT: Final = "geographer.patch"
VERSION: Final = 1
ROW_PARTS: Final = (
    *("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change"),
    "recipe_input",
)
"""The row tables that a patch has lines of."""

RECIPE, REMOVAL = "recipe", "remembered_removal"
"""The other kinds of lines: recipes, and rasters that users removed and that recipes leave out."""

PATCH_TABLES: Final = (*ROW_PARTS, RECIPE, REMOVAL)
"""The tables that lines can be of."""

ORDERED_TABLES: Final = frozenset({"feature_change", "raster_change", "recipe_input", RECIPE})
"""The tables whose objects have an order of addition."""

KEYS: Final = {
    **{table: KEY_COLUMNS[table] for table in ROW_PARTS},
    **{RECIPE: ("name",), REMOVAL: ("raster_id",)},
}
"""The members of a line's key, by table."""

VALUES: Final = {
    **{table: tuple(name for name in ROW_TABLES[table] if name not in KEY_COLUMNS[table]) for table in ROW_PARTS},
    **{RECIPE: ("kind", "parameters", "form"), REMOVAL: ()},
}
"""The members of a line's old and new value, by table."""

Values = Mapping[str, Any]
Order = tuple[int, int]
"""The place of an object in the order of addition: the position of the event that added it, and its place in that."""


class PatchRevision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A revision that a patch leads from or to; `position` is that in the chain in which the patch was made."""

    digest: Digest
    content_digest: Digest
    position: Annotated[int, Meta(ge=1, le=2**31 - 1)]


ColumnType = Annotated[str, Meta(pattern="^(BOOLEAN|BIGINT|DOUBLE|VARCHAR|DATE|TIMESTAMP)$")]


class ColumnSides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user columns of features or rasters, names with types, in both revisions."""

    old: tuple[tuple[str, ColumnType], ...]
    new: tuple[tuple[str, ColumnType], ...]


class PatchColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user columns of features and of rasters."""

    feature: ColumnSides
    raster: ColumnSides


class PatchFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file whose bytes the patch needs; `objects` are the table and the key of each object that has it."""

    md5: str
    sha256: str
    size: int
    objects: tuple[tuple[str, ...], ...]


class PatchHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"old": "from", "new": "to"}):
    """The first line: the dataset, by the digest of its first event, the two revisions, columns and files."""

    format: Literal["geographer.patch"]
    version: Literal[1]
    dataset: Digest
    old: PatchRevision
    new: PatchRevision
    columns: PatchColumns
    files: tuple[PatchFile, ...] = ()


class PatchChange(NamedTuple):
    """An object that differs: its table and key, and its values in both revisions (None: it is not there).

    An order is given if the object is only in one revision, or if it was added again between them.
    """

    table: str
    key: tuple[str, ...]
    old: Values | None
    new: Values | None
    old_order: Order | None = None
    new_order: Order | None = None

    @property
    def object_id(self) -> str:
        """The key as one text."""
        return "/".join(self.key)

    @property
    def is_chip(self) -> bool:
        """Whether it is a raster that was cut from another, on either side."""
        return self.table == "raster_change" and any(side and side["parent_id"] for side in (self.old, self.new))

    @property
    def is_empty(self) -> bool:
        """Whether the revisions do not differ in it."""
        return self.old == self.new and self.old_order == self.new_order


class Patch(NamedTuple):
    """The difference of two revisions: the header, and the changes in order of table and key."""

    header: PatchHeader
    changes: tuple[PatchChange, ...]


def make_patch(header: PatchHeader, changes: Iterable[PatchChange]) -> Patch:
    """Return the patch with these changes, in order, without empty ones; the header lists the files that they need."""
    kept = [normalise_order(change) for change in changes]
    ordered = tuple(sorted((change for change in kept if not change.is_empty), key=lambda change: change[:2]))
    return Patch(msgspec.structs.replace(header, files=list_files(ordered)), ordered)


def normalise_order(change: PatchChange) -> PatchChange:
    """Return the change without its orders if they are equal, and it has both values."""
    if change.old_order == change.new_order and change.old is not None and change.new is not None:
        return change._replace(old_order=None, new_order=None)
    return change


def list_files(changes: Iterable[PatchChange]) -> tuple[PatchFile, ...]:
    """Return the stored files that the new values have and the old ones of the same objects have not, by MD5."""
    objects: dict[tuple[str, str, int], list[tuple[str, ...]]] = defaultdict(list)
    for change in changes:
        if is_stored(change.table, change.new):
            file, old_file = (side and (side["md5"], side["sha256"], side["size"]) for side in (change.new, change.old))
            if file and file != old_file:
                objects[file].append((change.table, *change.key))
    return tuple(PatchFile(*file, tuple(sorted(found))) for file, found in sorted(objects.items()))


def is_stored(table: str, values: Values | None) -> bool:
    """Return whether an object has a file that DVC stores."""
    if values is None:
        return False
    return table == "label_change" or (table == "raster_change" and values["storage"] == "dvc")


def encode_patch(patch: Patch) -> bytes:
    """Return the patch as JSON lines: equal patches give equal bytes."""
    return "".join(f"{line}\n" for line in iter_lines(patch)).encode()


def iter_lines(patch: Patch) -> Iterator[str]:
    """Yield the lines of a patch without their ends: the header, then one for each change."""
    yield canonical_json(msgspec.to_builtins(patch.header))
    for change in patch.changes:
        yield encode_change(change)


def encode_change(change: PatchChange) -> str:
    """Return the line of a change in canonical JSON."""
    line: dict[str, Any] = {
        "table": change.table,
        "key": dict(zip(KEYS[change.table], change.key, strict=True)),
        "old": change.old,
        "new": change.new,
    }
    for name, order in (("old_order", change.old_order), ("new_order", change.new_order)):
        if order is not None:
            line[name] = list(order)
    # Only parameters of recipes have fractions; without these, the faster encoder writes the same bytes.
    return canonical_json(line) if change.table == RECIPE else _ENCODER.encode(line)


def write_patch(patch: Patch, path: str | Path) -> None:
    """Write a patch to a file; `UsageError` if the path cannot be one, `StorageError` if it cannot be written."""
    if not isinstance(path, str | Path) or not Path(path).name or "\0" in str(path):
        raise UsageError(f"cannot write a patch to {path!r}: it is not the path of a file. Name a file.")
    require_utf8_name(str(path))
    write_atomic(Path(path), encode_patch(patch))


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
