"""Benchmarks 10 to 13: what history that travels costs: commands, clones, pushes, pulls, and a reproduced revision."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.measure import (
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
    run_python,
)

if TYPE_CHECKING:
    from geographer import Dataset

CHANGES, EVENTS, PUSHES, RASTERS, SIDE = 1_000_000, 10_000, 1_000, 10_000, 160
_SHA256 = "import hashlib, pathlib, sys\nfor path in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n" + (
    "    path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest()\n"
)


def compare_command_cost(folder: Path, scale: float) -> list[Row]:
    """10. What segment, lock file and history folder add to a command, at 10 events and at 10,000."""
    rows = []
    for events in (10, round(EVENTS * scale)):
        report_progress(f"history: commands on a log of {events:,} events")
        added = run_in_process(_measure_history, folder / str(events), events)
        rows.append(check_limit(f"history folder, a command at {events:,} events", added * 1e3, 50, unit="CPU ms"))
    return rows


def _measure_history(folder: Path, events: int) -> float:
    """Return the median CPU seconds of bringing the history folder up to one more event."""
    from geographer.storage.unit_of_work import UnitOfWork

    costs = []
    write_history = UnitOfWork.write_history

    def write_measured(work: UnitOfWork, *, state_position: int | None = None) -> None:
        with measure_cost() as cost:
            write_history(work, state_position=state_position)
        costs.append(cost.cpu)

    dataset = make_log(folder, events)
    UnitOfWork.write_history = write_measured  # type: ignore[method-assign, assignment]
    try:
        # A command looks at the history folder before its change, and writes it afterwards.
        totals = []
        for number in range(20):
            costs.clear()
            dataset.add_classes([f"measured{number}"])
            totals.append(sum(costs))
    finally:
        UnitOfWork.write_history = write_history  # type: ignore[method-assign]
    return statistics.median(totals[2:])


def make_log(folder: Path, events: int) -> Dataset:
    """Make a dataset with so many events, fast: without the history folder, which the last event catches up with."""
    from geographer import Dataset
    from geographer.storage.unit_of_work import UnitOfWork

    dataset = Dataset.init(folder, scm=False)
    write_history = UnitOfWork.write_history
    UnitOfWork.write_history = lambda _work, **_: None  # type: ignore[method-assign]
    for number in range(events - 2):
        dataset.add_classes([f"class{number}"])
    UnitOfWork.write_history = write_history  # type: ignore[method-assign]
    dataset.add_classes(["last"])
    return dataset


def compare_clone(folder: Path, scale: float) -> list[Row]:
    """11. Cloning a log with 1,000,000 changes without pixels, compared with a script that reads, hashes and writes."""
    count = round(CHANGES * scale)
    report_progress(f"clone: a log with {count:,} changes")
    published, remote = folder / "published", folder / "remote"
    run_in_process(_publish_features, published, remote, count)
    ours, bare = [], []
    for number in range(3):
        ours.append(run_python("-m", "geographer", "clone", remote, folder / f"clone{number}", "--no-pixels"))
        bare.append(run_python("-c", _BARE, folder / f"bare{number}.duckdb", published / "history"))
    cpu, bare_cpu = (statistics.median(cost.cpu for cost in costs) for costs in (ours, bare))
    return [
        compare_values(f"clone {count:,} changes", cpu, bare_cpu, unit="CPU s", other_name="bare script", at_most=1.5),
        check_limit("clone, peak memory", max(cost.peak for cost in ours), 1_000, unit="MB"),
    ]


_BARE = """
import sys, hashlib
from pathlib import Path
import duckdb
target, history = sys.argv[1:]
files = [str(path) for path in Path(history).glob('*.parquet')]
con = duckdb.connect(target, config={'storage_compatibility_version': 'v1.5.0'})
con.execute('''CREATE TABLE feature_change (event INTEGER, ordinal BIGINT, change VARCHAR, feature_id VARCHAR,
    id_is_integer BOOLEAN, class VARCHAR, geometry BLOB USING COMPRESSION uncompressed, crs VARCHAR, properties VARCHAR,
    row_digest VARCHAR)''')
columns = ['feature_id', 'id_is_integer', 'class', 'geometry', 'crs', 'properties']
texts = ['sha256(geometry)' if name == 'geometry' else f'{name}::VARCHAR' for name in columns]
fields = ' || '.join(f"coalesce(strlen({text})::VARCHAR || ':' || {text} || ',', '-,')" for text in texts)
con.execute(f'''INSERT INTO feature_change SELECT event, ordinal, change, {', '.join(columns)}, sha256({fields})
    FROM read_parquet($files, union_by_name = true) WHERE row_table = 'feature_change' ''', {'files': files})
digest = hashlib.sha256()
rows = con.execute('SELECT ordinal, change, row_digest FROM feature_change ORDER BY event, ordinal')
while batch := rows.fetchmany(10000):
    digest.update(''.join(f'feature_change {ordinal} {change} {text}\\n' for ordinal, change, text in batch).encode())
