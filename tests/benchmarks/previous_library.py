"""Benchmark 7: graph, components, chips and masks, compared with the previous library, GeoGrapher 1.0.0."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.cutting import make_textured_band
from tests.benchmarks.edges import measure_rebuild
from tests.benchmarks.measure import Cost, Row, compare_values, measure_cost, report_progress, run_in_process

FEATURES, FOOTPRINTS, OBJECTS, SIZE, CELL, BANDS, ROUNDS = 10_000, 1_000, 500, 256, 320, 4, 3
VENV = "PREVIOUS_LIBRARY_VENV"
"""The environment variable that names a virtual environment with GeoGrapher 1.0.0; created if it does not exist."""
_SCRIPT = Path(__file__).with_name("previous_library_script.py")
_CRS = "EPSG:32633"
_TRANSFORM = (10.0, 0.0, 499_980.0, 0.0, -10.0, 5_300_040.0)
_HOME = os.environ.get("HOME", "")
_PREVIOUS: dict[str, Any] = {"other_name": "GeoGrapher 1.0.0"}


class Result(NamedTuple):
    """The cost of an operation, and the number of items that it made."""

    cost: Cost
    item_count: int


def compare_previous_library(folder: Path, scale: float) -> list[Row]:
    """7. Graph of 10,000 x 1,000, components, 500 chips of 256 px and masks, compared with GeoGrapher 1.0.0."""
    python = _install_previous_library(folder)
    return [*_compare_graphs(folder / "graph", python, scale), *_compare_chips(folder / "chips", python, scale)]


def _compare_graphs(folder: Path, python: Path, scale: float) -> list[Row]:
    features, footprints = round(FEATURES * scale), round(FOOTPRINTS * scale)
    report_progress(f"previous library: graph of {features:,} x {footprints:,}")
    folder.mkdir(parents=True)
    run_in_process(_write_graph_inputs, folder, features, footprints)
    ours, previous = _find_fastest(lambda: run_in_process(_make_graph, folder)), _run_previous(python, "graph", folder)
    join = min(run_in_process(measure_rebuild, folder / "ours").steps["030_edge_relation.sql"] for _ in range(ROUNDS))
    report_progress("previous library: components")
    components = _find_fastest(lambda: run_in_process(_find_components, folder))
    previous_components = _run_previous(python, "components", folder)
    graph = f"graph of {features:,} x {footprints:,}, {ours.item_count:,} edges (previous {previous.item_count:,})"
    counts = f"{components.item_count:,} (previous {previous_components.item_count:,})"
    cpu, unit = previous.cost.cpu, "CPU s"
    return [
        compare_values(f"{graph}: 030_edge_relation.sql", join, cpu, unit=unit, at_most=1 / 50, **_PREVIOUS),
        compare_values(f"{graph}: tables to two events", ours.cost.cpu, cpu, unit=unit, **_PREVIOUS),
        compare_values(
            f"components of {footprints:,} rasters: {counts}",
            components.cost.cpu,
            previous_components.cost.cpu,
            unit=unit,
            at_most=1 / 10,
            **_PREVIOUS,
        ),
    ]


def _compare_chips(folder: Path, python: Path, scale: float) -> list[Row]:
    count = round(OBJECTS * scale)
    report_progress(f"previous library: a scene with {count:,} objects")
    (folder / "old" / "rasters").mkdir(parents=True)
    run_in_process(_write_scene_inputs, folder, count)
    run_in_process(_make_dataset, folder)
    _run_previous(python, "source", folder)
    report_progress("previous library: chips and masks")
    rounds: dict[str, list[Result]] = {}
    for _ in range(ROUNDS):
        shutil.rmtree(folder / "chips", ignore_errors=True)
        rounds.setdefault("previous cut", []).append(_run_previous(python, "cut", folder))
        rounds.setdefault("previous masks", []).append(_run_previous(python, "masks", folder))
        rounds.setdefault("cut", []).append(run_in_process(_cut_chips, folder, 1))
        rounds.setdefault("masks", []).append(run_in_process(_make_masks, folder))
        rounds.setdefault("cut with 2 workers", []).append(run_in_process(_cut_chips, folder, 2))
    cpu = {name: max(result.item_count / result.cost.cpu for result in results) for name, results in rounds.items()}
    wall = {name: max(result.item_count / result.cost.wall for result in results) for name, results in rounds.items()}
    chips, previous_chips = (rounds[name][0].item_count for name in ("cut", "previous cut"))
    counts = f"{chips:,} chips of {SIZE} px (previous {previous_chips:,}, uncompressed)"
    ours, previous = wall["cut with 2 workers"], wall["previous cut"]
    return [
        compare_values(
            f"{counts}, 1 worker", cpu["cut"], cpu["previous cut"], unit="chips/CPU s", at_least=1, **_PREVIOUS
        ),
        compare_values(f"{counts}, 2 workers", ours, previous, unit="chips/s", at_least=2, **_PREVIOUS),
        compare_values(
            f"{count:,} masks", cpu["masks"], cpu["previous masks"], unit="masks/CPU s", at_least=3, **_PREVIOUS
        ),
    ]


def _find_fastest(run: Callable[[], Result]) -> Result:
    """Run an operation `ROUNDS` times, and return the result with the least CPU time."""
    return min((run() for _ in range(ROUNDS)), key=lambda result: result.cost.cpu)


def _install_previous_library(folder: Path) -> Path:
    """Return the Python of a virtual environment with the previous library; create it if it does not exist."""
    venv = Path(os.environ.get(VENV) or folder / "venv").resolve()
    python = venv / "bin" / "python"
    if not python.exists():
        report_progress(f"previous library: installing it into '{venv}'")
        # pip's settings are in the user's home, which the benchmarks replaced.
        environment = {**os.environ, "HOME": _HOME}
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, env=environment)
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "geographer==1.0.0"]
        subprocess.run(install, check=True, env=environment)
    return python


def _run_previous(python: Path, operation: str, folder: Path) -> Result:
    """Run an operation of the previous library in a process that cannot import our package."""
    command: list[str | Path] = [python, "-I", "-W", "ignore", _SCRIPT, operation, folder]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{operation} of the previous library exited with {run.returncode}: {run.stderr[-2000:]}")
    measured = json.loads(run.stdout.splitlines()[-1])
    return Result(Cost(cpu=measured["cpu"], wall=measured["wall"]), measured["count"])


def _write_graph_inputs(folder: Path, features: int, footprints: int) -> None:
    """Write small boxes and footprints over them in longitude/latitude; their density is the same at every size."""
    import geopandas
    import shapely

    rng = np.random.Generator(np.random.PCG64(7))
    spread = 10 * math.sqrt(features / FEATURES)

    def make_boxes(count: int, side: float) -> np.ndarray:
        corners = rng.uniform([5, 45], [5 + spread, 45 + spread], (count, 2))
        sides = side * rng.uniform(0.5, 1, (count, 2))
        return shapely.box(*corners.T, *(corners + sides).T)

    vectors = {"vector_name": [f"v{number}" for number in range(features)], "type": "field"}
    rasters = {"raster_name": [f"r{number}" for number in range(footprints)]}
    frame = geopandas.GeoDataFrame(vectors, geometry=make_boxes(features, 0.01), crs="EPSG:4326")
    frame.to_file(folder / "features.gpkg")
    frame = geopandas.GeoDataFrame(rasters, geometry=make_boxes(footprints, 0.3), crs="EPSG:4326")
    frame.to_file(folder / "footprints.gpkg")


def _make_graph(folder: Path) -> Result:
    """Measure our edges, from tables in memory to edges on disk; both tables are recorded as events."""
    import geopandas
    import shapely  # noqa: F401

    from geographer import Dataset

    vectors = geopandas.read_file(folder / "features.gpkg")
    rasters = geopandas.read_file(folder / "footprints.gpkg")
    shutil.rmtree(folder / "ours", ignore_errors=True)
    dataset = Dataset.init(folder / "ours", scm=False)
    with measure_cost() as cost:
        dataset.add_features(vectors, id="vector_name", class_="type")
        dataset.add_catalogue(rasters, id="raster_name")
        count = dataset.status()["edges"]
    return Result(cost, count)


def _find_components(folder: Path) -> Result:
    from geographer import Dataset

    dataset = Dataset.open(folder / "ours")
    dataset.status()
    with measure_cost() as cost:
        components = dataset.components(collection="catalogue", by="overlap")
    return Result(cost, len(set(components["component"].to_pylist())))


def _write_scene_inputs(folder: Path, count: int) -> None:
    """Write a scene, and squares so far apart and from its border that each gets one chip."""
    import geopandas
    import rasterio
    import rasterio.shutil
    import shapely

    rng = np.random.Generator(np.random.PCG64(8))
    per_side = math.ceil(math.sqrt(count))
    side = CELL * (per_side + 1)
    transform = rasterio.Affine(*_TRANSFORM)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16"}
    raw = folder / "raw.tif"
    with rasterio.open(raw, "w", crs=_CRS, transform=transform, **profile) as raster:
        for band in range(1, BANDS + 1):
            raster.write(make_textured_band(rng, side), band)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": 512, "overviews": "NONE"}
    rasterio.shutil.copy(raw, folder / "old" / "rasters" / "scene.tif", driver="COG", **options)
    raw.unlink()
    numbers = rng.permutation(per_side**2)[:count]
    rows, columns = divmod(numbers, per_side)
    x, y = transform @ ((columns + 1) * CELL, (rows + 1) * CELL)
    names = {"vector_name": [f"v{number}" for number in range(count)], "type": "field"}
    squares = geopandas.GeoDataFrame(names, geometry=shapely.box(x - 70, y - 70, x + 70, y + 70), crs=_CRS)
    squares.to_crs("EPSG:4326").to_file(folder / "features.gpkg")


def _make_dataset(folder: Path) -> None:
    from geographer import Dataset

    dataset = Dataset.init(folder / "ours", scm=False)
    dataset.add_features(folder / "features.gpkg", id="vector_name", class_="type")
    dataset.add_rasters(folder / "old" / "rasters", mode="reference")


def _cut_chips(folder: Path, workers: int) -> Result:
    """Measure a cut from the request to chips in the cache, the log and the workspace."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "ours", folder / "copy")
    dataset = Dataset.open(folder / "copy")
    dataset.status()
    with measure_cost() as cost:
        result = dataset.cut_around_features("chips", size=SIZE, workers=workers)
    return Result(cost, result.summary["chips"])


def _make_masks(folder: Path) -> Result:
    """Measure masks of the chips that were cut last, to the same extent."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    dataset = Dataset.open(folder / "copy")
    dataset.status()
    with measure_cost() as cost:
        result = dataset.label_masks("mask", collection="chips")
    return Result(cost, result.summary["masks"])
