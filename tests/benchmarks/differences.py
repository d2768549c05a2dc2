"""Benchmark 16: the patch between neighbouring revisions of a million features, compared with pygeodiff's changeset."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.measure import Row, compare_values, measure_cost, report_progress, run_in_process

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES, CHANGED, ROUNDS = 1_000_000, 0.01, 5
CLASSES = ("pond", "quarry", "field")


def compare_changesets(folder: Path, scale: float) -> list[Row]:
    """16. The changes of 1 % of 1,000,000 features as a patch, compared with pygeodiff on the same features."""
    count = round(FEATURES * scale)
    report_progress(f"patches: {count:,} features")
    run_in_process(_write_dataset, folder / "dataset", count)
    run_in_process(_write_packages, folder, count)
    changes, whole = run_in_process(_measure_patch, folder / "dataset")
    other = run_in_process(_measure_changeset, folder)
    subject = f"changes of {CHANGED:.0%} of {count:,} features"
    return [
        compare_values(f"{subject}, as lines", changes, other, unit="CPU s", other_name="pygeodiff", at_most=1 / 3),
        compare_values(f"{subject}, with content digests", whole, other, unit="CPU s", other_name="pygeodiff"),
    ]


def _make_versions(count: int) -> tuple[list[tuple[Any, Any, Any]], np.ndarray]:
    """Return x, y and radius of octagons in both versions, and the ids that differ."""
    rng = np.random.Generator(np.random.PCG64(5))
    x, y, radius = rng.uniform(6, 12, count), rng.uniform(45, 50, count), rng.uniform(2e-4, 1e-3, count)
    changed = np.sort(rng.choice(count, round(count * CHANGED), replace=False))
    later_x, later_radius = x.copy(), radius.copy()
    later_x[changed] += 2e-5
    later_radius[changed] *= 1.01
    return [(x, y, radius), (later_x, y, later_radius)], changed


def _make_octagons(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    import shapely

    angles = np.linspace(0, 2 * np.pi, 9)
    angles[-1] = 0
    rings = [x[:, None] + radius[:, None] * np.cos(angles), y[:, None] + radius[:, None] * np.sin(angles)]
    return np.asarray(shapely.polygons(np.stack(rings, axis=-1)))


def _write_dataset(root: Path, count: int) -> None:
    from geographer import Dataset
    from geographer.operations.add.events import FeatureIds, FeaturesAdded
    from geographer.storage.database.connection import Database
    from geographer.storage.events import CommitInfo
    from geographer.storage.log.append import append_event
    from geographer.storage.log.read import read_head
    from geographer.storage.state.update import update_state

    Dataset.init(root, classes=CLASSES, scm=False)
    (first, later), changed = _make_versions(count)
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
    database = Database(root / ".geographer")
    with database.open_connection(log="w", spatial=True) as connection:
        ids = np.arange(count)
        for change, rows in (("added", ids), ("changed", changed)):
            values = first if change == "added" else tuple(column[rows] for column in later)
            table = _make_rows(change, rows, _make_octagons(*values))
            append_event(database, payload, {"feature_change": table}, CommitInfo("Ada"), read_head(connection))
    update_state(database)


def _make_rows(change: str, ids: np.ndarray, geometries: np.ndarray) -> pa.Table:
    import shapely

    from geographer.storage.events.row_tables import make_row_table

    columns: dict[str, list[Any]] = {
        "change": [change] * len(ids),
        "feature_id": [str(number) for number in ids],
        "id_is_integer": [True] * len(ids),
        "class": [CLASSES[number % 3] for number in ids],
        "geometry": list(shapely.to_wkb(geometries)),
        "crs": ["EPSG:4326"] * len(ids),
        "properties": [f'{{"depth":{number % 7}}}' for number in ids],
    }
    return make_row_table("feature_change", columns)


def _write_packages(folder: Path, count: int) -> None:
    import geopandas

    versions, _ = _make_versions(count)
    ids = np.arange(count)
    for name, values in zip(("old", "new"), versions, strict=True):
        columns = {"class": np.array(CLASSES)[ids % 3], "depth": ids % 7}
        table = geopandas.GeoDataFrame(columns, geometry=_make_octagons(*values), crs="EPSG:4326")
        table.to_file(folder / f"{name}.gpkg", layer="features", driver="GPKG", SPATIAL_INDEX="NO")


def _measure_patch(root: Path) -> tuple[float, float]:
    """Measure CPU seconds of the changes as lines, and of the whole patch, in a warm process."""
    from geographer import Dataset
    from geographer.diff.changes import Sides
    from geographer.diff.patch import build_patch, encode_patch
    from geographer.diff.patch.build import iter_row_changes
    from geographer.diff.patch.model import encode_change

    changes, whole, sides = [], [], Sides(2, 3)
    with Dataset.open(root)._unit_of_work.open_revision() as revision:
        for _ in range(ROUNDS):
            with measure_cost() as cost:
                lines = [encode_change(change) for change in iter_row_changes(revision, sides)]
            changes.append(cost.cpu)
            with measure_cost() as cost:
                content = encode_patch(build_patch(revision, sides))
            whole.append(cost.cpu)
            assert content.count(b"\n") == len(lines) + 1
    return statistics.median(changes), statistics.median(whole)


def _measure_changeset(folder: Path) -> float:
    """Measure CPU seconds of pygeodiff's changeset."""
    import pygeodiff

    geodiff, costs = pygeodiff.GeoDiff(), []
    for _ in range(ROUNDS):
        with measure_cost() as cost:
            geodiff.create_changeset(*(str(folder / name) for name in ("old.gpkg", "new.gpkg", "x.diff")))
        costs.append(cost.cpu)
    return statistics.median(costs)
