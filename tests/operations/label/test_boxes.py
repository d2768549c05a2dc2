"""Box labels on rotated rasters and in other CRSs than the features, against pyproj and shapely."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from shapely import affinity

from geographer import Dataset
from tests.operations.label.label_dataset import Features, add_features
from tests.sample_history import grid_coordinates, point_geometry, write_scenes
from tests.sample_rasters import CUSTOM_CRS, make_pixels, write_scene

LON, LAT = 11.05, 47.32
SIZE = 160
ANGLE = np.radians(33)
ROTATED = (8 * np.cos(ANGLE), 8 * np.sin(ANGLE), 0.0, 8 * np.sin(ANGLE), -8 * np.cos(ANGLE), 0.0)
RASTERS = {
    "north-up": ("EPSG:32632", (8.0, 0.0, 0.0, 0.0, -8.0, 0.0)),
    "rotated": ("EPSG:32632", ROTATED),
    "sheared": ("EPSG:32632", (8.0, 2.5, 0.0, 1.0, -7.0, 0.0)),
    "south-up": ("EPSG:32632", (8.0, 0.0, 0.0, 0.0, 8.0, 0.0)),
    "other zone": ("EPSG:32635", (8.0, 0.0, 0.0, 0.0, -8.0, 0.0)),
    "no code": (CUSTOM_CRS, ROTATED),
    "degrees": ("EPSG:4326", (1e-4, 0.0, 0.0, 0.0, -7e-5, 0.0)),
}


def make_shapes() -> dict[str, shapely.Polygon]:
    """Rectangles and blobs in longitude/latitude, 300 to 600 metres across, on and off the rasters."""
    random = np.random.default_rng(8)
    shapes = {}
    for number in range(24):
        if number % 2:
            shape = affinity.rotate(shapely.box(-1, -0.4, 1, 0.4), random.uniform(0, 180))
        else:
            angles = np.sort(random.uniform(0, 2 * np.pi, 9))
            radius = random.uniform(0.5, 1, 9)
            shape = shapely.Polygon(np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]))
        scaled = affinity.scale(shape, 0.003, 0.002, origin=(0, 0))
        shapes[f"o{number}"] = affinity.translate(scaled, *(random.uniform(-0.01, 0.01, 2) + np.array([LON, LAT])))
    return shapes


def write_rasters(folder: Path) -> list[Path]:
    """Write a raster of each kind with its centre at LON, LAT."""
    paths = []
    for number, (crs, transform) in enumerate(RASTERS.values()):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(LON, LAT)
        a, b, _, d, e, _ = transform
        half = SIZE / 2
        whole = (a, b, x - (a + b) * half, d, e, y - (d + e) * half)
        paths.append(
            write_scene(folder / f"r{number}.tif", make_pixels(1, SIZE, SIZE, "uint8"), crs=crs, transform=whole)
        )
    return paths


@pytest.fixture(scope="module")
def dataset(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("boxes")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    members = [
        {"type": "Feature", "properties": {"id": name, "class": "house"}, "geometry": shapely.geometry.mapping(shape)}
        for name, shape in make_shapes().items()
    ]
    (folder / "f.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(folder / "f.geojson")
    dataset.add_rasters(write_rasters(folder))
    dataset.label_boxes("boxes", collection="source")
    return dataset


def to_pixel_coordinates(shape: shapely.Polygon, path: Path) -> shapely.Polygon:
    """Transform a polygon from longitude/latitude to a raster's pixel coordinates, with densified edges."""
    with rasterio.open(path) as raster:
        to_raster_crs = pyproj.Transformer.from_crs("EPSG:4326", raster.crs.to_wkt(), always_xy=True)
        a, b, c, d, e, f, *_ = ~raster.transform
    dense = shapely.segmentize(shape, 1e-4)

    def transform_points(points: np.ndarray) -> np.ndarray:
        x, y = to_raster_crs.transform(points[:, 0], points[:, 1])
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    return shapely.transform(dense, transform_points)


def to_map(corners: list[list[float]], document: dict) -> shapely.Polygon:
    """Transform a box of a label file to longitude/latitude with the grid in that file."""
    a, b, c, d, e, f = document["transform"]
    ring = shapely.segmentize(shapely.Polygon(corners), 1).exterior
    x, y = shapely.get_coordinates(ring).T
    to_lonlat = pyproj.Transformer.from_crs(document["crs"], "EPSG:4326", always_xy=True)
    return shapely.Polygon(np.column_stack(to_lonlat.transform(a * x + b * y + c, d * x + e * y + f)))


def compute_iou(a: shapely.Polygon, b: shapely.Polygon) -> float:
    return a.intersection(b).area / a.union(b).area


