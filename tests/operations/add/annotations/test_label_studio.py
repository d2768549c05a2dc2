"""Label Studio: regions of its JSON export in pixels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely import affinity

from geographer.base.errors import UsageError
from geographer.operations.add.annotations.label_studio import parse_image_url, read_label_studio
from geographer.operations.add.annotations.parts import join_shapes
from tests.operations.add.annotations.conftest import HEIGHT, WIDTH, find_problems, read_shapes, require_equal

PATH = Path("tasks.json")


def make_region(kind, value, **more):
    labelled = {**value, kind: value.get(kind, ["pond"])}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": "r1", "type": kind, "from_name": "x", "to_name": "image", "value": labelled, **sizes, **more}


def make_task(*regions, image="/data/upload/1/0a1b2c3d-north.png", **more):
    return {"id": 5, "data": {"image": image}, "annotations": [{"id": 1, "result": [*regions], **more}]}


def to_percent(x, y):
    return [x / WIDTH * 100, y / HEIGHT * 100]


def read_tasks(*tasks):
    return read_label_studio(PATH, json.dumps(tasks).encode())


def write_bits(numbers):
    """Return bytes of numbers (value, width in bits), padded with zeros."""
    bits = "".join(f"{value:0{width}b}" for value, width in numbers)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def encode_mask(mask):
    """Encode a mask as brush: a run for each row of equal alpha values, all other pixels value by value."""
    alpha = np.repeat(mask.ravel() * 255, 4)
    numbers = [(len(alpha), 32), (7, 5), (2, 4), (7, 4), (8, 4), (9, 4)]
    for row in alpha.reshape(len(mask), -1):
        if len({*row}) == 1:
            numbers += [(1, 1), (3, 2), (len(row) - 1, 10), (int(row[0]), 8)]
        else:
            numbers += [(0, 1), (3, 2), (len(row) - 1, 10), *((int(value), 8) for value in row)]
    return write_bits(numbers)


def test_regions_become_features(rasters, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), int)
    mask[40:50, 60:70], mask[44:46, 64:66], mask[52] = 1, 0, 1
    (x, y), (width, height) = to_percent(20, 10), to_percent(16, 8)
    turned = {"x": x, "y": y, "width": width, "height": height, "rotation": 30}
    points = [to_percent(*point) for point in [(1, 1), (10.5, 2), (5, 9.25)]]
    regions = [
        make_region("rectanglelabels", turned, score=0.5),
        make_region("polygonlabels", {"points": points, "closed": True, "polygonlabels": ["lake"]}),
        make_region("brushlabels", {"format": "rle", "rle": encode_mask(mask)}),
        make_region("keypointlabels", dict(zip("xy", to_percent(30.5, 7), strict=True)) | {"width": 0.5}),
        {"id": "c", "type": "choices", "value": {"choices": ["cloudy"]}},
    ]
    older = {"result": [make_region("rectanglelabels", turned)], "updated_at": "2026-01-01T00:00:00Z"}
    cancelled = {"result": [], "was_cancelled": True, "updated_at": "2026-03-01T00:00:00Z"}
    task = make_task(*regions, updated_at="2026-02-01T00:00:00Z")
    task["annotations"] = [older, *task["annotations"], cancelled]
    unseen = {"id": 6, "data": {"image": "nowhere.png"}, "annotations": []}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task, unseen]))
    result = rasters.import_label_studio(path)
    assert (result.summary["added"], result.summary["images"], result.summary["classes"]) == (4, 1, ["lake", "pond"])
    rectangle = affinity.rotate(shapely.box(20, 10, 36, 18), 30, origin=(20, 10))
    expected = [rectangle, shapely.Polygon([(1, 1), (10.5, 2), (5, 9.25)]), shapely.Point(30.5, 7)]
    found = list(read_shapes(rasters).values())
    for shape in expected:
        (match,) = (other for other in found if other.geom_type == shape.geom_type and other.distance(shape) < 1e-3)
        require_equal(match, shape)
    (brush,) = (shape for shape in found if shape.geom_type == "MultiPolygon")
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    assert np.array_equal(shapely.contains_xy(brush, columns, rows), mask.astype(bool))
    assert [row["score"] for row in rasters.features().to_pylist() if row["score"]] == [0.5]
    assert not rasters.import_label_studio(path).changed


def test_hole_belongs_to_smallest_polygon_around_it():
    squares = [(0, 0, 60), (10, 10, 20), (12, 12, 5), (40, 40, 5)]
    regions = [
        make_region(
            "polygonlabels",
            {
                "points": [to_percent(*point) for point in shapely.box(x, y, x + side, y + side).exterior.coords[:-1]],
                "polygonlabels": ["(hole)" if side == 5 else "pond"],
            },
        )
        for x, y, side in squares
    ]
    annotations = join_shapes(read_tasks(make_task(*regions)))
    assert not annotations.problems
    assert [shape.area for shape in annotations.geometry] == pytest.approx([60**2 - 25, 20**2 - 25])
    annotations = join_shapes(read_tasks(make_task(regions[1], regions[3])))
    assert annotations.problems == {1: "it is a hole outside of every polygon"}


def test_images_of_other_sizes_are_scaled(rasters, tmp_path):
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0}
    half = {"original_width": WIDTH // 2, "original_height": HEIGHT // 2}
    path = tmp_path / "export.json"
    path.write_text(json.dumps([make_task(make_region("rectanglelabels", value, **half))]))
    rasters.import_label_studio(path)
    (shape,) = read_shapes(rasters).values()
    require_equal(shape, shapely.box(WIDTH / 4, HEIGHT / 2, WIDTH * 3 / 4, HEIGHT * 3 / 4))
    path.write_text(json.dumps([make_task(make_region("rectanglelabels", value, original_width=WIDTH * 2))]))
    with pytest.raises(UsageError, match="they do not show the same"):
        rasters.import_label_studio(path)


def test_each_region_has_its_size():
    """Regions that were drawn on images of several sizes lie where they were drawn; other aspect ratios are refused."""
    value = {"x": 25, "y": 50, "width": 50, "height": 25}
    mask = np.zeros((HEIGHT * 2, WIDTH * 2), int)
    mask[HEIGHT : HEIGHT * 3 // 2, WIDTH // 2 : WIDTH * 3 // 2] = 1
    double = {"original_width": WIDTH * 2, "original_height": HEIGHT * 2}
    annotations = read_tasks(
        make_task(
            make_region("rectanglelabels", value),
            make_region("rectanglelabels", value, **double),
            make_region("brushlabels", {"rle": encode_mask(mask)}, **double),
            make_region("rectanglelabels", value, original_width=WIDTH * 2),
        )
    )
    assert find_problems(annotations) == {
        3: "it was drawn on an image of 160 x 64 pixels, and raster 'north' has 80 x 64: they do not show the same"
    }
    for shape in annotations.geometry[:3]:
        assert shape.equals(shapely.box(WIDTH / 4, HEIGHT / 2, WIDTH * 3 / 4, HEIGHT * 3 / 4))


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (make_region("rectanglelabels", {"x": 1}), "its value is not that of rectanglelabels"),
        (make_region("rectanglelabels", {"x": 1, "y": 1, "width": 0, "height": 5}), "its box has no area"),
        (make_region("polygonlabels", {"points": [[1, 1], [2]]}), "its value is not that of polygonlabels"),
        (make_region("polygonlabels", {"points": [[1, 1], [2, 2]]}), "its polygon has fewer than 3 points"),
        (make_region("polygonlabels", {"points": "ab"}), "its value is not that of polygonlabels"),
        (make_region("brushlabels", {"rle": [0, 0, 0, 1]}), "its value is not that of brushlabels"),
        (make_region("brushlabels", {"rle": 10**10}), "its value is not that of brushlabels"),
        (make_region("brushlabels", {"rle": [2**70]}), "its value is not that of brushlabels"),
        (
            make_region("brushlabels", {"rle": write_bits([(WIDTH * HEIGHT * 4, 32), (31, 5), (0, 99)])}),
            "its value is not that of brushlabels",
        ),
        (
            make_region("brushlabels", {"rle": []}, original_width=WIDTH * 10**3, original_height=HEIGHT * 10**3),
            "its mask has 80000 x 64000 pixels, more than its raster",
        ),
        (make_region("brushlabels", {"rle": encode_mask(np.zeros((HEIGHT, WIDTH), int))}), "its mask has no pixel"),
        (make_region("ellipselabels", {"x": 1, "y": 1}), "ellipselabels are not read"),
        (make_region("polygonlabels", {"polygonlabels": []}), "it has not exactly one label"),
        (make_region("polygonlabels", {}, image_rotation=90), "its image was rotated"),
        (make_region("polygonlabels", {}, item_index=2), "it is on a later page"),
        (make_region("polygonlabels", {}, original_width=None), "it lacks original_width"),
    ],
)
def test_invalid_region_has_reason(region, reason):
    annotations = read_tasks(make_task(region))
    (problem,) = find_problems(annotations).values()
    assert problem.startswith(reason)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "as an export of Label Studio: Expected `array`"),
        (b'[{"id": 1, "image": "x.png"}]', r"required field `data`.*not JSON-MIN"),
        (b'[{"id": 1, "data": {"image": "x.png"}}]', "task 1 has no annotations"),
        (b'[{"id": 1, "data": {"text": "x"}, "annotations": [{"result": []}]}]', "the data of task 1 name no image"),
        (b'[{"id": 1, "data": {"image": "http://[x/a.tif"}, "annotations": [{"result": []}]}]', "task 1 has the image"),
        (b"\xff", "cannot read"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(UsageError, match=message):
        read_label_studio(PATH, content)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/local-files/?d=images/chips/a%20b.png", "images/chips/a b.png"),
        ("http://localhost:8080/data/upload/3/0a1b2c3d-a.png", "upload/3/0a1b2c3d-a.png"),
        ("s3://bucket/folder/a.png", "folder/a.png"),
        ("a\\b.png", "a/b.png"),
    ],
)
def test_image_url_leads_to_path(url, path):
    assert parse_image_url(url) == path