con.close()
"""
"""Reads the rows of segments with DuckDB, computes their digests and that of all, and writes them to a DuckDB file."""


def _publish_features(folder: Path, remote: Path, count: int) -> None:
    import geopandas
    import shapely

    from geographer import Dataset

    rng = np.random.Generator(np.random.PCG64(13))
    x, y = rng.uniform(-120, 120, count), rng.uniform(-60, 60, count)
    angles = np.linspace(0, 2 * np.pi, 9)
    rings = np.stack([x[:, None] + 0.001 * np.cos(angles)[None], y[:, None] + 0.001 * np.sin(angles)[None]], axis=-1)
    frame = geopandas.GeoDataFrame(
        {"id": np.arange(count), "name": [f"feature {number}" for number in range(count)]},
        geometry=shapely.polygons(rings),
        crs="EPSG:4326",
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder.with_suffix(".parquet"))
    dataset = Dataset.init(folder, scm=False, classes=["object"])
    dataset.add_features(folder.with_suffix(".parquet"), id="id")
    add_remote(folder, remote)
    dataset.push()


def add_remote(folder: Path, remote: Path) -> None:
    """Make a folder the default remote of a dataset."""
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "origin", remote], cwd=folder, check=True)


def compare_push(folder: Path, scale: float) -> list[Row]:
    """12. The bytes of a push after one command on a log of 10,000 events, and of 1,000 pushes."""
    events, pushes = round(EVENTS * scale), round(PUSHES * scale)
    report_progress(f"push: {pushes:,} pushes on a log of {events:,} events")
    change, sent, new, total = run_in_process(_measure_pushes, folder, events, pushes)
    return [
        check_limit(f"push of one event at {events:,} events, beside the change", sent - change, 65_536, unit="bytes"),
        compare_values(
            f"{pushes:,} pushes", total, new, unit="bytes", other_name="new bytes", at_most=math.log2(pushes)
        ),
    ]


def _measure_pushes(folder: Path, events: int, pushes: int) -> tuple[int, int, int, int]:
    """Return the bytes of one event and of its push, and the bytes of the events and of the pushes of a series."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = make_log(folder / "long", events)
    add_remote(folder / "long", folder / "long-remote")
    dataset.push()
    before = count_bytes(folder / "long-remote")
    dataset.add_classes(["new"])
    dataset.push()
    change, sent = _measure_event(dataset), count_bytes(folder / "long-remote") - before
    dataset = make_log(folder / "short", 3)
    add_remote(folder / "short", folder / "short-remote")
    new, before = 0, count_bytes(folder / "short-remote")
    for number in range(pushes):
        dataset.add_classes([f"pushed{number}"])
        dataset.push()
        new += _measure_event(dataset)
    return change, sent, new, count_bytes(folder / "short-remote") - before


def _measure_event(dataset: Dataset) -> int:
    """Return the bytes of the newest event as JSON."""
    return len(json.dumps(dataset.show().to_dict()))


def count_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compare_pull(folder: Path, scale: float) -> list[Row]:
    """13. Pulling a change of 1 % of 10,000 rasters, compared with `dvc pull` of the same change."""
    count = round(RASTERS * scale)
    report_progress(f"pull: {count:,} rasters, 1 % changed")
    published = folder / "published"
    run_in_process(publish_rasters, published, folder / "remote", folder / "rasters", count)
    run_geographer(folder, "clone", folder / "remote", folder / "clone")
    plain = folder / "plain"
    shutil.copytree(folder / "clone", plain)
    shutil.rmtree(plain / ".geographer")
    run_in_process(_publish_changes, published, folder / "rasters", count)
    ours = run_geographer(folder / "clone", "pull")
    for path in [published / "history.dvc", *published.glob("rasters/*.dvc")]:
        shutil.copyfile(path, plain / path.relative_to(published))
    with measure_cost() as dvc:
        subprocess.run([sys.executable, "-m", "dvc", "pull", "-q"], cwd=plain, check=True)
    reference = folder / "reference"
    reproduced = run_geographer(folder / "clone", "reproduce", "v1", "--to", folder / "reproduced")
    with measure_cost() as bare:
        subprocess.run(["cp", "-r", folder / "reproduced" / "rasters", reference], check=True)
        subprocess.run([sys.executable, "-c", _SHA256, reference], check=True)
    subject = f"pull of {count // 100:,} of {count:,} rasters"
    return [
        compare_values(subject, ours.cpu, dvc.cpu, unit="CPU s", other_name="dvc pull", at_most=1 / 5),
        compare_values(
            f"reproduce {count:,} rasters",
            reproduced.cpu,
            bare.cpu,
            unit="CPU s",
            other_name="cp + sha256",
            at_most=1.3,
        ),
    ]


def publish_rasters(folder: Path, remote: Path, rasters: Path, count: int) -> None:
    """Make a dataset of small rasters with a tag, and push it to a folder."""
    from geographer import Dataset

    write_rasters(rasters, range(count), seed=1)
    dataset = Dataset.init(folder, scm=False, classes=["object"])
    dataset.add_rasters(rasters)
    dataset.tag("v1")
    add_remote(folder, remote)
    dataset.push()


def _publish_changes(folder: Path, rasters: Path, count: int) -> None:
    from geographer import Dataset

    changed = range(0, count, 100)
    write_rasters(rasters, changed, seed=2)
    dataset = Dataset.open(folder)
    dataset.add_rasters([rasters / f"r{number:05}.tif" for number in changed], replace=True)
    dataset.push()


def write_rasters(folder: Path, numbers: range, *, seed: int) -> None:
    """Write small rasters, side by side."""
    import rasterio

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(seed))
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 4, "dtype": "uint16"}
    for number in numbers:
        row, column = divmod(number, 100)
        transform = rasterio.Affine(10, 0, 400_000 + 640 * column, 0, -10, 5_300_000 - 640 * row)
        path = folder / f"r{number:05}.tif"
        with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as raster:
            raster.write(rng.integers(0, 60_000, (4, SIDE, SIDE), "uint16"))
