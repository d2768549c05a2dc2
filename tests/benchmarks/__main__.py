"""`python -m tests.benchmarks`: everything that has a target, measured in one run, as one table."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.benchmarks import collection, covering, cutting, downloading, edges, history, previous, startup
from tests.benchmarks.measure import Row, table

BENCHMARKS = {
    1: edges.full,
    2: edges.incremental,
    3: history.any_revision,
    4: cutting.chips,
    5: collection.ten_more,
    6: startup.commands,
    7: previous.beside,
    8: covering.cover,
    9: downloading.download,
}


def main() -> None:
    options = _options()
    if options.previous:
        os.environ[previous.VENV] = str(options.previous.resolve())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="geographer-benchmarks-") as folder:
        _settle_in(Path(folder))
        for number in sorted(set(options.only or BENCHMARKS)):
            rows += BENCHMARKS[number](Path(folder) / BENCHMARKS[number].__module__, options.scale)
    print(table(rows))


def _options() -> argparse.Namespace:
    titles = "\n".join(benchmark.__doc__ or "" for benchmark in BENCHMARKS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=f"What is fast, and beside what:\n\n{titles}\n\nCPU seconds are of all threads and processes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=int, nargs="+", choices=BENCHMARKS, help="these benchmarks only")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the sizes: 0.1 for a quick look")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; some 10 GB at scale 1")
    parser.add_argument(
        "--previous", type=Path, metavar="VENV", help="a virtual environment with GeoGrapher 1.0.0; made where none is"
    )
    return parser.parse_args()


def _settle_in(folder: Path) -> None:
    """A home in the temporary folder, so that neither Git nor DVC touches anything of the person who runs this."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "XDG_", "GEOGRAPHER_"))]:
        del os.environ[name]
    home = folder / "home"
    home.mkdir()
    os.environ |= {"HOME": str(home), "DVC_NO_ANALYTICS": "1", "GEOGRAPHER_AUTHOR": "Ada"}
    os.environ |= {
        name: str(home / name.lower())
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    }


if __name__ == "__main__":
    main()
