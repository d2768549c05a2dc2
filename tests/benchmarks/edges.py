"""Benchmarks 1 and 2: edges between footprints and features, for all of them, and for a thousand more."""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from tests.benchmarks.measure import (
    Cost,
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)

FEATURES, FOOTPRINTS, MORE, ROUNDS = 1_000_000, 10_000, 1_000, 5
PEAK_MB = 1_500
_SIDE_M = 17_000.0
_ZONE = "EPSG:32632"
_JOIN = "030_edge_relation.sql"
_SEDONADB_JOIN = (
    "SELECT feature_id, raster_id, ST_Contains(raster.geometry, feature.geometry) AS contains "
    "FROM feature JOIN raster ON ST_Intersects(raster.geometry, feature.geometry)"
)


class JoinResult(NamedTuple):
    """The pairs of another library's join and its cost: of the join only, and of all work from the files on."""

    pair_count: int
    digest: str
    join: Cost
    total: Cost


class RebuildCost(NamedTuple):
    """The cost of rebuilding the state, and the CPU seconds of each of its SQL files."""

    total: Cost
    steps: dict[str, float]


def compare_full_joins(folder: Path, scale: float) -> list[Row]:
    """1. Edges between 1,000,000 features and 10,000 footprints, compared with geopandas and sedonadb."""
    commands = _make_datasets(folder, scale)
    report_progress("edges: rebuilding the state")
    lonlat, utm = _measure_rebuild(folder / "lonlat"), _measure_rebuild(folder / "utm")
    pairs = run_in_process(_summarise_edges, folder / "lonlat")
    report_progress("edges: geopandas")
    geopandas = run_in_process(_join_with_geopandas, folder / "input")
    report_progress("edges: sedonadb")
    sedonadb = run_in_process(_join_with_sedonadb, folder / "input")
    size = f"edges, {round(FEATURES * scale):,} x {round(FOOTPRINTS * scale):,}"
    rows = _compare_joins(size, lonlat, pairs, "geopandas", geopandas, at_most=0.5)
    if sedonadb is None:
        rows.append(Row("edges: skipped sedonadb, not installed (extra 'bench')", ""))
    else:
        rows += _compare_joins(size, lonlat, pairs, "sedonadb", sedonadb, at_most=1.0)
        rows += _compare_sorted_files(size, folder)
    rows.append(check_limit(f"{size}: peak memory of the rebuild", lonlat.total.peak, PEAK_MB, unit="MB"))
    rows += [
        check_limit(f"geographer {name} ({cost.cpu:.1f} CPU s): peak memory", cost.peak, PEAK_MB, unit="MB")
        for name, cost in commands.items()
    ]
    subject, other_name = f"{size}, UTM footprints", "geopandas, lon/lat"
    join, other_join = utm.steps[_JOIN], geopandas.join.cpu
    return [
        *rows,
        compare_values(f"{subject}: {_JOIN}", join, other_join, unit="CPU s", other_name=other_name, at_most=0.5),
        check_limit(f"{subject}: peak memory of the rebuild", utm.total.peak, PEAK_MB, unit="MB"),
    ]


def _compare_joins(
    size: str, ours: RebuildCost, pairs: tuple[int, str], name: str, other: JoinResult, *, at_most: float
) -> list[Row]:
    """Compare the join only, all work from storage on, the sets of pairs, and peak memory."""
    join, total = (ours.steps[_JOIN], other.join.cpu), (ours.total.cpu, other.total.cpu)
    limit: dict[str, Any] = {"unit": "CPU s", "at_most": at_most}
    other_pairs = (other.pair_count, other.digest)
    return [
        compare_values(f"{size}: {_JOIN}", *join, other_name=f"{name}, in memory", **limit),
        compare_values(f"{size}: total, log to disk", *total, other_name=f"{name}, file to memory", **limit),
        Row(
            f"{size}: equal pairs",
            _format_pairs(pairs),
            f"{_format_pairs(other_pairs)} ({name})",
            target="=",
            is_met=other_pairs == pairs,
        ),
        Row(f"{size}: peak memory", f"{ours.total.peak:,.0f} MB", f"{other.total.peak:,.0f} MB ({name})"),
    ]


def _compare_sorted_files(size: str, folder: Path) -> list[Row]:
    """Compare all work from the same features and footprints to a Parquet file of sorted pairs."""
    report_progress("edges: sorted pairs as Parquet files")
    ours = run_in_process(_write_sorted_edges, folder / "lonlat")
    other = run_in_process(_write_with_sedonadb, folder / "input")
    subject, other_name = f"{size}: total, to sorted Parquet", "sedonadb"
    return [
        compare_values(subject, ours.cpu, other.cpu, unit="CPU s", other_name=other_name, at_most=1.0),
        Row(f"{subject}: peak memory", f"{ours.peak:,.0f} MB", f"{other.peak:,.0f} MB ({other_name})"),
    ]


