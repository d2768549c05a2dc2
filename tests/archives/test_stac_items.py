from __future__ import annotations

import hashlib

import pytest
import shapely

from geographer.archives.stac_items import (
    make_box,
    normalise_footprint,
    normalise_properties,
    parse_digest,
    parse_size,
    read_acquisition_time,
    read_outline,
)
from tests.stac_servers import make_multihash

NAME = "S2A_MSIL2A_20230101T101011_N0509_R022_T32TPT_20230101T123456"


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
        (shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), [-179.0, 0.0, 179.0, 1.0]),
        (shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]), [179.0, 0.0, -179.0, 1.0]),
        (make_box([179, 0, -179, 1]), None),
        (make_box([179, 0, 10, -179, 1, 20]), [179, 0, 10, -179, 1, 20]),
    ],
)
def test_footprint_splits_at_antimeridian(outline: shapely.Geometry, bbox: list[float] | None) -> None:
    expected = shapely.MultiPolygon([shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 1)])
    footprint = normalise_footprint(outline, bbox)
    assert footprint is not None
    assert footprint.equals(expected)


def test_outline_across_antimeridian_is_footprint() -> None:
    """An outline in degrees that jumps is the item's footprint, which is cut; one beyond 180 is in one piece."""
    jump = shapely.geometry.mapping(shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]))
    assert read_outline({"proj:code": "EPSG:4326", "proj:geometry": jump}, []) is None
    outline, _ = read_outline({"proj:code": "EPSG:4326", "proj:bbox": [179, 0, -179, 1]}, []) or (None, None)
    assert outline is not None
    assert outline.equals(shapely.box(179, 0, 181, 1))


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


def test_properties_from_sentinel_2_name() -> None:
    assert normalise_properties({}, "an-id", NAME + ".SAFE") == {
        "platform": "sentinel-2a",
        "tile": "32TPT",
        "datatake": "S2A_20230101T101011",
        "relative_orbit": 22,
        "processing_level": "L2A",
        "processing_baseline": "05.09",
        "processed": "2023-01-01T12:34:56",
    }


def test_properties_prefer_stated_fields() -> None:
    fields = {
        "platform": "Sentinel-2A",
        "constellation": "sentinel-2",
        "grid:code": "MGRS-32TPT",
        "s2:datatake_id": "GS2A_20230101T101011_039310_N05.09",
        "sat:relative_orbit": 22,
        "processing:level": "Level-2A",
        "s2:processing_baseline": "5.09",
        "created": "2024-02-02T00:00:00Z",
        "s2:generation_time": "2023-01-01T12:34:56.000000Z",
    }
    assert normalise_properties(fields, "S2A_32TPT_20230101_0_L2A") == {
        "platform": "Sentinel-2A",
        "constellation": "sentinel-2",
        "tile": "32TPT",
        "datatake": "S2A_20230101T101011",
        "relative_orbit": 22,
        "absolute_orbit": 39310,
        "processing_level": "Level-2A",
        "processing_baseline": "05.09",
        "processed": "2023-01-01T12:34:56",
    }


def test_properties_of_reprocessing_share_datatake() -> None:
    older, newer = NAME, NAME.replace("N0509", "N0510").replace("123456", "224466"[:6].replace("4466", "3040"))
    first, second = (
        normalise_properties({}, older),
        normalise_properties({"s2:datatake_id": "GS2A_20230101T101011_039310_N05.10"}, newer),
    )
    assert (first["datatake"], first["tile"]) == (second["datatake"], second["tile"])
    assert first["processing_baseline"] != second["processing_baseline"]


def test_tile_from_mgrs_parts() -> None:
    assert (
        normalise_properties({"mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"})["tile"]
        == "05QKB"
    )


def test_processed_ignores_invalid_time() -> None:
    assert "processed" not in normalise_properties({"created": "yesterday"})


def test_digest_parses_multihash_and_hex() -> None:
    content = b"some bytes"
    md5, sha512 = hashlib.md5(content).hexdigest(), hashlib.sha512(content).hexdigest()
    assert parse_digest(make_multihash(content)) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert parse_digest("d50110" + md5) == parse_digest(md5.upper()) == parse_digest([md5]) == f"md5:{md5}"
    assert parse_digest("1340" + sha512) == f"sha512:{sha512}"


@pytest.mark.parametrize("value", [None, "", "xyz", "1220abcd", 12, ["a", "b"], {}])
def test_digest_rejects_other_values(value: object) -> None:
    assert parse_digest(value) is None


def test_size_parses_non_negative_integers() -> None:
    assert [parse_size(value) for value in (12, "12", -1, None, "many", 0)] == [12, 12, None, None, None, 0]
