"""A dataset with four rasters, one in each kind of CRS and grid, and helpers that know their transforms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from geographer import Dataset
from geographer.base.values import Grid, Transform
from geographer.operations.add.annotations.encoded_masks import draw_masks
from geographer.operations.add.annotations.images import ShownRaster
from geographer.operations.add.annotations.pixel_checks import note_problems, scale_to_rasters
from geographer.operations.add.annotations.shapes import Annotations
from tests.sample_rasters import NORTH_UP, make_pixels, write_scene

WIDTH, HEIGHT = 80, 64
GRIDS = {
    "north": ("EPSG:32633", NORTH_UP),
    "rotated": ("EPSG:32634", (8.0, 3.0, 500_000.0, 2.0, -9.0, 5_200_000.0)),
    "degrees": ("EPSG:4326", (1e-4, 0.0, 11.0, 0.0, -1e-4, 47.0)),
    "swapped": ("EPSG:3035", (10.0, 0.0, 4_400_000.0, 0.0, -10.0, 2_700_000.0)),
}
"""CRS and transform of the rasters; the axes of EPSG:3035 are northing and easting."""


def to_crs(name: str, shape: shapely.Geometry) -> shapely.Geometry:
    """Transform a shape from the pixels of a raster to its CRS."""
    a, b, c, d, e, f = GRIDS[name][1]
    return shapely.transform(shape, lambda points: points @ np.array([[a, d], [b, e]]) + [c, f])


def to_pixels(name: str, shape: shapely.Geometry) -> shapely.Geometry:
    """Transform a shape from the CRS of a raster to its pixels."""
    a, b, c, d, e, f = GRIDS[name][1]
    return shapely.transform(shape, lambda points: np.linalg.solve([[a, b], [d, e]], (points - [c, f]).T).T)


def read_shapes(dataset: Dataset) -> dict[str, shapely.Geometry]:
    """Return the features, as the log records them, in the pixels of the raster that has their CRS."""
    query = "SELECT feature_id, change, crs, geometry FROM chain_feature_change ORDER BY position"
    latest = {row["feature_id"]: row for row in dataset.sql(query).to_pylist()}
    names = {crs: name for name, (crs, _) in GRIDS.items()}
    return {
        feature_id: to_pixels(names[row["crs"]], shapely.from_wkb(bytes(row["geometry"])))
        for feature_id, row in latest.items()
        if row["change"] != "removed"
    }


def require_equal(shape: shapely.Geometry, expected: shapely.Geometry, tolerance: float = 1e-6) -> None:
    """Fail unless both have the same vertices, in any order of rings, to a tolerance in pixels."""
    assert shape.geom_type == expected.geom_type
    assert shapely.hausdorff_distance(shapely.boundary(shape), shapely.boundary(expected)) <= tolerance or (
        shapely.distance(shape, expected) <= tolerance and shape.geom_type in ("Point", "LineString")
    )
    assert len(shapely.get_coordinates(shape)) == len(shapely.get_coordinates(expected))


def find_problems(annotations: Annotations, *, repair: bool = False) -> dict[int, str]:
    """Return what is wrong with annotations, whose images show the raster north."""
    crs, transform = GRIDS["north"]
    raster = ShownRaster("north", Grid(crs, Transform(*transform), WIDTH, HEIGHT))
    shown = dict.fromkeys(range(len(annotations.images)), raster)
    draw_masks(annotations, shown)
    scale_to_rasters(annotations, shown)
    note_problems(annotations, shown, repair=repair)
    return annotations.problems


def write_coco(path: Path, annotations: Any, **more: Any) -> Path:
    """Write COCO JSON with the images north.png to swapped.png (1 to 4), and the categories lake (1) and pond (2)."""
    images = [
        {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(GRIDS, 1)
    ]
    categories = [{"id": 1, "name": "lake"}, {"id": 2, "name": "pond"}]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations, **more}))
    return path


@pytest.fixture(scope="package")
def raster_template(tmp_path_factory: pytest.TempPathFactory, empty_dataset: Path) -> Path:
    """A dataset with the rasters of `GRIDS` and no features."""
    folder = tmp_path_factory.mktemp("annotations")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    for number, (name, (crs, transform)) in enumerate(GRIDS.items()):
        pixels = make_pixels(1 + 2 * (number % 2), HEIGHT, WIDTH, seed=number)
        write_scene(folder / f"{name}.tif", pixels, crs=crs, transform=transform)
    dataset.add_rasters([folder / f"{name}.tif" for name in GRIDS])
    return dataset.root


@pytest.fixture
def rasters(raster_template: Path, tmp_path: Path) -> Dataset:
    """A copy of that dataset."""
    return Dataset.open(shutil.copytree(raster_template, tmp_path / "dataset"))


@pytest.fixture(scope="package")
def shared_rasters(raster_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(shutil.copytree(raster_template, tmp_path_factory.mktemp("shared") / "dataset"))


@pytest.fixture
def unchanged(shared_rasters: Dataset) -> Iterator[Dataset]:
    """That dataset, for tests that must not change it."""
    head = shared_rasters.show().digest
    yield shared_rasters
    assert shared_rasters.show().digest == head
