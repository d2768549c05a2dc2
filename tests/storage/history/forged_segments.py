"""Read, forge and write segments with pyarrow and hashlib, from docs/log-format.md, without code of geographer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.storage.log.digest_oracle import canonical_json, compute_row_digest

COMMON = ("row_table", "event", "ordinal", "change", "content")
FORMAT = {"geographer_segment": "1"}
Row = dict[str, Any]


class SegmentRows:
    """The rows of a segment, to change and write again: of events, and of their row tables."""

    def __init__(self, path: Path) -> None:
        table = pq.read_table(path)
        self.schema = table.schema.remove_metadata()
        rows = table.to_pylist()
        self.events: list[Row] = sorted(
            (row for row in rows if row["row_table"] == "event"), key=lambda row: row["event"]
        )
        self.rows: list[Row] = [row for row in rows if row["row_table"] != "event"]

    @property
    def contents(self) -> list[Row]:
        """The fields of the events."""
        return [json.loads(event["content"]) for event in self.events]

    @property
    def digests(self) -> list[str]:
        """The digests of the events."""
        return [compute_sha256(event["content"]) for event in self.events]

    def select_rows(self, event: int) -> list[Row]:
        """Select the rows of an event by its number in the segment."""
        return [row for row in self.rows if row["event"] == event]

    def compute_rows_digest(self, event: int) -> str:
        """Compute the digest of the rows of an event."""
        columns = read_row_columns()
        lines = []
        for row in self.select_rows(event):
            fields = {name: row.get(name) for name in columns[row["row_table"]]}
            line = f"{row['row_table']} {row['ordinal']} {row['change']} {compute_row_digest(fields)}\n"
            lines.append((row["row_table"], row["ordinal"], line))
        return compute_sha256("".join(line for *_, line in sorted(lines)))

    def add_event(self, kind: str, payload: Row, rows: list[Row] = (), **fields: Any) -> str:  # type: ignore[assignment]
        """Add an event after the last one, with rows of which each has `row_table`; its digests are right."""
        number = len(self.events)
        for ordinal, row in enumerate(rows):
            self.rows.append({"event": number, "ordinal": ordinal, "change": "added", **row})
        last = self.contents[-1]
        content = {
            **last,
            "event_id": f"0190c1a0-0000-7000-8000-{number:012d}",
            "kind": kind,
            "version": 1,
            "idempotency_key": None,
            "payload": payload,
            "parents": [self.digests[-1]],
            "generation": last["generation"] + 1,
            "rows_digest": self.compute_rows_digest(number),
            **fields,
        }
        self.events.append({"row_table": "event", "event": number, "content": canonical_json(content)})
        return self.digests[-1]

    def sign_event(self, number: int, **fields: Any) -> None:
        """Compute the digests of an event, some fields changed, and of all later ones, which refer to it, again."""
        for later in range(number, len(self.events)):
            content = self.contents[later] | (fields if later == number else {})
            content["rows_digest"] = self.compute_rows_digest(later)
            if later:
                content["parents"] = [self.digests[later - 1]]
            self.events[later]["content"] = canonical_json(content)

    def write(self, folder: Path, metadata: dict[str, str] | None = None) -> Path:
        """Write the segment to a folder, under the name that its events have."""
        rows = [*self.events, *self.rows]
        names = {name for row in rows for name in row}
        schema = self.schema
        for name in sorted(names - {*schema.names}):
            values = [row[name] for row in rows if row.get(name) is not None]
            schema = schema.append(pa.field(name, pa.infer_type(values)))
        table = pa.Table.from_pylist(rows, schema)
        return write_table(table, folder / f"{self.compute_name()}.parquet", metadata)

    def compute_name(self) -> str:
        """Compute the name that the digests of the events give the segment."""
        return compute_sha256("".join(f"{digest}\n" for digest in self.digests))


def write_table(table: pa.Table, path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write an Arrow table as a segment file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(FORMAT if metadata is None else metadata), path)
    return path


def read_row_columns() -> dict[str, list[str]]:
    """Read the columns of each row table, in the order of digests, from the log format's document."""
    from geographer.storage.events.payload import load_payload_classes
    from geographer.storage.events.row_tables import ROW_TABLES

    load_payload_classes()
    return {table: list(columns) for table, columns in ROW_TABLES.items()}


def compute_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
