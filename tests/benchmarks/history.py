"""Benchmarks 3, 14, 15: old revisions compared with the head, the history of one object, the blame of one pixel."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.measure import Row, check_limit, compare_values, measure_cost, report_progress, run_in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from geographer.storage.database.connection import Database
    from geographer.storage.events import EventPayload

EVENTS, FEATURES, CHANGES, SAMPLED, ROUNDS = 10_000, 100_000, 5, 24, 3
OBJECT_CHANGES, CHIPS, CALLS = 1_000_000, 1_000_000, 50
CLASSES = ("pond", "quarry", "field")
CRS, WEST, NORTH, CHIP_SIZE = "EPSG:32633", 200_000.0, 5_500_000.0, 64
_SAME_FOR_ALL = {"storage": "dvc", "crs": CRS, "bands": 1, "dtype": "uint8", "size": 1_000, "properties": "{}"}
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
    from geographer.operations.add.events import FeatureIds, FeaturesAdded
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo, Head
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    Dataset.init(root, classes=CLASSES, scm=False)
    database, commit_info = Database(root / ".geographer"), CommitInfo("Ada")
    rng = np.random.Generator(np.random.PCG64(3))
    payload = FeaturesAdded(
        request={},
        source="",
        columns={},
        features=0,
        skipped=0,
        classes=[],
        crs="EPSG:4326",
        ids=FeatureIds("column", "id"),
    )
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


def measure_object_history(folder: Path, scale: float) -> list[Row]:
    """14. `history` of one feature among 1,000,000 changes of features, in a warm process."""
    changes = round(OBJECT_CHANGES * scale)
    report_progress(f"history of an object: {changes:,} changes of features")
    run_in_process(_write_changes, folder, changes)
    wall, cpu = run_in_process(_measure_histories, folder, changes // 2)
    subject = f"history of one of {changes // 2:,} features, {changes:,} changes"
    return [
        check_limit(f"{subject}: median", wall, 10, unit="ms"),
        Row(f"{subject}: median of CPU", f"{cpu:.1f} ms"),
    ]


def measure_pixel_blame(folder: Path, scale: float) -> list[Row]:
    """15. `blame` of one pixel among 1,000,000 chips and labels, in a warm process, less reading the label's file."""
    chips = round(CHIPS * scale)
    report_progress(f"blame: a log of {chips:,} chips, labels and features")
    run_in_process(_write_chips, folder, chips)
    wall, cpu = run_in_process(_measure_blame, folder, chips)
    subject = f"blame of one pixel, {chips:,} chips, without reading the label"
    return [
        check_limit(f"{subject}: median", wall, 20, unit="ms"),
        Row(f"{subject}: median of CPU", f"{cpu:.1f} ms"),
    ]


