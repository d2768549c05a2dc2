"""Recompute every digest of a log, without the geographer package and as docs/log-format.md describes.

Usage: python docs/recompute_digests.py LOG [--at POSITION] [--expect DIGEST] [--quiet]

LOG is DATASET/.geographer/log.duckdb, or DATASET/history, a folder of segments. Of a folder, those events are checked
that lead to the head in the file geographer.lock beside it; without that file, to the only event that none follows.

The script needs Python 3.11 and the packages duckdb (1.5 or later) and rfc8785. It reads the log only. It prints one
line for each check, `ok` or `MISMATCH`, and exits with 0 when every digest agrees, with 1 otherwise, with 2 when the
log cannot be read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    "label_source": "label raster_id path sha256 size",
    "merge_conflict": "conflict subject object_id column_name base ours theirs remedy",
    "object_order": "subject object_id generation digest place",
    "raster_change": "raster_id collection path storage crs width height transform bands dtype nodata acquired size "
    "md5 sha256 pixel_digest outline parent_id col row recipe feature_id properties",
    "recipe_input": "recipe subject object_id geometry crs",
    "skipped_input": "input name reason",
    "split_change": "split raster_id part",
    "withdrawn_file": "md5 raster_id path sha256 size",
    "command_file": "role path size md5 sha256 raster_id label",
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
LOCK_FILE: Final = "geographer.lock"
LOCK_FIELDS: Final = {"format", "dataset", "branch", "head", "content_digest"}
LOCK_FORMAT: Final = 1
SEGMENT_FORMAT: Final = "1"


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
        events: The events of the chain `main` by position, with the fields of the table `event`, `position` and
            `event_key`, which is the event's digest if the log is a folder of segments.
        chains: Those of the other chains, by the name of the chain.
        unchained: The events that are in no chain.
        rows_digests: The digest of the rows of each event that has rows, by `event_key`.
        changes: The changes of objects, by position in `main`.
        generations: The generation of each event, those of merged histories included, by digest.
    """

    events: list[dict[str, Any]]
    chains: dict[str, list[dict[str, Any]]]
    unchained: list[dict[str, Any]]
    rows_digests: dict[Any, str]
    changes: list[Change]
    generations: dict[str, int]


class RowHashes:
    """Hash rows, which are added in the order of the tables and, for each event, of the ordinals."""

    def __init__(self) -> None:
        self._hash_by_key: dict[Any, Any] = {}
        self.changes: list[Change] = []

    def add_row(
        self, key: Any, position: int | None, table: str, ordinal: int, change: str, values: Sequence[Any]
    ) -> str:
        """Add a row of the event `key`, and return its digest; an event without a position is in no chain."""
        digest = sha256(b"".join(map(encode_field, values)))
        self._hash_by_key.setdefault(key, hashlib.sha256()).update(f"{table} {ordinal} {change} {digest}\n".encode())
        if table in OBJECT_KEYS and position is not None:
            hashed = HASHED_COLUMNS[table].split()
            identity = tuple(values[hashed.index(column)] for column in OBJECT_KEYS[table])
            subject = table.removesuffix("_change")
            self.changes.append(Change(position, (subject, *identity), change == "removed", f"{subject} {digest}"))
        return digest

    def compute_rows_digests(self) -> dict[Any, str]:
        """Return the digest of the rows of each event that has rows."""
        return {key: hashed.hexdigest() for key, hashed in self._hash_by_key.items()}


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


def sort_by_position(changes: list[Change]) -> list[Change]:
    """Return changes of objects by position; those of one position stay in their order."""
    return sorted(changes, key=lambda change: change.position)


class Chains(NamedTuple):
    """The events of each chain by position, that of `main` first, and the events in none."""

    events: dict[str, list[dict[str, Any]]]
    unchained: list[dict[str, Any]]


