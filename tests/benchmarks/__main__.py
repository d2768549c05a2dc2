"""`python -m tests.benchmarks`: run all benchmarks, and print one table of results and targets."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    collection,
    covering,
    cutting,
    differences,
    distributing,
    downloading,
    drawing,
    edges,
    exporting,
    flags,
    growth,
    history,
    joining_in_parts,
    long_log,
    merging,
    pages,
    partial_clones,
    pixels,
    previous_library,
    releasing,
    rerun,
    sharing,
    startup,
    statistics,
    training,
    viewing,
    virtual_chips,
)
from tests.benchmarks.measure import Row, format_table

BENCHMARKS: dict[int, Callable[[Path, float], list[Row]]] = {
    1: edges.compare_full_joins,
    2: edges.compare_incremental_update,
    3: history.compare_revisions,
    4: cutting.compare_chip_loops,
    5: collection.compare_small_addition,
    6: startup.compare_startup,
    7: previous_library.compare_previous_library,
    8: covering.check_chip_cover,
    9: downloading.check_scene_cover,
    10: sharing.compare_command_cost,
    11: sharing.compare_clone,
    12: sharing.compare_push,
    13: sharing.compare_pull,
    14: history.measure_object_history,
    15: history.measure_pixel_blame,
    16: differences.compare_changesets,
    17: pixels.compare_changed_pixels,
    18: flags.find_planted_faults,
    19: merging.measure_merge,
    20: rerun.compare_rerun,
    21: releasing.compare_release_memory,
    22: training.compare_chip_loading,
    23: exporting.compare_exports,
    24: statistics.compare_statistics,
    25: pages.measure_difference_page,
    26: pages.measure_density_page,
    27: drawing.compare_mask_loops,
    28: viewing.measure_viewer,
    29: joining_in_parts.compare_large_join,
    30: joining_in_parts.compare_workers,
    31: long_log.compare_long_log,
    32: long_log.compare_growing_log,
    34: virtual_chips.compare_virtual_chips,
    35: distributing.compare_workers,
    36: distributing.compare_executors,
    37: growth.measure_growth,
    33: partial_clones.compare_partial_clone,
}
"""Each takes a new folder and a scale; the first line of its docstring is its title in the help."""


def main() -> None:
    """Run the benchmarks that the command line selects."""
    options = _parse_options()
    if options.previous:
        os.environ[previous_library.VENV] = str(options.previous.resolve())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="geographer-benchmarks-") as folder:
        _isolate_environment(Path(folder))
        for number in sorted(set(options.only or BENCHMARKS)):
            run_benchmark = BENCHMARKS[number]
            rows += run_benchmark(Path(folder) / f"{run_benchmark.__module__}.{number}", options.scale)
    print(format_table(rows))


def _parse_options() -> argparse.Namespace:
    titles = "\n".join(benchmark.__doc__ or "" for benchmark in BENCHMARKS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=f"Measure speed and memory, and compare them with other software:\n\n{titles}\n\n"
        "CPU seconds include all threads and child processes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=int, nargs="+", choices=BENCHMARKS, help="run only these benchmarks")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all sizes, e.g. by 0.1 (default: 1)")
    parser.add_argument("--folder", type=Path, help="folder for temporary files, about 10 GB at scale 1")
    parser.add_argument(
        "--previous",
        type=Path,
        metavar="VENV",
        help="virtual environment with GeoGrapher 1.0.0; created if it does not exist",
    )
    return parser.parse_args()


def _isolate_environment(folder: Path) -> None:
    """Use a home in the temporary folder, so that Git and DVC neither read nor write the user's settings and caches."""
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
