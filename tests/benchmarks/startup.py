"""Benchmark 6: the start of a command, what it imports, and the CPU seconds of commands on a small dataset."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from tests.benchmarks.measure import Row, check_limit, compare_values, report_progress, run_geographer, run_python

PAIRS = 30
ROUNDS = 10
CHIPS = 40
READING_LIMIT_S, WRITING_LIMIT_S = 0.15, 0.35
COMMANDS: dict[str, float] = {
    **dict.fromkeys(("log", "status", "features"), READING_LIMIT_S),
    **{"tag t{}": WRITING_LIMIT_S, "verify": READING_LIMIT_S, "add classes c{}": WRITING_LIMIT_S},
}
"""The commands whose CPU seconds are measured, `{}` being the number of the round, each with its limit."""
_RAW_BOUNDS = {
    'python -c "import duckdb"': "import duckdb",
    "the same with LOAD spatial": "from geographer.storage.database.connection import connect_memory, load_spatial; "
    "load_spatial(connect_memory())",
}
HEAVY_PACKAGES = ("dvc", "eodag", "rasterio", "shapely")
_WRITE_IMPORTS = """
import sys
from geographer.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*(name for name in {packages!r} if name in sys.modules), sep="\\n", file=open("{output}", "w"))
"""


def compare_startup(folder: Path, scale: float) -> list[Row]:
    """6. `geographer --help`, compared with `python -c "import click"`; and what `geographer log -n 5` imports."""
    report_progress(f"startup: {PAIRS} pairs")
    pairs = [(run_python("-m", "geographer", "--help"), run_python("-c", "import click")) for _ in range(PAIRS)]
    rows = []
    for field, unit in (("cpu", "CPU ms"), ("wall", "wall ms")):
        ours, other = (
            statistics.median(getattr(cost, field) * 1e3 for cost in costs) for costs in zip(*pairs, strict=True)
        )
        rows.append(compare_values("geographer --help", ours, other, unit=unit, other_name="import click", at_most=2))
    return [*rows, _check_imports(folder), *_measure_commands(folder)]


def _measure_commands(folder: Path) -> list[Row]:
    """Measure the least CPU seconds of whole commands on a dataset of 40 chips, and the raw bound in the same run."""
    report_progress(f"startup: {len(COMMANDS)} commands, {ROUNDS} rounds")
    dataset = make_small_dataset(folder / "small")
    costs: dict[str, list[float]] = {name: [] for name in (*_RAW_BOUNDS, *COMMANDS)}
    for number in range(ROUNDS):
        for name, script in _RAW_BOUNDS.items():
            costs[name].append(run_python("-c", script).cpu)
        for name in COMMANDS:
            costs[name].append(run_geographer(dataset, *name.format(number).split()).cpu)
    bounds = [Row(name, f"{min(costs[name]):.3f} CPU s") for name in _RAW_BOUNDS]
    return bounds + [
        check_limit(f"geographer {name.partition(' {')[0]}", min(costs[name]), limit, unit="CPU s")
        for name, limit in COMMANDS.items()
    ]


def make_small_dataset(folder: Path) -> Path:
    """Make a dataset with a raster, a feature in each of 40 chips that are cut around them, masks, and a split."""
    import numpy as np
    import rasterio

    folder.mkdir(parents=True)
    transform = rasterio.Affine(10, 0, 400_000, 0, -10, 5_300_000)
    profile = {"driver": "GTiff", "width": 640, "height": 640, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(folder / "scene.tif", "w", transform=transform, **profile) as raster:
        raster.write(np.random.Generator(np.random.PCG64(6)).integers(0, 200, (1, 640, 640), "uint8"))
    points = [(400_400 + 800 * (index % 8), 5_299_600 - 800 * (index // 8)) for index in range(CHIPS)]
    features = [
        {
            "type": "Feature",
            "id": f"f{index}",
            "properties": {"class": "pond"},
            "geometry": {"type": "Point", "coordinates": point},
        }
        for index, point in enumerate(points)
    ]
    (folder / "features.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    dataset = folder / "dataset"
    for command in (
        ["init", str(dataset), "--no-scm"],
        ["add", "features", str(folder / "features.geojson"), "--crs", "EPSG:32633"],
        ["add", "rasters", str(folder / "scene.tif")],
        ["cut", "around", "chips", "--size", "32"],
        ["label", "mask", "mask", "--collection", "chips"],
        ["tag", "v1"],
    ):
        run_geographer(dataset if command[0] != "init" else folder, *command)
    return dataset


def _check_imports(folder: Path) -> Row:
    """Check that `geographer log -n 5` imports no heavy package."""
    folder.mkdir()
    run_geographer(folder, "init", folder / "dataset", "--no-scm")
    output = folder / "imports.txt"
    script = _WRITE_IMPORTS.format(packages=HEAVY_PACKAGES, output=output)
    cost = run_python("-c", script, "-C", folder / "dataset", "log", "-n", "5")
    imported = output.read_text().split()
    subject = f"geographer log -n 5 ({cost.cpu * 1e3:.0f} CPU ms) imports of {', '.join(HEAVY_PACKAGES)}"
    return Row(subject, ", ".join(imported) or "none", "", "", "none", not imported)