def read_events(connection: duckdb.DuckDBPyConnection, tables: set[str]) -> Chains:
    """Read the events; in the first layout the position is the key, and there is one chain.

    Raises:
        FormatError: the log has a newer format, or other columns.
    """
    if "meta" not in tables:
        fields = (*HASHED_FIELDS[1], "digest")
        events = [
            dict(zip(fields, row, strict=True))
            for row in read_table(connection, "event", fields, "position", OPTIONAL_FIELDS)
        ]
        own = [
            {**event, "format": 1, "generation": event["position"], "event_key": event["position"]} for event in events
        ]
        return Chains({BRANCH: own}, [])
    for number, version in read_table(connection, "meta", ("format", "written_by"), "format", set()):
        if number not in HASHED_FIELDS:
            raise FormatError(f"geographer {version} wrote it in format {number}")
    fields = ("event_key", *HASHED_FIELDS[2], "digest")
    rows = read_table(connection, "event", fields, "event_key", OPTIONAL_FIELDS)
    events_by_key = {row[0]: dict(zip(fields, row, strict=True)) for row in rows}
    chains: dict[str, list[dict[str, Any]]] = {BRANCH: []}
    unchained = {**events_by_key}
    for branch, position, key in read_table(connection, "chain", CHAIN_COLUMNS, "branch, position", set()):
        unchained.pop(key, None)
        if key in events_by_key:
            chains.setdefault(branch, []).append({**events_by_key[key], "position": position})
    return Chains(chains, [*unchained.values()])


def read_log(connection: duckdb.DuckDBPyConnection, report: Report) -> Log:
    """Read the log, and check the digest of every row. A row table that an older log lacks is empty."""
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    chains, unchained = read_events(connection, tables)
    events = chains.pop(BRANCH)
    positions = {event["event_key"]: event["position"] for event in events}
    key_column = "event_key" if "meta" in tables else "position"
    rows = RowHashes()
    for table in sorted(HASHED_COLUMNS.keys() & tables):
        hashed = tuple(HASHED_COLUMNS[table].split())
        columns = (key_column, "ordinal", "change", *hashed, "row_digest")
        optional = {*hashed, "row_digest"}
        order = f"{key_column}, ordinal"
        for key, ordinal, change, *values, recorded in read_table(connection, table, columns, order, optional):
            digest = rows.add_row(key, positions.get(key), table, ordinal, change, values)
            name = f"@{positions[key]}" if key in positions else f"key {key}"
            report("row_digest", f"{name} {table} {ordinal}", recorded, digest)
    known = [*events, *unchained, *(event for chain in chains.values() for event in chain)]
    generations = {event["digest"]: event["generation"] for event in known}
    return Log(events, chains, unchained, rows.compute_rows_digests(), sort_by_position(rows.changes), generations)


def read_history(connection: duckdb.DuckDBPyConnection, folder: Path, report: Report) -> Log:
    """Read a folder of segments; check the name of each, the events that do not lead to the head, and the lock file.

    Such events are those of merged histories, or of others that diverged.

    Raises:
        FormatError: a file is not a segment of the described format, or the head is unknown.
    """
    events: dict[str, dict[str, Any]] = {}
    segments: dict[Path, list[str]] = {}
    for path in sorted(folder.glob("*.parquet")):
        contents = read_contents(connection, path)
        segments[path] = digests = [sha256(content.encode()) for content in contents]
        events |= zip(digests, map(parse_content, contents), strict=True)
        report("segment", path.name, path.stem, sha256("".join(f"{digest}\n" for digest in digests).encode()))
    lock = read_lock(folder.parent / LOCK_FILE)
    chain = find_chain(events, lock["head"] if lock else find_head(events), report)
    positions = {digest: position for position, digest in enumerate(chain, start=1)}
    changes: list[Change] = []
    rows_digests: dict[str, str] = {}
    for path, digests in segments.items():
        # Two segments may have the same event. The rows of each are compared, and count once.
        hashes = RowHashes()
        for number, *row in read_segment_rows(connection, path):
            digest = digests[number] if number in range(len(digests)) else f"{path.name} {number}"
            hashes.add_row(digest, None if digest in rows_digests else positions.get(digest), *row)
        found = {digest: sha256(b"") for digest in digests} | hashes.compute_rows_digests()
        for digest in sorted(found.keys() - events.keys()):
            report("rows_digest", digest, "no event", found[digest])
        for digest in sorted(found.keys() & rows_digests.keys()):
            report("rows_digest", f"{path.name} {digest[:12]}", rows_digests[digest], found[digest])
        rows_digests = found | rows_digests
        changes += hashes.changes
    for digest in sorted(events.keys() - positions.keys()):
        check_content(events[digest], rows_digests[digest], f"event {digest[:12]}", report)
    own = [{**events[digest], "position": positions[digest]} for digest in chain]
    own_digests = {digest: rows_digests[digest] for digest in chain}
    generations = {digest: event["generation"] for digest, event in events.items()}
    log = Log(own, {}, [], own_digests, sort_by_position(changes), generations)
    if lock:
        report("dataset", LOCK_FILE, lock["dataset"], chain[0] if chain else "no event")
        digest = content_digest(list_content_lines(log.changes, len(chain)))
        report("content_digest", LOCK_FILE, lock["content_digest"], digest)
    return log


