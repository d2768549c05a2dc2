"""Box labels on rasters turned against the map or in another CRS than the objects, against pyproj and shapely."""

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
from tests.operations.label.label_dataset import gather
from tests.sample_history import place, point, write_scenes
from tests.sample_rasters import CUSTOM, pixels, write_scene

LON, LAT = 11.05, 47.32
SIZE = 160
ANGLE = np.radians(33)
TURNED = (8 * np.cos(ANGLE), 8 * np.sin(ANGLE), 0.0, 8 * np.sin(ANGLE), -8 * np.cos(ANGLE), 0.0)
RASTERS = {
    "north-up": ("EPSG:32632", (8.0, 0.0, 0.0, 0.0, -8.0, 0.0)),
    "turned": ("EPSG:32632", TURNED),
    "sheared": ("EPSG:32632", (8.0, 2.5, 0.0, 1.0, -7.0, 0.0)),
    "south-up": ("EPSG:32632", (8.0, 0.0, 0.0, 0.0, 8.0, 0.0)),
    "other zone": ("EPSG:32635", (8.0, 0.0, 0.0, 0.0, -8.0, 0.0)),
    "no code": (CUSTOM, TURNED),
    "degrees": ("EPSG:4326", (1e-4, 0.0, 0.0, 0.0, -7e-5, 0.0)),
}


def objects() -> dict[str, shapely.Polygon]:
    """Houses, roads and blobs in longitude/latitude, some 300 to 600 metres across, on the rasters and off them."""
    random = np.random.default_rng(8)
    found = {}
    for number in range(24):
        if number % 2:
            shape = affinity.rotate(shapely.box(-1, -0.4, 1, 0.4), random.uniform(0, 180))
        else:
            angles = np.sort(random.uniform(0, 2 * np.pi, 9))
            radius = random.uniform(0.5, 1, 9)
            shape = shapely.Polygon(np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]))
        there = affinity.scale(shape, 0.003, 0.002, origin=(0, 0))
        found[f"o{number}"] = affinity.translate(there, *(random.uniform(-0.01, 0.01, 2) + np.array([LON, LAT])))
    return found


def write(folder: Path) -> list[Path]:
    """A raster of each kind with its middle at LON, LAT."""
    paths = []
    for number, (crs, transform) in enumerate(RASTERS.values()):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(LON, LAT)
        a, b, _, d, e, _ = transform
        half = SIZE / 2
        whole = (a, b, x - (a + b) * half, d, e, y - (d + e) * half)
        paths.append(write_scene(folder / f"r{number}.tif", pixels(1, SIZE, SIZE, "uint8"), crs=crs, transform=whole))
    return paths


