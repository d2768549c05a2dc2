"""1 and 2: which footprint contains or intersects which feature, for all of them, and for a thousand more."""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from tests.benchmarks.measure import Cost, Row, apart, below, compared, geographer, spent, told

FEATURES, FOOTPRINTS, MORE, ROUNDS = 1_000_000, 10_000, 1_000, 5
PEAK_MB = 1_500
_SIDE_M = 17_000.0
_ZONE = "EPSG:32632"
_JOIN = "040_edge.sql"


class Pairs(NamedTuple):
    """What a join found and spent: the join alone, and all of its process from the files on."""

    count: int
    digest: str
    join: Cost
    whole: Cost


class Materialised(NamedTuple):
    """What rebuilding a projection spent, whole, and CPU seconds of each of its SQL files."""

    whole: Cost
    steps: dict[str, float]


def full(folder: Path, scale: float) -> list[Row]:
    """1. Edges for 1,000,000 features and 10,000 footprints, beside geopandas and sedonadb."""
    commands = _prepared(folder, scale)
    told("edges: rebuilding the projection")
    ours, ours_utm = _materialised(folder / "lonlat"), _materialised(folder / "utm")
    identity = apart(_pairs_of_dataset, folder / "lonlat")
    told("edges: geopandas")
    geopandas = apart(_geopandas, folder / "input")
    told("edges: sedonadb")
    sedona = apart(_sedonadb, folder / "input")
    size = f"edges, {round(FEATURES * scale):,} x {round(FOOTPRINTS * scale):,}"
    rows = _beside(size, ours, identity, "geopandas", geopandas, at_most=0.5)
    if sedona is None:
        rows.append(Row("edges: sedonadb is not installed (the extra 'bench'): left out", ""))
    else:
        rows += _beside(size, ours, identity, "sedonadb", sedona, at_most=1.0)
    rows.append(below(f"{size}: peak memory of the rebuild", ours.whole.peak, PEAK_MB, unit="MB"))
    rows += [
        below(f"geographer {name} ({cost.cpu:.1f} CPU s): peak memory", cost.peak, PEAK_MB, unit="MB")
        for name, cost in commands.items()
    ]
    what, than = f"{size}, UTM footprints", "geopandas, lon/lat"
    utm = ours_utm.steps[_JOIN]
    return [
        *rows,
        compared(f"{what}: the join ({_JOIN})", utm, geopandas.join.cpu, unit="CPU s", than=than, at_most=0.5),
        below(f"{what}: peak memory of the rebuild", ours_utm.whole.peak, PEAK_MB, unit="MB"),
    ]


def _beside(
    size: str, ours: Materialised, identity: tuple[int, str], name: str, peer: Pairs, *, at_most: float
) -> list[Row]:
    """Ours beside one peer: the join alone, all from what is stored on, and whether the pairs are the same."""
    join, whole = (ours.steps[_JOIN], peer.join.cpu), (ours.whole.cpu, peer.whole.cpu)
    found, same = f"{peer.count:,} {peer.digest}", (peer.count, peer.digest) == identity
    return [
        compared(f"{size}: the join ({_JOIN})", *join, unit="CPU s", than=f"{name}, in memory", at_most=at_most),
        compared(f"{size}: all, log to disk", *whole, unit="CPU s", than=f"{name}, file to memory", at_most=at_most),
        Row(f"{size}: the same pairs", f"{identity[0]:,} {identity[1]}", f"{found} ({name})", "", "=", same),
        Row(f"{size}: peak memory", f"{ours.whole.peak:,.0f} MB", f"{peer.whole.peak:,.0f} MB ({name})"),
    ]


def incremental(folder: Path, scale: float) -> list[Row]:
    """2. A thousand features more, beside the full materialisation."""
    _prepared(folder, scale)
    rows = []
    for kind in ("lonlat", "utm"):
        whole = _materialised(folder / kind).whole.cpu
        told(f"adding {MORE:,} features, {kind} footprints")
        more = apart(_add_more, folder / kind, folder / "input")
        what = f"adding {MORE:,} features, {kind} footprints: request to projected"
        than = "full rebuild"
        rows.append(compared(what, more, whole, unit="CPU s", than=than, at_most=1 / 50))
    return rows


@cache
def _prepared(folder: Path, scale: float) -> dict[str, Cost]:
    """Two datasets in `folder`, with footprints in degrees and in metres; what the commands spent."""
    told("edges: generating")
    inputs = folder / "input"
    inputs.mkdir(parents=True)
    apart(_generate, inputs, scale)
    base, lonlat, utm = folder / "base", folder / "lonlat", folder / "utm"
    told("edges: geographer add features, add catalogue")
    geographer(folder, "init", base, "--no-scm")
    costs = {"add features": geographer(base, "add", "features", inputs / "features.parquet")}
    shutil.copytree(base, lonlat)
    base.rename(utm)
    costs["add catalogue"] = geographer(lonlat, "add", "catalogue", inputs / "lonlat.parquet")
    costs["add catalogue (UTM)"] = geographer(utm, "add", "catalogue", inputs / "utm.parquet")
    return costs


@cache
def _materialised(root: Path) -> Materialised:
    return apart(rebuild, root)