def read_lock(path: Path) -> dict[str, Any] | None:
    """Read a lock file; None if there is none.

    Raises:
        FormatError: it is no lock file of the described format.
    """
    if not path.is_file():
        return None
    try:
        lock: dict[str, Any] = json.loads(path.read_bytes())
        is_valid = lock.keys() == LOCK_FIELDS and lock["format"] == LOCK_FORMAT
    except (ValueError, AttributeError):
        is_valid = False
    if not is_valid:
        raise FormatError(f"'{path}' is not a lock file of format {LOCK_FORMAT}")
    return lock


def find_head(events: Mapping[str, dict[str, Any]]) -> str:
    """Return the only event that is no parent of another one.

    Raises:
        FormatError: there is none, or several.
    """
    heads = events.keys() - {parent for event in events.values() for parent in event["parents"]}
    if len(heads) != 1:
        raise FormatError(f"its segments have {len(heads)} heads, and there is no file {LOCK_FILE} that names one")
    return heads.pop()


def find_chain(events: Mapping[str, dict[str, Any]], head: str, report: Report) -> list[str]:
    """Follow first parents from the head, and return the digests of the events from the first one on."""
    chain: list[str] = []
    parents = [head]
    while parents:
        report("event", f"{parents[0][:12]}", parents[0] in events, True)
        if parents[0] not in events:
            break
        chain.append(parents[0])
        parents = events[parents[0]]["parents"]
    return chain[::-1]


def scan_segment(path: Path) -> str:
    """Return the argument with which DuckDB reads this file; it takes some characters for a pattern."""
    pattern = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
    return "'{}'".format(pattern.replace("'", "''"))


def read_contents(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Return the contents of the events of a segment.

    Raises:
        FormatError: the file is not a segment of the described format.
    """
    file = scan_segment(path)
    query = f"SELECT decode(value) FROM parquet_kv_metadata({file}) WHERE decode(key) = 'geographer_segment'"  # noqa: S608
    formats = [text for (text,) in connection.execute(query).fetchall()]
    if formats != [SEGMENT_FORMAT]:
        raise FormatError(f"'{path.name}' has the segment formats {formats}, expected {SEGMENT_FORMAT}")
    query = f"SELECT event, content FROM read_parquet({file}) WHERE row_table = 'event' ORDER BY event"  # noqa: S608
    rows = connection.execute(query).fetchall()
    if [number for number, _ in rows] != [*range(len(rows))] or None in [content for _, content in rows]:
        raise FormatError(f"the events of '{path.name}' are not numbered 0, 1, 2 …, or one has no content")
    return [content for _, content in rows]


def parse_content(content: str) -> dict[str, Any]:
    """Return the fields of an event in a segment as the table `event` has them.

    Raises:
        FormatError: the content is not an event of the described formats.
    """
    try:
        fields = parse_json(content)
        event_format = fields.get("format", 1)
        is_event = event_format in HASHED_FIELDS and {*fields} == {*HASHED_FIELDS[event_format]}
    except (ValueError, RecursionError, AttributeError, TypeError):
        is_event = False
    if not is_event:
        raise FormatError(f"a content is not an event of format {' or '.join(map(str, HASHED_FIELDS))}")
    generation = fields["position" if event_format == 1 else "generation"]
    payload = canonicalize(fields["payload"])
    digest = sha256(content.encode())
    return {
        **fields,
        "format": event_format,
        "generation": generation,
        "payload": payload,
        "digest": digest,
        "event_key": digest,
    }


def read_segment_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a segment: number of the event, table, ordinal, change, and the hashed values.

    Raises:
        FormatError: there are rows of an unknown table.
    """
    source = f"read_parquet({scan_segment(path)}, hive_partitioning = false)"
    present = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}  # noqa: S608
    tables = {row[0] for row in connection.execute(f"SELECT DISTINCT row_table FROM {source}").fetchall()}  # noqa: S608
    if unknown := tables - {"event", *HASHED_COLUMNS}:
        raise FormatError(f"'{path.name}' has rows of {sorted(unknown, key=str)}")
    for table in sorted(tables - {"event"}):
        names = [f'"{column}"' if column in present else "NULL" for column in HASHED_COLUMNS[table].split()]
        query = f"SELECT event, ordinal, change, {', '.join(names)} FROM {source} "  # noqa: S608
        result = connection.execute(f"{query} WHERE row_table = '{table}' ORDER BY event, ordinal")
        while rows := result.fetchmany(BLOCK_ROWS):
            for number, ordinal, change, *values in rows:
                yield number, table, ordinal, change, values


