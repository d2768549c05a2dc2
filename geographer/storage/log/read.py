"""Read the log: its head, single events, and the position that a revision names."""

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

_COLUMNS: Final = (
    "position, event_id, kind, version, recorded_at, author, message, command, idempotency_key, payload, "
    "rows_digest, parents, digest"
)
_RELATIVE: Final = re.compile(r"(?P<base>.+?)~(?P<back>\d*)")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


def read_head(connection: duckdb.DuckDBPyConnection) -> Head:
    """The last event's position and digest."""
    row = connection.execute("SELECT position, digest FROM log.event ORDER BY position DESC LIMIT 1").fetchone()
    return Head(*row) if row else EMPTY_LOG_HEAD


def read_events_between(
    connection: duckdb.DuckDBPyConnection, after: int = 0, up_to: int | None = None, last: int | None = None
) -> list[Event]:
    """The events with `after < position <= up_to`, oldest first; only the `last` of them when that is given."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM log.event WHERE position > $after AND position <= coalesce($up_to, position) "  # noqa: S608
        "ORDER BY position DESC LIMIT coalesce($last, 9223372036854775807)",
        {"after": after, "up_to": up_to, "last": last},
    ).fetchall()
    return [_event(row) for row in reversed(rows)]


def read_event(connection: duckdb.DuckDBPyConnection, position: int) -> Event:
    """The event at `position`."""
    found = read_events_between(connection, position - 1, position)
    if not found:
        raise NotFoundError(f"no event at @{position}: see geographer log")
    return found[0]


def find_event_by_key(connection: duckdb.DuckDBPyConnection, key: str | None) -> Event | None:
    """The event that was recorded under an idempotency key."""
    if key is None:
        return None
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM log.event WHERE idempotency_key = $key",  # noqa: S608
        {"key": key},
    ).fetchone()
    return _event(row) if row else None


def _event(row: tuple[Any, ...]) -> Event:
    event = Event(*row)
    return Event(**{**event.to_dict(), "payload": parse_canonical_json(row[9])})


def read_tags(connection: duckdb.DuckDBPyConnection, position: int) -> list[dict[str, Any]]:
    """The tags that stand at `position`: name, position, digest and content digest of each, by name."""
    rows = connection.execute(
        "SELECT payload FROM log.event WHERE kind = 'revision_tagged' AND position <= $position",
        {"position": position},
    ).fetchall()
    tags = [json.loads(payload)["tag"] for (payload,) in rows]
    return sorted(
        ({key: tag[key] for key in ("tag", "position", "digest", "content_digest")} for tag in tags),
        key=lambda tag: str(tag["tag"]),
    )


def resolve_revision(connection: duckdb.DuckDBPyConnection, revision: str | int | None) -> int:
    """The position that a revision names: a tag, a digest prefix, `@17`, `HEAD`, `HEAD~2`, or a date.

    A date (`2026-11-23`, or with a time, UTC unless it says otherwise) names the last event recorded up to its end.

    Raises:
        NotFoundError: nothing has that name.
        UsageError: a digest prefix fits more than one event.
    """
    head = read_head(connection).position
    if revision is None or revision == "HEAD":
        return head
    if isinstance(revision, int):
        return _existing(revision, head, str(revision))
    relative = _RELATIVE.fullmatch(revision)
    if relative:
        base = resolve_revision(connection, relative["base"])
        return _existing(base - int(relative["back"] or 1), head, revision)
    if re.fullmatch(r"@\d+", revision):
        return _existing(int(revision[1:]), head, revision)
    for find in (_by_tag, _by_digest, _by_date):
        position = find(connection, revision)
        if position is not None:
            return position
    raise NotFoundError(
        f"no revision '{revision}': give a tag, a digest prefix (6 or more), @17, HEAD~2 or a date; see geographer log"
    )


def _existing(position: int, head: int, revision: str) -> int:
    if not 1 <= position <= head:
        raise NotFoundError(f"no revision '{revision}': the log goes from @1 to @{head}")
    return position


def _by_tag(connection: duckdb.DuckDBPyConnection, name: str) -> int | None:
    head = read_head(connection).position
    return next((int(tag["position"]) for tag in read_tags(connection, head) if tag["tag"] == name), None)


def _by_digest(connection: duckdb.DuckDBPyConnection, prefix: str) -> int | None:
    if not _DIGEST.fullmatch(prefix):
        return None
    rows = connection.execute(
        "SELECT position FROM log.event WHERE starts_with(digest, $prefix)", {"prefix": prefix}
    ).fetchall()
    if len(rows) > 1:
        raise UsageError(f"digest prefix '{prefix}' fits {len(rows)} events: give more of it")
    return int(rows[0][0]) if rows else None


def _by_date(connection: duckdb.DuckDBPyConnection, text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    row = connection.execute(
        "SELECT max(position) FROM log.event WHERE recorded_at <= $moment",
        {"moment": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
    ).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"no revision at {text}: the log begins later; see geographer log")
    return int(row[0])
