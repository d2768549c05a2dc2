"""Benchmark 6: the start of a command, and what it imports."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.benchmarks.measure import Row, compare_values, report_progress, run_geographer, run_python

PAIRS = 30
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
    return [*rows, _check_imports(folder)]


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
