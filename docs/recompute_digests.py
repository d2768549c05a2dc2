"""Recompute every digest of a log, without the geographer package and as docs/log-format.md describes.

Usage: python docs/recompute_digests.py DATASET/.geographer/log.duckdb [--at POSITION] [--expect DIGEST] [--quiet]

The script needs Python 3.11 and the packages duckdb (1.5 or later) and rfc8785. It reads the log only. It prints one
line for each check, `ok` or `MISMATCH`, and exits with 0 when every digest agrees, with 1 otherwise, with 2 when the
file cannot be read as a log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import rfc8785

SHARED_FIELDS: Final = (
    "event_id",
    "kind",
    "version",
    "recorded_at",
    "author",
    "message",
    "command",
    "idempotency_key",
    "payload",
    "rows_digest",
    "parents",
)
HASHED_FIELDS: Final = {1: (*SHARED_FIELDS, "position"), 2: (*SHARED_FIELDS, "format", "generation")}
"""The hashed fields of an event by its format."""

OPTIONAL_FIELDS: Final = {"idempotency_key", "digest", "rows_digest"}
"""The columns of an event that may be NULL: the digests only where they were altered."""

CHAIN_COLUMNS: Final = ("branch", "position", "event_key")

HASHED_COLUMNS: Final = {
    "class_change": "class value",
    "feature_change": "feature_id id_is_integer class geometry crs properties",
    "label_change": "label raster_id path size md5 sha256 pixel_digest",
    "label_object_change": "label raster_id feature_id class instance pixels box corners visible",
    "raster_change": "raster_id collection path storage crs width height transform bands dtype nodata acquired size "
    "md5 sha256 pixel_digest outline parent_id col row recipe feature_id properties",
    "recipe_input": "recipe subject object_id geometry crs",
    "skipped_input": "input name reason",
    "split_change": "split raster_id part",
    "withdrawn_file": "md5 raster_id path sha256 size",
}
"""The hashed columns of each row table, in the order in which they are hashed. The tables are in sorted order."""

OBJECT_KEYS: Final = {
    "class_change": ("class",),
    "feature_change": ("feature_id",),
    "label_change": ("label", "raster_id"),
    "label_object_change": ("label", "raster_id", "feature_id"),
    "raster_change": ("raster_id",),
    "split_change": ("split", "raster_id"),
}
"""The columns that identify an object, for the tables that the content digest covers."""

BRANCH: Final = "main"
BLOCK_ROWS: Final = 10_000


class FormatError(Exception):
    """The file is not a log of the described format."""


class Change(NamedTuple):
    """One change of one object: what the content digest needs of a row."""

    position: int
    key: tuple[str, ...]
    removed: bool
    line: str


class Log(NamedTuple):
    """What the checks of events need.

    Attributes:
        events: The events of the chain by position, with the fields of the table `event`, `position` and `event_key`.
        unchained: How many events are in no chain.
        rows_digests: The digest of the rows of each event that has rows, by `event_key`.
        changes: The changes of objects, by position.
    """

    events: list[dict[str, Any]]
    unchained: int
    rows_digests: dict[int, str]
    changes: list[Change]


Report = Callable[[str, str, object, object], None]
"""Takes the name of a check, its subject, the recorded value and the recomputed value."""


class Printer:
    """Print the result of each check and count the mismatches."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.checks = 0
        self.mismatches = 0

    def __call__(self, check: str, subject: str, recorded: object, recomputed: object) -> None:
        """Print one check: it agrees when the recorded value equals the recomputed value."""
        self.checks += 1
        if recorded == recomputed:
            if not self._quiet:
                sys.stdout.write(f"ok        {check:<14} {subject}  {recorded}\n")
            return
        self.mismatches += 1
        sys.stdout.write(f"MISMATCH  {check:<14} {subject}  recorded {recorded}, recomputed {recomputed}\n")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def parse_json(text: str) -> Any:
    """Parse JSON; an integer of 2^53 or more was written from a double and is read as one."""
    return json.loads(text, parse_int=lambda digits: int(digits) if abs(int(digits)) < 2**53 else float(digits))


def canonicalize(value: Any) -> str | None:
    """Return the RFC 8785 text of a value, or None where it has no such text."""
    try:
        return rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        return None


def encode_field(value: Any) -> bytes:
    """Encode one column of a row: `<length in bytes>:<text>,` or `-,` for NULL."""
    if value is None:
        return b"-,"
    if isinstance(value, bool):
        text = b"true" if value else b"false"
    elif isinstance(value, bytes):
        text = sha256(value).encode()
    else:
        text = str(value).encode()
    return b"%d:%s," % (len(text), text)


