"""6: how soon a command answers, and what it imports for that."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.benchmarks.measure import Row, command, compared, geographer, told

PAIRS = 30
HEAVY = ("dvc", "eodag", "rasterio", "shapely")
_IMPORTED = """
import sys
from geographer.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*(name for name in {heavy!r} if name in sys.modules), sep="\\n", file=open("{seen}", "w"))
"""


def commands(folder: Path, scale: float) -> list[Row]:
    """6. `geographer --help`, beside `python -c "import click"`; and what `geographer log -n 5` imports."""
    told(f"startup: {PAIRS} pairs")
    pairs = [(command("-m", "geographer", "--help"), command("-c", "import click")) for _ in range(PAIRS)]
    rows = []
    for unit in ("cpu", "wall"):
        ours, other = ([getattr(cost, unit) * 1e3 for cost in costs] for costs in zip(*pairs, strict=True))
        middles = statistics.median(ours), statistics.median(other)
        name = f"{unit.upper() if unit == 'cpu' else unit} ms"
        rows.append(compared("geographer --help", *middles, unit=name, than="import click", at_most=2))
    return [*rows, _imports(folder)]


def _imports(folder: Path) -> Row:
    """Which heavy packages `geographer log -n 5` imports."""
    folder.mkdir()
    geographer(folder, "init", folder / "dataset", "--no-scm")
    seen = folder / "seen"
    script = _IMPORTED.format(heavy=HEAVY, seen=seen)
    cost = command("-c", script, "-C", folder / "dataset", "log", "-n", "5")
    found = seen.read_text().split()
    what = f"geographer log -n 5 ({cost.cpu * 1e3:.0f} CPU ms) imports of {', '.join(HEAVY)}"
    return Row(what, ", ".join(found) or "none", "", "", "none", not found)
