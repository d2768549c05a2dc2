"""`python -m tests.training`: train with torchgeo on chips, in an environment of its own, and compare its dataset's speed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests import REPOSITORY

SCRIPT = Path(__file__).with_name("torchgeo_script.py")
REQUIREMENTS = ("torch==2.14.1", "torchvision==0.29.1", "torchgeo==0.8.1", "pycocotools")
"""torchgeo 0.8.1 is the last version for Python 3.11; torchvision fixes the version of PyTorch. Metrics of boxes need
pycocotools."""


def main() -> None:
    """Make the environment if it does not exist, and run the script in it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.training",
        description="Run torchgeo's trainers for one epoch on a ChipDataset, and compare the speed of torchgeo's own "
        "dataset over the same files. It needs torchgeo, PyTorch and torchvision: 6 GB, in an environment of its own.",
    )
    parser.add_argument("library", choices=["torchgeo"])
    parser.add_argument("--venv", type=Path, help="the environment to use or make (default: a temporary one)")
    parser.add_argument("--side", type=int, default=4096, help="the side of the scene in pixels (default: 4096)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geographer-training-") as scratch:
        folder = options.venv or Path(scratch) / "venv"
        python = folder.resolve() / "bin" / "python"
        if not python.exists():
            _install_library(folder, Path(scratch))
        command = [python, "-m", f"tests.training.{SCRIPT.stem}", Path(scratch) / "data", options.side]
        sys.exit(subprocess.run([*map(str, command)], cwd=REPOSITORY, check=False).returncode)


def _install_library(folder: Path, scratch: Path) -> None:
    """Install torchgeo and geographer, whose versions are those of the lock file, except for PyTorch and Lightning."""
    own = ("torch", "lightning", "pytorch-lightning", "numpy")
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(own)]
    (scratch / "constraints.txt").write_text("\n".join(kept) + "\n")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "-q", "-c", str(scratch / "constraints.txt")]
    subprocess.run([*pip, *REQUIREMENTS, "-e", str(REPOSITORY)], check=True)


if __name__ == "__main__":
    main()