def read_table(
    connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...], order: str, optional: set[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table.

    Raises:
        FormatError: the table has other columns, or NULL in one that is not `optional`.
    """
    names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    if set(names) != set(columns):
        raise FormatError(f"table {table} has the columns {sorted(names)}, expected {sorted(columns)}")
    for column in sorted({*columns} - optional):
        if connection.execute(f'SELECT 1 FROM {table} WHERE "{column}" IS NULL LIMIT 1').fetchone():  # noqa: S608
            raise FormatError(f"table {table} has NULL in the column {column}")
    selected = ", ".join(f'"{column}"' for column in columns)
    result = connection.execute(f"SELECT {selected} FROM {table} ORDER BY {order}")  # noqa: S608
    while rows := result.fetchmany(BLOCK_ROWS):
        yield from rows


def read_events(connection: duckdb.DuckDBPyConnection, tables: set[str]) -> tuple[list[dict[str, Any]], int]:
    """Read the events of the chain and the number of those in none; in the first layout the position is the key.

    Raises:
        FormatError: the log has a newer format, or other columns.
    """
    if "meta" not in tables:
        fields = (*HASHED_FIELDS[1], "digest")
        events = [
            dict(zip(fields, row, strict=True))
            for row in read_table(connection, "event", fields, "position", OPTIONAL_FIELDS)
        ]
        return [
            {**event, "format": 1, "generation": event["position"], "event_key": event["position"]} for event in events
        ], 0
    for number, version in read_table(connection, "meta", ("format", "written_by"), "format", set()):
        if number not in HASHED_FIELDS:
            raise FormatError(f"geographer {version} wrote it in format {number}")
    fields = ("event_key", *HASHED_FIELDS[2], "digest")
    rows = read_table(connection, "event", fields, "event_key", OPTIONAL_FIELDS)
    events_by_key = {row[0]: dict(zip(fields, row, strict=True)) for row in rows}
    chain = [
        (position, key)
        for branch, position, key in read_table(connection, "chain", CHAIN_COLUMNS, "position", set())
        if branch == BRANCH
    ]
    events = [{**events_by_key[key], "position": position} for position, key in chain if key in events_by_key]
    return events, len(events_by_key.keys() - {key for _, key in chain})


def read_log(connection: duckdb.DuckDBPyConnection, report: Report) -> Log:
    """Read the log, and check the digest of every row. A row table that an older log lacks is empty."""
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    events, unchained = read_events(connection, tables)
    positions = {event["event_key"]: event["position"] for event in events}
    key_column = "event_key" if "meta" in tables else "position"
    hashes: dict[int, Any] = {}
    changes: list[Change] = []
    for table in sorted(HASHED_COLUMNS.keys() & tables):
        hashed = tuple(HASHED_COLUMNS[table].split())
        columns = (key_column, "ordinal", "change", *hashed, "row_digest")
        optional = {*hashed, "row_digest"}
        order = f"{key_column}, ordinal"
        for key, ordinal, change, *values, recorded in read_table(connection, table, columns, order, optional):
            digest = sha256(b"".join(map(encode_field, values)))
            name = f"@{positions[key]}" if key in positions else f"key {key}"
            report("row_digest", f"{name} {table} {ordinal}", recorded, digest)
            line = f"{table} {ordinal} {change} {digest}\n"
            hashes.setdefault(key, hashlib.sha256()).update(line.encode())
            if table in OBJECT_KEYS and key in positions:
                identity = tuple(values[hashed.index(column)] for column in OBJECT_KEYS[table])
                subject = table.removesuffix("_change")
                line = f"{subject} {digest}"
                changes.append(Change(positions[key], (subject, *identity), change == "removed", line))
    changes.sort(key=lambda change: change.position)
    return Log(events, unchained, {key: digest.hexdigest() for key, digest in hashes.items()}, changes)


def check_event(event: dict[str, Any], previous: dict[str, Any] | None, rows_digest: str, report: Report) -> None:
    """Check one event: its place in the chain, its payload's text, its rows, its digest."""
    subject = f"@{event['position']}"
    report("position", subject, event["position"], previous["position"] + 1 if previous else 1)
    report("parents", subject, event["parents"], [previous["digest"]] if previous else [])
    report("generation", subject, event["generation"], previous["generation"] + 1 if previous else 1)
    report("rows_digest", subject, event["rows_digest"], rows_digest)
    if event["format"] not in HASHED_FIELDS:
        report("format", subject, event["format"], max(HASHED_FIELDS))
        return
    try:
        payload = parse_json(event["payload"])
    except (ValueError, RecursionError):
        report("payload", subject, event["payload"], None)
        return
    report("payload", subject, sha256(event["payload"].encode()), sha256((canonicalize(payload) or "").encode()))
    # The position that format 1 hashes is the generation, whatever chain the event is in.
    values = {**event, "payload": payload, "position": event["generation"]}
    text = canonicalize({name: values[name] for name in HASHED_FIELDS[event["format"]]})
    report("digest", subject, event["digest"], None if text is None else sha256(text.encode()))


def list_content_lines(changes: list[Change], position: int) -> list[str]:
    """Return the sorted lines of the objects at a position, from which both digests of the content are computed."""
    current: dict[tuple[str, ...], str] = {}
    for change in changes:
        if change.position > position:
            break
        if change.removed:
            current.pop(change.key, None)
        else:
            current[change.key] = change.line
    return sorted(current.values())


def content_digest(lines: list[str]) -> str:
    """Return the content digest of a revision with these lines."""
    return sha256("".join(f"{line}\n" for line in lines).encode())


def merkle_root(lines: list[str]) -> str:
    """Return the root of the Merkle tree of RFC 9162 over these lines."""
    level = [hashlib.sha256(b"\0" + line.encode()).digest() for line in lines]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        last = level[-1:] if len(level) % 2 else []
        level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs] + last
    return level[0].hex() if level else sha256(b"")


