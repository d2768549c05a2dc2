"""Write logs of very many events in little time, with the digests, rows and segments that commands would record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from geographer import Dataset
    from geographer.storage.events import Event, EventPayload

Shape = Literal["steady", "growing"]
"""Whether a log keeps changing the same 2,000 features, or each event adds features."""

CHANGES_PER_EVENT: Final = 50
STEADY_FEATURES: Final = 2_000
SELDOM_CHANGED: Final = f"field-{STEADY_FEATURES - 1:07d}"
"""The feature of a steady log that 20 events change, however long the log is."""

_BATCH: Final = 10_000
_RASTERS: Final = 4
_STEADY: Final = """
    SELECT number, item AS ordinal, 'changed' AS change,
           CASE WHEN item < 48 THEN (number * 31 + item * 7) % 499
                WHEN item = 48 THEN 499 + number % 1480
                WHEN number % ($events // 20) = 0 THEN 1999
                ELSE 499 + (number + 740) % 1480 END AS feature
"""
"""A quarter of the features change in half of the events or so, the others in one of 740, and one in 20 events."""
_GROWING: Final = "SELECT number, item AS ordinal, 'added' AS change, number * 50 + item AS feature"
_ROWS: Final = """
    CREATE OR REPLACE TEMP TABLE planned AS
    SELECT number, ordinal, change, printf('field-%07d', feature) AS feature_id, false AS id_is_integer,
           ['pond', 'quarry', 'field'][1 + feature % 3] AS class, ST_AsWKB(square)::BLOB AS geometry,
           'EPSG:4326' AS crs, '{{"visit":' || number || '}}' AS properties
    FROM (SELECT *, if(feature % 20 = 0, 15 + 0.6 * x, -170 + 340 * x) AS west,
                 if(feature % 20 = 0, 46.5 + 0.5 * y, -60 + 120 * y) + number % 100 * 1e-6 AS south,
                 ST_MakeEnvelope(west, south, west + 1e-3, south + 1e-3) AS square
          FROM (SELECT *, feature * 0.618033988 % 1 AS x, feature * 0.414213562 % 1 AS y
                FROM ({shape} FROM range($first::BIGINT, $last::BIGINT) AS a(number), range({items}) AS b(item))))
    ORDER BY number, ordinal
"""


def write_long_log(folder: Path, events: int, shape: Shape = "steady") -> Dataset:
    """Write a dataset whose log has `events` events of 50 changes each, beside the few that begin it.

    It has a few rasters with files, and state, history folder and lock file are up to date.
    """
    from geographer import Dataset

    dataset = Dataset.init(folder, classes=["pond", "quarry", "field"], scm=False)
    dataset.add_rasters(list(_write_rasters(folder.with_name(f"{folder.name}-rasters"))))
    write_events(folder, events, shape)
    dataset = Dataset.open(folder)
    dataset.tag("v1")
    return dataset


def write_events(folder: Path, events: int, shape: Shape = "steady") -> None:
    """Append events of 50 changes each to the log in `folder`, in large transactions; the state stays behind."""
    from geographer.storage.database.connection import Database
    from geographer.storage.log.read import read_event, read_head

    with Database(folder / ".geographer").open_connection(log="w", spatial=True) as connection:
        head = read_event(connection, read_head(connection).position)
        if shape == "steady":
            _plan_rows(connection, "SELECT 0 AS number, item AS ordinal, 'added' AS change, item AS feature", 0, 1)
            head = _append_planned(connection, head, [0])
        for first in range(1, events + 1, _BATCH):
            last = min(first + _BATCH, events + 1)
            _plan_rows(connection, _STEADY if shape == "steady" else _GROWING, first, last, events)
            head = _append_planned(connection, head, range(first, last))


def _plan_rows(connection: duckdb.DuckDBPyConnection, shape: str, first: int, last: int, events: int = 0) -> None:
    """Make the rows of the events `first` to `last - 1`; number 0 adds all features of a steady log."""
    items = STEADY_FEATURES if first == 0 else CHANGES_PER_EVENT
    parameters = {"first": first, "last": last} | ({"events": max(events, 20)} if "$events" in shape else {})
    connection.execute(_ROWS.format(shape=shape, items=items), parameters)


def _append_planned(connection: duckdb.DuckDBPyConnection, head: Event, numbers: range | list[int]) -> Event:
    """Append the events of the planned rows in one transaction, and return the last one."""
    from geographer.storage.log.digests import build_row_digest_sql, compute_rows_digests

    ((key,),) = connection.execute("SELECT max(event_key) FROM log.event").fetchall()
    offset, rows = key + 1 - numbers[0], build_row_digest_sql("feature_change")
    connection.execute("BEGIN")
    connection.execute(
        f"INSERT INTO log.feature_change BY NAME SELECT number + {offset} AS event_key, * EXCLUDE (number), "
        f"{rows} AS row_digest FROM planned"
    )
    digests = compute_rows_digests(connection, after_key=key)
    events = [*_make_events(head, ((number, digests[number + offset]) for number in numbers))]
    _insert_events(connection, events, key + 1)
    connection.execute("COMMIT")
    return events[-1]


def _make_events(head: Event, rows_digests: Iterator[tuple[int, str]]) -> Iterator[Event]:
    """Chain an event for each number and digest of rows after the head."""
    from geographer.storage.events import Event
    from geographer.storage.events.envelope import EVENT_FORMAT
    from geographer.storage.log.digests import compute_event_digest

    for number, rows_digest in rows_digests:
        minutes, seconds = divmod(number, 60)
        head = Event(
            position=head.position + 1,
            event_id=f"01a22622-{number // 65536:04x}-7{number % 4096:03x}-9c1c-{number:012x}",
            kind=(payload := _make_payload(number)).kind,
            version=payload.version,
            recorded_at=f"2024-{1 + minutes // 40320 % 12:02d}-{1 + minutes // 1440 % 28:02d}"
            f"T{minutes // 60 % 24:02d}:{minutes % 60:02d}:{seconds:02d}.000000Z",
            author="Ada",
            message=f"survey {number}",
            command="geographer add features survey.parquet --replace",
            idempotency_key=None,
            payload=payload.to_json(),
            rows_digest=rows_digest,
            parents=[head.digest],
            digest="",
            format=EVENT_FORMAT,
            generation=head.generation + 1,
        )
        head = head._replace(digest=compute_event_digest(head.hashed_fields()))
        yield head


def _make_payload(number: int) -> EventPayload:
    from geographer import __version__
    from geographer.operations.add.events import FeatureIds, FeaturesAdded

    return FeaturesAdded(
        request={"data": "survey.parquet", "replace": bool(number)},
        source="survey.parquet",
        columns={"visit": "BIGINT"},
        features=CHANGES_PER_EVENT if number else STEADY_FEATURES,
        skipped=0,
        classes=[],
        crs="EPSG:4326",
        ids=FeatureIds("column", "id"),
        software={"geographer": __version__, "duckdb": "1.5.5"},
    )


def _insert_events(connection: duckdb.DuckDBPyConnection, events: list[Event], first_key: int) -> None:
    import pyarrow as pa

    from geographer.base.canonical_json import canonical_json
    from geographer.storage.database.connection import register_table

    columns: dict[str, list[Any]] = {name: [getattr(event, name) for event in events] for name in events[0]._fields}
    columns["payload"] = [canonical_json(payload) for payload in columns["payload"]]
    columns["event_key"] = [*range(first_key, first_key + len(events))]
    # A column of nulls alone has no type of text.
    table = pa.table(
        {
            name: pa.array(values, pa.string()) if name == "idempotency_key" else values
            for name, values in columns.items()
        }
    )
    with register_table(connection, "planned_events", table) as name:
        connection.execute(f"INSERT INTO log.event BY NAME SELECT * EXCLUDE (position) FROM {name}")
        connection.execute(f"INSERT INTO log.chain SELECT 'main', position, event_key FROM {name}")


def _write_rasters(folder: Path) -> Iterator[Path]:
    """Write small rasters that one of 20 features lies on."""
    import rasterio

    folder.mkdir(parents=True, exist_ok=True)
    profile = {"width": 32, "height": 32, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    for number in range(_RASTERS):
        transform = rasterio.Affine(500, 0, 500_000 + number * 16_000, 0, -500, 5_200_000)
        path = folder / f"scene{number}.tif"
        with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as raster:
            raster.write(np.full((32, 32), number, np.uint8), 1)
        yield path
