"""Read the log: the head and the events of its chain, and the position of a revision."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from operator import index
from typing import Any, Final

import duckdb

from geographer.base.canonical_json import parse_canonical_json
from geographer.base.errors import NotFoundError, UnsupportedVersionError, UsageError
from geographer.base.text import is_unicode, quote_start
from geographer.storage.events import EMPTY_LOG_HEAD, Event, Head
from geographer.storage.events.envelope import EVENT_FORMAT
from geographer.storage.events.payload import find_payload_class
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import Location, find_chain_of, read_branch, read_chain_head
from geographer.storage.log.chain import BRANCH, CHAIN_EVENT, build_head_sql

_COLUMNS: Final = ", ".join(Event._fields)
_EVENT_COLUMNS: Final = ", ".join(field for field in Event._fields if field != "position")
_RELATIVE: Final = re.compile(r"(?P<base>[^~]+)(?P<steps>(?:~[0-9]*)+)")
_MAX_DIGITS: Final = 18
_SETS_TAGS: Final = "(kind = 'revision_tagged' OR contains(payload, '\"tags\":[{'))"
"""Finds the events that set tags by the text of their payloads, which are canonical JSON: to parse all takes longer."""
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


def read_head(connection: duckdb.DuckDBPyConnection) -> Head:
    """Return the position and digest of the last event."""
    row = connection.execute(build_head_sql(BRANCH)).fetchone()
    return Head(*row) if row else EMPTY_LOG_HEAD


def read_events_between(
    connection: duckdb.DuckDBPyConnection, after: int = 0, up_to: int | None = None, last: int | None = None
) -> list[Event]:
    """Return the events with `after < position <= up_to`, oldest first; at most the `last` ones."""
    if last is not None:
        # Positions have no gaps. With a limit instead, DuckDB would read and sort all events.
        after = max(after, (_read_head_position(connection) if up_to is None else up_to) - last)
    query = (
        f"SELECT {_COLUMNS} FROM {CHAIN_EVENT} WHERE position > $after AND position <= coalesce($up_to, position) "  # noqa: S608
        "ORDER BY position"
    )
    rows = connection.execute(query, {"after": after, "up_to": up_to}).fetchall()
    return [_parse_event(row) for row in rows]


def read_event(connection: duckdb.DuckDBPyConnection, position: int) -> Event:
    """Return the event at `position`, or raise `NotFoundError`; see `read_events_between`."""
    events = read_events_between(connection, position - 1, position)
    if not events:
        raise NotFoundError(f"no event at @{position}. See geographer log.")
    return events[0]


def find_event_by_key(connection: duckdb.DuckDBPyConnection, key: str | None) -> Event | None:
    """Return the event that has an idempotency key, if any."""
    if key is None:
        return None
    query = f"SELECT {_COLUMNS} FROM {CHAIN_EVENT} WHERE idempotency_key = $key"  # noqa: S608
    row = connection.execute(query, {"key": key}).fetchone()
    return _parse_event(row) if row else None


def find_merged_event(
    connection: duckdb.DuckDBPyConnection, key: str, is_repeated: Callable[[Event], bool]
) -> Event | None:
    """Return the event, merged into the chain from another one, that has an idempotency key and the same request.

    `is_repeated` says whether an event has that request. Keys hold for each chain: another request may use the key of a
    merged event.
    """
    query = f"SELECT 0 AS position, {_EVENT_COLUMNS} FROM log.event WHERE idempotency_key = $key"  # noqa: S608
    events = [_parse_event(row) for row in connection.execute(query, {"key": key}).fetchall()]
    if not events:
        return None
    ancestry, head = read_ancestry(connection), read_head(connection)
    merged = (event for event in events if ancestry.is_ancestor(event.digest, head.digest))
    return next(filter(is_repeated, merged), None)


def require_supported_log(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise `UnsupportedVersionError` if a newer version of geographer wrote the log."""
    row = connection.execute("SELECT format, written_by FROM log.meta").fetchone()
    if row and row[0] > EVENT_FORMAT:
        raise UnsupportedVersionError(
            f"this dataset was written by geographer {row[1]} with log format {row[0]}; this version reads up to "
            f"format {EVENT_FORMAT}. Upgrade geographer."
        )


