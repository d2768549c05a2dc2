"""What a raster says of itself, against shapely, pyproj and what was written."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from geographer.base.errors import CorruptError, GeographerError, NotFoundError, UsageError
from geographer.rasters.read import open_raster, read_grid, read_raster_info
from tests.sample_rasters import CUSTOM, NORTH_UP, SOUTH_UP, TURNED, at, pixels, write_scene

PLACES = {"north-up": NORTH_UP, "south-up": SOUTH_UP, "turned": TURNED}


def corners(transform: tuple[float, ...], width: int, height: int) -> list[tuple[float, float]]:
    return [at(transform, *corner) for corner in ((0, 0), (width, 0), (width, height), (0, height))]


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
def test_facts_are_those_that_were_written(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", pixels(3, 20, 30), transform=transform, nodata=7)
    facts = read_raster_info(path)
    assert facts.grid.crs == "EPSG:32633"
    assert facts.grid.transform == transform
    assert (facts.grid.width, facts.grid.height, facts.count, facts.dtype) == (30, 20, 3, "uint16")
    assert facts.nodata == 7
    assert facts.upright == (transform != TURNED)
    assert facts.acquired is None


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
def test_bounds_are_the_four_corners_counter_clockwise(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", pixels(1, 20, 30), transform=transform)
    outline = shapely.from_wkb(read_raster_info(path).outline)
    assert outline.exterior.is_ccw
    assert set(outline.exterior.coords) == set(corners(transform, 30, 20))
    assert outline.equals(shapely.Polygon(corners(transform, 30, 20)))


def test_nodata_may_be_missing_or_not_a_number(tmp_path: Path):
    assert read_raster_info(write_scene(tmp_path / "a.tif", pixels(1, 4, 4))).nodata is None
    path = write_scene(tmp_path / "b.tif", pixels(1, 4, 4, "float32"), nodata=math.nan)
    assert math.isnan(read_raster_info(path).nodata)


@pytest.mark.parametrize("code", ["EPSG:32633", "EPSG:4326", "EPSG:3035", "EPSG:3413", "EPSG:2193", "EPSG:27700"])
def test_a_crs_with_a_code_is_told_by_it(tmp_path: Path, code: str):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=code, transform=(1, 0, 10, 0, -1, 50))
    assert read_raster_info(path).grid.crs == code


def test_longitude_latitude_of_ogc_is_that_of_epsg_as_x_always_comes_first(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), transform=(1, 0, 10, 0, -1, 50))
    assert read_raster_info(path, crs="OGC:CRS84").grid.crs == "EPSG:4326"


def test_a_crs_without_a_code_is_told_by_wkt_that_means_the_same(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=CUSTOM)
    text = read_raster_info(path).grid.crs
    assert text.startswith("PROJCRS[")
    there = pyproj.Transformer.from_crs("EPSG:4326", text, always_xy=True).transform(12.0, 48.0)
    expected = pyproj.Transformer.from_crs("EPSG:4326", CUSTOM, always_xy=True).transform(12.0, 48.0)
    assert there == pytest.approx(expected, abs=1e-6)


def test_a_crs_keeps_its_text_through_copies_and_through_wkt(tmp_path: Path):
    text = read_raster_info(write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=CUSTOM)).grid.crs
    copied = read_raster_info(write_scene(tmp_path / "b.tif", pixels(1, 4, 4), crs=text)).grid.crs
    passed = read_raster_info(write_scene(tmp_path / "c.tif", pixels(1, 4, 4), crs=None), crs=CUSTOM).grid.crs
    assert text == copied == passed


def test_a_datum_shift_is_not_lost_to_a_code(tmp_path: Path):
    shifted = "+proj=utm +zone=33 +ellps=WGS84 +towgs84=500,100,400 +units=m"
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=shifted)
    assert read_raster_info(path).grid.crs.startswith("BOUNDCRS[")


def test_a_crs_that_geotiff_would_change_keeps_its_own_text(tmp_path: Path):
    krovak = "+proj=krovak +ellps=bessel"
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=None)
    assert rasterio.CRS.from_wkt(read_raster_info(path, crs=krovak).grid.crs) == rasterio.CRS.from_string(krovak)


def test_a_crs_that_is_passed_stands_in_for_the_files_own(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs="EPSG:4326")
    assert read_raster_info(path, crs="EPSG:32633").grid.crs == "EPSG:32633"


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
def test_the_valid_footprint_is_the_union_of_the_valid_pixels(tmp_path: Path, transform: tuple[float, ...]):
    array = pixels(1, 40, 30)
    array[np.random.default_rng(2).random(array.shape) < 0.4] = 0
    path = write_scene(tmp_path / "a.tif", array, transform=transform, nodata=0)
    outline = shapely.from_wkb(read_raster_info(path, footprint="valid").outline)
    rows, columns = np.nonzero(array[0])
    squares = [
        shapely.Polygon([at(transform, c + i, r + j) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))])
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    assert outline.is_valid
    assert outline.area == pytest.approx(len(squares) * squares[0].area)
    assert outline.symmetric_difference(shapely.union_all(squares)).area < 1e-6
    assert all(part.exterior.is_ccw for part in outline.geoms)
    assert sum(len(part.interiors) for part in outline.geoms) > 0


def test_the_valid_footprint_has_exact_pixel_edges_and_no_points_inside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("geographer.rasters.read._MASK_STRIP_BYTES", 40 * 512)
    array = pixels(2, 2000, 40)
    array[:, :100] = array[:, :, :7] = 0
    array[0, 0, 0] = 5
    transform = (0.1, 0, 0.3, 0, -0.1, 0.7)
    path = write_scene(tmp_path / "a.tif", array, transform=transform, nodata=0)
    outline = shapely.from_wkb(read_raster_info(path, footprint="valid").outline)
    boxes = [(0, 0, 1, 1), (7, 100, 40, 2000)]
    expected = [
        {at(transform, column, row) for column in (left, right) for row in (top, bottom)}
        for left, top, right, bottom in boxes
    ]
    found = [set(part.exterior.coords) for part in outline.geoms]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_the_valid_footprint_does_not_depend_on_where_strips_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    array = pixels(1, 96, 30)
    array[:, 20:70, 8:20] = 0
    path = write_scene(tmp_path / "a.tif", array, nodata=0)
    whole = read_raster_info(path, footprint="valid").outline
    monkeypatch.setattr("geographer.rasters.read._MASK_STRIP_BYTES", 30 * 16)
    assert shapely.from_wkb(read_raster_info(path, footprint="valid").outline).equals(shapely.from_wkb(whole))
    assert len(shapely.from_wkb(whole).interiors) == 1


def test_an_alpha_band_says_what_is_valid_whatever_its_opacity(tmp_path: Path):
    array = pixels(4, 32, 32, "uint8")
    array[3] = 0
    array[3, 4:12, 4:12] = np.arange(1, 9)
    path = write_scene(tmp_path / "a.tif", array, photometric="RGB", alpha="YES")
    outline = shapely.from_wkb(read_raster_info(path, footprint="valid").outline)
    left, top = at(NORTH_UP, 4, 4)
    assert outline.equals(shapely.box(left, top - 80, left + 80, top))


def test_without_nodata_or_mask_every_pixel_is_valid(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(2, 32, 32))
    assert shapely.from_wkb(read_raster_info(path, footprint="valid").outline).equals(
        shapely.from_wkb(read_raster_info(path).outline)
    )


def test_a_footprint_of_no_valid_pixel_is_refused(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 8, 8), "uint8"), nodata=0)
    with pytest.raises(UsageError, match="no valid pixel"):
        read_raster_info(path, footprint="valid")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024:06:30 10:20:30", datetime(2024, 6, 30, 10, 20, 30, tzinfo=UTC)),
        ("2024-06-30T10:20:30Z", datetime(2024, 6, 30, 10, 20, 30, tzinfo=UTC)),
        ("2024-06-30T12:20:30.25+02:00", datetime(2024, 6, 30, 10, 20, 30, 250_000, tzinfo=UTC)),
        (" 2024-06-30 ", datetime(2024, 6, 30, tzinfo=UTC)),
    ],
)
def test_the_time_of_acquisition_is_read_from_the_named_tag(tmp_path: Path, text: str, moment: datetime):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED=text)
    assert read_raster_info(path, acquired="SENSED").acquired == moment


def test_a_missing_tag_names_those_there_are_and_a_bad_one_its_text(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED="last summer", TIFFTAG_DATETIME="2024:06:30 10:20:30")
    with pytest.raises(UsageError, match=r"no tag 'ACQUIRED'.*'SENSED', 'TIFFTAG_DATETIME'"):
        read_raster_info(path, acquired="ACQUIRED")
    with pytest.raises(UsageError, match=r"'SENSED'.*'last summer'.*ISO 8601"):
        read_raster_info(path, acquired="SENSED")


def refused(path: Path, **options: str) -> GeographerError:
    with pytest.raises(GeographerError) as caught:
        read_raster_info(path, **options)
    assert path.name in str(caught.value)
    return caught.value


def test_a_missing_file_is_not_found(tmp_path: Path):
    assert isinstance(refused(tmp_path / "none.tif"), NotFoundError)


def test_what_is_not_a_raster_is_a_usage_error(tmp_path: Path):
    (tmp_path / "text.tif").write_text("these are not the pixels you are looking for")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder.tif").mkdir()
    for name in ("text.tif", "empty.tif", "folder.tif"):
        assert isinstance(refused(tmp_path / name), UsageError)
    assert "not a raster but empty" in str(refused(tmp_path / "empty.tif"))
    assert "a folder" in str(refused(tmp_path / "folder.tif"))


@pytest.mark.parametrize("kept", [6, 60])
def test_a_tiff_cut_short_of_its_directory_is_corrupt(tmp_path: Path, kept: int):
    path = write_scene(tmp_path / "a.tif", pixels(1, 40, 40))
    path.write_bytes(path.read_bytes()[:kept])
    assert isinstance(refused(path), CorruptError)


def test_a_mask_that_cant_be_read_is_corrupt(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 400, 400), nodata=0)
    path.write_bytes(path.read_bytes()[:-2000])
    assert read_raster_info(path).nodata == 0
    assert isinstance(refused(path, footprint="valid"), CorruptError)


def test_a_raster_without_a_crs_asks_for_one(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=None)
    error = refused(path)
    assert isinstance(error, UsageError)
    assert "pass --crs EPSG:" in str(error)
    assert read_raster_info(path, crs="EPSG:32633").grid.crs == "EPSG:32633"


def test_an_unknown_crs_is_refused(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4))
    with pytest.raises(UsageError, match="no CRS 'EPSG:99999999'"):
        read_raster_info(path, crs="EPSG:99999999")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_transform_is_refused(tmp_path: Path):
    write_scene(tmp_path / "a.tif", pixels(1, 4, 4), transform=(1, 0, 0, 0, 1, 0))
    assert "no transform" in str(refused(tmp_path / "a.tif"))


def test_a_raster_without_a_transform_gives_no_warning(tmp_path: Path):
    from PIL import Image

    Image.fromarray(pixels(1, 8, 8, "uint8")[0]).save(tmp_path / "photo.png")
    with pytest.raises(UsageError, match="no CRS"):
        read_raster_info(tmp_path / "photo.png")
    with pytest.raises(UsageError, match="no transform"):
        read_raster_info(tmp_path / "photo.png", crs="EPSG:32633")


def test_a_transform_without_area_is_refused(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), transform=(10, 20, 5, 1, 2, 7))
    assert "without area" in str(refused(path))


def test_metres_that_claim_to_be_degrees_are_refused(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs="EPSG:4326")
    error = refused(path)
    assert isinstance(error, UsageError)
    assert "claims EPSG:4326" in str(error)
    assert "500000, 5.19996e+06, 500040, 5.2e+06" in str(error)


def test_metres_that_are_small_in_y_are_refused_too(tmp_path: Path):
    near_the_equator = (10, 0, 500_000, 0, -10, 60)
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs="EPSG:4326", transform=near_the_equator)
    assert "claims EPSG:4326" in str(refused(path))


@pytest.mark.parametrize("transform", [(5, 0, -2.5, 0, -5, 92.5), (1, 0, 179, 0, -1, 10), (1, 0, 356, 0, -1, 10)])
def test_degrees_over_the_pole_or_past_the_antimeridian_are_degrees(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs="EPSG:4326", transform=transform)
    assert read_raster_info(path).grid.transform == transform


def vrt(path: Path, *bands: str) -> Path:
    """A virtual raster over `a.tif` beside it, whose bands are as given."""
    write_scene(path.with_name("a.tif"), pixels(1, 8, 8, "uint8"))
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource></VRTRasterBand>"
    path.write_text(
        "<VRTDataset rasterXSize='8' rasterYSize='8'><SRS>EPSG:32633</SRS>"
        "<GeoTransform>500000,10,0,5200000,0,-10</GeoTransform>"
        + "".join(band + source for band in bands)
        + "</VRTDataset>"
    )
    return path


def test_bands_that_differ_in_type_or_nodata_are_refused(tmp_path: Path):
    byte, short = ("<VRTRasterBand dataType='Byte'>", "<VRTRasterBand dataType='UInt16'>")
    assert "differ in type (uint16, uint8)" in str(refused(vrt(tmp_path / "a.vrt", byte, short)))
    zero = byte + "<NoDataValue>0</NoDataValue>"
    assert "differ in nodata (0.0, None)" in str(refused(vrt(tmp_path / "b.vrt", byte, zero)))


def test_nodata_outside_the_type_is_no_nodata(tmp_path: Path):
    path = vrt(tmp_path / "a.vrt", "<VRTRasterBand dataType='Byte'><NoDataValue>-9999</NoDataValue>")
    assert read_raster_info(path).nodata is None


def test_complex_integers_are_refused(tmp_path: Path):
    path = vrt(tmp_path / "a.vrt", "<VRTRasterBand dataType='CInt16'>")
    assert "complex integers" in str(refused(path))


def test_the_grid_of_an_open_raster_is_that_of_its_description(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 4, 4), crs=CUSTOM)
    with open_raster(path) as raster:
        assert read_grid(raster) == read_raster_info(path).grid
