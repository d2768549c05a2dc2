"""How the memory of a release grows: a tag with 10,000 chips against one with 1,000.

`python -m tests.benchmarks.releasing FOLDER [CHIPS]` makes the dataset in a folder, with CHIPS chips of 16 by 16 pixels,
and prints the peak memory and time of its release.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from geographer import Dataset
from tests.benchmarks.measure import Row, compare_values
from tests.sample_rasters import write_scene

SIDE = 16
SMALL, LARGE = 1_000, 10_000


def create_dataset(root: Path, chips: int) -> Dataset:
    """Create a dataset whose tag v1 has a scene, `chips` chips cut from it on a grid, masks and a split."""
    columns = 100
    rows = -(-chips // columns)
    pixels = np.random.default_rng(1).integers(0, 256, (1, rows * SIDE, columns * SIDE), dtype=np.uint8)
    dataset = Dataset.init(root, classes=["pond"], scm=False)
    dataset.add_rasters([write_scene(root.parent / f"{root.name}.tif", pixels)])
    dataset.cut_grid("chips", source="source", size=SIDE)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.8, "test": 0.2})
    dataset.describe(intent="a benchmark", ethics="none")
    dataset.tag("v1")
    return dataset


def measure_release(root: Path) -> tuple[float, float]:
    """Return the peak memory in MB and the CPU seconds of writing the release of v1, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.releasing", "--measure", str(root)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = map(float, result.stdout.split())
    return memory, seconds


def compare_release_memory(folder: Path, scale: float) -> list[Row]:
    """Compare the peak memory of releases of two sizes."""
    figures = []
    for chips in (SMALL, LARGE):
        root = folder / f"release-{chips}"
        root.parent.mkdir(exist_ok=True)
        create_dataset(root, round(chips * scale))
        figures.append(measure_release(root)[0])
    subject, other = f"release of {LARGE * scale:,.0f} chips, peak memory", f"{SMALL * scale:,.0f} chips"
    return [compare_values(subject, figures[1], figures[0], unit="MB", other_name=other, at_most=1.2)]


def main() -> None:
    """Measure one release, in this process or a new one."""
    if sys.argv[1] == "--measure":
        root = Path(sys.argv[2])
        before = time.process_time()
        Dataset.open(root).write_release("v1", root.with_name(f"{root.name}-v1"))
        seconds = time.process_time() - before
        # Not ru_maxrss: a new process inherits that of the one that started it.
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        print(int(peak.split()[1]) / 1000, seconds)
        return
    root = Path(sys.argv[1])
    create_dataset(root, int(sys.argv[2]) if len(sys.argv) > 2 else LARGE)
    print("{:.0f} MB, {:.1f} CPU s".format(*measure_release(root)))


if __name__ == "__main__":
    main()
