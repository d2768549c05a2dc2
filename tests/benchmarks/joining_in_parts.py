"""Benchmarks 29 and 30: the edges of ten million features within a memory limit, and in parts on two workers.

`python -m tests.benchmarks.joining_in_parts CHUNKS SECONDS FOLDER` counts the pairs of so many million features with
10,000 footprints, storing none, beside sedonadb with a memory limit of 8 GB, and stops after some seconds.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.benchmarks.measure import (
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)

CHUNKS, CHUNK, FOOTPRINTS = 10, 1_000_000, 10_000
MEMORY_MB = 8_000
PART = 125_000
_COSTS = "GEOGRAPHER_BENCHMARK_COSTS"
_SIDE_M = 17_000.0


def compare_large_join(folder: Path, scale: float) -> list[Row]:
    """29. Edges between 10,000,000 features and 10,000 footprints below 8 GB, compared with geopandas by the million."""
    dataset, inputs = folder / "dataset", folder / "input"
    run_in_process(write_inputs, inputs, CHUNKS, scale)
    report_progress("large join: geographer")
    run_geographer(folder, "init", dataset, "--no-scm")
    for number in range(CHUNKS):
        run_geographer(dataset, "add", "features", inputs / f"features{number}.parquet")
    limits = ("--memory-limit", f"{MEMORY_MB}MB")
    ours = run_geographer(dataset, *limits, "add", "catalogue", inputs / "lonlat.parquet")
    count = run_in_process(_count_edges, dataset)
    report_progress("large join: geopandas")
    costs = [run_in_process(_join_with_geopandas, inputs, number) for number in range(CHUNKS)]
    pairs, cpu = sum(row[0] for row in costs), sum(row[1] for row in costs)
    size = f"edges, {round(CHUNKS * CHUNK * scale):,} x {round(FOOTPRINTS * scale):,}"
    other = "geopandas, a million at a time, in memory"
    return [
        compare_values(
            f"{size}: add catalogue, log to disk", ours.cpu, cpu, unit="CPU s", other_name=other, at_most=0.6
        ),
        Row(f"{size}: equal pairs", f"{count:,}", f"{pairs:,} (geopandas)", target="=", is_met=count == pairs),
        check_limit(f"{size}: peak memory, --memory-limit {MEMORY_MB}MB", ours.peak, MEMORY_MB, unit="MB"),
    ]


def compare_workers(folder: Path, scale: float) -> list[Row]:
    """30. Edges of 1,000,000 features in parts: two worker processes against one, and the memory of each."""
    dataset, inputs = folder / "dataset", folder / "input"
    run_in_process(write_inputs, inputs, 2, scale)
    run_geographer(folder, "init", dataset, "--no-scm")
    run_geographer(dataset, "add", "features", inputs / "features0.parquet")
    run_geographer(dataset, "add", "catalogue", inputs / "lonlat.parquet")
    size = round(PART * scale)
    report_progress("parts: one worker, two workers")
    one, two, whole = (run_in_process(_measure_parts, dataset, workers, size) for workers in (1, 2, 0))
    run_geographer(dataset, "add", "features", inputs / "features1.parquet")
    double = run_in_process(_measure_parts, dataset, 2, size)
    subject = f"edges, {round(CHUNK * scale):,} x {round(FOOTPRINTS * scale):,}, in parts"
    return [
        compare_values(
            f"{subject}: wall of two workers", one["wall"], two["wall"], unit="s", other_name="two", at_least=1.5
        ),
        compare_values(
            f"{subject}: shortest wall by CPU s of parts",
            estimate_wall(one, 1),
            estimate_wall(two, 2),
            unit="s",
            other_name="two",
            at_least=1.5,
        ),
        compare_values(f"{subject}: CPU s", two["cpu"], whole["cpu"], unit="CPU s", other_name="one query"),
        compare_values(
            f"{subject}: memory of a worker, twice the features",
            max(double["peaks"]),
            max(two["peaks"]),
            unit="MB",
            other_name="half",
            at_most=1.1,
        ),
    ]


def estimate_wall(costs: dict[str, Any], workers: int) -> float:
    """Return the wall seconds on free cores: what the client does, then the parts, each on the next free worker."""
    busy = [0.0] * workers
    for cpu in costs["parts"]:
        busy[busy.index(min(busy))] += cpu
    return float(costs["client"]) + max(busy)


def measure_part(part: Any) -> list[int]:
    """Join a part, and write its CPU seconds and the peak memory of this worker to the file of costs."""
    from geographer.storage.state.edge_parts.join_part import join_part

    start = time.process_time()
    result = join_part(part)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    with Path(os.environ[_COSTS]).open("a") as file:
        file.write(json.dumps([time.process_time() - start, peak]) + "\n")
    return result


def _measure_parts(root: Path, workers: int, size: int) -> dict[str, Any]:
    """Derive the state with so many worker processes (0: by one query), and measure the step of edges."""
    import geographer.dataset.dataset  # noqa: F401 (events are read by the classes of all operations)
    from geographer.base.executors.processes import ProcessExecutor
    from geographer.storage.database.connection import Database, run_script
    from geographer.storage.state import update
    from geographer.storage.state.edge_parts import derive_in_parts
    from geographer.storage.state.steps import EDGE_STEP

    costs_file = root / "costs.jsonl"
    costs_file.unlink(missing_ok=True)
    os.environ |= {_COSTS: str(costs_file), "GEOGRAPHER_GRAPH_PARTS": str(size) if workers else "never"}
    database = Database(root / ".geographer")
    measured: dict[str, Any] = {}
    database.workers = ProcessExecutor(workers) if workers else None

    def measure_step(function: Any, *args: Any) -> Any:
        with measure_cost() as cost:
            own, result = time.process_time(), function(*args)
        if workers or args[1] == EDGE_STEP.read_text():
            measured.update(cpu=cost.cpu, wall=cost.wall, client=time.process_time() - own)
        return result

    steps = (
        mock.patch.object(derive_in_parts, "join_part", measure_part),
        mock.patch.object(update, "derive_edges_in_parts", partial(measure_step, derive_in_parts.derive_edges_in_parts))
        if workers
        else mock.patch.object(update, "run_script", partial(measure_step, run_script)),
    )
    with steps[0], steps[1]:
        update.rebuild_state(database)
    parts = [json.loads(line) for line in costs_file.read_text().splitlines()] if workers else []
    return {**measured, "parts": [part[0] for part in parts], "peaks": [part[1] for part in parts]}


def write_inputs(folder: Path, chunks: int, scale: float) -> None:
    """Write chunks of small polygons of eight corners, all over the same place, and square scenes over them."""
    import geopandas
    import pyproj
    import shapely

    folder.mkdir(parents=True, exist_ok=True)
    spread, chunk, footprints = math.sqrt(scale), round(CHUNK * scale), round(FOOTPRINTS * scale)
    for number in range(chunks):
        polygons = shapely.polygons(make_rings(number, chunk, spread))
        columns = {"feature_id": np.arange(number * chunk, (number + 1) * chunk), "class": "field"}
        frame = geopandas.GeoDataFrame(columns, geometry=polygons, crs="EPSG:4326")
        frame.to_parquet(folder / f"features{number}.parquet")
    offsets = spread * np.random.Generator(np.random.PCG64(2)).uniform(-1, 1, (footprints, 2)) * [240_000.0, 270_000.0]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * _SIDE_M
    metres = (np.array([500_000.0, 5_260_000.0]) + offsets)[:, None] + corners
    to_degrees = pyproj.Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True).transform
    degrees = np.stack(to_degrees(metres[..., 0], metres[..., 1]), axis=-1)
    frame = geopandas.GeoDataFrame(
        {"raster_id": np.arange(footprints)}, geometry=shapely.polygons(degrees), crs="EPSG:4326"
    )
    frame.to_parquet(folder / "lonlat.parquet")


def make_rings(number: int, count: int, spread: float) -> np.ndarray:
    """Return the rings of a chunk of polygons, of shape (count, 9, 2), in degrees."""
    rng = np.random.Generator(np.random.PCG64([1, number]))
    centres = np.array([9.0, 47.5]) + spread * rng.uniform([-3.0, -2.5], [3.0, 2.5], (count, 2))
    radii = (0.0005 + 0.02 * rng.uniform(size=(count, 1)) ** 6) * rng.uniform(0.6, 1.0, (count, 8))
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([ring, ring[:, :1]], axis=1)


def _count_edges(root: Path) -> int:
    from geographer import Dataset

    return int(Dataset.open(root).sql("SELECT count(*) AS pairs FROM edges")["pairs"][0].as_py())


def _join_with_geopandas(inputs: Path, number: int) -> tuple[int, float]:
    """Return the pairs of a chunk, and the CPU seconds of reading it and of both joins."""
    import geopandas

    with measure_cost() as cost:
        features = geopandas.read_parquet(inputs / f"features{number}.parquet", columns=["feature_id", "geometry"])
        rasters = geopandas.read_parquet(inputs / "lonlat.parquet")
        pairs = len(geopandas.sjoin(features, rasters, predicate="intersects"))
        geopandas.sjoin(features, rasters, predicate="within")
    return pairs, cost.cpu


def count_pairs(folder: Path, chunks: int, seconds: float) -> list[dict[str, float]]:
    """Count the pairs of chunks of a million features with 10,000 footprints, ours and sedonadb's, until time is up."""
    write_inputs(folder, 0, 1.0)
    run_in_process(_write_rasters, folder)
    rows, start = [], time.monotonic()
    for number in range(chunks):
        if time.monotonic() - start > seconds:
            break
        run_in_process(_write_chunk, folder, number)
        ours = run_in_process(_count_ours, folder)
        other = run_in_process(_count_with_sedonadb, folder)
        rows.append({"ours": ours[2], "sedonadb": other[2]})
        report_progress(f"million {number + 1}: {ours} {other}, equal: {ours[:2] == other[:2]}")
    return rows


