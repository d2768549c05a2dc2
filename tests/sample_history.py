"""Create a small dataset whose history has every kind of event, through the Python API from small real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np

from geographer import Cutter, Dataset
from geographer.base.values import Window
from geographer.storage.dvc.retained import RETAINED_FOLDER
from tests.sample_rasters import make_pixels, write_scene

if TYPE_CHECKING:
    from geographer.storage.queries.table import Table

WEST, NORTH = 500_000.0, 5_200_000.0
PIXEL = 10.0
HEAD, V1 = 25, 8
"""The positions of the last event, and of the event that tag v1 names."""
PART_FRACTIONS = {"train": 0.5, "test": 0.5}


def grid_coordinates(column: float, row: float) -> list[float]:
    """Return coordinates in EPSG:32633 of a position in pixels of the first scene."""
    return [WEST + PIXEL * column, NORTH - PIXEL * row]


def square_geometry(column: float, row: float, side: float) -> dict:
    corners = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
    return {"type": "Polygon", "coordinates": [[grid_coordinates(column + x, row + y) for x, y in corners]]}


def point_geometry(column: float, row: float) -> dict:
    return {"type": "Point", "coordinates": grid_coordinates(column, row)}


def bow_tie_geometry(column: float, row: float) -> dict:
    corners = [(0, 0), (4, 4), (4, 0), (0, 4), (0, 0)]
    return {"type": "Polygon", "coordinates": [[grid_coordinates(column + x, row + y) for x, y in corners]]}


def write_features(path: Path, features: dict[str, tuple[str, dict]]) -> Path:
    """Write a GeoJSON file of `features` (id to class and geometry, in metres) with user columns."""
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": kind, "name": f'the "{name}"', "depth": 1.5, "surveyed": None},
            "geometry": geometry,
        }
        for name, (kind, geometry) in features.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


def write_scenes(folder: Path, *names: str, offset: int = 0, seed: int = 1) -> list[Path]:
    """Write scenes of 64 by 64 pixels, each 48 pixels east of the previous; the first starts `offset` scenes east."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_scene(
            folder / f"{name}.tif",
            make_pixels(2, 64, 64, "uint8", seed=seed + number),
            transform=(PIXEL, 0.0, WEST + 480 * (number + offset), 0.0, -PIXEL, NORTH),
            nodata=0,
        )
        for number, name in enumerate(names)
    ]


