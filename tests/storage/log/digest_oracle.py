"""How the log is hashed, once more: plain Python after the words of `geographer.storage.log.digests`, and plain DuckDB."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

ROW_TABLES = (
    "class_change",
    "feature_change",
    "label_change",
    "label_object_change",
    "raster_change",
    "recipe_input",
    "skipped_input",
    "split_change",
)
WKB = ("geometry", "outline")


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def canonical(value: Any) -> str:
    """RFC 8785, for what a payload can hold."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value).replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False)


def field(value: Any, column: str) -> str:
    if value is None:
        return "-,"
    text = sha256(value) if column in WKB else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{len(text.encode())}:{text},"


def row_digest(row: dict[str, Any]) -> str:
    """The digest of a row from all its columns but where it stands, what became of it, and the digest itself."""
    around = ("position", "ordinal", "change", "row_digest")
    return sha256("".join(field(value, name) for name, value in row.items() if name not in around))


def rows_digest(rows: dict[str, list[dict[str, Any]]], position: int) -> str:
    """The digest of the rows at a position, from their recomputed digests."""
    return sha256(
        "".join(
            f"{table} {row['ordinal']} {row['change']} {row_digest(row)}\n"
            for table in sorted(rows)
            for row in sorted(rows[table], key=lambda row: row["ordinal"])
            if row["position"] == position
        )
    )


def event_digest(event: dict[str, Any]) -> str:
    return sha256(canonical({name: value for name, value in event.items() if name != "digest"}))


def read_log(path: Path) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The events, their payloads parsed, and the rows of every other table; columns in the order of the file."""
    with duckdb.connect(str(path), read_only=True) as connection:

        def rows(table: str) -> list[dict[str, Any]]:
            found = connection.execute(f"FROM {table} ORDER BY ALL")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        events = [{**event, "payload": json.loads(event["payload"])} for event in rows("event")]
        return events, {table: rows(table) for table in ROW_TABLES}


def faults(path: Path) -> list[str]:
    """Everything in a log that is not hashed as the words say, or not chained."""
    events, rows = read_log(path)
    found = [
        f"{table} {row['position']}/{row['ordinal']}"
        for table in rows
        for row in rows[table]
        if row["row_digest"] != row_digest(row)
    ]
    parents: list[str] = []
    for number, event in enumerate(events, start=1):
        if event["position"] != number or event["parents"] != parents:
            found.append(f"chain at {event['position']}")
        if event["rows_digest"] != rows_digest(rows, event["position"]):
            found.append(f"rows of {event['position']}")
        if event["digest"] != event_digest(event):
            found.append(f"event {event['position']}")
        parents = [event["digest"]]
    return found
