"""`python -m tests.merging`: run random histories of three clones, and print a summary and the steps of each failure."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.merging.machine import create_template
from tests.merging.mutants import MUTANTS
from tests.merging.runs import find_mutant, run_named_script, run_task
from tests.merging.scripts import SCRIPTS
from tests.reliability.processes import isolate_environment


def main() -> int:
    """Run the histories that the command line selects."""
    options = _parse_options()
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="geographer-merging-"))
    isolate_environment(folder)
    create_template(folder / "template")
    if options.mutants:
        return _find_mutants(folder, options)
    seeds = range(options.seed, options.seed + options.runs)
    start = time.perf_counter()
    counts: Counter[str] = Counter()
    failed = []
    with _open_pool(options) as pool:
        tasks = [pool.submit(run_task, folder, seed, options.steps) for seed in seeds]
        for outcome in (task.result() for task in as_completed(tasks)):
            counts += outcome.counts
            if outcome.failure:
                failed.append(outcome.seed)
                print(f"seed {outcome.seed} failed:\n{outcome.failure}", flush=True)
    shutil.rmtree(folder)
    print(f"{options.runs} runs of {options.steps} steps in {time.perf_counter() - start:,.0f} s")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print(f"failed: {len(failed)}" + (f" (seeds {', '.join(map(str, sorted(failed)))})" if failed else ""))
    return int(bool(failed))


def _find_mutants(folder: Path, options: argparse.Namespace) -> int:
    """Run the script of each mutant, then random histories until one finds it; print which did."""
    missed = 0
    with _open_pool(options) as pool:
        scripts = {name: pool.submit(run_named_script, folder, name) for name in SCRIPTS}
        for name, task in scripts.items():
            if failure := task.result().failure:
                missed += 1
                print(f"script {name} fails without a mutant:\n{failure}", flush=True)
        found = [pool.submit(find_mutant, folder, mutant.name, options.runs, options.steps) for mutant in MUTANTS]
        for mutant, search in zip(MUTANTS, found, strict=True):
            answer = search.result()
            missed += not answer.by_script
            print(answer.format_line(mutant.name), flush=True)
    shutil.rmtree(folder)
    return int(bool(missed))


def _open_pool(options: argparse.Namespace) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"))


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.merging", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="how many histories (default: 500)")
    parser.add_argument("--steps", type=int, default=30, help="how many steps each has (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first history; the others follow (default: 1)")
    parser.add_argument(
        "--mutants",
        action="store_true",
        help="plant each fault in the merge, and look for it with its script, and with up to --runs histories",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time (default: all cores)")
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
