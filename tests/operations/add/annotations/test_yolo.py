"""YOLO: boxes, oriented boxes and polygons relative to the image; names of classes; what is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import shapely

from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.add.annotations.yolo import read_yolo
from tests.operations.add.annotations.conftest import HEIGHT, WIDTH, find_problems, read_shapes, require_equal

SIZE = np.array([WIDTH, HEIGHT])
TURNED = [(0.5, 0.25), (0.75, 0.5), (0.5, 0.75), (0.25, 0.5)]


def write_folder(folder, lines, names="names: {0: lake, 1: pond}\n"):
    for name, text in lines.items():
        path = folder / "labels" / "train" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if names is not None:
        (folder / "data.yaml").write_text(names)
    return folder


def test_lines_become_boxes_and_polygons(rasters, tmp_path):
    corners = " ".join(f"{number}" for point in TURNED for number in point)
    lines = {"north": f"0 0.5 0.5 0.25 0.125\n\n1 {corners}\n1 {corners} 0.25 0.25 0.75\n", "rotated": ""}
    folder = write_folder(tmp_path / "yolo", lines | {"degrees": "1 0.5 0.5 1 1 0.125"})
    result = rasters.import_yolo(folder)
    assert (result.summary["added"], result.summary["images"]) == (4, 3)
    expected = [
        shapely.box(*(SIZE * [0.375, 0.4375]), *(SIZE * [0.625, 0.5625])),
        shapely.box(0, 0, WIDTH, HEIGHT),
        shapely.Polygon(SIZE * TURNED),
        shapely.Polygon(SIZE * [*TURNED, (0.25, 0.25)]),
    ]
    found = list(read_shapes(rasters).values())
    for shape in expected:
        (match,) = (other for other in found if shapely.area(shapely.symmetric_difference(other, shape)) < 1e-3)
        require_equal(match, shape)
    rows = rasters.features().to_pylist()
    assert sorted((row["class"], row["image"], row["score"]) for row in rows if row["score"]) == [
        ("pond", "degrees", 0.125),
        ("pond", "north", 0.75),
    ]
    files = sorted(path for path in folder.rglob("*.*"))
    sums = sorted(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n" for file in files)
    assert result.summary["sha256"] == hashlib.sha256("".join(sums).encode()).hexdigest()
    assert not rasters.import_yolo(folder, sync=True).changed


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.1 0.1", "its class 2 has no name in the list of 2 classes"),
        ("0.5 0.5 0.5 0.1 0.1", "its class 0.5 has no name"),
        ("0 0.5 0.5 0.1", "it has fewer than 5 numbers"),
        ("0 0.5 x 0.1 0.1", "it has something other than numbers"),
        ("0 0.5 nan 0.1 0.1", "its coordinates are not finite"),
        ("0 0.5 0.5 0 0.1", "its box has no area"),
        ("0 0.5 0.5 0.1 0.1 nan", "its score is not finite"),
        ("0 0.5 0.5 1.1 0.1", "it reaches out of its image"),
        ("0 0.5 0.5 0.6 0.6 0.5 0.5", "its polygon crosses or touches itself|it has no area"),
    ],
)
def test_invalid_line_has_reason(line, reason, tmp_path):
    annotations = read_yolo(write_folder(tmp_path, {"north": f"0 0.5 0.5 0.1 0.1\n{line}\n"}))
    assert annotations.names[1] == "labels/train/north.txt:2"
    problems = find_problems(annotations)
    assert list(problems) == [1]
    assert any(problems[1].startswith(part) for part in reason.split("|"))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("names: 3\n", UsageError, "names is neither a list of names nor numbered names"),
        ("names: [1.5]\n", UsageError, "names is neither a list"),
        ("names: [\n", UsageError, "cannot read .*data.yaml"),
        ("other: 1\n", NotFoundError, "has no names of the classes"),
        (None, NotFoundError, "has no names of the classes"),
    ],
)
def test_invalid_class_names_are_refused(names, error, message, tmp_path):
    with pytest.raises(error, match=message):
        read_yolo(write_folder(tmp_path, {"north": "0 0.5 0.5 0.1 0.1"}, names))


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(NotFoundError, match="has no label files"):
        read_yolo(tmp_path)
    folder = write_folder(tmp_path, {"north": ""})
    (folder / "labels/train/north.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        read_yolo(folder)
    with pytest.raises(UsageError, match="Name the folder"):
        read_yolo(folder / "data.yaml")


def test_names_come_from_lists_of_lines(tmp_path):
    folder = write_folder(tmp_path, {"a": "1 0.5 0.5 0.1 0.1"}, "path: .\nnames: [lake, pond]\n")
    assert read_yolo(folder).classes == ["pond"]
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").write_text("sea\nriver\n")
    annotations = read_yolo(folder)
    assert annotations.classes == ["river"]
    assert [image.name for image in annotations.images] == ["train/a"]
    (folder / "classes.txt").write_text("sea\nriver\n\n \n")
    assert read_yolo(folder).classes == ["river"]
    (folder / "classes.txt").write_text("sea\n\nriver\n")
    with pytest.raises(UsageError, match="line 2 is blank"):
        read_yolo(folder)
