"""Raster info, compared with shapely, pyproj and the written values."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from geographer.base.errors import CorruptError, GeographerError, NotFoundError, UsageError
from geographer.rasters.read import open_raster, read_grid, read_raster_info
from tests.sample_rasters import CUSTOM_CRS, NORTH_UP, ROTATED, SOUTH_UP, make_pixels, to_xy, write_scene

TRANSFORMS = {"north-up": NORTH_UP, "south-up": SOUTH_UP, "rotated": ROTATED}


def list_corners(transform: tuple[float, ...], width: int, height: int) -> list[tuple[float, float]]:
    return [to_xy(transform, *corner) for corner in ((0, 0), (width, 0), (width, height), (0, height))]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_info_agrees_with_written_raster(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", make_pixels(3, 20, 30), transform=transform, nodata=7)
    info = read_raster_info(path)
    assert info.grid.crs == "EPSG:32633"
    assert info.grid.transform == transform
    assert (info.grid.width, info.grid.height, info.band_count, info.dtype) == (30, 20, 3, "uint16")
    assert info.nodata == 7
    assert info.is_axis_aligned == (transform != ROTATED)
    assert info.acquired is None


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_footprint_is_counter_clockwise_rectangle(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 20, 30), transform=transform)
    footprint = shapely.from_wkb(read_raster_info(path).footprint_wkb)
    assert footprint.exterior.is_ccw
    assert set(footprint.exterior.coords) == set(list_corners(transform, 30, 20))
    assert footprint.equals(shapely.Polygon(list_corners(transform, 30, 20)))


def test_nodata_may_be_missing_or_nan(tmp_path: Path):
    assert read_raster_info(write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4))).nodata is None
    path = write_scene(tmp_path / "b.tif", make_pixels(1, 4, 4, "float32"), nodata=math.nan)
    nodata = read_raster_info(path).nodata
    assert nodata is not None
    assert math.isnan(nodata)


@pytest.mark.parametrize("code", ["EPSG:32633", "EPSG:4326", "EPSG:3035", "EPSG:3413", "EPSG:2193", "EPSG:27700"])
def test_crs_with_code_is_its_code(tmp_path: Path, code: str):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=code, transform=(1, 0, 10, 0, -1, 50))
    assert read_raster_info(path).grid.crs == code


def test_crs84_is_epsg_4326(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), transform=(1, 0, 10, 0, -1, 50))
    assert read_raster_info(path, crs="OGC:CRS84").grid.crs == "EPSG:4326"


def test_crs_without_code_is_equivalent_wkt(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=CUSTOM_CRS)
    text = read_raster_info(path).grid.crs
    assert text.startswith("PROJCRS[")
    position = pyproj.Transformer.from_crs("EPSG:4326", text, always_xy=True).transform(12.0, 48.0)
    expected = pyproj.Transformer.from_crs("EPSG:4326", CUSTOM_CRS, always_xy=True).transform(12.0, 48.0)
    assert position == pytest.approx(expected, abs=1e-6)


def test_crs_text_survives_copies(tmp_path: Path):
    text = read_raster_info(write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=CUSTOM_CRS)).grid.crs
    copied = read_raster_info(write_scene(tmp_path / "b.tif", make_pixels(1, 4, 4), crs=text)).grid.crs
    passed = read_raster_info(write_scene(tmp_path / "c.tif", make_pixels(1, 4, 4), crs=None), crs=CUSTOM_CRS).grid.crs
    assert text == copied == passed


def test_crs_keeps_datum_shift(tmp_path: Path):
    shifted = "+proj=utm +zone=33 +ellps=WGS84 +towgs84=500,100,400 +units=m"
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=shifted)
    assert read_raster_info(path).grid.crs.startswith("BOUNDCRS[")


def test_crs_unsupported_by_geotiff_is_kept(tmp_path: Path):
    krovak = "+proj=krovak +ellps=bessel"
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=None)
    assert rasterio.CRS.from_wkt(read_raster_info(path, crs=krovak).grid.crs) == rasterio.CRS.from_string(krovak)


def test_passed_crs_replaces_file_crs(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs="EPSG:4326")
    assert read_raster_info(path, crs="EPSG:32633").grid.crs == "EPSG:32633"


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_valid_footprint_is_union_of_pixels(tmp_path: Path, transform: tuple[float, ...]):
    array = make_pixels(1, 40, 30)
    array[np.random.default_rng(2).random(array.shape) < 0.4] = 0
    path = write_scene(tmp_path / "a.tif", array, transform=transform, nodata=0)
    footprint = shapely.from_wkb(read_raster_info(path, footprint="valid").footprint_wkb)
    rows, columns = np.nonzero(array[0])
    squares = [
        shapely.Polygon([to_xy(transform, c + i, r + j) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))])
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    assert footprint.is_valid
    assert footprint.area == pytest.approx(len(squares) * squares[0].area)
    assert footprint.symmetric_difference(shapely.union_all(squares)).area < 1e-6
    assert all(part.exterior.is_ccw for part in footprint.geoms)
    assert sum(len(part.interiors) for part in footprint.geoms) > 0


def test_valid_footprint_has_exact_minimal_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geographer.rasters.read._MASK_STRIP_BYTES", 40 * 512)
    array = make_pixels(2, 2000, 40)
    array[:, :100] = array[:, :, :7] = 0
    array[0, 0, 0] = 5
    transform = (0.1, 0, 0.3, 0, -0.1, 0.7)
    path = write_scene(tmp_path / "a.tif", array, transform=transform, nodata=0)
    footprint = shapely.from_wkb(read_raster_info(path, footprint="valid").footprint_wkb)
    boxes = [(0, 0, 1, 1), (7, 100, 40, 2000)]
    expected = [
        {to_xy(transform, column, row) for column in (left, right) for row in (top, bottom)}
        for left, top, right, bottom in boxes
    ]
    corners_of_parts = [set(part.exterior.coords) for part in footprint.geoms]
    assert sorted(map(sorted, corners_of_parts)) == sorted(map(sorted, expected))


def test_valid_footprint_ignores_strip_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    array = make_pixels(1, 96, 30)
    array[:, 20:70, 8:20] = 0
    path = write_scene(tmp_path / "a.tif", array, nodata=0)
    expected = read_raster_info(path, footprint="valid").footprint_wkb
    monkeypatch.setattr("geographer.rasters.read._MASK_STRIP_BYTES", 30 * 16)
    assert shapely.from_wkb(read_raster_info(path, footprint="valid").footprint_wkb).equals(shapely.from_wkb(expected))
    assert len(shapely.from_wkb(expected).interiors) == 1


def test_valid_footprint_of_alpha_band(tmp_path: Path):
    array = make_pixels(4, 32, 32, "uint8")
    array[3] = 0
    array[3, 4:12, 4:12] = np.arange(1, 9)
    path = write_scene(tmp_path / "a.tif", array, photometric="RGB", alpha="YES")
    footprint = shapely.from_wkb(read_raster_info(path, footprint="valid").footprint_wkb)
    left, top = to_xy(NORTH_UP, 4, 4)
    assert footprint.equals(shapely.box(left, top - 80, left + 80, top))


def test_valid_footprint_without_nodata(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(2, 32, 32))
    assert shapely.from_wkb(read_raster_info(path, footprint="valid").footprint_wkb).equals(
        shapely.from_wkb(read_raster_info(path).footprint_wkb)
    )


def test_valid_footprint_rejects_empty_raster(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 8, 8), "uint8"), nodata=0)
    with pytest.raises(UsageError, match="no valid pixel"):
        read_raster_info(path, footprint="valid")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:06:30 10:20:30", datetime(2024, 6, 30, 10, 20, 30, tzinfo=UTC)),
        ("2024-06-30T10:20:30Z", datetime(2024, 6, 30, 10, 20, 30, tzinfo=UTC)),
        ("2024-06-30T12:20:30.25+02:00", datetime(2024, 6, 30, 10, 20, 30, 250_000, tzinfo=UTC)),
        (" 2024-06-30 ", datetime(2024, 6, 30, tzinfo=UTC)),
    ],
)
def test_acquisition_time_is_read_from_tag(tmp_path: Path, text: str, expected: datetime):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED=text)
    assert read_raster_info(path, acquired="SENSED").acquired == expected


def test_invalid_acquisition_tags_are_reported(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED="last summer", TIFFTAG_DATETIME="2024:06:30 10:20:30")
    with pytest.raises(UsageError, match=r"no tag 'ACQUIRED'.*'SENSED', 'TIFFTAG_DATETIME'"):
        read_raster_info(path, acquired="ACQUIRED")
    with pytest.raises(UsageError, match=r"'last summer' in tag 'SENSED'.*ISO 8601"):
        read_raster_info(path, acquired="SENSED")


def read_and_catch_error(path: Path, **options: Any) -> GeographerError:
    with pytest.raises(GeographerError) as error_info:
        read_raster_info(path, **options)
    assert path.name in str(error_info.value)
    return error_info.value


def test_missing_file_is_not_found(tmp_path: Path):
    assert isinstance(read_and_catch_error(tmp_path / "none.tif"), NotFoundError)


def test_other_files_are_usage_errors(tmp_path: Path):
    (tmp_path / "text.tif").write_text("these are not the pixels you are looking for")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder.tif").mkdir()
    for name in ("text.tif", "empty.tif", "folder.tif"):
        assert isinstance(read_and_catch_error(tmp_path / name), UsageError)
    assert "an empty file, not a raster" in str(read_and_catch_error(tmp_path / "empty.tif"))
    assert "a folder" in str(read_and_catch_error(tmp_path / "folder.tif"))


@pytest.mark.parametrize("kept_bytes", [6, 60])
def test_tiff_without_directory_is_corrupt(tmp_path: Path, kept_bytes: int):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 40, 40))
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert isinstance(read_and_catch_error(path), CorruptError)


def test_unreadable_mask_is_corrupt(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 400, 400), nodata=0)
    path.write_bytes(path.read_bytes()[:-2000])
    assert read_raster_info(path).nodata == 0
    assert isinstance(read_and_catch_error(path, footprint="valid"), CorruptError)


def test_raster_without_crs_is_rejected(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=None)
    error = read_and_catch_error(path)
    assert isinstance(error, UsageError)
    assert "e.g. --crs EPSG:32633" in str(error)
    assert read_raster_info(path, crs="EPSG:32633").grid.crs == "EPSG:32633"


def test_unknown_crs_is_rejected(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4))
    with pytest.raises(UsageError, match="unknown CRS 'EPSG:99999999'"):
        read_raster_info(path, crs="EPSG:99999999")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_raster_without_transform_is_rejected(tmp_path: Path):
    write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), transform=(1, 0, 0, 0, 1, 0))
    assert "no transform" in str(read_and_catch_error(tmp_path / "a.tif"))


def test_raster_without_transform_gives_no_warning(tmp_path: Path):
    from PIL import Image

    Image.fromarray(make_pixels(1, 8, 8, "uint8")[0]).save(tmp_path / "photo.png")
    with pytest.raises(UsageError, match="no CRS"):
        read_raster_info(tmp_path / "photo.png")
    with pytest.raises(UsageError, match="no transform"):
        read_raster_info(tmp_path / "photo.png", crs="EPSG:32633")


def test_degenerate_transform_is_rejected(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), transform=(10, 20, 5, 1, 2, 7))
    assert "degenerate transform" in str(read_and_catch_error(path))


def test_metres_with_geographic_crs_are_rejected(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs="EPSG:4326")
    error = read_and_catch_error(path)
    assert isinstance(error, UsageError)
    assert "not degrees, but its CRS is EPSG:4326" in str(error)
    assert "500000, 5.19996e+06, 500040, 5.2e+06" in str(error)


def test_metres_near_equator_are_rejected(tmp_path: Path):
    near_the_equator = (10, 0, 500_000, 0, -10, 60)
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs="EPSG:4326", transform=near_the_equator)
    assert "not degrees, but its CRS is EPSG:4326" in str(read_and_catch_error(path))


@pytest.mark.parametrize("transform", [(5, 0, -2.5, 0, -5, 92.5), (1, 0, 179, 0, -1, 10), (1, 0, 356, 0, -1, 10)])
def test_degrees_beyond_pole_or_antimeridian_are_accepted(tmp_path: Path, transform: tuple[float, ...]):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs="EPSG:4326", transform=transform)
    assert read_raster_info(path).grid.transform == transform


def write_vrt(path: Path, *bands: str) -> Path:
    """Write a VRT with these bands, whose source is a new `a.tif` in the same folder."""
    write_scene(path.with_name("a.tif"), make_pixels(1, 8, 8, "uint8"))
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource></VRTRasterBand>"
    path.write_text(
        "<VRTDataset rasterXSize='8' rasterYSize='8'><SRS>EPSG:32633</SRS>"
        "<GeoTransform>500000,10,0,5200000,0,-10</GeoTransform>"
        + "".join(band + source for band in bands)
        + "</VRTDataset>"
    )
    return path


def test_bands_with_different_types_are_rejected(tmp_path: Path):
    byte, short = ("<VRTRasterBand dataType='Byte'>", "<VRTRasterBand dataType='UInt16'>")
    assert "differ in type (uint16, uint8)" in str(read_and_catch_error(write_vrt(tmp_path / "a.vrt", byte, short)))
    zero = byte + "<NoDataValue>0</NoDataValue>"
    assert "differ in nodata (0.0, None)" in str(read_and_catch_error(write_vrt(tmp_path / "b.vrt", byte, zero)))


def test_nodata_outside_dtype_is_ignored(tmp_path: Path):
    path = write_vrt(tmp_path / "a.vrt", "<VRTRasterBand dataType='Byte'><NoDataValue>-9999</NoDataValue>")
    assert read_raster_info(path).nodata is None


def test_complex_integers_are_rejected(tmp_path: Path):
    path = write_vrt(tmp_path / "a.vrt", "<VRTRasterBand dataType='CInt16'>")
    assert "complex integer pixels" in str(read_and_catch_error(path))


def test_read_grid_agrees_with_info(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 4, 4), crs=CUSTOM_CRS)
    with open_raster(path) as raster:
        assert read_grid(raster) == read_raster_info(path).grid
