"""The recorded version of an object at a revision: its row with the texts that the row's digest covers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.base.text import encode_chip_id, quote_start
from geographer.outputs.history import ObjectName, list_meanings, parse_object
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES, WKB_COLUMNS
from geographer.storage.queries.revision import Revision

_TABLES: Final = {
    "class": "class_change",
    "feature": "feature_change",
    "raster": "raster_change",
    "label": "label_change",
    "split": "split_change",
}
"""The row table of each kind of object that a content digest covers and that has a name."""


class RecordedRow(NamedTuple):
    """A row of the log: the version of an object at a revision.

    Attributes:
        name: The object, such as `raster:chips/a_p1`.
        table: The row table.
        fields: The columns that the row's digest covers, in order, each with its text; None for NULL. The text of a
            geometry is the SHA-256 of its WKB, in hex.
    """

    name: str
    table: str
    fields: list[tuple[str, str | None]]

    @property
    def row_digest(self) -> str:
        """The digest of the row, in hex; see docs/log-format.md."""
        return hashlib.sha256("".join(encode_field(text) for _, text in self.fields).encode()).hexdigest()

    @property
    def content_line(self) -> str:
        """The line of the object in the content digest and the Merkle tree."""
        return f"{self.table.removesuffix('_change')} {self.row_digest}"


def encode_field(text: str | None) -> str:
    """Return a field as a row's digest covers it: a netstring; `-,` for NULL."""
    return "-," if text is None else f"{len(text.encode())}:{text},"


def find_recorded_row(revision: Revision, name: str) -> RecordedRow:
    """Return the row of an object of a revision.

    Raises:
        NotFoundError: the revision has no such object.
        UsageError: the name is that of a feature and of a raster, or of a recipe.
        CorruptError: the row does not match its digest.
    """
    if parse_object(name).subject == "recipe":
        raise UsageError(
            "a recipe is not in a Merkle root, only in the log. Prove its event: geographer prove event:DIGEST."
        )
    found = [row for meaning in _list_objects(name) if (row := _read_row(revision, meaning)) is not None]
    if not found:
        shown = quote_start(name)
        raise NotFoundError(
            f"no object '{shown}' in @{revision.position}. Use the id of a feature or raster, or feature:ID, "
            "raster:ID, label:NAME/RASTER_ID, class:NAME or split:NAME/RASTER_ID."
        )
    names = list(dict.fromkeys(row.name for row in found))
    if len(names) > 1:
        raise UsageError(f"'{name}' is {' and '.join(names)}. Use one of these names.")
    return found[0]


def _list_objects(name: str) -> Iterator[ObjectName]:
    """Yield the objects that a text may name, each with a subject."""
    for meaning in list_meanings(name):
        if meaning.subject == "split":
            split, slash, raster_id = meaning.name.partition("/")
            yield meaning
            yield ObjectName("split", f"{split}{slash}{encode_chip_id(raster_id)}")
        elif meaning.subject is not None:
            yield meaning
        else:
            yield from (ObjectName("feature", meaning.name), ObjectName("raster", meaning.name))


def _read_row(revision: Revision, meaning: ObjectName) -> RecordedRow | None:
    """Return the row of the last version of an object up to the revision; None if there is none, or it was removed."""
    subject = meaning.subject or ""
    table = _TABLES.get(subject)
    if table is None:
        return None
    keys: list[Any] = meaning.name.split("/", len(KEY_COLUMNS[table]) - 1)
    if len(keys) < len(KEY_COLUMNS[table]):
        return None
    texts = ", ".join(
        f'lower(sha256("{column}"))' if column in WKB_COLUMNS else f'"{column}"::VARCHAR'
        for column in ROW_TABLES[table]
    )
    condition = " AND ".join(f'"{column}" = ${number}' for number, column in enumerate(KEY_COLUMNS[table], 2))
    rows = revision.connection.execute(
        f"SELECT change, row_digest, {texts} FROM chain_{table} WHERE position <= $1 AND {condition} "  # noqa: S608
        "ORDER BY position DESC, ordinal DESC LIMIT 1",
        [revision.position, *keys],
    ).fetchall()
    if not rows or rows[0][0] == "removed":
        return None
    _, digest, *values = rows[0]
    row = RecordedRow(f"{subject}:{meaning.name}", table, list(zip(ROW_TABLES[table], values, strict=True)))
    if row.row_digest != digest:
        raise CorruptError(f"the row of {row.name} does not match its digest. Run geographer verify.")
    return row
