"""YOLO, YOLO-OBB, Pascal VOC and DOTA as globox, Pillow and shapely read them, against shapely and pyproj."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from xml.etree import ElementTree

import globox
import numpy as np
import pytest
import shapely
import yaml
from PIL import Image

from geographer import Dataset
from geographer.base.errors import UsageError
from tests.algorithms.test_joined_rings import is_inside
from tests.outputs.exports.shape_dataset import (
    CLASSES,
    HEIGHT,
    IGNORED,
    RASTERS,
    SHAPES,
    WIDTH,
    create_dataset,
    find_areas,
    read_pixels,
)
from tests.sample_history import read_contents
from tests.shared_folders import copy_once

PARTS = {"north-up": "train", "rotated": "train", "degrees": "val"}
POSITIONS = {name: position for position, name in enumerate(CLASSES)}
TINY = 1e-5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(copy_once(tmp_path_factory, "shape-dataset", create_dataset) / "dataset")


def get_class(feature_id):
    return SHAPES[feature_id.rpartition(" ")[2]][0]


def read_lines(folder, raster):
    """Return the numbers in each line of the label file of YOLO of a raster, in pixels after that of the class."""
    lines = (folder / f"labels/{PARTS[raster]}/{raster}.txt").read_text().splitlines()
    rows = [np.array([float(word) for word in line.split()]) for line in lines]
    for row in rows:
        assert row[1:].min() >= 0
        assert row[1:].max() <= 1
    return [(int(row[0]), row[1:].reshape(-1, 2) * (WIDTH, HEIGHT)) for row in rows]


def list_expected(raster):
    """Return class and area of the objects on a raster, in the order of addition."""
    return [(get_class(id), area) for id, area in find_areas()[raster].items()]


def sort_boxes(boxes):
    return np.array(sorted(np.round(box, 3).tolist() for box in boxes))


def test_globox_reads_yolo(dataset, tmp_path):
    dataset.export_samples("yolo", tmp_path / "out", record=False)
    document = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    names = {position: name for name, position in POSITIONS.items()}
    assert document == {"train": "images/train", "val": "images/val", "names": names}
    for raster, part in PARTS.items():
        images = globox.AnnotationSet.from_yolo_v5(
            tmp_path / f"out/labels/{part}", image_folder=tmp_path / f"out/images/{part}", image_extension=".png"
        )
        image = images[f"{raster}.png"]
        expected = list_expected(raster)
        assert sort_boxes(box.ltrb for box in image.boxes) == pytest.approx(
            sort_boxes(area.bounds for _, area in expected), abs=2e-3
        )
        assert Counter(box.label for box in image.boxes) == Counter(str(POSITIONS[name]) for name, _ in expected)


def test_yolo_boxes_are_exact(dataset, tmp_path):
    dataset.export_samples("yolo", tmp_path / "out", record=False)
    for raster in RASTERS:
        lines = [(position, *centre, *size) for position, (centre, size) in read_lines(tmp_path / "out", raster)]
        bounds = [(POSITIONS[name], *area.bounds) for name, area in list_expected(raster)]
        expected = [(p, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) for p, x0, y0, x1, y1 in bounds]
        assert np.array(sorted(lines)) == pytest.approx(np.array(sorted(expected)), abs=TINY)


def test_yolo_polygons_cover_areas_without_holes(dataset, tmp_path):
    """One ring for each object, by the even-odd rule: also those with several parts or holes."""
    dataset.export_samples("yolo", tmp_path / "out", record=False, task="segment")
    points = np.random.default_rng(3).uniform((0, 0), (WIDTH, HEIGHT), (20_000, 2))
    for raster in RASTERS:
        lines = read_lines(tmp_path / "out", raster)
        areas = sorted(list_expected(raster), key=lambda item: (POSITIONS[item[0]], item[1].bounds))
        lines.sort(key=lambda line: (line[0], [*line[1].min(axis=0), *line[1].max(axis=0)]))
        assert [position for position, _ in lines] == [POSITIONS[name] for name, _ in areas]
        for (_, ring), (_, area) in zip(lines, areas, strict=True):
            near = shapely.dwithin(area.boundary, shapely.points(points), 1e-4)
            assert np.array_equal(is_inside(ring, points) & ~near, shapely.contains_xy(area, points) & ~near)
            assert [*ring.min(axis=0), *ring.max(axis=0)] == pytest.approx([*area.bounds], abs=TINY)


def test_image_without_objects_has_an_empty_file(dataset, tmp_path):
    changed = Dataset.open(shutil.copytree(dataset.root, tmp_path / "dataset", symlinks=True))
    changed.remove_features([f"degrees {name}" for name in SHAPES])
    changed.export_samples("yolo", tmp_path / "out", record=False, subset="val")
    assert read_contents(tmp_path / "out/labels") == {"val/degrees.txt": b""}
    changed.export_samples("coco", tmp_path / "coco", record=False, subset="val")
    (coco,) = (tmp_path / "coco/annotations").iterdir()
    document = json.loads(coco.read_text())
    assert (document["annotations"], len(document["images"])) == ([], 1)
    changed.export_samples("yolo", tmp_path / "out", record=False, subset="val", at="HEAD~1")
    assert len(read_lines(tmp_path / "out", "degrees")) == len(find_areas()["degrees"])


def test_obb_corners_are_those_of_the_smallest_rectangle(dataset, tmp_path):
    dataset.export_samples("yolo-obb", tmp_path / "out", record=False)
    outside = 0
    for raster in ("north-up", "rotated"):
        areas = list_expected(raster)
        lines = read_lines(tmp_path / "out", raster)
        assert len(lines) == len(areas)
        for position, corners in lines:
            box = shapely.Polygon(corners)
            index = min(range(len(areas)), key=lambda i: areas[i][1].centroid.distance(box.centroid))
            name, area = areas.pop(index)
            assert (POSITIONS[name], len(corners)) == (position, 4)
            smallest = shapely.oriented_envelope(area)
            if shapely.box(0, 0, WIDTH, HEIGHT).contains(smallest):
                assert box.area == pytest.approx(smallest.area, rel=1e-3)
                assert box.buffer(1e-3).contains(area)
            else:
                outside += 1
                assert corners[:, 0].min() == 0
    assert outside == 2


def test_obb_and_dota_take_corners_of_a_label(dataset, tmp_path):
    dataset.export_samples("dota", tmp_path / "dota", record=False, labels="boxes")
    rows = dataset.objects(label="boxes").to_pylist()
    for raster, part in PARTS.items():
        lines = (tmp_path / f"dota/{part}/labelTxt/{raster}.txt").read_text().splitlines()
        listed = sorted([*map(float, words[:8])] for words in map(str.split, lines))
        expected = sorted(np.ravel(row["corners"]).tolist() for row in rows if row["raster_id"] == raster)
        assert listed == expected


def test_dota_lines_have_corners_class_and_difficulty(dataset, tmp_path):
    dataset.export_samples("dota", tmp_path / "out", record=False, difficult_where="feature_id LIKE '%crowd'")
    for raster in ("north-up", "rotated"):
        lines = [line.split() for line in (tmp_path / f"out/train/labelTxt/{raster}.txt").read_text().splitlines()]
        areas = find_areas()[raster]
        assert Counter(line[8] for line in lines) == Counter(get_class(id).replace(" ", "-") for id in areas)
        (difficult,) = [line for line in lines if line[9] == "1"]
        boxes = {id: shapely.oriented_envelope(area) for id, area in areas.items()}
        listed = [shapely.Polygon(np.reshape([*map(float, line[:8])], (4, 2))) for line in lines]
        assert {len(line) for line in lines} == {10}
        assert sorted(box.area for box in listed) == pytest.approx(sorted(box.area for box in boxes.values()), rel=1e-3)
        marked = shapely.Polygon(np.reshape([*map(float, difficult[:8])], (4, 2)))
        assert marked.symmetric_difference(boxes[f"{raster} crowd"]).area < 1e-3
        assert (tmp_path / f"out/train/images/{raster}.png").exists()


def test_equal_names_in_dota_are_refused(tmp_path):
    from geographer.outputs.exports.formats.dota import _make_names

    assert _make_names(["a", "b  c"]) == {"a": "a", "b  c": "b-c"}
    with pytest.raises(UsageError, match="'b c', 'b-c'"):
        _make_names(["b c", "b-c"])


def test_globox_reads_voc(dataset, tmp_path):
    """VOC counts pixels from 1, with both ends; globox takes the numbers as they are."""
    dataset.export_samples("voc", tmp_path / "out", record=False, difficult_where="feature_id LIKE '%crowd'")
    images = {image.image_id: image for image in globox.AnnotationSet.from_pascal_voc(tmp_path / "out/Annotations")}
    for raster in RASTERS:
        image = images[f"{raster}.png"]
        assert (image.image_width, image.image_height) == (WIDTH, HEIGHT)
        expected = []
        for name, area in list_expected(raster):
            x0, y0, x1, y1 = np.round(area.bounds, 6)
            expected.append((name, math.floor(x0) + 1, math.floor(y0) + 1, math.ceil(x1), math.ceil(y1)))
        assert sorted((box.label, *box.ltrb) for box in image.boxes) == sorted(expected)
        root = ElementTree.parse(tmp_path / f"out/Annotations/{raster}.xml")
        objects = root.findall("object")
        assert [item.findtext("difficult") for item in objects].count("1") == 1
        assert [item.findtext("truncated") for item in objects].count("1") == 1
        assert root.findtext("size/depth") == "3"
        assert (tmp_path / "out/JPEGImages" / root.findtext("filename")).exists()
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "north-up\nrotated\n"
    assert not (tmp_path / "out/SegmentationClass").exists()


def test_voc_masks_have_values_and_colours(dataset, tmp_path):
    dataset.export_samples("voc", tmp_path / "out", record=False, labels="mask", images="geotiff")
    assert (tmp_path / "out/ImageSets/Segmentation/val.txt").read_text() == "degrees\n"
    for raster in RASTERS:
        image = Image.open(tmp_path / f"out/SegmentationClass/{raster}.png")
        assert image.mode == "P"
        mask = read_pixels(dataset, raster, "mask")[0]
        assert (mask == IGNORED).sum() == 20
        assert np.array_equal(np.array(image), np.where(mask == IGNORED, 255, mask))
        palette = image.getpalette() or []
        assert palette[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        assert palette[-3:] == [224, 224, 192]
        root = ElementTree.parse(tmp_path / f"out/Annotations/{raster}.xml")
        assert (root.findtext("segmented"), root.findtext("size/depth")) == ("1", str(RASTERS[raster][2]))


@pytest.mark.parametrize(
    ("format", "arguments", "words"),
    [
        ("yolo", {"labels": "boxes", "task": "segment"}, "has boxes, not polygons"),
        ("yolo", {"labels": "mask"}, "no place for label 'mask'"),
        ("yolo", {"task": "classify"}, "detect or segment"),
        ("voc", {"difficult_where": "1 +"}, "--difficult-where"),
        ("dota", {"labels": ["instances", "boxes"]}, "both have objects"),
    ],
)
def test_wrong_arguments_are_refused(dataset, tmp_path, format, arguments, words):
    with pytest.raises(UsageError, match=words):
        dataset.export_samples(format, tmp_path / "out", record=False, **arguments)


@pytest.mark.parametrize("format", ["yolo", "yolo-obb", "voc", "dota"])
def test_equal_samples_give_equal_bytes(dataset, tmp_path, format):
    first = dataset.export_samples(format, tmp_path / "a", record=False)
    second = dataset.export_samples(format, tmp_path / "b", record=False)
    assert first.manifest == second.manifest
    assert read_contents(tmp_path / "a") == read_contents(tmp_path / "b")


def test_images_of_other_band_counts_are_declared(dataset, tmp_path):
    dataset.export_samples("yolo", tmp_path / "out", record=False, images="geotiff", subset="val")
    assert "channels" not in yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    dataset.export_samples("yolo", tmp_path / "out", record=False, images="geotiff")
    assert "channels" not in yaml.safe_load((tmp_path / "out/data.yaml").read_text())
