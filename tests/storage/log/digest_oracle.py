"""Recompute the log's digests in plain Python from their specification, without code of geographer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

ROW_TABLES = (
    "class_change",
    "command_file",
    "feature_change",
    "label_change",
    "label_object_change",
    "label_source",
    "merge_conflict",
    "object_order",
    "raster_change",
    "recipe_input",
    "skipped_input",
    "split_change",
    "withdrawn_file",
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
    left_out = {1: ("digest", "format", "generation"), 2: ("digest", "position")}[event["format"]]
    return sha256(canonical_json({name: value for name, value in event.items() if name not in left_out}))


def compute_merkle_root(lines: list[str]) -> str:
    """Compute the root of the tree over sorted lines as RFC 9162 defines it, by recursion."""

    def compute_node(leaves: list[str]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0].encode()).digest()
        left = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + compute_node(leaves[:left]) + compute_node(leaves[left:])).digest()

    return compute_node(sorted(lines)).hex() if lines else sha256("")


def read_log(path: Path) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Read the chain's events, with parsed payloads, and the rows of the row tables; `position` is that of the chain."""
    with duckdb.connect(str(path), read_only=True) as connection:

        def read_rows(table: str) -> list[dict[str, Any]]:
            chain = "(SELECT position, event_key FROM chain WHERE branch = 'main')"
            cursor = connection.execute(
                f"SELECT position, * EXCLUDE (position, event_key) FROM {table} JOIN {chain} USING (event_key) ORDER BY ALL"
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        events = [{**event, "payload": json.loads(event["payload"])} for event in read_rows("event")]
        present = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        # A table that only one kind of events has is created before that kind is first recorded.
        return events, {table: read_rows(table) if table in present else [] for table in ROW_TABLES}


def read_digest(path: Path, event_key: int) -> str:
    """Read the digest of an event, which may be in no chain."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return str(connection.execute("SELECT digest FROM event WHERE event_key = ?", [event_key]).fetchall()[0][0])


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
        if [event["position"], event["generation"], event["parents"]] != [number, number, parents]:
            faults.append(f"chain at {event['position']}")
        if event["rows_digest"] != compute_rows_digest(rows, event["position"]):
            faults.append(f"rows of {event['position']}")
        if event["digest"] != compute_event_digest(event):
            faults.append(f"event {event['position']}")
        parents = [event["digest"]]
    return faults