def check_place(
    event: dict[str, Any],
    previous: dict[str, Any] | None,
    subject: str,
    report: Report,
    generations: Mapping[str, int],
) -> None:
    """Check the place of an event in a chain: its position, its parents, of which a merge has two, its generation.

    `generations` are those of all events of the log, by digest.
    """
    report("position", subject, event["position"], previous["position"] + 1 if previous else 1)
    merged = [digest for digest in event["parents"][1:] if digest in generations]
    report("parents", subject, event["parents"], [previous["digest"], *merged] if previous else [])
    parents = [previous["generation"] if previous else 0, *(generations[digest] for digest in merged)]
    report("generation", subject, event["generation"], 1 + max(parents))


def check_content(event: dict[str, Any], rows_digest: str, subject: str, report: Report) -> None:
    """Check what an event says, wherever it is: its rows, its payload's text, its digest."""
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


def log_root(log: Log, position: int) -> str:
    """Return the root of the Merkle tree over the digests of the events up to a position."""
    return merkle_root([event["digest"] for event in log.events if event["position"] <= position])


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
    if "log_root" in tag:
        report("log_root", subject, tag["log_root"], log_root(log, position))
        report("dataset", subject, tag["dataset"], digests.get(1))


def check_log(log: Log, report: Report) -> None:
    """Check every event, every tag, and that every row belongs to an event and every event to a chain."""
    keys: set[Any] = set()
    for branch, events in {BRANCH: log.events, **log.chains}.items():
        previous = None
        for event in events:
            subject = f"@{event['position']}" if branch == BRANCH else f"{branch} @{event['position']}"
            check_place(event, previous, subject, report, log.generations)
            if event["event_key"] not in keys:
                check_content(event, log.rows_digests.get(event["event_key"], sha256(b"")), subject, report)
            keys.add(event["event_key"])
            previous = event
    report("chain", f"@{len(log.events)}", len(log.unchained), 0)
    for key in sorted(log.rows_digests.keys() - keys):
        report("rows_digest", f"key {key}", "no event", log.rows_digests[key])
    for event in log.events:
        if event["kind"] in ("revision_tagged", "tag_signed"):
            check_tag(event, log, report)


def check_revision(log: Log, position: int, expected: str | None, report: Report) -> None:
    """Print the digests of a revision; compare them with a digest that was kept outside the log."""
    event = next(event for event in log.events if event["position"] == position)
    lines = list_content_lines(log.changes, position)
    digests = {"digest": event["digest"], "content digest": content_digest(lines), "Merkle root": merkle_root(lines)}
    digests["log root"] = log_root(log, position)
    texts = ", ".join(f"{name} {digest}" for name, digest in digests.items())
    sys.stdout.write(f"revision @{position}: {texts}\n")
    if expected is not None:
        recomputed = expected if expected in digests.values() else event["digest"]
        report("expected", f"@{position}", expected, recomputed)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Recompute every digest of a log.")
    parser.add_argument("log", type=Path, help="the file log.duckdb of a dataset, or its folder history")
    parser.add_argument(
        "--at", type=int, metavar="POSITION", help="print the digests of this revision; default: the last"
    )
    parser.add_argument("--expect", metavar="DIGEST", help="one of the digests of that revision, in full, as cited")
    parser.add_argument("--quiet", action="store_true", help="print mismatches and the summary only")
    arguments = parser.parse_args()
    if not arguments.log.exists():
        parser.error(f"no such file: '{arguments.log}'")
    return arguments


def main() -> int:
    """Check the log that the command line names, and return the exit code."""
    arguments = parse_arguments()
    report = Printer(quiet=arguments.quiet)
    try:
        if arguments.log.is_dir():
            # A release, or a dataset, has its segments in the folder history.
            folder = arguments.log / "history" if (arguments.log / LOCK_FILE).is_file() else arguments.log
            with duckdb.connect() as connection:
                log = read_history(connection, folder.resolve(), report)
        else:
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
