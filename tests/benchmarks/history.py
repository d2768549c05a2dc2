"""3: the features of an old revision beside those of the head, in a log of ten thousand events."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.measure import Row, apart, compared, spent, told

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from geographer.storage.database.connection import Database

EVENTS, FEATURES, CHANGES, SAMPLED, ROUNDS = 10_000, 100_000, 5, 24, 3
CLASSES = ("pond", "quarry", "field")
_ONE = "SELECT feature_id, class, ST_AsWKB(geometry) AS geometry FROM features WHERE feature_id::VARCHAR = $feature"
_TOTALS = "SELECT class, count(*) AS features, max(ST_X(geometry)) AS east FROM features GROUP BY class ORDER BY class"


def any_revision(folder: Path, scale: float) -> list[Row]:
    """3. `features --at` any of 10,000 revisions, beside the same query at the head."""
    events = round(EVENTS * scale)
    told(f"history: a log of {events:,} events")
    apart(_write, folder, events)
    told("history: reading")
    rows = []
    for what, (head, old) in apart(_read, folder, events).items():
        asked = f"features --at any of {events:,} revisions, {what}"
        than = "the head"
        rows += [
            compared(f"{asked}: the slowest", max(old), head, unit="CPU ms", than=than, at_most=2),
            compared(f"{asked}: the median", statistics.median(old), head, unit="CPU ms", than=than),
        ]
    return rows


def _write(root: Path, events: int) -> None:
    """A first event with all the features; each later one changes, removes and adds a few."""
    from geographer import Dataset
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo, EventDraft, Head
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    Dataset.init(root, classes=CLASSES, scm=False)
    engine, signature = Database(root / ".geographer"), CommitInfo("Ada")
    rng = np.random.Generator(np.random.PCG64(3))
    payload = {"request": {}, "columns": {}}
    # The file stays attached, and one thread does it: what an append costs is not what is measured here.
    with engine.open_connection(log="w", spatial=True) as connection:
        connection.execute("SET threads = 1")
        head = read_head(connection)
        for number in range(events):
            rows = _changes(rng, number) if number else _changed("added", np.arange(FEATURES), rng)
            event = append_event(
                engine, EventDraft("features_added", payload, {"feature_change": rows}), signature, head
            )
            head = Head(event.position, event.digest)
    update_state(engine)


def _changes(rng: np.random.Generator, number: int) -> pa.Table:
    """`CHANGES` features that nothing else touches changed, as many removed, as many added."""
    import pyarrow as pa

    first = number * 2 * CHANGES % (FEATURES - 2 * CHANGES)
    again = number * 2 * CHANGES >= FEATURES - 2 * CHANGES
    changed, removed = np.arange(first, first + CHANGES), np.arange(first + CHANGES, first + 2 * CHANGES)
    added = FEATURES + number * CHANGES + np.arange(CHANGES)
    tables = [_changed("changed", changed, rng), _changed("added", added, rng)]
    return pa.concat_tables(tables if again else [*tables, _changed("removed", removed, rng)])


def _changed(change: str, ids: np.ndarray, rng: np.random.Generator) -> pa.Table:
    import shapely

    from geographer.storage.log.row_tables import make_row_table

    count = len(ids)
    columns = {"change": [change] * count, "feature_id": [str(one) for one in ids], "id_is_integer": [True] * count}
    if change != "removed":
        points = shapely.points(rng.uniform([6, 45], [12, 50], (count, 2)))
        columns |= {
            "class": [CLASSES[one % len(CLASSES)] for one in ids],
            "geometry": list(shapely.to_wkb(points)),
            "crs": ["EPSG:4326"] * count,
            "properties": ["{}"] * count,
        }
    return make_row_table("feature_change", columns)


def _read(root: Path, events: int) -> dict[str, tuple[float, list[float]]]:
    """CPU milliseconds of each question at the head, and at a sample of revisions from the first to the last."""
    from geographer import Dataset
    from geographer.storage.database.connection import Database

    dataset, engine, one = Dataset.open(root), Database(root / ".geographer"), str(FEATURES - 1)
    questions: dict[str, Callable[[int], float]] = {
        "one feature": _whole(lambda at: dataset.features(at, feature=one)),
        "one feature, the query alone": _alone(engine, _ONE, {"feature": one}),
        "an aggregate": _whole(lambda at: dataset.sql(_TOTALS, at)),
        "an aggregate, the query alone": _alone(engine, _TOTALS, None),
    }
    head = dataset.log(1)[0].position
    revisions = np.unique(np.linspace(2, head - 1, SAMPLED).astype(int)).tolist()
    return {what: _timed(ask, head, revisions) for what, ask in questions.items()}


def _whole(call: Callable[[str], object]) -> Callable[[int], float]:
    """The whole call, as a person makes it."""

    def ask(position: int) -> float:
        with spent() as cost:
            call(f"@{position}")
        return cost.cpu * 1e3

    return ask


def _alone(engine: Database, query: str, parameters: dict[str, str] | None) -> Callable[[int], float]:
    """The query alone, on a revision that is open: no fixed cost hides how it grows."""
    from geographer.storage.queries.revision import open_revision

    def ask(position: int) -> float:
        with open_revision(engine, position) as view, spent() as cost:
            view.fetch_arrow(query, parameters)
        return cost.cpu * 1e3

    return ask


def _timed(ask: Callable[[int], float], head: int, revisions: list[int]) -> tuple[float, list[float]]:
    """The median of several rounds for each revision; the head has its turns among them."""
    ask(head)
    costs: dict[int, list[float]] = {}
    for _ in range(ROUNDS):
        for number, revision in enumerate(revisions):
            for position in (head, revision) if number % 6 == 0 else (revision,):
                costs.setdefault(position, []).append(ask(position))
    return statistics.median(costs[head]), [statistics.median(costs[revision]) for revision in revisions]
