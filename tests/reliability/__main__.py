"""`python -m tests.reliability`: run all attacks, and print one table; the exit code is 1 if there is any fault."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from tests.reliability import appends, cluster, crafted, edits, flips, inputs, interrupts, kills, secrets
from tests.reliability.example import Example, create_example
from tests.reliability.processes import isolate_environment, start_fork_server
from tests.reliability.stage import KINDS, Stage, format_table, run_attack

ATTACKS: Final = {
    module.__name__.rpartition(".")[2]: module
    for module in (kills, interrupts, appends, flips, edits, inputs, crafted, secrets)
}
LONG_ATTACKS: Final = {**ATTACKS, "cluster": cluster}
"""With those that need the rights of an administrator: the short form leaves them out."""


def main() -> int:
    """Run the attacks that the command line selects."""
    options = _parse_options()
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="geographer-reliability-"))
    isolate_environment(folder)
    start_fork_server()
    has_example = {*(options.only or LONG_ATTACKS)} != {"cluster"}
    example = create_example(folder / "example") if has_example else Example(folder, {})
    stage = Stage(example, folder, options.scale, options.seed, options.number, options.jobs)
    report = partial(print, flush=True)
    results = [run_attack(LONG_ATTACKS[name], stage, report) for name in options.only or LONG_ATTACKS]
    print(format_table(results))
    if options.number is None:
        shutil.rmtree(folder)
    else:
        print(f"the files of the try are in {folder}")
    return int(any(result.has_faults for result in results))


def _parse_options() -> argparse.Namespace:
    kinds = "\n".join(f"  {kind:<10} {meaning}" for kind, meaning in KINDS.items())
    titles = "\n".join(
        f"  {name:<10} {(module.__doc__ or '').splitlines()[0]}" for name, module in LONG_ATTACKS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability",
        description=f"Attack geographer with real processes.\n\nattacks:\n{titles}\n\ncolumns of the table:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=LONG_ATTACKS, metavar="NAME", help="run only these attacks")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiply the numbers of tries, e.g. by 0.1 (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    parser.add_argument(
        "--try", dest="number", type=int, metavar="NUMBER", help="make only this try, and keep its files"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="how many tries at a time (default: all cores)"
    )
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder (default: the system's)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
