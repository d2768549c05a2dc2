"""Benchmark 3: queries of old revisions, compared with the head, in a log of ten thousand events."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.measure import Row, compare_values, measure_cost, report_progress, run_in_process

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from geographer.storage.database.connection import Database

EVENTS, FEATURES, CHANGES, SAMPLED, ROUNDS = 10_000, 100_000, 5, 24, 3
CLASSES = ("pond", "quarry", "field")
_ONE_FEATURE = (
    "SELECT feature_id, class, ST_AsWKB(geometry) AS geometry FROM features WHERE feature_id::VARCHAR = $feature"
)
_TOTALS = "SELECT class, count(*) AS features, max(ST_X(geometry)) AS east FROM features GROUP BY class ORDER BY class"


def compare_revisions(folder: Path, scale: float) -> list[Row]:
    """3. `features --at` for any of 10,000 revisions, compared with the same query at the head."""
    events = round(EVENTS * scale)
    report_progress(f"history: a log of {events:,} events")
    run_in_process(_write_log, folder, events)
    report_progress("history: reading")
    rows = []
    for name, (head, old) in run_in_process(_measure_queries, folder).items():
        subject = f"features --at any of {events:,} revisions, {name}"
        slowest, median = max(old), statistics.median(old)
        rows += [
            compare_values(f"{subject}: slowest", slowest, head, unit="CPU ms", other_name="head", at_most=2),
            compare_values(f"{subject}: median", median, head, unit="CPU ms", other_name="head"),
        ]
    return rows


def _write_log(root: Path, events: int) -> None:
    """Write a first event that adds all features; each later event changes, removes and adds a few."""
    from geographer import Dataset
    from geographer.operations.add.events import FeaturesAdded
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo, Head
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    Dataset.init(root, classes=CLASSES, scm=False)
    database, commit_info = Database(root / ".geographer"), CommitInfo("Ada")
    rng = np.random.Generator(np.random.PCG64(3))
    payload = FeaturesAdded(request={}, source="", columns={}, features=0, skipped=0, classes=[], crs="EPSG:4326")
    # Keep the file attached and use one thread: the cost of appending is not measured here.
    with database.open_connection(log="w", spatial=True) as connection:
        connection.execute("SET threads = 1")
        head = read_head(connection)
        for number in range(events):
            rows = _make_changes(rng, number) if number else _make_rows("added", np.arange(FEATURES), rng)
            event = append_event(database, payload, {"feature_change": rows}, commit_info, head)
            head = Head(event.position, event.digest)
    update_state(database)


def _make_changes(rng: np.random.Generator, number: int) -> pa.Table:
    """Change `CHANGES` features that no other event touches, remove as many, and add as many."""
    import pyarrow as pa

    first = number * 2 * CHANGES % (FEATURES - 2 * CHANGES)
    all_touched = number * 2 * CHANGES >= FEATURES - 2 * CHANGES
    changed, removed = np.arange(first, first + CHANGES), np.arange(first + CHANGES, first + 2 * CHANGES)
    added = FEATURES + number * CHANGES + np.arange(CHANGES)
    tables = [_make_rows("changed", changed, rng), _make_rows("added", added, rng)]
    return pa.concat_tables(tables if all_touched else [*tables, _make_rows("removed", removed, rng)])


def _make_rows(change: str, ids: np.ndarray, rng: np.random.Generator) -> pa.Table:
    import shapely

    from geographer.storage.events.row_tables import make_row_table

    count = len(ids)
    columns: dict[str, list[Any]] = {
        "change": [change] * count,
        "feature_id": [str(number) for number in ids],
        "id_is_integer": [True] * count,
    }
    if change != "removed":
        points = shapely.points(rng.uniform([6, 45], [12, 50], (count, 2)))
        columns |= {
            "class": [CLASSES[number % len(CLASSES)] for number in ids],
            "geometry": list(shapely.to_wkb(points)),
            "crs": ["EPSG:4326"] * count,
            "properties": ["{}"] * count,
        }
    return make_row_table("feature_change", columns)


def _measure_queries(root: Path) -> dict[str, tuple[float, list[float]]]:
    """Measure CPU milliseconds of each query at the head, and at a sample of revisions from the first to the last."""
    from geographer import Dataset
    from geographer.storage.database.connection import Database

    dataset, database, feature = Dataset.open(root), Database(root / ".geographer"), str(FEATURES - 1)
    queries: dict[str, Callable[[int], float]] = {
        "one feature": _time_call(lambda at: dataset.features(at, feature=feature)),
        "one feature, query only": _time_query(database, _ONE_FEATURE, {"feature": feature}),
        "totals": _time_call(lambda at: dataset.sql(_TOTALS, at)),
        "totals, query only": _time_query(database, _TOTALS, None),
    }
    head = dataset.log(1)[0].position
    revisions = np.unique(np.linspace(2, head - 1, SAMPLED).astype(int)).tolist()
    return {name: _find_medians(measure, head, revisions) for name, measure in queries.items()}


def _time_call(call: Callable[[str], object]) -> Callable[[int], float]:
    """Return a function that measures the whole call of the API at a position, in CPU milliseconds."""

    def measure_call(position: int) -> float:
        with measure_cost() as cost:
            call(f"@{position}")
        return cost.cpu * 1e3

    return measure_call


def _time_query(database: Database, query: str, parameters: dict[str, str] | None) -> Callable[[int], float]:
    """Return a function that measures only the query of an open revision, whose fixed cost would hide growth."""
    from geographer.storage.queries.revision import open_revision

    def measure_query(position: int) -> float:
        with open_revision(database, position) as view, measure_cost() as cost:
            view.fetch_arrow(query, parameters)
        return cost.cpu * 1e3

    return measure_query


def _find_medians(measure: Callable[[int], float], head: int, revisions: list[int]) -> tuple[float, list[float]]:
    """Return the medians over all rounds at the head and at each revision; the head is measured between them."""
    measure(head)
    costs: dict[int, list[float]] = {}
    for _ in range(ROUNDS):
        for number, revision in enumerate(revisions):
            for position in (head, revision) if number % 6 == 0 else (revision,):
                costs.setdefault(position, []).append(measure(position))
    return statistics.median(costs[head]), [statistics.median(costs[revision]) for revision in revisions]
