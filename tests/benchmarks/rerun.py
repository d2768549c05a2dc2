"""Benchmark 20: rerun of a thousand chips, compared with cutting them.

Run `python -m tests.benchmarks --only 20`; `--scale 0.1` makes 100 chips.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.cutting import CHIPS, ROUNDS, SIZE, _measure_cut, _write_inputs
from tests.benchmarks.measure import (
    Cost,
    Row,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)


def compare_rerun(folder: Path, scale: float) -> list[Row]:
    """20. Rerun of 1,000 chips of 256 px, compared with cutting them, each from a command's start to its end."""
    report_progress("rerun: generating a scene")
    folder.mkdir()
    scene = folder / "scene.tif"
    run_in_process(_write_inputs, folder, scene, scale)
    run_geographer(folder, "init", folder / "dataset", "--no-scm")
    run_geographer(folder / "dataset", "add", "features", folder / "features.parquet")
    run_geographer(folder / "dataset", "add", "rasters", scene)
    rounds: dict[str, list[Cost]] = {}
    for number in range(ROUNDS):
        for workers in (1, 2):
            report_progress(f"rerun with {workers} workers, round {number + 1} of {ROUNDS}")
            rounds.setdefault(f"cut {workers}", []).append(
                run_in_process(_measure_cut, folder / "dataset", folder / "copy", workers)
            )
            rounds.setdefault(f"rerun {workers}", []).append(run_in_process(_measure_rerun, folder / "copy", workers))
    count = round(CHIPS * scale)
    rows = []
    for workers in (1, 2):
        ours, other = rounds[f"rerun {workers}"], rounds[f"cut {workers}"]
        for name, unit in (("wall", "s"), ("cpu", "CPU s")):
            values = [min(getattr(cost, name) for cost in costs) for costs in (ours, other)]
            subject = f"{count:,} chips of {SIZE} px, rerun, {workers} worker{'s' if workers > 1 else ''}"
            rows.append(compare_values(subject, *values, unit=unit, other_name="cutting", at_most=1.2))
    return rows


def _measure_rerun(dataset: Path, workers: int) -> Cost:
    """Measure `rerun_revision`; all chips must come out with the same bytes."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    opened = Dataset.open(dataset)
    opened.status()
    with measure_cost() as cost:
        report = opened.rerun_revision(workers=workers)
    assert report.is_identical
    assert {item.result for item in report.files} == {"identical bytes"}
    return cost
