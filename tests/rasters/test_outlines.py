"""Outlines in other CRSs and shared areas: pyproj's geodesic areas are the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Geod

from geographer.base.values import Grid, Transform
from geographer.rasters.outlines import make_footprints, make_outlines, measure_areas

GEOD = Geod(ellps="WGS84")


def make_grid(crs: str, x: float, y: float, pixel: float, size: int = 100) -> Grid:
    return Grid(crs, Transform(pixel, 0, x, 0, -pixel, y), size, size)


@pytest.mark.parametrize(("west", "south"), [(10.0, 0.0), (-0.5, 60.0), (179.5, -45.0), (-120.0, 84.0)])
def test_areas_of_degrees(west, south):
    box = shapely.box(west, south, west + 1, south + 1)
    parallels = shapely.segmentize(box, 0.001)
    expected = abs(GEOD.geometry_area_perimeter(parallels)[0])
    others = [shapely.box(-170, 0, -169, 1), box, shapely.box(30, 10, 31, 11)]
    areas = measure_areas(np.array(others, dtype=object), ["EPSG:4326"] * 3)
    assert areas[1] == pytest.approx(expected, rel=1e-4)


def test_areas_in_metres_are_those_on_the_ellipsoid():
    grid = make_grid("EPSG:3857", 1_000_000, 8_400_000, 100)
    (area,) = measure_areas(make_outlines([grid]), [grid.crs])
    (footprint,) = make_footprints([grid])
    assert area == pytest.approx(abs(GEOD.geometry_area_perimeter(footprint)[0]), rel=1e-3)
    assert area < 0.3 * (100 * 100) ** 2


def test_outlines_meet_in_a_common_crs():
    first = make_grid("EPSG:32632", 500_000, 5_400_000, 10)
    (in_degrees,) = make_footprints([first])
    west, south, east, north = in_degrees.bounds
    second = Grid("EPSG:4326", Transform((east - west) / 50, 0, west, 0, (south - north) / 50, north), 50, 50)
    ours, theirs = make_outlines([first, second], "EPSG:32632")
    assert shapely.area(shapely.intersection(ours, theirs)) == pytest.approx(1_000_000, rel=1e-6)


def test_footprint_across_the_antimeridian_is_split():
    (footprint,) = make_footprints([make_grid("EPSG:32601", 150_000, 1_000_000, 1_000)])
    assert footprint.geom_type == "MultiPolygon"
    assert (footprint.bounds[0], footprint.bounds[2]) == (-180.0, 180.0)


def test_grid_without_a_place_on_earth_has_no_footprint():
    grids = [make_grid("EPSG:32632", corner, corner, 10) for corner in (1e12, 500_000)]
    assert [footprint.is_empty for footprint in make_footprints(grids)] == [True, False]