def _format_pairs(pairs: tuple[int, str]) -> str:
    return f"{pairs[0]:,} {pairs[1]}"


def compare_incremental_update(folder: Path, scale: float) -> list[Row]:
    """2. Adding 1,000 features, compared with a full rebuild of the state."""
    _make_datasets(folder, scale)
    rows = []
    for kind in ("lonlat", "utm"):
        rebuild_cpu = _measure_rebuild(folder / kind).total.cpu
        report_progress(f"adding {MORE:,} features, {kind} footprints")
        addition_cpu = run_in_process(_measure_additions, folder / kind, folder / "input")
        subject = f"adding {MORE:,} features, {kind} footprints: request to state"
        rows.append(
            compare_values(subject, addition_cpu, rebuild_cpu, unit="CPU s", other_name="full rebuild", at_most=1 / 50)
        )
    return rows


@cache
def _make_datasets(folder: Path, scale: float) -> dict[str, Cost]:
    """Make two datasets in `folder`, with footprints in degrees and in metres; return the costs of the commands."""
    report_progress("edges: generating")
    inputs = folder / "input"
    inputs.mkdir(parents=True)
    run_in_process(_write_inputs, inputs, scale)
    base, lonlat, utm = folder / "base", folder / "lonlat", folder / "utm"
    report_progress("edges: geographer add features, add catalogue")
    run_geographer(folder, "init", base, "--no-scm")
    costs = {"add features": run_geographer(base, "add", "features", inputs / "features.parquet")}
    shutil.copytree(base, lonlat)
    base.rename(utm)
    costs["add catalogue"] = run_geographer(lonlat, "add", "catalogue", inputs / "lonlat.parquet")
    costs["add catalogue (UTM)"] = run_geographer(utm, "add", "catalogue", inputs / "utm.parquet")
    return costs


@cache
def _measure_rebuild(root: Path) -> RebuildCost:
    return run_in_process(measure_rebuild, root)


def _write_inputs(folder: Path, scale: float) -> None:
    """Write small polygons of eight corners, and square scenes over them; their density is the same at every scale."""
    import geopandas
    import pyproj
    import shapely

    rng = np.random.Generator(np.random.PCG64(1))
    spread = math.sqrt(scale)

    def make_polygons(count: int) -> np.ndarray:
        centres = np.array([9.0, 47.5]) + spread * rng.uniform([-3.0, -2.5], [3.0, 2.5], (count, 2))
        radii = (0.0005 + 0.02 * rng.uniform(size=(count, 1)) ** 6) * rng.uniform(0.6, 1.0, (count, 8))
        angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        ring = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return shapely.polygons(np.concatenate([ring, ring[:, :1]], axis=1))

    def write_polygons(name: str, start: int, count: int) -> None:
        columns = {"feature_id": np.arange(start, start + count), "class": "field"}
        geopandas.GeoDataFrame(columns, geometry=make_polygons(count), crs="EPSG:4326").to_parquet(folder / name)

    features, footprints = round(FEATURES * scale), round(FOOTPRINTS * scale)
    write_polygons("features.parquet", 0, features)
    for number in range(ROUNDS + 1):
        write_polygons(f"more{number}.parquet", features + MORE * number, MORE)
    offsets = spread * rng.uniform(-1, 1, (footprints, 2)) * [240_000, 270_000]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * _SIDE_M
    metres = (np.array([500_000.0, 5_260_000.0]) + offsets)[:, None] + corners
    to_degrees = pyproj.Transformer.from_crs(_ZONE, "EPSG:4326", always_xy=True).transform
    degrees = np.stack(to_degrees(metres[..., 0], metres[..., 1]), axis=-1)
    ids = {"raster_id": np.arange(footprints)}
    for name, crs, rings in (("utm", _ZONE, metres), ("lonlat", "EPSG:4326", degrees)):
        frame = geopandas.GeoDataFrame(ids, geometry=shapely.polygons(rings), crs=crs)
        frame.to_parquet(folder / f"{name}.parquet")


