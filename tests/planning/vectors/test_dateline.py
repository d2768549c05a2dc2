"""Dateline: uncut geometries mean the short way, in degrees and in other CRSs, and a warning names them."""

from __future__ import annotations

import logging

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Transformer

from geographer.planning.vectors.dateline import cut_at_dateline
from geographer.planning.vectors.source import open_vector_source
from geographer.storage.database.connection import memory_connection

RING = [(179.5, -17), (-179.5, -17), (-179.5, -16.5), (179.5, -16.5), (179.5, -17)]
CUT = shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16.5), shapely.box(-180, -17, -179.5, -16.5)])
OTHER = shapely.box(10, 40, 11, 41)


def cut_geometries(geometries, crs="EPSG:4326"):
    """Return the geometries after they are cut, in their CRS."""
    ids = [f"f{index}" for index in range(len(geometries))]
    frame = geopandas.GeoDataFrame({"id": ids}, geometry=list(geometries), crs=crs)
    with memory_connection() as connection, open_vector_source(connection, frame, None) as source:
        cut = cut_at_dateline(connection, source, "id")
        rows = connection.execute(f"SELECT id, ST_AsWKB(geometry)::BLOB FROM {cut.relation}").fetchall()
    assert [name for name, _ in rows] == ids
    return [None if wkb is None else shapely.from_wkb(bytes(wkb)) for _, wkb in rows]


def project(geometry, crs):
    """Transform the vertices of a geometry, as a program does that knows no antimeridian."""
    transform = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform
    return shapely.transform(geometry, lambda points: np.column_stack(transform(*points.T)))


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269", "EPSG:3857", "EPSG:3395", "ESRI:54009"])
def test_uncut_ring_means_the_short_way(caplog, crs):
    with caplog.at_level(logging.WARNING):
        cut, other = cut_geometries([project(shapely.Polygon(RING), crs), project(OTHER, crs)], crs)
    lonlat = (
        project(cut, "EPSG:4326")
        if crs == "EPSG:4326"
        else shapely.transform(
            cut,
            lambda points: np.column_stack(Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*points.T)),
        )
    )
    assert len(lonlat.geoms) == 2
    assert np.abs(shapely.get_coordinates(lonlat)[:, 0]).min() > 179.4
    assert (
        sum(np.ptp(shapely.get_coordinates(part)[:, 0]) for part in cut.geoms)
        < abs(np.ptp(shapely.get_coordinates(project(shapely.Polygon(RING), crs))[:, 0])) / 100
    )
    assert shapely.equals_exact(other, project(OTHER, crs), 1e-6)
    (message,) = caplog.messages
    assert "feature 'f0'" in message
    assert "short way" in message


@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:3832"])
def test_continuous_coordinates_keep_their_shape(caplog, crs):
    ring = project(shapely.Polygon(RING), crs)
    with caplog.at_level(logging.WARNING):
        assert cut_geometries([ring], crs) == [ring]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (shapely.Polygon(RING), CUT),
        (shapely.Polygon([(*point, 5) for point in RING]), CUT),
        (shapely.box(179.5, -17, 180.5, -16.5), CUT),
        (shapely.box(185, -17, 186, -16), shapely.box(-175, -17, -174, -16)),
        (shapely.box(-181, -17, -180.5, -16), shapely.box(179, -17, 179.5, -16)),
        (shapely.Point(185, 3), shapely.Point(-175, 3)),
        (
            shapely.LineString(RING[:2]),
            shapely.MultiLineString([[(179.5, -17), (180, -17)], [(-180, -17), (-179.5, -17)]]),
        ),
        (shapely.MultiPolygon([shapely.Polygon(RING), OTHER]), shapely.MultiPolygon([*CUT.geoms, OTHER])),
    ],
)
def test_kinds_of_geometries_are_cut(geometry, expected):
    (cut,) = cut_geometries([geometry])
    assert shapely.equals(shapely.normalize(cut), shapely.normalize(expected))


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.box(-180, -90, 180, 90),
        shapely.box(-170, 50, -10, 70),
        CUT,
        shapely.box(400, 0, 401, 1),
        shapely.box(200, 95, 201, 96),
        shapely.MultiPoint([(-179, 0), (179, 0)]),
    ],
)
def test_other_geometries_stay_as_they_are(caplog, geometry):
    with caplog.at_level(logging.WARNING):
        assert cut_geometries([geometry]) == [geometry]
    assert caplog.messages == []


def test_hole_across_the_dateline_is_kept():
    shell = [(170, -20), (-170, -20), (-170, 0), (170, 0), (170, -20)]
    hole = [(179, -10), (-179, -10), (-179, -9), (179, -9), (179, -10)]
    (cut,) = cut_geometries([shapely.Polygon(shell, [hole])])
    assert cut.area == pytest.approx(20 * 20 - 2 * 1)


def test_warning_names_a_few_features(caplog):
    with caplog.at_level(logging.WARNING):
        cut_geometries([shapely.Polygon(RING)] * 7)
    assert "features 'f0', 'f1', 'f2', 'f3', 'f4' and 2 more" in caplog.messages[0]


def test_rows_without_geometry_stay(caplog):
    assert cut_geometries([None, shapely.Polygon(RING)])[1] != shapely.Polygon(RING)


def test_rounding_errors_at_the_dateline_are_no_crossing(caplog):
    """Natural Earth's Russia: parts on both sides, and a longitude of 180.00000000000006."""
    parts = [shapely.box(100, 60, 180.00000000000006, 70), shapely.box(-180.00000000000003, 65, -170, 70)]
    small = shapely.box(179, 1, 180.00000000000006, 2)
    geometries = cut_geometries([shapely.MultiPolygon(parts), small, OTHER])
    assert [geometry.bounds for geometry in geometries] == [(-180, 60, 180, 70), (179, 1, 180, 2), OTHER.bounds]
    assert geometries[0].geom_type == "MultiPolygon"
    assert not caplog.messages
