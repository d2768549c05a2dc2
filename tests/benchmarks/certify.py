"""The cost of certifying a split of 10,000 chips without and with pixels.

`python -m tests.benchmarks.certify FOLDER [CHIPS]` makes a dataset in a folder, and prints CPU seconds of the command.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.releasing import LARGE, create_dataset


def measure_certify(root: Path, *options: str) -> float:
    """Return the CPU seconds of certify, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "geographer", "-C", str(root), "certify", "v1", "--split", "parts", *options]
    subprocess.run(command, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Make the dataset unless the folder has it, and measure."""
    root, chips = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else LARGE
    if not root.exists():
        create_dataset(root, chips)
    for options in ((), ("--duplicates",)):
        print(f"certify {' '.join(options)}: {measure_certify(root, *options):.2f} CPU s")


if __name__ == "__main__":
    main()
