"""Benchmarks 31, 32: commands on a log of 100,000 events and 5,000,000 changes, compared with a log of a hundredth."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Final

from tests.benchmarks.long_log_writer import SELDOM_CHANGED, Shape, write_long_log
from tests.benchmarks.measure import (
    Cost,
    Row,
    compare_values,
    report_progress,
    run_geographer,
    run_in_process,
    run_python,
)

EVENTS, SMALLER, ROUNDS = 100_000, 100, 3
_NUMBERS = count()
_CHANGING: Final = ("append a class", "append 50 features", "push of one event", "tag")


def compare_long_log(folder: Path, scale: float) -> list[Row]:
    """31. Commands on a log of 100,000 events that change the same 2,000 features, and on one of 1,000 events."""
    return _compare_logs(folder, round(EVENTS * scale), "steady")


def compare_growing_log(folder: Path, scale: float) -> list[Row]:
    """32. Commands on a log of 100,000 events that add 5,000,000 features, and on one that adds 50,000."""
    return _compare_logs(folder, round(EVENTS * scale), "growing")


def _compare_logs(folder: Path, events: int, shape: Shape) -> list[Row]:
    sizes = (events, max(events // SMALLER, 20))
    for size in sizes:
        report_progress(f"long log: writing {size:,} events, {shape}")
        run_in_process(_write_dataset, folder / str(size), size, shape)
    costs: dict[str, dict[int, list[Cost]]] = {}
    for _ in range(ROUNDS):
        for size in sizes:
            report_progress(f"long log: commands on {size:,} events, {shape}")
            for name, cost in _run_commands(folder / str(size), size, shape).items():
                costs.setdefault(name, {}).setdefault(size, []).append(cost)
    rows = [
        compare_values(
            f"{name}, {events:,} events, {shape}",
            *(min(cost.cpu for cost in by_size[size]) for size in sizes),
            unit="CPU s",
            other_name=f"{sizes[1]:,} events",
            # The content digest covers all objects, so a change costs what the revision has.
            at_most=2 if shape == "steady" or name not in _CHANGING else None,
        )
        for name, by_size in costs.items()
    ]
    return [*rows, *_compare_clones(folder, sizes, shape)]


def _write_dataset(folder: Path, events: int, shape: Shape) -> None:
    write_long_log(folder, events, shape)
    remote = folder.with_name(f"{folder.name}-remote")
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-d", "origin", str(remote)], cwd=folder, check=True)


def _run_commands(folder: Path, events: int, shape: Shape) -> dict[str, Cost]:
    """Return what each command costs in a new process."""
    # In a growing log, this revision has 1,000 features, however long the log is.
    middle = 22 if shape == "growing" else events // 2
    feature = SELDOM_CHANGED if shape == "steady" else "field-0000777"
    run_geographer(folder, "push")
    name = f"new{next(_NUMBERS)}"
    commands: dict[str, tuple[str | Path, ...]] = {
        "log -20": ("log", "-20"),
        "history of a feature": ("history", feature),
        "features --at": ("features", "--at", f"@{middle}", "--format", "csv"),
        "features --at a date": ("features", "--at", "2024-01-01T00:00:20", "--format", "csv"),
        "diff of neighbours": ("diff", f"@{middle}", f"@{middle + 1}"),
        "status": ("status",),
        "append a class": ("add", "classes", name),
        "append 50 features": ("add", "features", _write_features(folder.with_name(f"{name}.geojson"), name)),
        "push of one event": ("push",),
        "tag": ("tag", name),
    }
    return {title: run_geographer(folder, *arguments) for title, arguments in commands.items()}


def _write_features(path: Path, name: str) -> Path:
    """Write 50 features that the dataset does not have."""
    features = [
        {
            "type": "Feature",
            "id": f"{name}-{number}",
            "properties": {"class": "pond", "visit": number},
            "geometry": {"type": "Point", "coordinates": [15.1 + number * 1e-3, 46.7]},
        }
        for number in range(50)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def _compare_clones(folder: Path, sizes: tuple[int, int], shape: Shape) -> list[Row]:
    """Return rows of what grows with the log: clone and verify, with their peak memory."""
    rows = []
    for name in ("clone", "verify"):
        costs = []
        for size in sizes:
            report_progress(f"long log: {name} of {size:,} events, {shape}")
            clone = folder / f"{size}-clone"
            if name == "clone":
                shutil.rmtree(clone, ignore_errors=True)
                costs.append(run_python("-m", "geographer", "clone", folder / f"{size}-remote", clone))
            else:
                costs.append(run_geographer(folder / str(size), "verify"))
        subject = f"{name}, {sizes[0]:,} events, {shape}"
        other = f"{sizes[1]:,} events"
        rows += [
            compare_values(subject, costs[0].cpu, costs[1].cpu, unit="CPU s", other_name=other),
            compare_values(f"{subject}, peak", costs[0].peak, costs[1].peak, unit="MB", other_name=other),
        ]
    return rows