def write_catalogue(path: Path) -> Path:
    feature = {"type": "Feature", "properties": {"id": "S2A", "cloud": 7}, "geometry": square_geometry(0, 0, 100)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


FIRST_FEATURES = {
    "p1": ("pond", point_geometry(10.5, 10.5)),
    "p2": ("pond", square_geometry(12, 11, 4)),
    "q1": ("quarry", square_geometry(40, 40, 6)),
    "q2": ("quarry", point_geometry(55.5, 20.5)),
    "bent": ("pond", bow_tie_geometry(30, 30)),
}
LATER_FEATURES = {
    "p1": ("pond", square_geometry(9, 9, 3)),
    "p3": ("pond", point_geometry(70.5, 30.5)),
    "w1": ("water", square_geometry(41, 41, 2)),
}


class CornerCutter(Cutter):
    """Cuts one chip near the upper left corner of every raster, of the recipe's size."""

    version = "1.0"

    def windows(self, features: Any, rasters: Any, contained: Any, *, seed: int) -> list[tuple[str, Window]]:
        del features, contained, seed
        inset = self.options["inset"]
        return [
            (row["raster_id"], Window(inset, inset, row["chip_width"], row["chip_height"]))
            for row in rasters.to_pylist()
        ]


def select_ponds(features: Table) -> list[str]:
    """Select the features of class 'pond'."""
    return [row["feature_id"] for row in features.to_pylist() if row["class"] == "pond"]


def create_until_v1(root: Path, inputs: Path) -> Dataset:
    """Create the dataset up to its tag v1: features, rasters, a catalogue, two kinds of chips, masks, a split."""
    inputs.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.init(root, background="water", scm=False, message="begin")
    first = write_features(inputs / "first.geojson", FIRST_FEATURES)
    dataset.add_features(first, crs="EPSG:32633", on_error="skip", message="first survey")
    dataset.add_rasters(write_scenes(inputs, "a", "b"), idempotency_key="scenes")
    dataset.add_catalogue(write_catalogue(inputs / "catalogue.geojson"), crs="EPSG:32633")
    dataset.cut_around_features("around", size=16)
    dataset.cut_grid("grid", size=(32, 32), bands=[2])
    dataset.label_masks("mask", collection="around")
    dataset.split("parts", collection="around", parts=PART_FRACTIONS, stratify="class")
    dataset.tag("v1", message="as published")
    return dataset


def continue_after_v1(dataset: Dataset, inputs: Path) -> Dataset:
    """Continue after v1: remove objects, add their ids again with other shapes, update, cut, label, set a second tag."""
    dataset.remove_features(["p1", "q2"], message="not ponds")
    dataset.remove_rasters(["around/a_q2", "b"])
    dataset.add_classes(["quay"])
    dataset.add_features(write_features(inputs / "more.geojson", LATER_FEATURES), crs="EPSG:32633", message="again")
    dataset.add_rasters(write_scenes(inputs / "second", "b", "c", offset=1, seed=7), mode="link")
    archive = write_scenes(dataset.root / "archive", "d", offset=3, seed=9)
    dataset.add_rasters(archive, mode="reference", collection="archive")
    dataset.update()
    cut_other_kinds(dataset, inputs)
    dataset.label_boxes("bounds", collection="cover")
    dataset.remove_recipe("corners")
    dataset.tag("v2")
    return dataset


def cut_other_kinds(dataset: Dataset, inputs: Path) -> None:
    """Cut chips of every other kind."""
    boxes = write_features(
        inputs / "boxes.geojson", {"north": ("", square_geometry(4, 5, 8)), "south": ("", square_geometry(20, 40, 10))}
    )
    dataset.cut_boxes("boxes", boxes, crs="EPSG:32633")
    dataset.cut_cover("cover", size=20, where=select_ponds, rasters_where="raster_id <> 'c'")
    dataset.cut_custom("corners", cutter=CornerCutter, size=8, options={"inset": 2})


class SampleHistory(NamedTuple):
    """The folders of the dataset at its head, of a copy made right after v1, and of the input files."""

    root: Path
    at_v1: Path
    inputs: Path


def locate_sample_history(folder: Path) -> SampleHistory:
    """Return where the dataset, the copy and the inputs lie in `folder`."""
    return SampleHistory(folder / "dataset", folder / "at v1", folder / "inputs")


def create_sample_history(folder: Path) -> SampleHistory:
    """Create the dataset, the copy and the inputs in `folder`."""
    history = locate_sample_history(folder)
    dataset = create_until_v1(history.root, history.inputs)
    shutil.copytree(history.root, history.at_v1)
    continue_after_v1(dataset, history.inputs)
    return history


def read_contents(folder: Path) -> dict[str, bytes]:
    """Read every file under a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def find_cached_file(root: Path, path: str, at: int) -> Path:
    """Find the file in DVC's cache of a dataset's path at a position of its log."""
    condition = "WHERE path = $path AND position <= $at ORDER BY position DESC LIMIT 1"
    with duckdb.connect(str(root / ".geographer" / "log.duckdb"), read_only=True) as connection:
        table = f"{'label' if path.startswith('labels/') else 'raster'}_change JOIN chain USING (event_key)"
        row = connection.execute(f"SELECT md5 FROM {table} {condition}", {"path": path, "at": at}).fetchone()
    assert row is not None
    return root / ".dvc" / "cache" / "files" / "md5" / row[0][:2] / row[0][2:]


def delete_object(root: Path, path: str, at: int) -> Path:
    """Delete the object of the dataset's path in DVC's cache, and the one retained beside it; return its path there."""
    cached = find_cached_file(root, path, at)
    cached.unlink()
    (root / ".dvc" / "cache" / RETAINED_FOLDER / cached.parent.name / cached.name).unlink(missing_ok=True)
    return cached


def flip_bit_of_file(path: Path) -> None:
    """Flip one bit of a file in place, whatever its permissions."""
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(flip_bit(content))


def flip_bit(content: bytes, position: int = -3) -> bytes:
    """Return `content` with one bit flipped."""
    changed = np.frombuffer(content, np.uint8).copy()
    changed[position] ^= 1
    return changed.tobytes()
