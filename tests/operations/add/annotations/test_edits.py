"""Round trips: what was exported to Label Studio or CVAT and not edited stays as it is; edits are found and taken."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.base.values import Grid, Transform
from geographer.operations.add.annotations.edits import find_edits, is_same_shape
from geographer.operations.add.annotations.images import ShownRaster
from geographer.operations.add.annotations.parts import join_shapes
from geographer.operations.add.annotations.shapes import AnnotatedImage, Annotations
from geographer.planning.shown_features import ShownFeature
from tests.operations.add.annotations.conftest import (
    GRIDS,
    HEIGHT,
    WIDTH,
    read_shapes,
    require_equal,
    to_crs,
    to_pixels,
)

SHAPES = {
    "box": shapely.box(5.25, 6.5, 20.125, 21),
    "holes": shapely.Polygon(
        [(30, 30), (50, 31.3), (49, 55.123456), (28, 50)],
        [[(35, 36), (36, 41), (41, 40)], [(42, 43), (42.5, 46), (45, 44)]],
    ),
    "outside": shapely.Polygon([(70, 10), (95, 12), (93, 30), (72, 28)]),
    "parts": shapely.MultiPolygon([shapely.box(1, 40, 5, 45), shapely.Polygon([(10, 50), (15, 50), (13, 58)])]),
    "point": shapely.Point(60.5, 50.5),
    "line": shapely.LineString([(60, 5), (65, 9), (62, 20)]),
}
CLASSES = ["pond", "pond", "pond", "lake", "well", "track"]
FORMATS = ("label-studio", "cvat")


@pytest.fixture(scope="module")
def exported(raster_template, tmp_path_factory):
    """A dataset with the shapes on each raster, and its exports in the folders of the formats."""
    folder = tmp_path_factory.mktemp("exported")
    dataset = Dataset.open(shutil.copytree(raster_template, folder / "dataset"))
    for name, (crs, _) in GRIDS.items():
        columns = {"feature_id": [f"{name}_{key}" for key in SHAPES], "class": CLASSES, "depth": range(len(SHAPES))}
        geometry = [to_crs(name, shape) for shape in SHAPES.values()]
        dataset.add_features(geopandas.GeoDataFrame(columns, geometry=geometry, crs=crs))
    for format in FORMATS:
        dataset.export_samples(format, folder / format, collection="source")
    return folder


@pytest.fixture
def dataset(exported, tmp_path):
    return Dataset.open(shutil.copytree(exported / "dataset", tmp_path / "dataset"))


class Tasks:
    """Tasks of Label Studio, submitted as they were exported, with regions to edit."""

    def __init__(self, exported: Path, path: Path) -> None:
        self.path = path
        self.tasks = json.loads((exported / "label-studio/tasks.json").read_text())
        for number, task in enumerate(self.tasks, 1):
            task["id"] = number
            task["annotations"] = [{"id": number, "result": task.pop("predictions")[0]["result"]}]
        self.regions = {task["data"]["raster"]: task["annotations"][0]["result"] for task in self.tasks}

    def find_regions(self, name, key):
        regions = self.regions[name]
        return [region for region in regions if region["meta"]["text"][0].startswith(f"feature={name}_{key}@")]

    def save(self) -> Path:
        self.path.write_text(json.dumps(self.tasks))
        return self.path


@pytest.fixture
def tasks(exported, tmp_path):
    return Tasks(exported, tmp_path / "export.json")


def import_file(dataset, format, path, **options):
    return (dataset.import_cvat if format == "cvat" else dataset.import_label_studio)(path, **options)


def get_summary(result):
    return {key: result.summary[key] for key in ("added", "changed", "removed", "unchanged", "skipped")}


def test_unedited_features_stay_as_they_are(dataset, exported, tasks):
    content = dataset.content_digest()
    paths = {"label-studio": tasks.save(), "cvat": exported / "cvat/annotations.xml"}
    for format, count in (("label-studio", 20), ("cvat", 24)):
        result = import_file(dataset, format, paths[format], replace=True, sync=True)
        assert not result.changed
        assert get_summary(result) == {"added": 0, "changed": 0, "removed": 0, "unchanged": count, "skipped": 0}
    assert dataset.content_digest() == content


def test_rounding_of_cvat_is_no_edit(dataset, exported, tmp_path):
    """CVAT writes two decimals: only what differs by more is an edit."""
    root = ElementTree.parse(exported / "cvat/annotations.xml").getroot()
    for shape in root.iter():
        for key in {"xtl", "ytl", "xbr", "ybr"}.intersection(shape.attrib):
            shape.set(key, f"{float(shape.attrib[key]):.2f}")
        if "points" in shape.attrib:
            points = [point.split(",") for point in shape.attrib["points"].split(";")]
            shape.set("points", ";".join(f"{float(x):.2f},{float(y):.2f}" for x, y in points))
    path = tmp_path / "rounded.xml"
    ElementTree.ElementTree(root).write(path)
    assert not dataset.import_cvat(path, sync=True).changed
    polygon = next(shape for shape in root.iter("polygon") if shape.attrib["points"].startswith("30.00"))
    polygon.set("points", polygon.attrib["points"].replace("30.00,30.00", "30.01,30.00"))
    ElementTree.ElementTree(root).write(path)
    assert dataset.import_cvat(path, replace=True).summary["changed"] == 1


def test_edited_polygons_with_holes_are_taken(dataset, tasks):
    """An edit of a vertex replaces the feature in the CRS of its raster; the other vertices and holes stay."""
    before = read_shapes(dataset)
    for name in GRIDS:
        outer = tasks.find_regions(name, "holes")[0]["value"]["points"]
        outer[0] = [10 / WIDTH * 100, 25.5 / HEIGHT * 100]
    path = tasks.save()
    with pytest.raises(ConflictError, match=r"features '\w+_holes'.* are in the dataset.*--replace"):
        dataset.import_label_studio(path)
    assert get_summary(dataset.import_label_studio(path, replace=True)) == {
        **{"added": 0, "changed": 4, "removed": 0, "unchanged": 16, "skipped": 0}
    }
    after = read_shapes(dataset)
    points = [(10, 25.5), *SHAPES["holes"].exterior.coords[1:-1]]
    for name in GRIDS:
        require_equal(after.pop(f"{name}_holes"), shapely.Polygon(points, SHAPES["holes"].interiors))
    assert after == {key: shape for key, shape in before.items() if not key.endswith("_holes")}
    rows = [row for row in dataset.features().to_pylist() if row["feature_id"].endswith("_holes")]
    assert {(row["depth"], row["class"]) for row in rows} == {(1, "pond")}


def test_edited_feature_keeps_its_part_outside(dataset, tasks):
    (region,) = tasks.find_regions("north", "outside")
    points = region["value"]["points"]
    number = min(range(len(points)), key=lambda index: points[index][0] + points[index][1])
    points[number] = [65 / WIDTH * 100, 8 / HEIGHT * 100]
    dataset.import_label_studio(tasks.save(), replace=True)
    image = shapely.box(0, 0, WIDTH, HEIGHT)
    inside = shapely.Polygon([(65, 8), *SHAPES["outside"].intersection(image).normalize().exterior.coords[1:-1]])
    shape = read_shapes(dataset)["north_outside"]
    expected = SHAPES["outside"].difference(image).union(inside)
    assert shape.symmetric_difference(expected).area < 1e-5
    assert shape.geom_type == "Polygon"
    assert inside.area > SHAPES["outside"].intersection(image).area + 5


def test_new_renamed_and_deleted_features(dataset, tasks):
    before = read_shapes(dataset)
    tasks.find_regions("north", "box")[0]["value"]["rectanglelabels"] = ["lake"]
    for region in tasks.find_regions("rotated", "parts"):
        tasks.regions["rotated"].remove(region)
    new = json.loads(json.dumps(tasks.find_regions("degrees", "box")[0])) | {"id": "new", "meta": {}}
    new["value"] |= {"x": 50, "y": 50, "width": 10, "height": 25}
    tasks.regions["degrees"].append(new)
    path = tasks.save()
    result = dataset.import_label_studio(path, replace=True)
    assert get_summary(result) == {"added": 1, "changed": 1, "removed": 0, "unchanged": 18, "skipped": 0}
    assert "feature 'rotated_parts' any more: kept" in result.logged_warnings[0]
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    (added,) = rows.keys() - before.keys()
    require_equal(read_shapes(dataset)[added], shapely.box(40, 32, 48, 48))
    assert (rows[added]["image"], rows[added]["class"]) == ("degrees", "pond")
    assert (rows["north_box"]["class"], rows["north_box"]["depth"], rows["north_box"]["image"]) == ("lake", 0, None)
    assert read_shapes(dataset)["north_box"] == before["north_box"]
    with pytest.raises(UsageError, match="the dataset has another version of its feature by now: export again"):
        dataset.import_label_studio(path, replace=True)
    tasks.find_regions("north", "box")[0]["value"]["rectanglelabels"] = ["pond"]
    tasks.regions["degrees"].remove(new)
    assert dataset.import_label_studio(tasks.save(), sync=True).summary["removed"] == 1
    assert "rotated_parts" not in read_shapes(dataset)
    assert added in read_shapes(dataset)


def test_unsubmitted_images_are_left_alone(dataset, tasks):
    first = tasks.tasks[0]
    result = first["annotations"][0]
    for task in tasks.tasks:
        task["annotations"] = []
    assert not dataset.import_label_studio(tasks.save(), sync=True).changed
    first["annotations"] = [result | {"result": []}]
    name = first["data"]["raster"]
    before = read_shapes(dataset)
    assert dataset.import_label_studio(tasks.save(), sync=True).summary["removed"] == len(SHAPES) - 1
    assert before.keys() - read_shapes(dataset).keys() == {f"{name}_{key}" for key in SHAPES if key != "line"}


def test_images_are_stretched_pngs(exported, raster_template):
    for name in GRIDS:
        with rasterio.open(raster_template / f"rasters/source/{name}.tif") as raster:
            pixels = raster.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(exported / f"cvat/images/{name}.png") as image:
                shown = image.read()
        assert shown.shape == pixels.shape
        assert (shown.min(), shown.max(), shown.dtype) == (0, 255, "uint8")


def test_is_same_shape():
    ring = shapely.Polygon([(0, 0), (4, 0), (4, 3), (0, 3)])
    turned = shapely.Polygon([(4, 3), (0, 3), (0, 0), (4, 0)])
    assert is_same_shape(ring, turned, 1e-6)
    assert is_same_shape(ring, turned.reverse(), 1e-6)
    assert is_same_shape(ring, shapely.transform(turned.reverse(), lambda points: points + 9e-7), 1e-6)
    assert not is_same_shape(ring, shapely.transform(turned, lambda points: points + 2e-6), 1e-6)
    assert not is_same_shape(ring, shapely.Polygon([(0, 0), (4, 3), (4, 0), (0, 3)]), 1e-6)
    assert not is_same_shape(SHAPES["holes"], shapely.Polygon(SHAPES["holes"].exterior), 1e-6)
    assert not is_same_shape(SHAPES["line"], SHAPES["box"], 1e-6)
    assert is_same_shape(SHAPES["line"], SHAPES["line"].reverse(), 1e-6)
    assert to_pixels("swapped", to_crs("swapped", SHAPES["line"])).equals_exact(SHAPES["line"], 1e-6)


def make_shown(raster, shape, digest="d1", feature="p"):
    image = shapely.box(0, 0, WIDTH, HEIGHT)
    return ShownFeature(raster, feature, "pond", digest, shape.intersection(image), not image.covers(shape), shape)


def make_annotations(*items):
    """Return annotations of the feature p on the images left (0) and right (1): image, shape, class."""
    annotations = Annotations([AnnotatedImage("left"), AnnotatedImage("right")], edits_features=True)
    for image, _, class_name in items:
        annotations.add_annotation(image, class_name, f"shape on {image}", "p")
    annotations.geometry = np.array([shape for _, shape, _ in items], object)
    return annotations


LEFT, RIGHT, MOVED = shapely.box(10, 10, 20, 20), shapely.box(30, 10, 40, 20), shapely.box(11, 10, 20, 20)


@pytest.mark.parametrize(
    ("items", "head", "outcome"),
    [
        ([(0, LEFT, "pond"), (1, RIGHT, "pond")], "d1", "unchanged"),
        ([(0, LEFT, "pond"), (1, RIGHT, "pond")], "d2", "unchanged"),
        ([(0, MOVED, "pond"), (1, RIGHT, "pond")], "d1", "changed 0"),
        ([(0, LEFT, "pond"), (1, MOVED, "pond")], "d1", "changed 1"),
        ([(0, LEFT, "pond"), (1, RIGHT, "lake")], "d1", "class 1"),
        ([(0, MOVED, "pond"), (1, RIGHT, "lake")], "d1", "changed 0 lake"),
        ([(1, RIGHT, "pond")], "d1", "kept"),
        ([], "d1", "deleted"),
        (
            [(0, MOVED, "pond"), (1, MOVED, "pond")],
            "d1",
            "its feature 'p' was edited on several images ('left', 'right')",
        ),
        ([(0, LEFT, "lake"), (1, RIGHT, "sea")], "d1", "its feature 'p' got several classes"),
        ([(0, MOVED, "pond"), (1, RIGHT, "pond")], "d2", "the dataset has another version"),
        ([(0, MOVED, "pond"), (1, RIGHT, "pond")], None, "the dataset has another version"),
    ],
)
def test_edits_of_feature_on_two_images(items, head, outcome):
    """A feature that two images show is edited on one of them; other edits are problems."""
    annotations = make_annotations(*items)
    grid = Grid("EPSG:32633", Transform(*GRIDS["north"][1]), WIDTH, HEIGHT)
    shown = {index: ShownRaster(name, grid) for index, name in enumerate(("left", "right"))}
    exported = [make_shown("left", LEFT), make_shown("right", RIGHT)]
    edits = find_edits(annotations, shown, exported, {} if head is None else {"p": head})
    problems = {*annotations.problems.values()}
    if not problems:
        found = {
            "unchanged": bool(edits.unchanged),
            "changed": "p" in edits.changed and not edits.keeps_geometry,
            "class": bool(edits.keeps_geometry),
            "kept": bool(edits.kept),
            "deleted": bool(edits.deleted),
        }
        words = outcome.split()
        assert found[words[0]]
        if len(words) > 1:
            row = edits.changed["p"]
            assert annotations.image[row] == int(words[1])
            assert annotations.classes[row] == (words[2] if len(words) > 2 else items[row][2])
    else:
        (problem,) = problems
        assert problem.startswith(outcome)
        assert not edits.changed


def test_several_shapes_with_one_id_are_parts():
    annotations = make_annotations((0, LEFT, "pond"), (0, RIGHT, "pond"), (1, LEFT, "pond"))
    joined = join_shapes(annotations)
    assert [shape.geom_type for shape in joined.geometry] == ["MultiPolygon", "Polygon"]
    touching = shapely.box(20, 10, 30, 20)
    annotations = join_shapes(make_annotations((0, LEFT, "pond"), (0, touching, "pond")))
    assert [shape.geom_type for shape in annotations.geometry] == ["Polygon"]
    assert is_same_shape(shapely.MultiPolygon([touching, LEFT]), annotations.drawn[0], 1e-6)
    annotations = make_annotations((0, LEFT, "pond"), (0, RIGHT, "lake"))
    assert join_shapes(annotations).problems == {0: "its parts have several classes"}
