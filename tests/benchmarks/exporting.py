"""Exports of 10,000 chips: CPU seconds against a raw copy of the same files, and memory against 1,000 chips.

`python -m tests.benchmarks.exporting FOLDER [CHIPS] [FORMAT …]` makes the dataset in a folder, with CHIPS chips of 64 by
64 pixels and two polygons for each, and prints CPU seconds and peak memory of its exports, and of the raw copy.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from geographer import Dataset
from tests.benchmarks.measure import Row, compare_values, report_progress
from tests.sample_rasters import NORTH_UP, write_scene

SIDE, COLUMNS = 64, 100
SMALL, LARGE = 1_000, 10_000
FORMATS = ("coco", "webdataset")
_RAW = "raw"


def create_dataset(root: Path, chips: int) -> Dataset:
    """Create a dataset with a scene, two polygons for each chip, the chips of a grid, masks and a split."""
    import geopandas
    import shapely

    rows = -(-chips // COLUMNS)
    rng = np.random.Generator(np.random.PCG64(1))
    pixels = rng.integers(0, 256, (3, rows * SIDE, COLUMNS * SIDE), dtype=np.uint8)
    scene = write_scene(root.parent / f"{root.name}.tif", pixels, blockxsize=SIDE, blockysize=SIDE)
    centres = rng.uniform(0, 1, (2 * chips, 2)) * (COLUMNS * SIDE, rows * SIDE)
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(4, 16, (2 * chips, 1, 1))
    a, _, c, _, e, f = NORTH_UP
    polygons = shapely.polygons((centres[:, np.newaxis] + corners) * (a, e) + (c, f))
    features = geopandas.GeoDataFrame(
        {"feature_id": [f"f{number}" for number in range(len(polygons))], "class": "pond"},
        geometry=polygons,
        crs="EPSG:32633",
    )
    features.to_parquet(root.parent / f"{root.name}.parquet")
    dataset = Dataset.init(root, classes=["pond"], scm=False)
    dataset.add_features(root.parent / f"{root.name}.parquet")
    dataset.add_rasters([scene])
    dataset.cut_grid("chips", source="source", size=SIDE)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.8, "test": 0.2})
    return dataset


def compare_exports(folder: Path, scale: float) -> list[Row]:
    """23. Exports of 10,000 chips: CPU seconds against a raw copy of files and JSON, memory against 1,000 chips."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    for chips in (SMALL, LARGE):
        report_progress(f"exporting: making {round(chips * scale):,} chips")
        create_dataset(folder / f"chips-{chips}", round(chips * scale))
        for name in (*FORMATS, _RAW):
            figures[name, chips] = measure_export(folder / f"chips-{chips}", name)
    rows = []
    for name in FORMATS:
        subject = f"export of {round(LARGE * scale):,} chips as {name}"
        (memory, seconds), (small_memory, _) = figures[name, LARGE], figures[name, SMALL]
        raw_seconds = figures[_RAW, LARGE][1]
        rows += [
            compare_values(subject, seconds, raw_seconds, unit="CPU s", other_name="copy of images, masks and JSON"),
            compare_values(
                f"{subject}, peak memory",
                *(memory, small_memory),
                unit="MB",
                other_name=f"{round(SMALL * scale):,} chips",
                at_most=1.2,
            ),
        ]
    return rows


def measure_export(root: Path, name: str) -> tuple[float, float]:
    """Return the peak memory in MB and the CPU seconds of an export, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.exporting", "--measure", str(root), name]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = map(float, result.stdout.split()[-2:])
    return memory, seconds


def _copy_raw_files(root: Path, target: Path) -> float:
    """Copy images and masks, write the JSON of the export to COCO again, and return the CPU seconds."""
    exported = root.with_name(f"{root.name}-coco") / "annotations"
    documents = {path.name: json.loads(path.read_bytes()) for path in exported.iterdir()}
    before = time.process_time()
    for path in [*(root / "rasters/chips").iterdir(), *(root / "labels/mask/chips").iterdir()]:
        shutil.copyfile(path, target / f"{path.parts[-3]}-{path.name}")
    for name, document in documents.items():
        (target / name).write_text(json.dumps(document))
    return time.process_time() - before


def _export(root: Path, name: str, target: Path) -> float:
    dataset = Dataset.open(root)
    before = time.process_time()
    dataset.export_samples(name, target, record=False)
    return time.process_time() - before


def _run_measured(root: Path, name: str) -> None:
    target = root.with_name(f"{root.name}-{name}")
    shutil.rmtree(target, ignore_errors=True)
    if name == _RAW:
        target.mkdir()
        seconds = _copy_raw_files(root, target)
    else:
        seconds = _export(root, name, target)
    # Not ru_maxrss: a new process inherits that of the one that started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1000, seconds)


def main() -> None:
    """Measure one export in this process, or all of them in new ones."""
    if sys.argv[1] == "--measure":
        _run_measured(Path(sys.argv[2]), sys.argv[3])
        return
    root = Path(sys.argv[1])
    create_dataset(root, int(sys.argv[2]) if len(sys.argv) > 2 else LARGE)
    for name in (*(sys.argv[3:] or FORMATS), _RAW):
        print("{}: {:.0f} MB, {:.1f} CPU s".format(name, *measure_export(root, name)))


if __name__ == "__main__":
    main()
