"""COCO: boxes, polygons and masks by the transforms of rasters; ids, classes, columns, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pycocotools import mask as masks

from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError
from geographer.operations.add.annotations import plan
from geographer.operations.add.annotations.coco import read_coco
from geographer.operations.add.annotations.mask_runs import decode_runs, parse_runs
from tests.operations.add.annotations.conftest import (
    GRIDS,
    HEIGHT,
    WIDTH,
    find_problems,
    read_shapes,
    require_equal,
    write_coco,
)

BOX: dict[str, Any] = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]}
RINGS: list[list[float]] = [[30.5, 10, 60.25, 12, 50, 40.125], [2, 50, 9, 50, 9, 60, 4, 63]]


def test_shapes_follow_transform_of_raster(rasters, tmp_path):
    """Boxes and polygons lie where numpy puts them: rotated, in degrees, and with northing before easting."""
    shapes: Any = [{"bbox": [1.5, 2.25, 10, 20]}, {"segmentation": RINGS, "score": 0.5, "iscrowd": 1}]
    annotations: list[dict[str, Any]] = [
        {"id": 2 * number + kind, "image_id": number + 1, "category_id": 1 + kind, **shapes[kind]}
        for number in range(len(GRIDS))
        for kind in range(2)
    ]
    annotations[0]["attributes"] = {"depth": 3, "note": "deep", "class": "x"}
    result = rasters.import_coco(write_coco(tmp_path / "coco.json", annotations), collection="source")
    assert [result.summary[key] for key in ("format", "images", "added", "classes", "crs")] == [
        *("coco", 4, 8, ["lake", "pond"]),
        sorted(crs for crs, _ in GRIDS.values()),
    ]
    parts = [np.reshape(ring, (-1, 2)) for ring in RINGS]
    expected = [shapely.box(1.5, 2.25, 11.5, 22.25), shapely.MultiPolygon([shapely.Polygon(part) for part in parts])]
    shapes = read_shapes(rasters)
    for number, annotation in enumerate(annotations):
        require_equal(shapes[str(annotation["id"])], expected[number % 2])
    rows = {row["feature_id"]: row for row in rasters.features().to_pylist()}
    assert {row["image"] for row in rows.values()} == set(GRIDS)
    assert [rows[0][name] for name in ("class", "depth", "note", "class_", "score")] == ["lake", 3, "deep", "x", None]
    assert [rows[7][name] for name in ("class", "depth", "iscrowd", "score")] == ["pond", None, True, 0.5]


def encode_runs(mask):
    """Return the runs of a mask, uncompressed and as pycocotools compresses them."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return counts, masks.encode(np.asfortranarray(mask))["counts"].decode()


