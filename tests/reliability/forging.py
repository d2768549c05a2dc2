"""Edit a log or a state by SQL, and recompute all digests of a log as docs/log-format.md describes: a consistent forgery."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from docs import recompute_digests as documented


@contextmanager
def edit_database(file: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the spatial functions, and write all changes into its file."""
    spec = find_spec("duckdb_extension_spatial")
    folders = (spec and spec.submodule_search_locations) or []
    extension = next(path for folder in folders for path in Path(folder).rglob("spatial.duckdb_extension"))
    with duckdb.connect(config={"allow_unsigned_extensions": True}) as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{file}' AS edited{' (READ_ONLY)' if read_only else ''}")
        connection.execute("USE edited")
        yield connection
        if not read_only:
            connection.execute("CHECKPOINT edited")


def edit_table(connection: duckdb.DuckDBPyConnection, table: str, statement: str) -> None:
    """Run a statement; if a constraint of the table forbids it, remove all constraints first."""
    try:
        connection.execute(statement)
    except duckdb.Error:
        connection.execute(f'CREATE TABLE copied AS FROM "{table}"')
        connection.execute(f'DROP TABLE "{table}"')
        connection.execute(f'ALTER TABLE copied RENAME TO "{table}"')
        connection.execute(statement)


def remove_history(root: Path) -> None:
    """Remove the lock file and the history folder of a dataset, which have the log as it was before a forgery."""
    for name in ("geographer.lock", "history.dvc", ".geographer/history.json"):
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "history", ignore_errors=True)


def recompute_log(connection: duckdb.DuckDBPyConnection) -> None:
    """Recompute the digests of all rows, events and tags of the log that is open."""
    lines: dict[int, str] = {}
    changes: list[documented.Change] = []
    positions = dict(connection.execute("SELECT event_key, position FROM chain ORDER BY position").fetchall())
    tables = {name for (name, *_) in connection.execute("SHOW TABLES").fetchall()}
    for table in [table for table in documented.HASHED_COLUMNS if table in tables]:
        columns = documented.HASHED_COLUMNS[table].split()
        selected = ", ".join(f'"{column}"' for column in columns)
        query = f'SELECT rowid, event_key, ordinal, "change", {selected} FROM "{table}" ORDER BY event_key, ordinal'
        for row_id, key, ordinal, change, *values in connection.execute(query).fetchall():
            digest = documented.sha256(b"".join(map(documented.encode_field, values)))
            connection.execute(f'UPDATE "{table}" SET row_digest = ? WHERE rowid = ?', [digest, row_id])
            lines[key] = lines.get(key, "") + f"{table} {ordinal} {change} {digest}\n"
            if table in documented.OBJECT_KEYS and positions.get(key) is not None:
                subject = table.removesuffix("_change")
                identity = (subject, *(str(values[columns.index(name)]) for name in documented.OBJECT_KEYS[table]))
                is_removed = change == "removed"
                changes.append(documented.Change(positions[key], identity, is_removed, f"{subject} {digest}"))
    changes.sort(key=lambda change: change.position)
    _recompute_events(connection, positions, lines, changes)


def _recompute_events(
    connection: duckdb.DuckDBPyConnection,
    positions: dict[int, int],
    lines: dict[int, str],
    changes: list[documented.Change],
) -> None:
    digests: dict[int, str] = {}
    previous: list[str] = []
    names = [name for (name, *_) in connection.execute("DESCRIBE event").fetchall()]
    connection.execute("CREATE TEMP TABLE forged AS SELECT * FROM event LIMIT 0")
    for key, position in positions.items():
        rows = connection.execute("SELECT * FROM event WHERE event_key = ?", [key]).fetchall()
        for event in (dict(zip(names, row, strict=True)) for row in rows):
            event |= {"rows_digest": documented.sha256(lines.get(key, "").encode()), "parents": previous}
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                payload = documented.parse_json(event["payload"])
                if event["kind"] in ("revision_tagged", "tag_signed"):
                    _recompute_tag(payload["tag"], digests, changes)
                event["payload"] = documented.canonicalize(payload)
                fields = documented.HASHED_FIELDS.get(event["format"], documented.HASHED_FIELDS[2])
                values = {**event, "payload": payload, "position": event["generation"]}
                text = documented.canonicalize({name: values[name] for name in fields})
                event["digest"] = documented.sha256((text or "").encode())
            digests[position], previous = event["digest"], [event["digest"]]
            connection.execute(
                f"INSERT INTO forged VALUES ({', '.join('?' * len(names))})", [event[name] for name in names]
            )
    # An UPDATE one by one would meet digests that are not replaced yet.
    connection.execute("DELETE FROM event WHERE event_key IN (SELECT event_key FROM forged)")
    connection.execute("INSERT INTO event FROM forged")


def _recompute_tag(tag: dict[str, Any], digests: dict[int, str], changes: list[documented.Change]) -> None:
    lines = documented.list_content_lines(changes, tag["position"])
    tag["digest"], tag["content_digest"] = digests[tag["position"]], documented.content_digest(lines)
    if "merkle_root" in tag:
        tag["merkle_root"] = documented.merkle_root(lines)
    if "log_root" in tag:
        leading = [digest for position, digest in sorted(digests.items()) if position <= tag["position"]]
        tag["log_root"], tag["dataset"] = documented.merkle_root(leading), digests[1]