@pytest.fixture(scope="module")
def dataset(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("boxes")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    members = [
        {"type": "Feature", "properties": {"id": name, "class": "house"}, "geometry": shapely.geometry.mapping(shape)}
        for name, shape in objects().items()
    ]
    (folder / "f.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset.add_features(folder / "f.geojson")
    dataset.add_rasters(write(folder))
    dataset.label_boxes("boxes", collection="source")
    return dataset


def in_pixels(shape: shapely.Polygon, path: Path) -> shapely.Polygon:
    """A polygon in longitude/latitude on the pixel grid of a raster, many vertices to an edge."""
    with rasterio.open(path) as raster:
        into = pyproj.Transformer.from_crs("EPSG:4326", raster.crs.to_wkt(), always_xy=True)
        a, b, c, d, e, f, *_ = ~raster.transform
    dense = shapely.segmentize(shape, 1e-4)

    def placed(points: np.ndarray) -> np.ndarray:
        x, y = into.transform(points[:, 0], points[:, 1])
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    return shapely.transform(dense, placed)


def on_the_map(corners: list[list[float]], document: dict) -> shapely.Polygon:
    """A box from a file in longitude/latitude, by what that file says of its grid."""
    a, b, c, d, e, f = document["transform"]
    ring = shapely.segmentize(shapely.Polygon(corners), 1).exterior
    x, y = shapely.get_coordinates(ring).T
    out = pyproj.Transformer.from_crs(document["crs"], "EPSG:4326", always_xy=True)
    return shapely.Polygon(np.column_stack(out.transform(a * x + b * y + c, d * x + e * y + f)))


def overlap(one: shapely.Polygon, other: shapely.Polygon) -> float:
    return one.intersection(other).area / one.union(other).area


def upright(box: list[float]) -> list[list[float]]:
    x0, y0, x1, y1 = box
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


@pytest.mark.parametrize("number", range(len(RASTERS)), ids=RASTERS)
def test_boxes_are_those_of_the_object_as_it_lies_on_the_raster(dataset: Dataset, number: int):
    document = json.loads((dataset.root / f"labels/boxes/source/r{number}.json").read_text())
    found = {one["feature_id"]: one for one in document["objects"]}
    frame, seen = shapely.box(0, 0, SIZE, SIZE), set()
    for name, shape in objects().items():
        whole = in_pixels(shape, dataset.root / f"rasters/source/r{number}.tif")
        clipped = whole.intersection(frame)
        if clipped.area < 1e-3:
            continue
        seen.add(name)
        assert overlap(shapely.box(*found[name]["box"]), shapely.box(*clipped.bounds)) >= 0.99
        corners, smallest = shapely.Polygon(found[name]["corners"]), shapely.oriented_envelope(clipped)
        # A triangle, which clipping leaves at times, has three rectangles that are as small.
        assert overlap(corners, smallest) >= 0.99 or found[name]["visible"] < 1
        assert corners.intersection(clipped).area >= 0.999 * clipped.area
        assert corners.area <= 1.001 * smallest.area
        assert found[name]["visible"] == pytest.approx(clipped.area / whole.area, abs=1e-3)
    assert found.keys() == seen
    assert {one["visible"] == 1 for one in found.values()} == {True, False}
    assert (document["size"], document["raster"]) == ([SIZE, SIZE], f"r{number}")


@pytest.mark.parametrize("number", range(len(RASTERS)), ids=RASTERS)
def test_a_box_comes_back_to_the_map_around_its_object(dataset: Dataset, number: int):
    raster = dataset.root / f"rasters/source/r{number}.tif"
    document = json.loads((dataset.root / f"labels/boxes/source/r{number}.json").read_text())
    with rasterio.open(raster) as file:
        assert file.transform[:6] == tuple(document["transform"])
    whole = [one for one in document["objects"] if one["visible"] == 1]
    assert whole
    for one in whole:
        shape = objects()[one["feature_id"]]
        for corners in (upright(one["box"]), one["corners"]):
            around = on_the_map(corners, document)
            assert shape.difference(around).area / shape.area < 1e-3
            again = in_pixels(around, raster)
            assert overlap(again, shapely.Polygon(corners)) >= 0.99


def test_the_rows_say_what_the_files_say(dataset: Dataset):
    rows = dataset.objects().to_pylist()
    for row in rows:
        document = json.loads((dataset.root / f"labels/boxes/source/{row['raster_id']}.json").read_text())
        (one,) = (one for one in document["objects"] if one["feature_id"] == row["feature_id"])
        assert (one["class"], one["box"], one["corners"], one["visible"]) == (
            *(row["class"], row["box"], row["corners"], row["visible"]),
        )
    assert len(rows) > 50


def test_objects_of_which_too_little_is_visible_are_dropped_and_counted(dataset: Dataset):
    recorded = dataset.label_boxes("half", collection="source", min_visible=0.5)
    every = dataset.objects(where="label = 'boxes'").to_pylist()
    kept = dataset.objects(where="label = 'half'").to_pylist()
    due = [{**row, "label": "half"} for row in every if row["visible"] >= 0.5]
    assert kept == due
    assert 0 < len(due) < len(every)
    dropped = {row["feature_id"] for row in every if row["visible"] < 0.5}
    assert recorded.summary["too little of it visible"] == len(dropped)


def test_points_and_lines_are_boxed_at_their_width_and_background_has_no_box(
    empty_dataset: Path, begun: Callable[[Path], Dataset], tmp_path: Path
):
    dataset = begun(empty_dataset)
    dataset.add_classes(["road", "well"])
    given = {
        "w": ("well", point(20.5, 10.5), {}),
        "r": ("road", {"type": "LineString", "coordinates": [place(5, 30), place(25, 30)]}, {}),
        "off": ("well", point(63.9, 70), {}),
    }
    gather(dataset, tmp_path / "f.geojson", given)
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
