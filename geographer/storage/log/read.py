"""Read the log: its head, its events and tags, and the position of a revision."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from geographer.base.canonical_json import parse_canonical_json
from geographer.base.errors import NotFoundError, UsageError
from geographer.storage.events import EMPTY_LOG_HEAD, Event, Head

if TYPE_CHECKING:
    import duckdb

_COLUMNS: Final = ", ".join(Event._fields)
_RELATIVE: Final = re.compile(r"(?P<base>.+?)~(?P<back>\d*)")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


def read_head(connection: duckdb.DuckDBPyConnection) -> Head:
    """Return the position and digest of the last event."""
    row = connection.execute("SELECT position, digest FROM log.event ORDER BY position DESC LIMIT 1").fetchone()
    return Head(*row) if row else EMPTY_LOG_HEAD


def read_events_between(
    connection: duckdb.DuckDBPyConnection, after: int = 0, up_to: int | None = None, last: int | None = None
) -> list[Event]:
    """Return the events with `after < position <= up_to`, oldest first; at most the `last` ones."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM log.event WHERE position > $after AND position <= coalesce($up_to, position) "  # noqa: S608
        "ORDER BY position DESC LIMIT coalesce($last, 9223372036854775807)",
        {"after": after, "up_to": up_to, "last": last},
    ).fetchall()
    return [_parse_event(row) for row in reversed(rows)]


def read_event(connection: duckdb.DuckDBPyConnection, position: int) -> Event:
    """Return the event at `position`.

    Raises:
        NotFoundError: there is no such event.
    """
    events = read_events_between(connection, position - 1, position)
    if not events:
        raise NotFoundError(f"no event at @{position}. See geographer log.")
    return events[0]


def find_event_by_key(connection: duckdb.DuckDBPyConnection, key: str | None) -> Event | None:
    """Return the event that has an idempotency key, if any."""
    if key is None:
        return None
    query = f"SELECT {_COLUMNS} FROM log.event WHERE idempotency_key = $key"  # noqa: S608
    row = connection.execute(query, {"key": key}).fetchone()
    return _parse_event(row) if row else None


def _parse_event(row: tuple[Any, ...]) -> Event:
    event = Event(*row)
    return event._replace(payload=parse_canonical_json(row[Event._fields.index("payload")]))


def read_tags(connection: duckdb.DuckDBPyConnection, position: int) -> list[dict[str, Any]]:
    """Return the tags set up to `position`, by name: tag, position, digest and content digest of each."""
    query = "SELECT payload FROM log.event WHERE kind = 'revision_tagged' AND position <= $position"
    tags = [json.loads(payload)["tag"] for (payload,) in connection.execute(query, {"position": position}).fetchall()]
    keys = ("tag", "position", "digest", "content_digest")
    return sorted(({key: tag[key] for key in keys} for tag in tags), key=lambda tag: str(tag["tag"]))


def resolve_revision(connection: duckdb.DuckDBPyConnection, revision: str | int | None) -> int:
    """Return the position of a revision: a tag, a digest prefix, `@17`, `HEAD`, `HEAD~2`, or a date.

    A date (`2026-11-23`) means the last event up to the end of that day; a date with a time, up to that time. Times
    are UTC unless they have an offset.

    Raises:
        NotFoundError: no such revision.
        UsageError: a digest prefix matches several events.
    """
    head = read_head(connection).position
    if revision is None or revision == "HEAD":
        return head
    if isinstance(revision, int):
        return _check_position(revision, head, str(revision))
    if relative := _RELATIVE.fullmatch(revision):
        base = resolve_revision(connection, relative["base"])
        return _check_position(base - int(relative["back"] or 1), head, revision)
    if re.fullmatch(r"@\d+", revision):
        return _check_position(int(revision[1:]), head, revision)
    for find in (_find_by_tag, _find_by_digest, _find_by_date):
        position = find(connection, revision)
        if position is not None:
            return position
    raise NotFoundError(
        f"no revision '{revision}'. Use a tag, a digest prefix (6 characters or more), @17, HEAD~2 or a date; "
        "see geographer log."
    )


def _check_position(position: int, head: int, revision: str) -> int:
    if not 1 <= position <= head:
        raise NotFoundError(f"no revision '{revision}'. The log has events @1 to @{head}.")
    return position


def _find_by_tag(connection: duckdb.DuckDBPyConnection, name: str) -> int | None:
    head = read_head(connection).position
    return next((int(tag["position"]) for tag in read_tags(connection, head) if tag["tag"] == name), None)


def _find_by_digest(connection: duckdb.DuckDBPyConnection, prefix: str) -> int | None:
    if not _DIGEST.fullmatch(prefix):
        return None
    query = "SELECT position FROM log.event WHERE starts_with(digest, $prefix)"
    rows = connection.execute(query, {"prefix": prefix}).fetchall()
    if len(rows) > 1:
        raise UsageError(f"digest prefix '{prefix}' matches {len(rows)} events. Use more characters.")
    return int(rows[0][0]) if rows else None


def _find_by_date(connection: duckdb.DuckDBPyConnection, text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
        time = time.replace(hour=23, minute=59, second=59, microsecond=999_999)
    time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    query = "SELECT max(position) FROM log.event WHERE recorded_at <= $time"
    row = connection.execute(query, {"time": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"no revision at {text}: the log begins later. See geographer log.")
    return int(row[0])
