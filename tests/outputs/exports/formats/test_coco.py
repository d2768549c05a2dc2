"""COCO as pycocotools and globox read it, against shapely and pyproj."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter

import globox
import numpy as np
import pytest
import shapely
from pycocotools.coco import COCO

from geographer import Dataset
from geographer.base.errors import ConflictError, UsageError
from geographer.outputs.exports.folder import JOURNAL
from tests.outputs.exports.shape_dataset import (
    CLASSES,
    HEIGHT,
    RASTERS,
    SHAPES,
    WIDTH,
    cover_pixels,
    create_dataset,
    find_areas,
    read_pixels,
)
from tests.sample_history import read_contents
from tests.shared_folders import copy_once

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
PARTS = ("train", "val")
TINY = 1e-5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(copy_once(tmp_path_factory, "shape-dataset", create_dataset) / "dataset")


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco") / "export"
    dataset.export_samples("coco", folder, record=False, crowd_where="feature_id LIKE '%crowd'")
    return folder


def read_coco(folder, capsys=None):
    """Return what pycocotools reads of each subset."""
    return {part: COCO(str(folder / f"annotations/instances_{part}.json")) for part in PARTS}


def list_annotations(folder):
    """Yield raster id, annotation and the reader of each annotation."""
    for coco in read_coco(folder).values():
        for annotation in coco.anns.values():
            yield coco.imgs[annotation["image_id"]]["raster_id"], annotation, coco


def to_area(segmentation):
    return shapely.union_all([shapely.Polygon(np.reshape(corners, (-1, 2))) for corners in segmentation])


def test_images_are_those_of_the_dataset(dataset, exported):
    samples = {row["raster_id"]: row for row in dataset.samples().to_pylist()}
    images = {
        item["raster_id"]: (part, item) for part, coco in read_coco(exported).items() for item in coco.imgs.values()
    }
    assert images.keys() == samples.keys()
    assert sorted(item["id"] for _, item in images.values()) == [1, 2, 3]
    for id, (part, item) in images.items():
        sample = samples[id]
        assert (part, item["crs"], item["transform"]) == (sample["part"], sample["crs"], sample["transform"])
        assert (item["width"], item["height"]) == (WIDTH, HEIGHT)
        content = (exported / "images" / part / item["file_name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sample["sha256"]
    coco = read_coco(exported)["train"]
    assert {item["name"]: item["id"] for item in coco.cats.values()} == CLASSES


def test_boxes_and_polygons_are_those_of_shapely(exported):
    expected = find_areas()
    found: dict[str, list[str]] = {}
    for raster, annotation, coco in list_annotations(exported):
        area = expected[raster][annotation["feature_id"]]
        name = annotation["feature_id"].removeprefix(f"{raster} ")
        x0, y0, x1, y1 = area.bounds
        assert annotation["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=TINY)
        assert annotation["iscrowd"] == (name == "crowd")
        assert coco.cats[annotation["category_id"]]["name"] == SHAPES[name][0]
        if name in ("crowd", "parts"):
            assert np.array_equal(coco.annToMask(annotation), cover_pixels(area))
            assert annotation["area"] == cover_pixels(area).sum()
        else:
            assert to_area(annotation["segmentation"]).symmetric_difference(area).area < 1e-4
            assert annotation["area"] == pytest.approx(area.area, abs=TINY)
        found.setdefault(raster, []).append(annotation["feature_id"])
    assert {raster: sorted(ids) for raster, ids in found.items()} == {
        raster: sorted(areas) for raster, areas in expected.items()
    }
    ids = [annotation["id"] for _, annotation, _ in list_annotations(exported)]
    assert ids == [*range(1, len(ids) + 1)]


def test_globox_reads_boxes(exported):
    boxes: Counter[str] = Counter()
    for part in PARTS:
        path = exported / f"annotations/instances_{part}.json"
        for image in globox.AnnotationSet.from_coco(path):
            areas = find_areas()[image.image_id.removesuffix(".tif")]
            assert (image.image_width, image.image_height) == (WIDTH, HEIGHT)
            listed = sorted(box.ltrb for box in image.boxes)
            assert np.array(listed) == pytest.approx(np.array(sorted(area.bounds for area in areas.values())), abs=TINY)
            boxes.update(box.label for box in image.boxes)
    assert boxes == Counter(kind for _, (kind, _) in SHAPES.items() if kind != "land") + Counter(
        {kind: 2 * sum(kind == other for other, _ in SHAPES.values()) for kind in CLASSES}
    )


@pytest.mark.parametrize("segmentation", ["rle", "compressed-rle"])
def test_run_lengths_cover_pixel_centres(dataset, tmp_path, segmentation):
    dataset.export_samples("coco", tmp_path / "out", record=False, segmentation=segmentation)
    count = 0
    for raster, annotation, coco in list_annotations(tmp_path / "out"):
        expected = cover_pixels(find_areas()[raster][annotation["feature_id"]])
        mask = coco.annToMask(annotation)
        assert isinstance(annotation["segmentation"]["counts"], list if segmentation == "rle" else str)
        assert annotation["area"] == mask.sum() > 0
        if expected.any():
            assert np.array_equal(mask, expected)
        else:
            rows, columns = np.nonzero(mask)
            assert annotation["feature_id"].endswith("tiny")
            assert shapely.box(columns[0], rows[0], columns[0] + 1, rows[0] + 1).intersects(
                find_areas()[raster][annotation["feature_id"]]
            )
        count += 1
    assert count == sum(map(len, find_areas().values()))


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_label_of_instances_gives_its_pixels(dataset, tmp_path, segmentation):
    dataset.export_samples("coco", tmp_path / "out", record=False, labels="instances", segmentation=segmentation)
    rows = {(row["raster_id"], row["feature_id"]): row for row in dataset.objects(label="instances").to_pylist()}
    for raster, annotation, coco in list_annotations(tmp_path / "out"):
        row = rows.pop((raster, annotation["feature_id"]))
        mask = read_pixels(dataset, raster, "instances")[0] == row["instance"]
        assert np.array_equal(coco.annToMask(annotation), mask)
        columns, lines = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        size = [columns[-1] + 1 - columns[0], lines[-1] + 1 - lines[0]]
        assert annotation["bbox"] == [columns[0], lines[0], *size]
        assert annotation["area"] == mask.sum() == row["pixels"]
    assert not rows


def test_label_of_boxes_gives_its_boxes(dataset, tmp_path):
    """The boxes of lines are those of the label, which is wider than the default of exports."""
    dataset.export_samples("coco", tmp_path / "out", record=False, labels="boxes", min_visible=0.9)
    rows = {(row["raster_id"], row["feature_id"]): row for row in dataset.objects(label="boxes").to_pylist()}
    visible = {key: row for key, row in rows.items() if row["visible"] >= 0.9}
    assert 0 < len(visible) < len(rows)
    for raster, annotation, _ in list_annotations(tmp_path / "out"):
        x0, y0, x1, y1 = visible.pop((raster, annotation["feature_id"]))["box"]
        assert annotation["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-9)
        assert annotation["segmentation"] == []
    assert not visible


def test_width_and_visible_fraction_choose_objects(dataset, tmp_path):
    dataset.export_samples("coco", tmp_path / "out", record=False, width="3px", min_visible=0.9)
    found = {annotation["feature_id"]: annotation for _, annotation, _ in list_annotations(tmp_path / "out")}
    names = {name for name, (kind, _) in SHAPES.items() if kind != "land"}
    assert {id.rpartition(" ")[2] for id in found} == names - {"edge"}
    for raster in RASTERS:
        line = find_areas(3.0)[raster][f"{raster} line"]
        assert found[f"{raster} line"]["area"] == pytest.approx(line.area, rel=1e-4)


def test_equal_samples_give_equal_bytes(dataset, exported, tmp_path):
    again = dataset.export_samples("coco", tmp_path / "out", record=False, crowd_where="feature_id LIKE '%crowd'")
    assert read_contents(tmp_path / "out") == read_contents(exported)
    assert again.samples == len(RASTERS)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "MANIFEST"], cwd=exported, check=True)
    other = dataset.export_samples("yolo", tmp_path / "out", record=False)
    assert len(read_contents(tmp_path / "out")) == other.files + 1
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/a").touch()
    with pytest.raises(ConflictError, match="not an earlier export"):
        dataset.export_samples("coco", tmp_path / "foreign", record=False)


def test_interrupted_export_goes_on(dataset, exported, tmp_path, monkeypatch):
    from geographer.outputs.exports.formats import coco

    def fail(sample, *_):
        if sample.number == 3:
            raise KeyboardInterrupt
        return describe(sample, *_)

    describe = coco._describe_image
    monkeypatch.setattr(coco, "_describe_image", fail)
    arguments = {"record": False, "crowd_where": "feature_id LIKE '%crowd'"}
    with pytest.raises(KeyboardInterrupt):
        dataset.export_samples("coco", tmp_path / "out", **arguments)
    assert (tmp_path / "out" / JOURNAL).exists()
    assert not [*(tmp_path / "out").rglob("instances_train.json")]
    leftover = tmp_path / "out/images/train/.geographer-0123456789abcdef"
    leftover.write_bytes(b"what a killed process leaves")
    monkeypatch.undo()
    again = dataset.export_samples("coco", tmp_path / "out", **arguments)
    assert again.written < again.files
    assert read_contents(tmp_path / "out") == read_contents(exported)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": "mask"}, "no place for label 'mask' .mask.*boxes or instances"),
        ({"labels": ["boxes", "instances"]}, "both have objects"),
        ({"labels": "instances", "min_visible": 0.5}, "--min-visible needs the whole objects"),
        ({"crowd_where": "feature_id ="}, "--crowd-where"),
        ({"segmentation": "masks"}, "polygons, rle or compressed-rle"),
        ({"images": "png", "bands": "1,2"}, "one band or three"),
        ({"images": "png", "bands": "9"}, "no band 9"),
        ({"images": "png", "bands": "nir"}, "no band named 'nir'"),
        ({"images": "png", "stretch": "98,2"}, "two percentiles such as"),
        ({"images": "png", "stretch": "nothing"}, "two percentiles such as"),
        ({"width": "-1px"}, "width"),
        ({"min_visible": 2}, "from 0 to 1"),
    ],
)
def test_wrong_arguments_are_refused(dataset, tmp_path, arguments, words):
    with pytest.raises(UsageError, match=words):
        dataset.export_samples("coco", tmp_path / "out", record=False, **arguments)
    assert not read_contents(tmp_path / "out")


def test_missing_package_is_named(dataset, tmp_path, monkeypatch):
    from geographer.outputs.exports import run

    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'geographer-datasets\[coco\]'"):
        dataset.export_samples("coco", tmp_path / "out", record=False, segmentation="compressed-rle")


def test_description_is_in_each_file(dataset, exported):
    document = json.loads((exported / "annotations/instances_val.json").read_text())
    assert document["info"]["version"] == f"@{dataset.log(1)[0].position}"
    assert [*document] == ["info", "licenses", "categories", "annotations", "images"]
