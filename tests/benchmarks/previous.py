"""7: the graph, chips, masks and components of the previous library, GeoGrapher 1.0.0, beside ours."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.cutting import structure
from tests.benchmarks.edges import rebuild
from tests.benchmarks.measure import Cost, Row, apart, compared, spent, told

FEATURES, FOOTPRINTS, OBJECTS, SIZE, CELL, BANDS, ROUNDS = 10_000, 1_000, 500, 256, 320, 4, 3
VENV = "PREVIOUS_LIBRARY_VENV"
"""The environment variable that names a virtual environment with GeoGrapher 1.0.0; it is made if it is not there."""
_THAN = "GeoGrapher 1.0.0"
_SCRIPT = Path(__file__).with_name("previous_library.py")
_CRS = "EPSG:32633"
_PLACE = (10.0, 0.0, 499_980.0, 0.0, -10.0, 5_300_040.0)
_HOME = os.environ.get("HOME", "")


class Made(NamedTuple):
    """What a piece of work spent, and how many things it made."""

    cost: Cost
    count: int


def beside(folder: Path, scale: float) -> list[Row]:
    """7. Graph of 10,000 x 1,000, 500 chips of 256 px, their masks, and components, beside GeoGrapher 1.0.0."""
    python = _python(folder)
    return [*_graph_rows(folder / "graph", python, scale), *_chip_rows(folder / "chips", python, scale)]


def _graph_rows(folder: Path, python: Path, scale: float) -> list[Row]:
    features, footprints = round(FEATURES * scale), round(FOOTPRINTS * scale)
    told(f"previous library: graph of {features:,} x {footprints:,}")
    folder.mkdir(parents=True)
    apart(_generate_graph, folder, features, footprints)
    ours, theirs = _best(lambda: apart(_graph, folder)), _theirs(python, "graph", folder)
    join = min(apart(rebuild, folder / "ours").steps["040_edge.sql"] for _ in range(ROUNDS))
    told("previous library: components")
    ours_joined, theirs_joined = _best(lambda: apart(_components, folder)), _theirs(python, "components", folder)
    size = f"{features:,} x {footprints:,}"
    graph = f"graph of {size}, {ours.count:,} edges (theirs {theirs.count:,})"
    joined = f"components of {footprints:,} rasters: {ours_joined.count:,} (theirs {theirs_joined.count:,})"
    than = {"unit": "CPU s", "than": _THAN}
    return [
        compared(f"{graph}: derived (040_edge.sql)", join, theirs.cost.cpu, at_most=1 / 50, **than),
        compared(f"{graph}: from tables to two events", ours.cost.cpu, theirs.cost.cpu, **than),
        compared(joined, ours_joined.cost.cpu, theirs_joined.cost.cpu, at_most=1 / 10, **than),
    ]


def _chip_rows(folder: Path, python: Path, scale: float) -> list[Row]:
    count = round(OBJECTS * scale)
    told(f"previous library: a scene with {count:,} objects")
    (folder / "old" / "rasters").mkdir(parents=True)
    apart(_generate_scene, folder, count)
    apart(_begin, folder)
    _theirs(python, "source", folder)
    told("previous library: chips and masks")
    rounds = {name: [] for name in ("one", "two", "masks", "old", "old masks")}
    for _ in range(ROUNDS):
        shutil.rmtree(folder / "chips", ignore_errors=True)
        rounds["old"].append(_theirs(python, "cut", folder))
        rounds["old masks"].append(_theirs(python, "masks", folder))
        rounds["one"].append(apart(_cut, folder, 1))
        rounds["masks"].append(apart(_masks, folder))
        rounds["two"].append(apart(_cut, folder, 2))
    by_cpu = {name: max(made.count / made.cost.cpu for made in several) for name, several in rounds.items()}
    by_wall = {name: max(made.count / made.cost.wall for made in several) for name, several in rounds.items()}
    chips = f"{rounds['one'][0].count:,} chips of {SIZE} px (theirs {rounds['old'][0].count:,}, not compressed)"
    than = {"than": _THAN}
    return [
        compared(f"{chips}, 1 worker", by_cpu["one"], by_cpu["old"], unit="chips/CPU s", at_least=1, **than),
        compared(f"{chips}, 2 workers", by_wall["two"], by_wall["old"], unit="chips/s", at_least=2, **than),
        compared(f"{count:,} masks", by_cpu["masks"], by_cpu["old masks"], unit="masks/CPU s", at_least=3, **than),
    ]


def _best(work: Any) -> Made:
    return min((work() for _ in range(ROUNDS)), key=lambda made: made.cost.cpu)


def _python(folder: Path) -> Path:
    """The interpreter of an environment with the previous library, which is made first if it is not there."""
    venv = Path(os.environ.get(VENV) or folder / "venv").resolve()
    python = venv / "bin" / "python"
    if not python.exists():
        told(f"previous library: installing it into '{venv}'")
        # pip's own settings lie in the person's home, which the benchmarks have left.
        home = {**os.environ, "HOME": _HOME}
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, env=home)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "geographer==1.0.0"], check=True, env=home)
    return python


def _theirs(python: Path, work: str, folder: Path) -> Made:
    """What the previous library spends, in a process of its own that sees nothing of ours."""
    run = subprocess.run(
        [python, "-I", "-W", "ignore", _SCRIPT, work, folder], cwd=folder, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"the previous library's {work} ended with {run.returncode}: {run.stderr[-2000:]}")
    spent_there = json.loads(run.stdout.splitlines()[-1])
    return Made(Cost(cpu=spent_there["cpu"], wall=spent_there["wall"]), spent_there["made"])


def _generate_graph(folder: Path, features: int, footprints: int) -> None:
    """Small polygons, and boxes over them in longitude/latitude; as dense at every size."""
    import geopandas
    import shapely

    rng = np.random.Generator(np.random.PCG64(7))
    spread = 10 * math.sqrt(features / FEATURES)

    def boxes(count: int, side: float) -> np.ndarray:
        corners = rng.uniform([5, 45], [5 + spread, 45 + spread], (count, 2))
        sides = side * rng.uniform(0.5, 1, (count, 2))
        return shapely.box(*corners.T, *(corners + sides).T)

    vectors = {"vector_name": [f"v{number}" for number in range(features)], "type": "field"}
    rasters = {"raster_name": [f"r{number}" for number in range(footprints)]}
    frame = geopandas.GeoDataFrame(vectors, geometry=boxes(features, 0.01), crs="EPSG:4326")
    frame.to_file(folder / "features.gpkg")
    frame = geopandas.GeoDataFrame(rasters, geometry=boxes(footprints, 0.3), crs="EPSG:4326")
    frame.to_file(folder / "footprints.gpkg")


def _graph(folder: Path) -> Made:
    """Ours, from tables in memory to edges on the disk: both recorded, each as an event."""
    import geopandas
    import shapely  # noqa: F401

    from geographer import Dataset

    vectors = geopandas.read_file(folder / "features.gpkg")
    rasters = geopandas.read_file(folder / "footprints.gpkg")
    shutil.rmtree(folder / "ours", ignore_errors=True)
    dataset = Dataset.init(folder / "ours", scm=False)
    with spent() as cost:
        dataset.add_features(vectors, id="vector_name", class_="type")
        dataset.add_catalogue(rasters, id="raster_name")
        count = dataset.status()["edges"]
    return Made(cost, count)


def _components(folder: Path) -> Made:
    from geographer import Dataset

    dataset = Dataset.open(folder / "ours")
    dataset.status()
    with spent() as cost:
        joined = dataset.components(collection="catalogue", by="overlap")
    return Made(cost, len(set(joined["component"].to_pylist())))


def _generate_scene(folder: Path, count: int) -> None:
    """A scene in blocks, and squares so far apart and from its border that each gets one chip of its own."""
    import geopandas
    import rasterio
    import rasterio.shutil
    import shapely

    rng = np.random.Generator(np.random.PCG64(8))
    per_side = math.ceil(math.sqrt(count))
    side = CELL * (per_side + 1)
    place = rasterio.Affine(*_PLACE)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16"}
    raw = folder / "raw.tif"
    with rasterio.open(raw, "w", crs=_CRS, transform=place, **profile) as raster:
        for band in range(1, BANDS + 1):
            raster.write(structure(rng, side), band)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": 512, "overviews": "NONE"}
    rasterio.shutil.copy(raw, folder / "old" / "rasters" / "scene.tif", driver="COG", **options)
    raw.unlink()
    numbers = rng.permutation(per_side**2)[:count]
    rows, columns = divmod(numbers, per_side)
    x, y = place @ ((columns + 1) * CELL, (rows + 1) * CELL)
    names = {"vector_name": [f"v{number}" for number in range(count)], "type": "field"}
    squares = geopandas.GeoDataFrame(names, geometry=shapely.box(x - 70, y - 70, x + 70, y + 70), crs=_CRS)
    squares.to_crs("EPSG:4326").to_file(folder / "features.gpkg")


def _begin(folder: Path) -> None:
    from geographer import Dataset

    dataset = Dataset.init(folder / "ours", scm=False)
    dataset.add_features(folder / "features.gpkg", id="vector_name", class_="type")
    dataset.add_rasters(folder / "old" / "rasters", mode="reference")


def _cut(folder: Path, workers: int) -> Made:
    """All of a cut, from the request to chips in the cache, in the log and in the workspace."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "ours", folder / "copy")
    dataset = Dataset.open(folder / "copy")
    dataset.status()
    with spent() as cost:
        made = dataset.cut_around_features("chips", size=SIZE, workers=workers)
    return Made(cost, made.summary["chips"])


def _masks(folder: Path) -> Made:
    """The same of masks for the chips that were cut last."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    dataset = Dataset.open(folder / "copy")
    dataset.status()
    with spent() as cost:
        made = dataset.label_masks("mask", collection="chips")
    return Made(cost, made.summary["masks"])