def _write_changes(root: Path, changes: int) -> None:
    """Write a first event that adds half as many features as there are changes, and 500 events that change the rest."""
    from geographer import Dataset
    from geographer.operations.add.events import FeatureIds, FeaturesAdded

    Dataset.init(root, classes=CLASSES, scm=False)
    rng = np.random.Generator(np.random.PCG64(14))
    payload = FeaturesAdded(
        request={},
        source="",
        columns={},
        features=0,
        skipped=0,
        classes=[],
        crs="EPSG:4326",
        ids=FeatureIds("column", "id"),
    )
    half, later = changes // 2, 500
    events = [("added", rng.permutation(half))]
    events += [("changed", rng.choice(half, max(half // later, 1), replace=False)) for _ in range(later)]
    _append_events(root, ((payload, {"feature_change": _make_rows(change, ids, rng)}) for change, ids in events))


def _append_events(root: Path, events: Iterable[tuple[EventPayload, dict[str, pa.Table]]]) -> None:
    """Append events with their rows, and derive the state."""
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo, Head
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    database = Database(root / ".geographer")
    with database.open_connection(log="w", spatial=True) as connection:
        head = read_head(connection)
        for payload, rows in events:
            event = append_event(database, payload, rows, CommitInfo("Ada"), head)
            head = Head(event.position, event.digest)
    update_state(database)


def _measure_histories(root: Path, features: int) -> tuple[float, float]:
    """Return the medians of wall and CPU milliseconds of the history of many features."""
    from geographer import Dataset

    dataset, rng = Dataset.open(root), np.random.Generator(np.random.PCG64(15))
    ids = [str(number) for number in rng.integers(0, features, CALLS)]
    return _time_calls([lambda name=name: dataset.history(name) for name in ids])  # type: ignore[misc]


def _time_calls(calls: list[Callable[[], object]]) -> tuple[float, float]:
    """Return the medians of wall and CPU milliseconds of calls, after three that warm up."""
    costs = []
    for call in [*calls[:3], *calls]:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        costs.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*costs[3:], strict=True)
    return statistics.median(walls) * 1e3, statistics.median(cpus) * 1e3


def _write_chips(root: Path, count: int) -> None:
    """Write a log with a scene, one feature and one chip in each cell of a grid, and a mask of each chip.

    Only the first masks have files; they are those that are blamed.
    """
    from geographer import Dataset
    from geographer.operations.add.events import FeatureIds, FeaturesAdded, RastersAdded
    from geographer.operations.cut.events import ChipsCut
    from geographer.operations.label.events import LabelsMade
    from geographer.storage.events.payload import RecipeRecord

    Dataset.init(root, classes=CLASSES, scm=False)
    side = math.isqrt(count - 1) + 1
    numbers = np.arange(count)
    cut = RecipeRecord("chips", "cut grid", {"source": "source"})
    mask = {"all_touched": False, "collection": "chips", "ignore": None, "ignore_where": None, "overlap": "class-order"}
    label = RecipeRecord("mask", "label mask", {**mask, "width": None})
    added: dict[str, Any] = {"request": {}, "columns": {}, "skipped": 0}
    ids = FeatureIds("column", "id")
    events = [
        (FeaturesAdded(source="", features=count, classes=[], crs=CRS, ids=ids, **added), _make_squares(numbers, side)),
        (RastersAdded(rasters=1, collection="source", **added), _make_rasters(np.zeros(1, int), side, "source")),
        (ChipsCut(recipe=cut, chips=count, retired=0, unmet={}), _make_rasters(numbers, side, "chips")),
        (LabelsMade(recipe=label, masks=count, retired=0, dtype="uint8"), _make_masks(root, numbers)),
    ]
    _append_events(root, ((payload, {rows[0]: rows[1]}) for payload, rows in events))


def _make_squares(numbers: np.ndarray, side: int) -> tuple[str, pa.Table]:
    """Make a square of 20 by 20 pixels in the middle of each chip."""
    import shapely

    from geographer.storage.events.row_tables import make_row_table

    west, north = WEST + numbers % side * CHIP_SIZE * 10, NORTH - numbers // side * CHIP_SIZE * 10
    squares = shapely.box(west + 220, north - 420, west + 420, north - 220)
    columns: dict[str, list[Any]] = {
        "feature_id": [f"field-{number:07d}" for number in numbers],
        "id_is_integer": [False] * len(numbers),
        "class": [CLASSES[number % len(CLASSES)] for number in numbers],
        "geometry": list(shapely.to_wkb(squares)),
        "crs": [CRS] * len(numbers),
        "properties": ["{}"] * len(numbers),
    }
    return "feature_change", make_row_table("feature_change", columns)


def _make_rasters(numbers: np.ndarray, side: int, collection: str) -> tuple[str, pa.Table]:
    """Make the rows of the chips, or of the scene that has them all."""
    import shapely

    from geographer.storage.events.row_tables import make_row_table

    is_scene, count = collection == "source", len(numbers)
    size = CHIP_SIZE * (side if is_scene else 1)
    columns, rows = numbers % side * CHIP_SIZE, numbers // side * CHIP_SIZE
    west, north = WEST + columns * 10, NORTH - rows * 10
    names = ["scene"] if is_scene else [f"chips/scene_{number:07d}" for number in numbers]
    table: dict[str, list[Any]] = {
        "raster_id": names,
        "collection": [collection] * count,
        "path": [f"rasters/{collection}/{name.rpartition('/')[2]}.tif" for name in names],
        **{name: [value] * count for name, value in _SAME_FOR_ALL.items()},
        "width": [size] * count,
        "height": [size] * count,
        "transform": [f"[10.0,0.0,{x:.1f},0.0,-10.0,{y:.1f}]" for x, y in zip(west, north, strict=True)],
        **{name: [_make_digest(name, number) for number in numbers] for name in ("md5", "sha256", "pixel_digest")},
        "outline": list(shapely.to_wkb(shapely.box(west, north - size * 10, west + size * 10, north))),
    }
    if not is_scene:
        table |= {"parent_id": ["scene"] * count, "col": columns.tolist(), "row": rows.tolist()}
        table |= {"recipe": ["chips"] * count}
    return "raster_change", make_row_table("raster_change", table)


def _make_masks(root: Path, numbers: np.ndarray) -> tuple[str, pa.Table]:
    """Make the rows of the masks, and the files of the first ones."""
    import rasterio

    from geographer.rasters.checksums import compute_content_checksums
    from geographer.storage.events.row_tables import make_row_table

    paths = [f"labels/mask/chips/scene_{number:07d}.tif" for number in numbers]
    digests = {name: [_make_digest(name, number) for number in numbers] for name in ("md5", "sha256", "pixel_digest")}
    sizes = [1_000] * len(numbers)
    for number, path in enumerate(paths[:CALLS]):
        pixels = np.zeros((CHIP_SIZE, CHIP_SIZE), np.uint8)
        pixels[22:42, 22:42] = 1 + number % len(CLASSES)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        profile = {"width": CHIP_SIZE, "height": CHIP_SIZE, "count": 1, "dtype": "uint8", "crs": CRS}
        side = math.isqrt(len(numbers) - 1) + 1
        west, north = WEST + number % side * CHIP_SIZE * 10, NORTH - number // side * CHIP_SIZE * 10
        transform = rasterio.Affine(10, 0, west, 0, -10, north)
        with rasterio.open(root / path, "w", driver="GTiff", transform=transform, **profile) as raster:
            raster.write(pixels, 1)
        sizes[number], digests["md5"][number], digests["sha256"][number] = compute_content_checksums(
            (root / path).read_bytes()
        )
    columns: dict[str, list[Any]] = {
        "label": ["mask"] * len(numbers),
        "raster_id": [f"chips/scene_{number:07d}" for number in numbers],
        "path": paths,
        "size": sizes,
        **digests,
    }
    return "label_change", make_row_table("label_change", columns)


def _make_digest(name: str, number: int) -> str:
    digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
    return digest[:32] if name == "md5" else digest


def _measure_blame(root: Path, chips: int) -> tuple[float, float]:
    """Return the medians of wall and CPU milliseconds of blaming a pixel of many labels, less those of reading it."""
    from geographer import Dataset
    from geographer.rasters.read import open_raster

    dataset, names = Dataset.open(root), [f"chips/scene_{number:07d}" for number in range(min(CALLS, chips))]
    for name in names:
        facts = dataset.blame_pixel("mask", name, 30, 30)
        assert facts["agrees"], facts
        assert facts["feature_id"] == f"field-{name[-7:]}", facts

    def read_label(name: str) -> None:
        with open_raster(root / f"labels/mask/{name[:5]}{name[5:]}.tif", with_sidecars=False) as raster:
            raster.read(1)

    blame = _time_calls([lambda name=name: dataset.blame_pixel("mask", name, 30, 30) for name in names])  # type: ignore[misc]
    reading = _time_calls([lambda name=name: read_label(name) for name in names])  # type: ignore[misc]
    return blame[0] - reading[0], blame[1] - reading[1]