def _generate(folder: Path, scale: float) -> None:
    """Small polygons of nine vertices, and square scenes over them; as dense at every scale."""
    import geopandas
    import pyproj
    import shapely

    rng = np.random.Generator(np.random.PCG64(1))
    spread = math.sqrt(scale)

    def shapes(count: int) -> np.ndarray:
        centres = np.array([9.0, 47.5]) + spread * rng.uniform([-3.0, -2.5], [3.0, 2.5], (count, 2))
        radii = (0.0005 + 0.02 * rng.uniform(size=(count, 1)) ** 6) * rng.uniform(0.6, 1.0, (count, 8))
        angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        ring = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return shapely.polygons(np.concatenate([ring, ring[:, :1]], axis=1))

    def write(name: str, start: int, count: int) -> None:
        columns = {"feature_id": np.arange(start, start + count), "class": "field"}
        geopandas.GeoDataFrame(columns, geometry=shapes(count), crs="EPSG:4326").to_parquet(folder / name)

    features, footprints = round(FEATURES * scale), round(FOOTPRINTS * scale)
    write("features.parquet", 0, features)
    for number in range(ROUNDS + 1):
        write(f"more{number}.parquet", features + MORE * number, MORE)
    west, south = (
        np.array([500_000.0, 5_260_000.0]) + spread * rng.uniform(-1, 1, (footprints, 2)) * [240_000, 270_000]
    ).T
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * _SIDE_M
    metres = np.stack([west, south], axis=1)[:, None] + corners
    to_degrees = pyproj.Transformer.from_crs(_ZONE, "EPSG:4326", always_xy=True).transform
    degrees = np.stack(to_degrees(metres[..., 0], metres[..., 1]), axis=-1)
    ids = {"raster_id": np.arange(footprints)}
    for name, crs, rings in (("utm", _ZONE, metres), ("lonlat", "EPSG:4326", degrees)):
        frame = geopandas.GeoDataFrame(ids, geometry=shapely.polygons(rings), crs=crs)
        frame.to_parquet(folder / f"{name}.parquet")


def rebuild(root: Path) -> Materialised:
    from geographer.storage.database.connection import Database, run_script
    from geographer.storage.log.read import read_events_between
    from geographer.storage.state import update as project

    engine, steps = Database(root / ".geographer"), {}
    # DuckDB imports pandas at the first query with parameters: not the projection's doing.
    with engine.open_connection(log="r", spatial=True) as connection:
        read_events_between(connection, last=1)

    def run_step(connection: object, script: str, parameters: object = None) -> None:
        name = script.removeprefix("-- ").partition(":")[0]
        with spent() as cost:
            run_script(connection, script, parameters)
        steps[name] = cost.cpu

    with spent() as whole, mock.patch.object(project, "run_script", run_step):
        project.rebuild_state(engine)
    return Materialised(whole, steps)


def _add_more(root: Path, inputs: Path) -> float:
    """The median CPU seconds of adding `MORE` features, after a first time that warms the process."""
    from geographer import Dataset

    dataset, costs = Dataset.open(root), []
    for number in range(ROUNDS + 1):
        with spent() as cost:
            dataset.add_features(inputs / f"more{number}.parquet")
        costs.append(cost.cpu)
    return statistics.median(costs[1:])


def _pairs_of_dataset(root: Path) -> tuple[int, str]:
    from geographer import Dataset

    query = "SELECT feature_id, raster_id::BIGINT AS raster_id, relation = 'contains' AS contains FROM edges"
    edges = Dataset.open(root).sql(query)
    return _identity(*(edges[name].to_numpy() for name in ("feature_id", "raster_id", "contains")))


def _geopandas(inputs: Path) -> Pairs:
    import geopandas

    with spent() as whole:
        features = geopandas.read_parquet(inputs / "features.parquet", columns=["feature_id", "geometry"])
        rasters = geopandas.read_parquet(inputs / "lonlat.parquet")
        with spent() as join:
            met = geopandas.sjoin(features, rasters, predicate="intersects")
            inside = geopandas.sjoin(features, rasters, predicate="within")
    met_codes, inside_codes = (_codes(pairs["feature_id"], pairs["raster_id"]) for pairs in (met, inside))
    contains = np.isin(met_codes, inside_codes)
    return Pairs(*_identity(met["feature_id"], met["raster_id"], contains), join, whole)


def _sedonadb(inputs: Path) -> Pairs | None:
    import pyarrow as pa

    try:
        import sedonadb
    except ImportError:
        return None
    with spent() as whole:
        sedona = sedonadb.connect()
        for view, name in (("feature", "features"), ("raster", "lonlat")):
            sedona.read_parquet(inputs / f"{name}.parquet").to_memtable().to_view(view)
        with spent() as join:
            pairs = sedona.sql(
                "SELECT feature_id, raster_id, ST_Contains(raster.geometry, feature.geometry) AS contains "
                "FROM feature JOIN raster ON ST_Intersects(raster.geometry, feature.geometry)"
            )
            pairs = pa.table(pairs)
    columns = (pairs[name].to_numpy() for name in ("feature_id", "raster_id", "contains"))
    return Pairs(*_identity(*columns), join, whole)


def _codes(features: np.ndarray, rasters: np.ndarray) -> np.ndarray:
    return np.asarray(features, "int64") * 10_000_000 + np.asarray(rasters, "int64")


def _identity(features: np.ndarray, rasters: np.ndarray, contains: np.ndarray) -> tuple[int, str]:
    """How many pairs, and a digest of their set with the relation of each."""
    rows = np.sort(_codes(features, rasters) * 2 + np.asarray(contains, "int64"))
    return len(rows), hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:12]