def _write_rasters(folder: Path) -> None:
    """Derive the state of a dataset of the footprints alone, and write its rasters as a worker reads them."""
    from geographer import Dataset
    from geographer.storage.database.connection import run_script
    from geographer.storage.state.edge_parts import derive_in_parts

    dataset = Dataset.init(folder / "footprints", scm=False)
    dataset.add_catalogue(folder / "lonlat.parquet")
    script = (Path(derive_in_parts.__file__).with_name("write_parts.sql")).read_text()
    statement = "COPY" + script.split("COPY")[2].split(";")[0]
    statement = statement.format(folder=folder).replace("(valid_from > $after OR EXISTS", "(true OR EXISTS")
    database = dataset._unit_of_work.database
    with database.open_connection(state="r", spatial=True) as connection:
        run_script(connection, statement.replace("$after", "0"))


def _write_chunk(folder: Path, number: int) -> None:
    """Write a chunk as GeoParquet, and as the features of a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import shapely

    rings = make_rings(number, CHUNK, 1.0)
    low, high = rings.min(axis=1), rings.max(axis=1)
    polygons = shapely.to_wkb(shapely.polygons(rings))
    size = high - low
    # See `max_edge_sagitta`.
    pad = 0.01 * (size**2).sum(axis=1) / np.cos(np.radians(np.maximum(abs(low[:, 1]), abs(high[:, 1])))) + 1e-9
    columns = {
        "feature_key": np.arange(CHUNK) + number * CHUNK,
        "geometry": polygons,
        "native": pa.nulls(CHUNK, pa.binary()),
        "crs": pa.array(["EPSG:4326"] * CHUNK),
        **{"xmin": low[:, 0] - pad, "ymin": low[:, 1] - pad, "xmax": high[:, 0] + pad, "ymax": high[:, 1] + pad},
        "valid_from": np.full(CHUNK, 1),
        "valid_to": np.full(CHUNK, 2**63 - 1),
    }
    pq.write_table(pa.table(columns), folder / "part.parquet")


def _count_ours(folder: Path) -> tuple[int, int, float, float]:
    from geographer.storage.state.edge_parts.join_part import EdgePart, open_part
    from geographer.storage.state.steps import EDGE_STEP, list_edge_steps

    part = EdgePart((str(folder / "part.parquet"),), str(folder / "rasters.parquet"), "", 0, 9, 3 * 10**9, 2)
    with measure_cost() as cost, open_part(part) as connection:
        connection.execute(list_edge_steps()[0].read_text())
        for statement in connection.extract_statements(EDGE_STEP.read_text()):
            if "INSERT" not in statement.query and "RESET" not in statement.query:
                connection.execute(statement, dict.fromkeys(statement.named_parameters, 0) or None)
        query = "SELECT count(*), count(*) FILTER (contains) FROM edges_between(0, 9, 0, 0)"
        ((count, contained),) = connection.execute(query).fetchall()
    return count, contained, cost.cpu, cost.peak


def _count_with_sedonadb(folder: Path) -> tuple[int, int, float, float]:
    import pyarrow as pa
    import sedonadb

    sedona = sedonadb.connect()
    sedona.options.memory_limit = "8gb"
    with measure_cost() as cost:
        sedona.read_parquet(folder / "part.parquet").to_view("feature")
        sedona.read_parquet(folder / "lonlat.parquet").to_view("raster")
        query = sedona.sql(
            "SELECT count(*) AS pairs, sum(CASE WHEN ST_Contains(raster.geometry, feature.g) THEN 1 ELSE 0 END) AS inside "
            "FROM (SELECT ST_SetSRID(ST_GeomFromWKB(geometry), 4326) AS g FROM feature) AS feature "
            "JOIN raster ON ST_Intersects(raster.geometry, feature.g)"
        )
        (row,) = pa.table(query).to_pylist()
    return row["pairs"], row["inside"], cost.cpu, cost.peak


if __name__ == "__main__":
    costs = count_pairs(Path(sys.argv[3]), int(sys.argv[1]), float(sys.argv[2]))
    print(json.dumps({name: sum(row[name] for row in costs) for name in ("ours", "sedonadb")} | {"chunks": len(costs)}))
