"""Signatures of tags: what the events that lead to a revision recorded, those of merged histories included."""

from __future__ import annotations

from typing import Final, NamedTuple

import duckdb

from geographer.base.canonical_json import parse_canonical_json
from geographer.base.errors import CorruptError, UnsupportedVersionError
from geographer.storage.events.payload import list_payload_classes, parse_payload
from geographer.storage.events.signed_tag import SignedTag
from geographer.storage.log.ancestry import has_merge, read_ancestry
from geographer.storage.log.chain import CHAIN_EVENT

_COLUMNS: Final = "digest, kind, version, decode(encode(payload), 'replace'), author, recorded_at"
_CONDITION: Final = "list_contains($kinds::VARCHAR[], kind)"
_OWN: Final = (
    f"SELECT position, {_COLUMNS} FROM {CHAIN_EVENT} WHERE {_CONDITION} AND position <= $position ORDER BY position"  # noqa: S608
)
_ALL: Final = f"SELECT NULL, {_COLUMNS} FROM log.event WHERE {_CONDITION} ORDER BY generation, digest"  # noqa: S608
_DIGEST: Final = f"SELECT digest FROM {CHAIN_EVENT} WHERE position = $position"  # noqa: S608


class RecordedSignature(NamedTuple):
    """A signature of a tag that an event recorded.

    Attributes:
        signed: The statement, the signature and the time stamp.
        position: The position of the event; None: it is in a merged history.
        event_digest: The digest of the event.
        author: Who recorded it.
        recorded_at: When, in UTC, as the recording machine says.
    """

    signed: SignedTag
    position: int | None
    event_digest: str
    author: str
    recorded_at: str


def read_tag_signatures(connection: duckdb.DuckDBPyConnection, position: int) -> list[RecordedSignature]:
    """Return the signatures that events up to a position of the chain in use recorded, oldest first.

    Events that cannot be read are left out. The log must be attached.
    """
    kinds = {payload_class.kind for payload_class in list_payload_classes() if payload_class.signs_tags}
    values = {"kinds": sorted(kinds), "position": position}
    rows = connection.execute(_OWN, values).fetchall()
    if has_merge(connection):
        rows = _add_merged(connection, rows, position, sorted(kinds))
    found = []
    for place, digest, kind, version, payload, author, recorded_at in rows:
        try:
            content = parse_payload(kind, version, parse_canonical_json(payload))
        except (CorruptError, UnsupportedVersionError, ValueError):
            continue
        found += [
            RecordedSignature(signed, place, digest, author, recorded_at) for signed in content.iter_signed_tags()
        ]
    return found


def _add_merged(
    connection: duckdb.DuckDBPyConnection, own: list[tuple[object, ...]], position: int, kinds: list[str]
) -> list[tuple[object, ...]]:
    """Return the rows of the chain, and of the events of merged histories that lead to its event at the position."""
    positions = {row[1]: row[0] for row in own}
    heads = [digest for (digest,) in connection.execute(_DIGEST, {"position": position}).fetchall()]
    leading = read_ancestry(connection).list_ancestors(heads)
    rows = connection.execute(_ALL, {"kinds": kinds}).fetchall()
    return [(positions.get(row[1]), *row[1:]) for row in rows if row[1] in leading]
