"""Three rasters far apart, rotated or in degrees, with areas, a line and a point on each; and where these must lie."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from shapely import affinity

from geographer import Dataset
from tests.sample_rasters import make_pixels, write_scene

WIDTH, HEIGHT = 64, 48
IGNORED = 250
METRES = "EPSG:32633"
RASTERS = {
    "north-up": (METRES, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0), 4, "uint16"),
    "rotated": (METRES, (8.0, 3.0, 510_000.0, 3.0, -8.0, 5_200_000.0), 3, "uint8"),
    "degrees": ("EPSG:4326", (1.3e-4, 0.0, 15.4, 0.0, -9e-5, 46.9), 3, "uint8"),
}
CLASSES = {"pond": 1, "deep reef": 2}
_HOLED = shapely.Polygon([(30, 8), (44, 8), (44, 22), (30, 22)], [[(34, 12), (34, 18), (40, 18), (40, 12)]])
SHAPES: dict[str, tuple[str, shapely.Geometry]] = {
    "inside": ("pond", shapely.Polygon([(10.3, 10.1), (20.6, 9.2), (24.1, 17.7), (15.2, 20.4)])),
    "edge": ("deep reef", affinity.rotate(shapely.box(-6, 22, 9, 29), 25)),
    "parts": ("pond", shapely.MultiPolygon([_HOLED, shapely.box(47.25, 10.3, 50, 14)])),
    "line": ("deep reef", shapely.LineString([(8.2, 40.3), (25.7, 44.1), (40.5, 38.8)])),
    "point": ("pond", shapely.Point(55.3, 30.7)),
    "tiny": ("pond", shapely.box(30.55, 31.6, 30.75, 31.9)),
    "crowd": ("deep reef", shapely.Polygon([(40.13, 28.21), (52.42, 26.1), (50.71, 36.33), (43.24, 37.16)])),
    "ground": ("land", shapely.box(2, 2, 6, 6)),
}


def list_features() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the features of all rasters, in metres, by id: class and GeoJSON geometry."""
    features = {}
    for name, (crs, transform, _, _) in RASTERS.items():
        to_metres = pyproj.Transformer.from_crs(crs, METRES, always_xy=True)
        for id, (kind, shape) in SHAPES.items():
            on_ground = affinity.affine_transform(shape, [transform[i] for i in (0, 1, 3, 4, 2, 5)])
            in_metres = shapely.transform(on_ground, lambda xy, to=to_metres: np.column_stack(to.transform(*xy.T)))
            features[f"{name} {id}"] = (kind, json.loads(shapely.to_geojson(in_metres)))
    return features


def create_dataset(folder: Path) -> None:
    """Create the dataset in `folder / "dataset"`, with a split and labels of every kind that has objects or classes."""
    dataset = Dataset.init(folder / "dataset", classes=[*CLASSES], background="land", scm=False)
    members = [
        {"type": "Feature", "properties": {"id": id, "class": kind}, "geometry": geometry}
        for id, (kind, geometry) in list_features().items()
    ]
    path = folder / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(path, crs=METRES)
    scenes = []
    for number, (name, (crs, transform, bands, dtype)) in enumerate(RASTERS.items()):
        pixels = make_pixels(bands, HEIGHT, WIDTH, dtype, seed=number)
        pixels[:, 40:44, :5] = 0
        scenes.append(write_scene(folder / f"{name}.tif", pixels, transform=transform, crs=crs, nodata=0))
    dataset.add_rasters(scenes)
    dataset.label_masks("mask", collection="source", ignore=IGNORED)
    dataset.label_instances("instances", collection="source")
    dataset.label_boxes("boxes", collection="source", width="3px")
    dataset.split("parts", collection="source", parts={"train": 0.67, "val": 0.33})


def read_pixels(dataset: Dataset, raster: str, label: str | None = None) -> np.ndarray:
    """Return the pixels of a raster or a label, shape (bands, rows, columns)."""
    if label is None:
        with dataset.open_raster(raster) as file:
            return np.asarray(file.read())
    (row,) = dataset.labels(where=f"label = '{label}' AND raster_id = '{raster}'").to_pylist()
    with rasterio.open(dataset.root / row["path"]) as file:
        return np.asarray(file.read())


@cache
def find_areas(width: float = 1.0) -> dict[str, dict[str, shapely.Geometry]]:
    """Return where the objects must lie, by raster and feature: areas in pixels, clipped to the raster.

    Lines and points are `width` pixels wide.
    """
    expected: dict[str, dict[str, shapely.Geometry]] = {}
    features = list_features()
    for name, (crs, transform, _, _) in RASTERS.items():
        from_metres = pyproj.Transformer.from_crs(METRES, crs, always_xy=True)
        to_pixels = ~rasterio.Affine(*transform)
        for id, (kind, geometry) in features.items():
            if kind == "land" or not id.startswith(f"{name} "):
                continue
            shape = shapely.transform(
                shapely.from_geojson(json.dumps(geometry)),
                lambda xy, transformer=from_metres: np.column_stack(transformer.transform(*xy.T)),
            )
            shape = affinity.affine_transform(shape, [getattr(to_pixels, letter) for letter in "abdecf"])
            if shape.area == 0:
                shape = shape.buffer(width / 2, quad_segs=16)
            expected.setdefault(name, {})[id] = shape.intersection(shapely.box(0, 0, WIDTH, HEIGHT))
    return expected


def cover_pixels(area: shapely.Geometry) -> np.ndarray:
    """Return the pixels whose centres an area contains, shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return np.asarray(shapely.contains_xy(area, columns, rows))
