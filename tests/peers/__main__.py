"""`python -m tests.peers LIBRARY`: export chips, and read them with TerraTorch, torchgeo or rslearn in its own environment."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

from geographer import Dataset
from tests.outputs.exports.chip_dataset import create_chips, read_chip_samples

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
REQUIREMENTS = {
    "terratorch": (*TORCH, "terratorch==1.2.11", "torchgeo==0.8.1", "imagecodecs"),
    "rslearn": (*TORCH, "rslearn==0.1.19"),
}


def main() -> None:
    """Make the environment if it does not exist, export, and run the library's script in it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers",
        description="Export chips of five 16-bit bands, read them with a library, and compare each value with what "
        "rasterio reads of the dataset. It needs PyTorch and torchvision: 7 GB, in an environment of its own.",
    )
    parser.add_argument("library", choices=[*REQUIREMENTS])
    parser.add_argument("--venv", type=Path, help="the environment to use or make (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geographer-peers-") as scratch:
        folder = options.venv or Path(scratch) / "venv"
        python = folder.resolve() / "bin" / "python"
        if not python.exists():
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS[options.library]], check=True)
        exports = Path(scratch) / "data"
        exports.mkdir()
        _export_chips(exports)
        script = Path(__file__).with_name(f"{options.library}_script.py")
        sys.exit(subprocess.run([python, script, exports], check=False).returncode)


def _export_chips(folder: Path) -> None:
    """Write the exports, and `expected.npz` and `expected.json` with what rasterio reads of the dataset."""
    create_chips(folder)
    dataset = Dataset.open(folder / "dataset")
    samples = read_chip_samples(dataset)
    arrays: dict[str, Any] = {f"{id}:image": sample.pixels for id, sample in samples.items()}
    arrays |= {f"{id}:mask": sample.labels["mask"] for id, sample in samples.items()}
    np.savez(folder / "expected.npz", **arrays)
    names = ("raster_id", "part", "classes", "crs", "transform")
    rows = [{name: sample.row[name] for name in names} for sample in samples.values()]
    (folder / "expected.json").write_text(json.dumps(rows))
    dataset.export_samples("folder", folder / "folder", record=False)
    dataset.export_samples("rslearn", folder / "rslearn", record=False)
    dataset.cut_around_features("around", size=8)
    dataset.export_samples("folder", folder / "classes", task="classification", collection="around", record=False)


if __name__ == "__main__":
    main()
