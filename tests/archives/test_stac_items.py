from __future__ import annotations

import pytest
import shapely

from geographer.archives.stac_items import normalise_footprint, read_acquisition_time, read_outline


def test_outline_uses_item_crs() -> None:
    fields = {"proj:code": "EPSG:32633", "proj:shape": [2, 3], "proj:transform": [10, 0, 500000, 0, -10, 5000000]}
    outline, crs = read_outline(fields, []) or (None, None)
    assert crs == "EPSG:32633"
    assert outline is not None
    assert outline.equals(shapely.box(500000, 4999980, 500030, 5000000))


def test_outline_falls_back_to_asset() -> None:
    asset = {"proj:epsg": 32633, "proj:bbox": [0, 1, 2, 3]}
    outline, crs = read_outline({}, [{}, asset]) or (None, None)
    assert outline is not None
    assert (outline.bounds, crs) == ((0, 1, 2, 3), "EPSG:32633")


def test_outline_requires_projection_extension() -> None:
    assert read_outline({"datetime": "2023-01-01T00:00:00Z"}, [{"href": "x"}]) is None


def test_footprint_keeps_simple_polygon() -> None:
    polygon = shapely.box(10, 45, 11, 46)
    assert shapely.to_wkb(normalise_footprint(polygon)) == shapely.to_wkb(polygon)


@pytest.mark.parametrize(
    ("outline", "bbox"),
    [
        (shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), None),
        (shapely.Polygon([(179, 0), (181, 0), (181, 1), (179, 1)]), None),
        (shapely.Polygon([(-181, 0), (-179, 0), (-179, 1), (-181, 1)]), None),
        (shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), [179.0, 0.0, -179.0, 1.0]),
        (shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]), [179.0, 0.0, -179.0, 1.0]),
    ],
)
def test_footprint_splits_at_antimeridian(outline: shapely.Geometry, bbox: list[float] | None) -> None:
    expected = shapely.MultiPolygon([shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 1)])
    footprint = normalise_footprint(outline, bbox)
    assert footprint is not None
    assert footprint.equals(expected)


def test_footprint_keeps_global_polygon() -> None:
    footprint = normalise_footprint(shapely.box(-180, -90, 180, 90))
    assert footprint is not None
    assert footprint.equals(shapely.box(-180, -90, 180, 90))


def test_footprint_requires_area() -> None:
    assert normalise_footprint(shapely.Point(1, 2)) is None


def test_footprint_drops_heights() -> None:
    footprint = normalise_footprint(shapely.Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)]))
    assert not shapely.has_z(footprint)


def test_acquisition_time_is_utc() -> None:
    assert read_acquisition_time({"datetime": "2023-01-01T01:30:00+02:00"}) == "2022-12-31T23:30:00"
    assert read_acquisition_time({"datetime": None, "start_datetime": "2023-01-01T00:00:00Z"}) == "2023-01-01T00:00:00"
    assert read_acquisition_time({}) is None
