"""Recompute the log's digests in plain Python from their specification, without code of geographer."""

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


def canonical_json(value: Any) -> str:
    """Return the RFC 8785 JSON of a payload's values."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical_json(name)}:{canonical_json(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value).replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False)


def encode_field(value: Any, column: str) -> str:
    if value is None:
        return "-,"
    text = sha256(value) if column in WKB else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{len(text.encode())}:{text},"


def compute_row_digest(row: dict[str, Any]) -> str:
    """Compute the digest of a row from its columns, without position, ordinal, change and the digest itself."""
    excluded = ("position", "ordinal", "change", "row_digest")
    return sha256("".join(encode_field(value, name) for name, value in row.items() if name not in excluded))


def compute_rows_digest(rows: dict[str, list[dict[str, Any]]], position: int) -> str:
    """Compute the digest of the rows at a position from their recomputed digests."""
    return sha256(
        "".join(
            f"{table} {row['ordinal']} {row['change']} {compute_row_digest(row)}\n"
            for table in sorted(rows)
            for row in sorted(rows[table], key=lambda row: row["ordinal"])
            if row["position"] == position
        )
    )


def compute_event_digest(event: dict[str, Any]) -> str:
    return sha256(canonical_json({name: value for name, value in event.items() if name != "digest"}))


def read_log(path: Path) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Read the events, with parsed payloads, and the rows of every other table, with columns in the file's order."""
    with duckdb.connect(str(path), read_only=True) as connection:

        def read_rows(table: str) -> list[dict[str, Any]]:
            cursor = connection.execute(f"FROM {table} ORDER BY ALL")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        events = [{**event, "payload": json.loads(event["payload"])} for event in read_rows("event")]
        return events, {table: read_rows(table) for table in ROW_TABLES}


def find_faults(path: Path) -> list[str]:
    """List the rows and events whose digests do not follow the specification or whose chain is broken."""
    events, rows = read_log(path)
    faults = [
        f"{table} {row['position']}/{row['ordinal']}"
        for table in rows
        for row in rows[table]
        if row["row_digest"] != compute_row_digest(row)
    ]
    parents: list[str] = []
    for number, event in enumerate(events, start=1):
        if event["position"] != number or event["parents"] != parents:
            faults.append(f"chain at {event['position']}")
        if event["rows_digest"] != compute_rows_digest(rows, event["position"]):
            faults.append(f"rows of {event['position']}")
        if event["digest"] != compute_event_digest(event):
            faults.append(f"event {event['position']}")
        parents = [event["digest"]]
    return faults
