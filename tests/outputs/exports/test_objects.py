"""Objects of a page, computed at once, against the boxes of labels, computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import affinity

from geographer.algorithms.bounding_boxes import compute_boxes
from geographer.base.values import Grid, Transform, parse_line_width
from geographer.outputs.exports.export import _cut_pages
from geographer.outputs.exports.objects import ObjectOptions, group_feature_objects

GRIDS = {
    1: Grid("EPSG:32633", Transform(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0), 64, 48),
    2: Grid("EPSG:32633", Transform(8.0, 3.0, 500_000.0, 3.0, -8.0, 5_200_000.0), 40, 80),
}
NOTCHED = shapely.Polygon([(58, 40), (66, 40), (66, 46), (64, 46), (64, 44), (65, 44), (65, 42), (58, 42)])
"""Clipped to 64 columns, it leaves a rectangle, and a line on the border."""
SHAPES = [
    NOTCHED,
    shapely.Polygon([(5, 5), (15, 15), (15, 5), (5, 15)]),
    shapely.GeometryCollection([shapely.MultiPolygon([shapely.box(1, 1, 3, 4), shapely.box(7, 1, 9, 2)]), NOTCHED]),
    shapely.box(64, 10, 70, 20),
    shapely.box(200, 200, 210, 210),
    shapely.Polygon(),
    shapely.Point(np.inf, 1),
    shapely.LineString([(1, 30), (90, 31)]),
    shapely.MultiPoint([(3, 3), (30, 30)]),
    *(
        affinity.rotate(shapely.box(x, y, x + 20, y + 7), angle)
        for x, y, angle in np.random.default_rng(1).uniform((-15, -15, 0), (60, 60, 180), (40, 3))
    ),
]


def list_rows():
    rows = []
    for number, grid in GRIDS.items():
        a, b, c, d, e, f = grid.transform
        for index, shape in enumerate(SHAPES):
            is_finite = np.isfinite(shape.bounds).all()
            on_ground = affinity.affine_transform(shape, [a, b, d, e, c, f]) if is_finite else shape
            rows.append((number, f"f{index}", "pond", 1, shapely.to_wkb(on_ground), index == 7))
    return rows


@pytest.mark.parametrize("min_visible", [0.0, 0.4])
def test_page_agrees_with_boxes_of_labels(min_visible):
    found = group_feature_objects(list_rows(), GRIDS, ObjectOptions(parse_line_width("2px"), min_visible))
    assert sorted(found) == [1, 2]
    for number, grid in GRIDS.items():
        items = {item.feature_id: item for item in found[number]}
        expected = {}
        for index, shape in enumerate(SHAPES):
            if np.isfinite(shape.bounds).all() and not shape.is_empty:
                area = shape if shapely.get_dimensions(shape) == 2 else shape.buffer(1, quad_segs=16)
                boxes = compute_boxes(area, grid.width, grid.height)
                if boxes is not None and boxes.visible >= min_visible:
                    expected[f"f{index}"] = boxes
        assert [*items] == [*expected]
        for id, boxes in expected.items():
            item = items[id]
            assert item.box == pytest.approx(boxes.box, abs=2e-5)
            assert item.visible == pytest.approx(boxes.visible, abs=1e-5)
            assert item.is_marked == (id == "f7")
            assert {part.geom_type for part in item.shape.polygons} == {"Polygon"}
            frame = shapely.box(0, 0, grid.width, grid.height).buffer(1e-6)
            assert all(frame.contains(part) for part in item.shape.polygons)
            assert item.shape.area == pytest.approx(sum(part.area for part in item.shape.polygons))


def test_pages_are_bounded_by_samples_and_objects(monkeypatch):
    from geographer.outputs.exports import export

    monkeypatch.setattr(export, "_PAGE", 3)
    monkeypatch.setattr(export, "_PAGE_OBJECTS", 10)
    objects = {1: 4, 2: 6, 3: 1, 4: 50, 5: 1}
    pages = [*_cut_pages([1, 2, 3, 4, 5, 6, 7, 8, 9], objects)]
    assert pages == [[1, 2], [3], [4], [5, 6, 7], [8, 9]]
    assert [*_cut_pages([], {})] == []