def test_mask_outline_follows_pixel_edges(rasters, tmp_path):
    """The area of a mask has the centres of its pixels and no others; parts that share a corner stay apart."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 10:30], mask[8:12, 15:20], mask[20:22, 30:33], mask[0, 0] = 1, 0, 1, 1
    annotations = [
        {"id": number, "image_id": 2, "category_id": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
        for number, counts in enumerate(encode_runs(mask))
    ]
    rasters.import_coco(write_coco(tmp_path / "coco.json", annotations))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for shape in read_shapes(rasters).values():
        assert np.array_equal(shapely.contains_xy(shape, columns, rows), mask.astype(bool))
        assert shape.area == pytest.approx(mask.sum())
        assert shape.is_valid
        assert len(shape.geoms) == 3


def test_compressed_runs_are_those_of_pycocotools():
    rng = np.random.default_rng(5)
    for number in range(40):
        mask = (rng.random((rng.integers(1, 90), rng.integers(1, 70))) < rng.random()).astype(np.uint8)
        mask[:, :number] = number % 2
        expected, text = encode_runs(mask)
        assert parse_runs(text) == expected
        decoded = decode_runs(text, *mask.shape[::-1])
        assert np.array_equal(decoded, mask.astype(bool))
    assert [parse_runs(text) for text in ("é", "o" * 99, "o", "\x1f")] == [None] * 4


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [1, 2, 0, 20]}, "its box has no area"),
        ({"bbox": [1, 2, 3]}, "its bbox has 3 numbers, not 4"),
        ({"bbox": [70, 2, 12, 20]}, "it reaches out of its image by more than a pixel"),
        ({"bbox": None}, "it has neither a bbox nor a segmentation"),
        ({"segmentation": [[1, 1, 2, 2]]}, "its polygon has fewer than 3 points"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, "its polygon has an odd number of coordinates"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3]]}, "it has no area"),
        ({"segmentation": [[0, 0, 9, 9, 9, 0, 0, 9]]}, "its polygon crosses or touches itself: pass --repair"),
        ({"segmentation": {"size": [64, 80], "counts": [5, 5]}}, "the runs of its mask are not as many pixels"),
        ({"segmentation": {"size": [64, 80], "counts": [64 * 80]}}, "its mask has no pixel"),
        (
            {"segmentation": {"size": [80, 64], "counts": [64 * 80]}},
            "its mask has 64 x 80 pixels, other than its image",
        ),
        ({"segmentation": {"size": [64, 80], "counts": "06"}}, "the runs of its mask are not as many pixels"),
        ({"segmentation": {"size": [64, 80], "counts": [2**70, 5]}}, "the runs of its mask are not as many pixels"),
        ({"segmentation": {"size": [64, 80], "counts": [10**10]}}, "the runs of its mask are not as many pixels"),
        ({"segmentation": {"size": [10**5, 10**5], "counts": [10**10]}}, "its mask has 100000 x 100000 pixels"),
        ({"segmentation": {"size": [-64, -80], "counts": [64 * 80]}}, "its mask has no pixel"),
        ({"id": 2**70, "bbox": BOX["bbox"]}, "its id is a number of more than 64 bits"),
    ],
)
def test_invalid_annotation_has_reason(annotation, reason, tmp_path):
    path = write_coco(tmp_path / "coco.json", [BOX, BOX | {"id": 9, "bbox": None} | annotation])
    ((row, found),) = find_problems(read_coco(path, path.read_bytes())).items()
    assert row == 1
    assert found.startswith(reason)


def test_invalid_annotations_are_refused_or_skipped(unchanged, tmp_path):
    others: list[dict[str, Any]] = [
        {"id": 7},
        {"id": 8, "bbox": [1, 2, 0, 20]},
        {"id": 9, "bbox": [1, 2, 0, 20]},
        {"id": 7},
    ]
    path = write_coco(tmp_path / "coco.json", [BOX, *(BOX | other for other in others)])
    with pytest.raises(UsageError) as error:
        unchanged.import_coco(path)
    problem = "its id '7' occurs several times in the file (other problems: 2)"
    assert f"cannot import 'annotation 7', 'annotation 7' from '{path}': {problem}" in str(error.value)
    summary = unchanged.import_coco(path, on_error="skip", dry_run=True).summary
    assert (summary["added"], summary["skipped"]) == (1, 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"annotations": [BOX], "images": [{"id": 1, "file_name": "x.png"}]}, NotFoundError, "of the image 'x.png'"),
        (
            {"annotations": [BOX], "images": [{"id": 1, "file_name": "north.tif", "width": 40, "height": 32}]},
            UsageError,
            "has 40 x 32 pixels, and raster 'north' 80 x 64",
        ),
        (
            {"images": [{"id": 1, "file_name": "north.png"}, {"id": 2, "file_name": "x/north.jpg"}]},
            ConflictError,
            "'north.png', 'x/north.jpg' both show raster 'north'",
        ),
    ],
)
def test_invalid_file_is_refused(change, error, message, unchanged, tmp_path):
    path = write_coco(tmp_path / "coco.json", **{"annotations": [], **change})
    with pytest.raises(error, match=message):
        unchanged.import_coco(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": 3}, r"Expected `array`, got `int` - at `\$.annotations`"),
        ({"annotations": [BOX | {"bbox": ["a"]}]}, r"at `\$.annotations\[0\].bbox\[0\]`"),
        ({"annotations": [BOX | {"image_id": 9}]}, "annotation 1 has the image_id 9"),
        ({"annotations": [BOX | {"category_id": 9}]}, "annotation 1 has the category_id 9"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "several objects with the image id '1'"),
    ],
)
def test_invalid_content_is_refused(change, message):
    content = {"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "a"}], "annotations": []}
    with pytest.raises(UsageError, match=message):
        read_coco(Path("coco.json"), json.dumps(content | change).encode())


@pytest.mark.parametrize("content", [b"", b"[1]", b"{\x00", b'{"annotations": [NaN]}', b"\xff" * 9, b"[" * 100_000])
def test_other_content_is_refused(content):
    with pytest.raises(UsageError, match="as COCO"):
        read_coco(Path("coco.json"), content)


def test_wrong_options_are_refused(unchanged, tmp_path):
    path = write_coco(tmp_path / "coco.json", [BOX])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"collection": "x"}, "no collection 'x'"),
        ({"class_map": {"river": "lake"}}, "has no class 'river'"),
    ]
    for options, message in cases:
        with pytest.raises(NotFoundError, match=message):
            unchanged.import_coco(path, **options)
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(GeographerError, match=r"no such file|is a folder"):
            unchanged.import_coco(missing)


def test_images_without_raster_can_be_skipped(rasters, tmp_path):
    images = [{"id": 1, "file_name": "north.png"}, {"id": 2, "file_name": "x.png"}]
    path = write_coco(tmp_path / "coco.json", [BOX, BOX | {"id": 2, "image_id": 2}], images=images)
    result = rasters.import_coco(path, on_error="skip")
    assert (result.summary["added"], result.summary["skipped"], result.summary["images"]) == (1, 1, 1)
    query = f"SELECT name, reason FROM chain_skipped_input WHERE position = {result.position}"
    assert rasters.sql(query).to_pylist() == [
        {"name": "annotation 2", "reason": "no raster has the name of its image 'x.png'"}
    ]
    empty = write_coco(tmp_path / "empty.json", [], images=images)
    assert not rasters.import_coco(empty).changed


def test_repeated_import_changes_only_what_differs(rasters, tmp_path):
    pond = {"id": 2, "image_id": 2, "category_id": 2, "segmentation": [RINGS[0]]}
    path = write_coco(tmp_path / "coco.json", [BOX, pond])
    rasters.import_coco(path)
    assert not rasters.import_coco(path, replace=True, sync=True).changed
    path = write_coco(tmp_path / "coco.json", [BOX | {"bbox": [1, 2, 10, 21]}, pond])
    with pytest.raises(ConflictError, match=r"feature '1' is in the dataset.*--replace.*--ids content"):
        rasters.import_coco(path)
    preview = rasters.import_coco(path, replace=True, dry_run=True).preview.to_pylist()
    assert preview == [{"change": "changed", "feature_id": "1", "class": "lake", "differs": "geometry"}]
    result = rasters.import_coco(path, replace=True)
    assert (result.summary["changed"], result.summary["unchanged"]) == (1, 1)
    path = write_coco(tmp_path / "coco.json", [pond])
    kept = rasters.import_coco(path)
    assert not kept.changed
    assert "no annotation of feature '1' any more" in kept.logged_warnings[0]
    other = write_coco(tmp_path / "other.json", [pond])
    assert not rasters.import_coco(other, sync=True).changed
    assert rasters.import_coco(path, sync=True).summary["removed"] == 1
    assert [row["feature_id"] for row in rasters.features().to_pylist()] == [2]


def test_features_keep_columns_that_annotations_lack(rasters, tmp_path):
    path = write_coco(tmp_path / "coco.json", [BOX | {"attributes": {"depth": 1, "name": "a"}}])
    rasters.import_coco(path)
    path = write_coco(tmp_path / "coco.json", [BOX | {"category_id": 2, "attributes": {"depth": 2.5}}])
    rasters.import_coco(path, replace=True)
    (row,) = rasters.features().to_pylist()
    assert (row["class"], row["name"], row["depth"]) == ("pond", "a", 2.5)


def test_columns_may_have_any_name(rasters, tmp_path):
    """Columns that are called like those of queries keep their values, in the file and in the dataset."""
    long = BOX | {"id": 2, "attributes": {"number": 10**400}}
    names = ["crs", "stored", "version", "keeps_geometry", "row", "annotated_feature", "(crs)", "(row)"]
    path = write_coco(tmp_path / "coco.json", [BOX | {"attributes": dict.fromkeys(names, "x") | {"number": 0.5}}, long])
    rasters.import_coco(path)
    write_coco(path, [BOX | {"bbox": [1, 2, 10, 21], "attributes": dict.fromkeys(names[::2], "y")}])
    rasters.import_coco(path, replace=True)
    row, other = sorted(rasters.features().to_pylist(), key=lambda row: row["feature_id"])
    assert (row["number"], other["number"]) == ("0.5", str(10**400))
    assert {name: row[name] for name in names} == {name: "yx"[number % 2] for number, name in enumerate(names)}


def test_sync_removes_what_came_from_the_same_path(rasters, tmp_path, monkeypatch):
    """A file of the same name in another folder is another one; another way to write its path is not."""
    first, second = tmp_path / "a/instances.json", tmp_path / "b/instances.json"
    for path in (first, second):
        path.parent.mkdir()
    rasters.import_coco(write_coco(first, [BOX]))
    result = rasters.import_coco(write_coco(second, [BOX | {"id": 2}]), sync=True)
    assert (result.summary["source"], result.summary["removed"]) == ("../b/instances.json", 0)
    assert "kept feature '1' from '../a/instances.json'" in result.logged_warnings[0]
    monkeypatch.chdir(first.parent)
    result = rasters.import_coco(write_coco(first, [BOX | {"id": 3}]).name, sync=True)
    assert [row["feature_id"] for row in rasters.features().to_pylist()] == [2, 3]


def test_ids_from_content_make_import_repeatable(rasters, tmp_path):
    path = write_coco(tmp_path / "coco.json", [BOX])
    first = rasters.import_coco(path, ids="content", class_map={"lake": "water"})
    assert first.summary["classes"] == ["water"]
    (row,) = rasters.features().to_pylist()
    assert len(row["feature_id"]) == 16
    moved = write_coco(tmp_path / "coco.json", [BOX | {"id": 99}])
    assert not rasters.import_coco(moved, ids="content", as_class="water").changed
    with pytest.raises(ConflictError, match="--replace"):
        rasters.import_coco(moved, ids="content")


def test_repair_makes_valid_polygons(tmp_path):
    path = write_coco(tmp_path / "coco.json", [BOX | {"segmentation": [[0, 0, 8, 8, 8, 0, 0, 8]]}])
    annotations = read_coco(path, path.read_bytes())
    assert not find_problems(annotations, repair=True)
    (shape,) = annotations.geometry
    assert shape.is_valid
    assert shape.area == pytest.approx(32)


def test_fixed_classes_are_not_extended(unchanged, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "has_fixed_classes", lambda _revision: True)
    path = write_coco(tmp_path / "coco.json", [BOX | {"category_id": 2}])
    with pytest.raises(NotFoundError, match=r"unknown class 'pond'.*--class-map"):
        unchanged.import_coco(path)
