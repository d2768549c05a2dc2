"""Measures of changed geometries, compared with geodesics of pyproj and with shapely in a local projection."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from geographer.algorithms.geometry_change import measure_geometry_changes

GEOD = pyproj.Geod(ellps="WGS84")


def make_circle(lon: float, lat: float, radius: float) -> shapely.Polygon:
    """Return a polygon of 16 vertices at a geodesic distance in metres from a centre."""
    angles = np.linspace(0, 360, 16, endpoint=False)
    lons, lats, _ = GEOD.fwd([lon] * 16, [lat] * 16, angles, [radius] * 16)
    return shapely.Polygon(np.column_stack([lons, lats]))


def measure_pair(old, new):
    changes = measure_geometry_changes(np.array([old], object), np.array([new], object))
    return {name: values[0] for name, values in changes._asdict().items()} | {"shift": changes.shift_distance[0]}


def project_locally(geometry, lon, lat):
    crs = f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84"
    transformer = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return shapely.transform(geometry, lambda xy: np.column_stack(transformer.transform(*xy.T)))


def test_tolerance_leaves_out_overlaps_of_alike_outlines_only():
    rng = np.random.default_rng(3)
    old = np.array([make_circle(11, 48, radius) for radius in rng.uniform(20, 300, 60)], object)
    noise = np.repeat(10.0 ** rng.uniform(-13, -3, 60), 17)
    moved = shapely.get_coordinates(old) + 0.0005
    moved += rng.normal(0, 1, moved.shape) * noise[:, None]
    moved[16::17] = moved[0::17]
    new = shapely.set_coordinates(old.copy(), moved)
    exact, rough = (measure_geometry_changes(old, new, tolerance) for tolerance in (0.0, 1e-4))
    is_alike = rough.aligned_iou == 1
    assert 5 < is_alike.sum() < 40
    assert (exact.aligned_iou[is_alike] > 1 - 1e-4).all()
    assert rough.aligned_iou[~is_alike] == pytest.approx(exact.aligned_iou[~is_alike], abs=0)
    has_iou = np.isfinite(rough.iou)
    assert (np.abs(np.log(exact.area_ratio[~has_iou])) <= 1e-4).all()
    assert rough.iou[has_iou] == pytest.approx(exact.iou[has_iou], abs=0)


@pytest.mark.parametrize(("lon", "lat"), [(15.0, 47.0), (-70.0, -33.0), (0.0, 0.0), (100.0, 78.0)])
def test_measures_agree_with_geodesics(lon, lat):
    old = make_circle(lon, lat, 120)
    east, north, _ = GEOD.fwd(lon, lat, 60, 35)
    new = make_circle(east, north, 100)
    measures = measure_pair(old, new)
    expected = [abs(GEOD.geometry_area_perimeter(shape)[0]) for shape in (old, new)]
    assert [measures["old_area"], measures["new_area"]] == pytest.approx(expected, rel=1e-6)
    assert measures["shift"] == pytest.approx(35, rel=1e-3)
    assert np.degrees(np.arctan2(measures["shift_east"], measures["shift_north"])) == pytest.approx(60, abs=0.1)
    a, b = (project_locally(shape, lon, lat) for shape in (old, new))
    assert measures["iou"] == pytest.approx(a.intersection(b).area / a.union(b).area, rel=1e-5)
    assert measures["hausdorff"] == pytest.approx(a.hausdorff_distance(b), rel=1e-4)


def test_aligned_iou_ignores_shift():
    old, new = make_circle(15, 47, 100), make_circle(15.001, 47.0005, 100)
    measures = measure_pair(old, new)
    assert measures["iou"] < 0.5
    assert measures["aligned_iou"] == pytest.approx(1, abs=1e-3)


def test_points_have_no_iou():
    measures = measure_pair(shapely.Point(10, 50), shapely.Point(10, 50.001))
    expected = GEOD.inv(10, 50, 10, 50.001)[2]
    assert np.isnan(measures["iou"])
    assert measures["shift"] == measures["hausdorff"] == pytest.approx(expected, rel=1e-6)


def test_geometries_meet_at_antimeridian():
    west, east = shapely.box(179.99, -17, 180, -16.99), shapely.box(-180, -17, -179.99, -16.99)
    measures = measure_pair(shapely.MultiPolygon([west, east]), west)
    assert measures["iou"] == pytest.approx(0.5, rel=1e-6)
    assert measures["shift_east"] == pytest.approx(-GEOD.inv(180, -17, 179.995, -17)[2], rel=1e-3)


def test_invalid_geometry_is_measured():
    bow_tie = shapely.Polygon([(0, 0), (0.001, 0.001), (0.001, 0), (0, 0.001)])
    assert measure_pair(bow_tie, make_circle(0, 0, 50))["old_area"] > 0