def is_supported_event(event_format: int, kind: str, version: int) -> bool:
    """Return whether this version knows the format of an event, and its kind in that version."""
    try:
        find_payload_class(kind, version)
    except UnsupportedVersionError:
        return False
    return event_format <= EVENT_FORMAT


def make_version_error(event: Event) -> UnsupportedVersionError:
    """Return the error for an event of a newer version, which names the version that wrote it."""
    software = event.payload.get("software")
    version = software.get("geographer") if isinstance(software, dict) else None
    return UnsupportedVersionError(
        f"event @{event.position} was written by geographer {version or 'of a later version'} as '{event.kind}' "
        f"version {event.version} in format {event.format}, which this version does not know. Upgrade geographer."
    )


def _parse_event(row: tuple[Any, ...]) -> Event:
    event = Event(*row)
    event = event._replace(payload=parse_canonical_json(row[Event._fields.index("payload")]))
    if event.format > EVENT_FORMAT:
        raise make_version_error(event)
    return event


def resolve_revision(connection: duckdb.DuckDBPyConnection, revision: str | int | None) -> int:
    """Return the position of a revision of the branch in use; see `locate_revision`.

    `NotFoundError` if the branch in use does not have it.
    """
    location = locate_revision(connection, revision)
    own = read_branch(connection)
    if location.branch != own:
        raise NotFoundError(
            f"'{revision}' is @{location.position} of {location.branch}, which the branch '{own}' does not have. Merge "
            f"it (geographer merge {revision}), or switch to that branch."
        )
    return location.position


def locate_revision(connection: duckdb.DuckDBPyConnection, revision: Location | str | int | None) -> Location:
    """Return where a revision is: a tag, a digest prefix, `@17`, `HEAD`, `HEAD~2`, a branch (`origin/main`), or a date.

    What the branch in use does not have is looked for in the other chains of the log. A date (`2026-11-23`) means the
    last event up to the end of that day; with a time, up to that time, in UTC unless it has an offset. `NotFoundError`
    if there is none, `UsageError` if a digest prefix matches several events. A location is returned as it is.
    """
    own = Location(read_branch(connection), _read_head_position(connection))
    if revision is None:
        return own
    if isinstance(revision, Location):
        return revision
    if not isinstance(revision, str):
        return own._replace(position=_check_position(_read_position(revision), own.position, str(revision)))
    parts = _RELATIVE.fullmatch(revision)
    name, steps = (parts["base"], parts["steps"]) if parts else (revision, "")
    base = _locate_name(connection, name, own)
    if base is None:
        raise NotFoundError(
            f"no revision '{quote_start(name)}'. Use a tag, a digest prefix (6 characters or more), @17, HEAD~2, a "
            "date, or a branch such as origin/main; see geographer log."
        )
    position = base.position - sum(_read_number(step or "1") for step in steps.split("~")[1:])
    last = own.position if base.branch == own.branch else base.position
    return base._replace(position=_check_position(position, last, revision))