def make_ring(box: list[float]) -> list[list[float]]:
    x0, y0, x1, y1 = box
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


@pytest.mark.parametrize("number", range(len(RASTERS)), ids=RASTERS)
def test_boxes_enclose_visible_objects(dataset: Dataset, number: int):
    document = json.loads((dataset.root / f"labels/boxes/source/r{number}.json").read_text())
    boxes = {item["feature_id"]: item for item in document["objects"]}
    frame, visible = shapely.box(0, 0, SIZE, SIZE), set()
    for name, shape in make_shapes().items():
        whole = to_pixel_coordinates(shape, dataset.root / f"rasters/source/r{number}.tif")
        clipped = whole.intersection(frame)
        if clipped.area < 1e-3:
            continue
        visible.add(name)
        assert compute_iou(shapely.box(*boxes[name]["box"]), shapely.box(*clipped.bounds)) >= 0.99
        corners, smallest = shapely.Polygon(boxes[name]["corners"]), shapely.oriented_envelope(clipped)
        # Clipping can leave a triangle, which has three smallest rectangles.
        assert compute_iou(corners, smallest) >= 0.99 or boxes[name]["visible"] < 1
        assert corners.intersection(clipped).area >= 0.999 * clipped.area
        assert corners.area <= 1.001 * smallest.area
        assert boxes[name]["visible"] == pytest.approx(clipped.area / whole.area, abs=1e-3)
    assert boxes.keys() == visible
    assert {item["visible"] == 1 for item in boxes.values()} == {True, False}
    assert (document["size"], document["raster"]) == ([SIZE, SIZE], f"r{number}")


@pytest.mark.parametrize("number", range(len(RASTERS)), ids=RASTERS)
def test_box_on_map_covers_object(dataset: Dataset, number: int):
    raster = dataset.root / f"rasters/source/r{number}.tif"
    document = json.loads((dataset.root / f"labels/boxes/source/r{number}.json").read_text())
    with rasterio.open(raster) as file:
        assert file.transform[:6] == tuple(document["transform"])
    whole = [item for item in document["objects"] if item["visible"] == 1]
    assert whole
    for item in whole:
        shape = make_shapes()[item["feature_id"]]
        for corners in (make_ring(item["box"]), item["corners"]):
            on_map = to_map(corners, document)
            assert shape.difference(on_map).area / shape.area < 1e-3
            in_pixels = to_pixel_coordinates(on_map, raster)
            assert compute_iou(in_pixels, shapely.Polygon(corners)) >= 0.99


def test_object_rows_equal_box_files(dataset: Dataset):
    rows = dataset.objects().to_pylist()
    for row in rows:
        document = json.loads((dataset.root / f"labels/boxes/source/{row['raster_id']}.json").read_text())
        (item,) = (item for item in document["objects"] if item["feature_id"] == row["feature_id"])
        assert (item["class"], item["box"], item["corners"], item["visible"]) == (
            *(row["class"], row["box"], row["corners"], row["visible"]),
        )
    assert len(rows) > 50


def test_min_visible_drops_objects(dataset: Dataset):
    result = dataset.label_boxes("half", collection="source", min_visible=0.5)
    every_row = dataset.objects(where="label = 'boxes'").to_pylist()
    kept = dataset.objects(where="label = 'half'").to_pylist()
    expected = [{**row, "label": "half"} for row in every_row if row["visible"] >= 0.5]
    assert kept == expected
    assert 0 < len(expected) < len(every_row)
    dropped = {row["feature_id"] for row in every_row if row["visible"] < 0.5}
    assert result.summary["too little of it visible"] == len(dropped)


def test_lines_and_points_have_width(empty_dataset: Path, open_copy: Callable[[Path], Dataset], tmp_path: Path):
    dataset = open_copy(empty_dataset)
    dataset.add_classes(["road", "well"])
    features: Features = {
        "w": ("well", point_geometry(20.5, 10.5), {}),
        "r": ("road", {"type": "LineString", "coordinates": [grid_coordinates(5, 30), grid_coordinates(25, 30)]}, {}),
        "off": ("well", point_geometry(63.9, 70), {}),
    }
    add_features(dataset, tmp_path / "f.geojson", features)
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    dataset.label_boxes("px", collection="source")
    dataset.label_boxes("m", collection="source", width="40m")
    boxes = {(row["label"], row["feature_id"]): row["box"] for row in dataset.objects().to_pylist()}
    assert boxes == {
        ("px", "r"): [4.5, 29.5, 25.5, 30.5],
        ("px", "w"): [20, 10, 21, 11],
        ("m", "r"): [3, 28, 27, 32],
        ("m", "w"): [18.5, 8.5, 22.5, 12.5],
    }
