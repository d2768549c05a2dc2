from __future__ import annotations

import pytest
import shapely

from geographer.archives.stac_items import acquired_of, footprint_of, outline_of


def test_an_outline_is_the_corners_of_the_pixels_in_their_own_crs() -> None:
    fields = {"proj:code": "EPSG:32633", "proj:shape": [2, 3], "proj:transform": [10, 0, 500000, 0, -10, 5000000]}
    outline, crs = outline_of(fields, []) or (None, None)
    assert crs == "EPSG:32633"
    assert outline.equals(shapely.box(500000, 4999980, 500030, 5000000))


def test_an_outline_may_be_told_by_an_asset() -> None:
    asset = {"proj:epsg": 32633, "proj:bbox": [0, 1, 2, 3]}
    outline, crs = outline_of({}, [{}, asset]) or (None, None)
    assert (outline.bounds, crs) == ((0, 1, 2, 3), "EPSG:32633")


def test_without_the_projection_extension_there_is_no_outline() -> None:
    assert outline_of({"datetime": "2023-01-01T00:00:00Z"}, [{"href": "x"}]) is None


def test_a_footprint_that_crosses_nothing_stays_as_it_is() -> None:
    box = shapely.box(10, 45, 11, 46)
    assert shapely.to_wkb(footprint_of(box)) == shapely.to_wkb(box)


@pytest.mark.parametrize(
    ("outline", "box"),
    [
        (shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), None),
        (shapely.Polygon([(179, 0), (181, 0), (181, 1), (179, 1)]), None),
        (shapely.Polygon([(-181, 0), (-179, 0), (-179, 1), (-181, 1)]), None),
        (shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), [179.0, 0.0, -179.0, 1.0]),
        (shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]), [179.0, 0.0, -179.0, 1.0]),
    ],
)
def test_a_footprint_across_the_antimeridian_lies_on_both_sides_of_it(
    outline: shapely.Geometry, box: list[float] | None
) -> None:
    expected = shapely.MultiPolygon([shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 1)])
    assert footprint_of(outline, box).equals(expected)


def test_a_footprint_of_the_whole_world_stays_one() -> None:
    assert footprint_of(shapely.box(-180, -90, 180, 90)).equals(shapely.box(-180, -90, 180, 90))


def test_what_has_no_area_is_no_footprint() -> None:
    assert footprint_of(shapely.Point(1, 2)) is None


def test_heights_are_left_away() -> None:
    found = footprint_of(shapely.Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)]))
    assert not shapely.has_z(found)


def test_times_are_told_in_utc() -> None:
    assert acquired_of({"datetime": "2023-01-01T01:30:00+02:00"}) == "2022-12-31T23:30:00"
    assert acquired_of({"datetime": None, "start_datetime": "2023-01-01T00:00:00Z"}) == "2023-01-01T00:00:00"
    assert acquired_of({}) is None
