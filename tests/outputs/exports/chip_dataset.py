"""Twelve chips of five 16-bit bands, cut from two scenes half a pixel off the grid of their CRS, with labels of all kinds."""

from __future__ import annotations

import warnings
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio

from geographer import Dataset
from geographer.outputs.exports.formats import find_exporter
from tests.sample_history import write_features
from tests.sample_rasters import make_pixels, write_scene

SIZE = 16
BANDS = ("blue", "green", "red", "nir", "swir_1")
CRS = "EPSG:32633"
CLASSES = {"pond": 1, "reef": 2}
LABELS = ("boxes", "instances", "mask", "multilabel")
PARTS = {"train": 0.5, "val": 0.25, "test": 0.25}
_SCENES = {"a.1": 500_005.0, "b 2": 520_005.0}
_TOP = 5_200_005.0
_COLUMNS, _ROWS = 3, 2


class ChipSample(NamedTuple):
    """A sample as rasterio reads the dataset's files: pixels, labels by name, and its row in the table of samples."""

    row: dict[str, Any]
    pixels: np.ndarray
    labels: dict[str, np.ndarray]


def create_chips(folder: Path) -> None:
    """Create the dataset in `folder / "dataset"`; each chip has an object of each class, in another place."""
    dataset = Dataset.init(folder / "dataset", classes=[*CLASSES], scm=False)
    features, scenes = {}, []
    for number, (scene, left) in enumerate(_SCENES.items()):
        pixels = make_pixels(len(BANDS), _ROWS * SIZE, _COLUMNS * SIZE, "uint16", seed=number)
        pixels[:, :3, :2] = 0
        transform = (10.0, 0.0, left, 0.0, -10.0, _TOP)
        scenes.append(write_scene(folder / f"{scene}.tif", pixels, transform=transform, crs=CRS, nodata=0))
        with rasterio.open(scenes[-1], "r+") as raster:
            raster.descriptions = BANDS
        for cell in range(_COLUMNS * _ROWS):
            x, y = left + 160 * (cell % _COLUMNS), _TOP - 160 * (cell // _COLUMNS)
            features[f"{scene}-{cell}-pond"] = ("pond", _make_box(x + 20 + 5 * cell, y - 60, 30))
            if cell % 2:
                features[f"{scene}-{cell}-reef"] = ("reef", _make_box(x + 90, y - 140 + 4 * cell, 25))
    dataset.add_features(write_features(folder / "features.geojson", features), crs=CRS)
    dataset.add_rasters(scenes)
    dataset.cut_grid("tiles", size=SIZE)
    dataset.label_masks("mask", collection="tiles", ignore=255)
    dataset.label_instances("instances", collection="tiles")
    dataset.label_multilabel("multilabel", collection="tiles")
    dataset.label_boxes("boxes", collection="tiles")
    dataset.split("parts", collection="tiles", parts=PARTS)


def _make_box(x: float, y: float, size: float) -> dict[str, Any]:
    ring = [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


def read_chip_samples(dataset: Dataset) -> dict[str, ChipSample]:
    """Read all samples by id, without the code of exports."""
    samples = {}
    for row in dataset.samples().to_pylist():
        labels = {name: read_file(row[f"label_{name}"]) for name in LABELS if name != "boxes"}
        samples[row["raster_id"]] = ChipSample(row, read_file(row["path"]), labels)
    return samples


def run_usage(name: str, folder: Path) -> dict[str, Any]:
    """Run the code of an export's README in its folder, and return its variables."""
    usage = find_exporter(name).usage
    assert usage.strip() in (folder / "README.md").read_text()
    variables: dict[str, Any] = {}
    with chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves files open.
        exec(usage, variables)
        variables.pop("samples", None)
    return variables


def read_file(path: str | Path) -> np.ndarray:
    """Read all bands of a file."""
    with rasterio.open(path) as raster:
        return np.asarray(raster.read())