def measure_rebuild(root: Path) -> RebuildCost:
    """Rebuild the state of the dataset at `root`, and measure each of its SQL files."""
    import geographer.dataset  # noqa: F401 - declares the kinds of events
    from geographer.storage.database.connection import Database, run_script
    from geographer.storage.log.read import read_events_between
    from geographer.storage.state import update

    database, steps = Database(root / ".geographer"), {}
    # DuckDB imports pandas at the first query with parameters, which is not a cost of the state.
    with database.open_connection(log="r", spatial=True) as connection:
        read_events_between(connection, last=1)

    def run_step(connection: Any, script: str, parameters: Any = None) -> None:
        name = script.removeprefix("-- ").partition(":")[0]
        with measure_cost() as cost:
            run_script(connection, script, parameters)
        steps[name] = cost.cpu

    with measure_cost() as total, mock.patch.object(update, "run_script", run_step):
        update.rebuild_state(database)
    return RebuildCost(total, steps)


def _measure_additions(root: Path, inputs: Path) -> float:
    """Return the median CPU seconds of adding `MORE` features; a first addition warms the process."""
    from geographer import Dataset

    dataset, costs = Dataset.open(root), []
    for number in range(ROUNDS + 1):
        with measure_cost() as cost:
            dataset.add_features(inputs / f"more{number}.parquet")
        costs.append(cost.cpu)
    return statistics.median(costs[1:])


def _summarise_edges(root: Path) -> tuple[int, str]:
    from geographer import Dataset

    query = "SELECT feature_id, raster_id::BIGINT AS raster_id, relation = 'contains' AS contains FROM edges"
    edges = Dataset.open(root).sql(query)
    return _summarise_pairs(*(edges[name].to_numpy() for name in ("feature_id", "raster_id", "contains")))


def _join_with_geopandas(inputs: Path) -> JoinResult:
    import geopandas

    with measure_cost() as total:
        features = geopandas.read_parquet(inputs / "features.parquet", columns=["feature_id", "geometry"])
        rasters = geopandas.read_parquet(inputs / "lonlat.parquet")
        with measure_cost() as join:
            intersecting = geopandas.sjoin(features, rasters, predicate="intersects")
            contained = geopandas.sjoin(features, rasters, predicate="within")
    codes, contained_codes = (
        _encode_pairs(pairs["feature_id"], pairs["raster_id"]) for pairs in (intersecting, contained)
    )
    contains = np.isin(codes, contained_codes)
    pairs = _summarise_pairs(intersecting["feature_id"], intersecting["raster_id"], contains)
    return JoinResult(*pairs, join, total)


def _join_with_sedonadb(inputs: Path) -> JoinResult | None:
    import pyarrow as pa

    try:
        import sedonadb
    except ImportError:
        return None
    with measure_cost() as total:
        sedona = sedonadb.connect()
        for view, name in (("feature", "features"), ("raster", "lonlat")):
            sedona.read_parquet(inputs / f"{name}.parquet").to_memtable().to_view(view)
        with measure_cost() as join:
            pairs = pa.table(sedona.sql(_SEDONADB_JOIN))
    columns = (pairs[name].to_numpy() for name in ("feature_id", "raster_id", "contains"))
    return JoinResult(*_summarise_pairs(*columns), join, total)


def _write_with_sedonadb(inputs: Path) -> Cost:
    """Write the sorted pairs without keeping inputs or pairs in memory, and return the cost."""
    import sedonadb

    with measure_cost() as cost:
        sedona = sedonadb.connect()
        for view, name in (("feature", "features"), ("raster", "lonlat")):
            sedona.read_parquet(inputs / f"{name}.parquet").to_view(view)
        sedona.sql(_SEDONADB_JOIN).to_parquet(
            inputs / "pairs.parquet", sort_by=["feature_id", "raster_id"], single_file_output=True
        )
    return cost


def _write_sorted_edges(root: Path) -> Cost:
    """Rebuild the state of the dataset at `root`, write its sorted edges, and return the cost of both."""
    import geographer.dataset  # noqa: F401 - declares the kinds of events
    from geographer.storage.database.connection import Database
    from geographer.storage.state.update import rebuild_state

    database, path = Database(root / ".geographer"), root / "pairs.parquet"
    pairs = "SELECT feature_key, raster_key, contains FROM state.edge ORDER BY feature_key, raster_key"
    with measure_cost() as cost:
        rebuild_state(database)
        with database.open_connection(state="r", spatial=True) as connection:
            connection.execute(f"COPY ({pairs}) TO '{path}' (FORMAT parquet)")
    return cost


def _encode_pairs(features: np.ndarray, rasters: np.ndarray) -> np.ndarray:
    return np.asarray(features, "int64") * 10_000_000 + np.asarray(rasters, "int64")


def _summarise_pairs(features: np.ndarray, rasters: np.ndarray, contains: np.ndarray) -> tuple[int, str]:
    """Return the number of pairs, and a digest of their set with the relation of each."""
    rows = np.sort(_encode_pairs(features, rasters) * 2 + np.asarray(contains, "int64"))
    return len(rows), hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
