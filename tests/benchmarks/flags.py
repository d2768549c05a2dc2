"""Benchmark 18: 30 faults planted among 10,000 honest changes, and the first 50 lines of diff."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.measure import Row, check_limit, report_progress, run_in_process
from tests.planted_faults import Planted, plant_faults

HONEST, FAULTS, LINES, SEEDS, FIRST_SEED = 10_000, 30, 50, 20, 900


def find_planted_faults(folder: Path, scale: float) -> list[Row]:
    """18. Of 30 faults among 10,000 honest changes, those that the first 50 lines of diff do not name, for 20 seeds."""
    missing = 0
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        planted = run_in_process(plant_faults, folder / str(seed), seed, round(HONEST * scale), FAULTS)
        missing += _count_missing(folder / str(seed) / "dataset", planted)
        report_progress(f"flags: seed {seed}, {missing} faults missing so far")
        shutil.rmtree(folder / str(seed))
    return [check_limit(f"faults of {SEEDS} times {FAULTS} below line {LINES} of diff", missing, 1, unit="faults")]


def _count_missing(dataset: Path, planted: Planted) -> int:
    command = [sys.executable, "-m", "geographer", "-C", str(dataset), "diff", planted.old, planted.new]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[:LINES]
    return sum(not any(name in line for line in shown) for name in planted.faults.values())