def check_tag(event: dict[str, Any], log: Log, report: Report) -> None:
    """Check the digests that a tag records against the revision that it names."""
    try:
        tag = json.loads(event["payload"])["tag"]
        subject = f"@{event['position']} tag {tag['tag']} = @{tag['position']}"
        digest, content, position = tag["digest"], tag["content_digest"], int(tag["position"])
    except (ValueError, KeyError, TypeError):
        report("tag", f"@{event['position']}", event["payload"], "a payload that names a revision")
        return
    digests = {other["position"]: other["digest"] for other in log.events}
    lines = list_content_lines(log.changes, position)
    report("tag", subject, digest, digests.get(position))
    report("content_digest", subject, content, content_digest(lines))
    if "merkle_root" in tag:
        report("merkle_root", subject, tag["merkle_root"], merkle_root(lines))


def check_log(log: Log, report: Report) -> None:
    """Check every event, every tag, and that every row belongs to an event and every event to the chain."""
    previous = None
    for event in log.events:
        check_event(event, previous, log.rows_digests.get(event["event_key"], sha256(b"")), report)
        previous = event
    report("chain", f"@{len(log.events)}", log.unchained, 0)
    for key in sorted(log.rows_digests.keys() - {event["event_key"] for event in log.events}):
        report("rows_digest", f"key {key}", "no event", log.rows_digests[key])
    for event in log.events:
        if event["kind"] == "revision_tagged":
            check_tag(event, log, report)


def check_revision(log: Log, position: int, expected: str | None, report: Report) -> None:
    """Print the digests of a revision; compare them with a digest that was kept outside the log."""
    event = next(event for event in log.events if event["position"] == position)
    lines = list_content_lines(log.changes, position)
    digests = {"digest": event["digest"], "content digest": content_digest(lines), "Merkle root": merkle_root(lines)}
    texts = ", ".join(f"{name} {digest}" for name, digest in digests.items())
    sys.stdout.write(f"revision @{position}: {texts}\n")
    if expected is not None:
        recomputed = expected if expected in digests.values() else event["digest"]
        report("expected", f"@{position}", expected, recomputed)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Recompute every digest of a log.")
    parser.add_argument("log", type=Path, help="the file log.duckdb of a dataset")
    parser.add_argument(
        "--at", type=int, metavar="POSITION", help="print the digests of this revision; default: the last"
    )
    parser.add_argument("--expect", metavar="DIGEST", help="one of the digests of that revision, in full, as cited")
    parser.add_argument("--quiet", action="store_true", help="print mismatches and the summary only")
    arguments = parser.parse_args()
    if not arguments.log.is_file():
        parser.error(f"no such file: '{arguments.log}'")
    return arguments


def main() -> int:
    """Check the log that the command line names, and return the exit code."""
    arguments = parse_arguments()
    report = Printer(quiet=arguments.quiet)
    try:
        with duckdb.connect(str(arguments.log), read_only=True) as connection:
            log = read_log(connection, report)
    except (duckdb.Error, FormatError) as error:
        sys.stderr.write(f"cannot read '{arguments.log}' as a log: {error}\n")
        return 2
    check_log(log, report)
    positions = [event["position"] for event in log.events]
    position = arguments.at if arguments.at is not None else max(positions, default=0)
    if position not in positions:
        report("revision", f"@{position}", "no event", f"the log has {len(positions)} events")
    else:
        check_revision(log, position, arguments.expect, report)
    sys.stdout.write(f"{report.checks} checks, {report.mismatches} mismatches\n")
    return 1 if report.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