def _read_head_position(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the position of the last event, which takes a third of the time of `read_head`."""
    query = f"SELECT coalesce(max(position), 0) FROM log.chain WHERE branch = {BRANCH}"  # noqa: S608
    ((position,),) = connection.execute(query).fetchall()
    return int(position)


def _locate_name(connection: duckdb.DuckDBPyConnection, name: str, own: Location) -> Location | None:
    """Return where a revision is that is given without steps back, or None if there is none."""
    if name == "HEAD":
        return own
    if re.fullmatch(r"@[0-9]+", name):
        return own._replace(position=_read_number(name[1:]))
    if is_unicode(name):
        # A tag from elsewhere can have the name of a digest, which means the event nevertheless.
        for find in (_find_by_digest, _find_by_own_tag, _find_by_branch, _find_by_other_tag):
            if (location := find(connection, name)) is not None:
                return location
        if (position := _find_by_date(connection, name)) is not None:
            return own._replace(position=position)
    return None


def _read_number(digits: str) -> int:
    """Return a number of any length; those beyond 18 digits only as a large one."""
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _read_position(revision: Any) -> int:
    """Return the integer that a position is, also one of numpy; else `UsageError`."""
    try:
        if not isinstance(revision, bool):
            return index(revision)
    except TypeError:
        pass
    raise UsageError(f"invalid revision {revision!r}. Use a text or a whole number, or see geographer log.")


def _check_position(position: int, head: int, revision: str) -> int:
    if not 1 <= position <= head:
        raise NotFoundError(f"no revision '{quote_start(revision)}'. The log has events @1 to @{head}.")
    return position


def _find_by_branch(connection: duckdb.DuckDBPyConnection, name: str) -> Location | None:
    """Return where the last event of a branch, or of a fetched one such as `origin/main`, is."""
    head = read_chain_head(connection, name)
    return None if head == EMPTY_LOG_HEAD else _locate_event(connection, head.digest, name)


def _find_by_own_tag(connection: duckdb.DuckDBPyConnection, name: str) -> Location | None:
    """Return where the event is that a tag of the branch in use names: the last one, which resolved a conflict."""
    digests = _find_tagged_digests(connection, name, CHAIN_EVENT, "max(position) DESC")
    return _locate_event(connection, digests[0], f"tag '{name}'") if digests else None


def _find_by_other_tag(connection: duckdb.DuckDBPyConnection, name: str) -> Location | None:
    """Return where the event is that a tag of another chain names; `UsageError` if several events have such a tag."""
    digests = _find_tagged_digests(connection, name, "log.event", "1")
    if len(digests) > 1:
        raise UsageError(f"tag '{name}' names {len(digests)} revisions, on several branches. Use a digest.")
    return _locate_event(connection, digests[0], f"tag '{name}'") if digests else None


def _find_tagged_digests(connection: duckdb.DuckDBPyConnection, name: str, events: str, order: str) -> list[str]:
    # A merge event lists the tags that the merged branch had. An event that signs a tag repeats it, and sets none.
    query = (
        f"SELECT tag->>'$.digest' AS digest FROM (SELECT events.* EXCLUDE (digest), unnest(list_append(coalesce("  # noqa: S608
        f"TRY_CAST(payload->'$.tags' AS JSON[]), []), if(kind = 'revision_tagged', payload->'$.tag', NULL))) AS tag "
        f"FROM {events} AS events WHERE {_SETS_TAGS}) "
        f"WHERE (tag->>'$.tag') = $name GROUP BY ALL ORDER BY {order}"
    )
    return [digest for (digest,) in connection.execute(query, {"name": name}).fetchall()]


def has_tag(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether an event of the log, of any branch, records a tag of this name."""
    return bool(_find_tagged_digests(connection, name, "log.event", "1"))


def _find_by_digest(connection: duckdb.DuckDBPyConnection, prefix: str) -> Location | None:
    if not _DIGEST.fullmatch(prefix):
        return None
    digests = _list_digests(connection, "log.event", prefix)
    if len(digests) > 1:
        digests = _list_digests(connection, CHAIN_EVENT, prefix) or digests
    if len(digests) > 1:
        raise UsageError(f"digest prefix '{prefix}' matches {len(digests)} events. Use more characters.")
    return _locate_event(connection, digests[0], prefix) if digests else None


def _list_digests(connection: duckdb.DuckDBPyConnection, events: str, prefix: str) -> list[str]:
    # The first comparison can use the index of digests.
    query = f"SELECT digest FROM {events} WHERE digest BETWEEN $prefix AND $prefix || 'g'"  # noqa: S608
    return [digest for (digest,) in connection.execute(query, {"prefix": prefix}).fetchall()]


def _locate_event(connection: duckdb.DuckDBPyConnection, digest: str, name: str) -> Location:
    location = find_chain_of(connection, digest)
    if location is None:
        raise NotFoundError(f"{name} names the event {digest}, which the log lacks. See geographer verify.")
    return location


def _find_by_date(connection: duckdb.DuckDBPyConnection, text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        if re.fullmatch(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}(-?\d)?)", text):
            time = time.replace(hour=23, minute=59, second=59, microsecond=999_999)
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    query = f"SELECT max(position) FROM {CHAIN_EVENT} WHERE recorded_at <= $time"  # noqa: S608
    recorded_at = f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    row = connection.execute(query, {"time": recorded_at}).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"no revision at {text}: the log begins later. See geographer log.")
    return int(row[0])
