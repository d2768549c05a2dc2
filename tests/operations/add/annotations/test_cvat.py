"""CVAT: shapes of 'CVAT for images 1.1' in pixels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely import affinity

from geographer.base.errors import UsageError
from geographer.operations.add.annotations.cvat import read_cvat
from tests.operations.add.annotations.conftest import HEIGHT, WIDTH, find_problems, read_shapes

PATH = Path("annotations.xml")


def make_document(*shapes, name="data/rotated.png", width=WIDTH):
    image = f'<image id="0" name="{name}" width="{width}" height="{HEIGHT}">{"".join(shapes)}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>".encode()


def test_shapes_become_features(rasters, tmp_path):
    mask = np.zeros((6, 9), int)
    mask[1:5, 2:8], mask[2:4, 4:6] = 1, 0
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=0))
    runs = np.diff(np.concatenate([[0], edges, [mask.size]]))
    attributes = (
        '<attribute name="depth">3</attribute><attribute name="dry">true</attribute><attribute name="x"></attribute>'
    )
    shapes = [
        f'<box label="pond" xtl="10.5" ytl="5" xbr="30.5" ybr="15" rotation="20.0">{attributes}</box>',
        '<box label="pond" xtl="40" ytl="40" xbr="50.125" ybr="45"/>',
        '<polygon label="lake" points="1.00,1.00;9.50,2.00;5.00,9.25"/>',
        '<polyline label="track" points="60,5;65.5,9;62,20"/>',
        '<points label="well" points="70,50;72,51"/>',
        f'<mask label="pond" left="20" top="50" width="9" height="6" rle="{", ".join(map(str, runs))}"/>',
        '<tag label="cloudy"/>',
    ]
    path = tmp_path / "annotations.xml"
    path.write_bytes(make_document(*shapes))
    result = rasters.import_cvat(path)
    assert result.summary["classes"] == ["lake", "pond", "track", "well"]
    expected = [
        affinity.rotate(shapely.box(10.5, 5, 30.5, 15), 20),
        shapely.box(40, 40, 50.125, 45),
        shapely.Polygon([(1, 1), (9.5, 2), (5, 9.25)]),
        shapely.LineString([(60, 5), (65.5, 9), (62, 20)]),
        shapely.MultiPoint([(70, 50), (72, 51)]),
        shapely.box(22, 51, 28, 55).difference(shapely.box(24, 52, 26, 54)),
    ]
    found = list(read_shapes(rasters).values())
    assert len(found) == len(expected)
    for shape in expected:
        assert any(shapely.equals_exact(shape.normalize(), other.normalize(), 1e-6) for other in found)
    rows = [row for row in rasters.features().to_pylist() if row["depth"] is not None]
    assert [(row["depth"], row["dry"], row["image"], row["class"]) for row in rows] == [(3, True, "rotated", "pond")]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<box label="a" xtl="1" ytl="1" xbr="1" ybr="2"/>', "its box has no area"),
        ('<box label="a" xtl="1" ytl="1" xbr="x" ybr="2"/>', "its numbers are not those of a box"),
        ('<box label="a" xtl="nan" ytl="1" xbr="3" ybr="2"/>', "its coordinates are not finite"),
        ('<box xtl="1" ytl="1" xbr="3" ybr="2"/>', "it has no label"),
        ('<polygon label="a" points="1,1;2,2"/>', "its polygon has fewer than 3 points"),
        ('<polygon label="a" points="1,1;2;3,3"/>', "its numbers are not those of a polygon"),
        ('<polyline label="a" points="1,1"/>', "its line has fewer than 2 points"),
        ('<points label="a" points=""/>', "its numbers are not those of a points"),
        ('<mask label="a" left="0" top="0" width="2" height="2" rle="1,2"/>', "the runs of its mask"),
        ('<mask label="a" left="0" top="0" width="2" height="2" rle="4"/>', "its mask has no pixel"),
        ('<mask label="a" left="79" top="0" width="4" height="1" rle="0,4"/>', "it reaches out of its image"),
        ('<mask label="a" left="0" top="0" width="100000" height="100000" rle="10000000000"/>', "it reaches out of"),
        ('<mask label="a" left="-1e300" top="0" width="4" height="1" rle="0,4"/>', "it reaches out of its image"),
        ('<mask label="a" left="0" top="0" width="-2" height="-2" rle="4"/>', "its mask has no pixel"),
        ('<mask label="a" left="0" top="0" width="2" height="2" rle="10000000000"/>', "the runs of its mask"),
        ('<ellipse label="a" cx="1" cy="1" rx="1" ry="1"/>', "shapes of the kind ellipse are not read"),
    ],
)
def test_invalid_shape_has_reason(shape, reason):
    annotations = read_cvat(PATH, make_document(shape))
    assert annotations.names[0].endswith("1 of image 'data/rotated.png'")
    (problem,) = find_problems(annotations).values()
    assert problem.startswith(reason)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "as XML"),
        (b"<a/>", "has no annotations of CVAT"),
        (b"<annotations><track id='0'/></annotations>", "has annotations of CVAT for video"),
        (b"<annotations><image id='0'/></annotations>", "an image has no name"),
        (make_document(width="wide"), "the size of image 'data/rotated.png' is 'wide'"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "it has a DOCTYPE"),
        (b'<?xml version="1.0" encoding="nothing"?><annotations/>', "as XML"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(UsageError, match=message):
        read_cvat(PATH, content)
