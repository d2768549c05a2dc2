"""A raster in its place: the main file by checksum, and by grid, nodata and pixels what other files add to it."""

from __future__ import annotations

import os

import pytest
from rasterio.shutil import copy as copy_raster

from geographer.rasters.checksums import compute_checksums
from geographer.rasters.file_check import RecordedRaster, check_raster_file
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import read_raster_info
from tests.sample_history import flip_bit_of_file
from tests.sample_rasters import make_pixels, write_scene


def record_raster(path, crs=None):
    """Return the arguments of `check_raster_file` for a raster as it is now; `crs` is one that the user gives."""
    info = read_raster_info(path, crs=crs)
    digest = compute_pixel_digest(path, crs=crs)
    return path, compute_checksums(path), RecordedRaster(info.grid, info.nodata, digest, crs is not None)


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path / "scene.tif", make_pixels(1, 8, 8, "uint8"), nodata=0)


def write_sidecar(scene, content):
    scene.with_name("scene.tif.aux.xml").write_text(f"<PAMDataset>{content}</PAMDataset>")


NODATA = '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand>'
MOVED = "<GeoTransform>500010, 10, 0, 5200000, 0, -10</GeoTransform>"
OTHER_CRS = "<SRS>EPSG:32634</SRS>"


@pytest.mark.parametrize("content", [NODATA, MOVED, OTHER_CRS])
def test_new_sidecar_that_matters_is_found(scene, content):
    recorded = record_raster(scene)
    write_sidecar(scene, "<Metadata><MDI key='note'>harmless</MDI></Metadata>")
    assert check_raster_file(*recorded) is None
    write_sidecar(scene, content)
    assert check_raster_file(*recorded) == "altered"


def test_own_crs_is_not_compared_if_the_user_gave_one(scene):
    recorded = record_raster(scene, crs="EPSG:32631")
    write_sidecar(scene, OTHER_CRS)
    assert check_raster_file(*recorded) is None


def test_pixels_of_a_virtual_raster_are_compared(scene):
    copy_raster(scene, scene.with_name("scene.vrt"), driver="VRT")
    recorded = record_raster(scene.with_name("scene.vrt"))
    assert check_raster_file(*recorded) is None
    flip_bit_of_file(scene)
    assert check_raster_file(*recorded) == "altered"
    scene.unlink()
    assert check_raster_file(*recorded) == "altered"


def test_main_file_is_compared_first(scene):
    path, checksums, recorded = record_raster(scene)
    flip_bit_of_file(path)
    assert check_raster_file(path, checksums, recorded) == "altered"
    path.unlink()
    assert check_raster_file(path, checksums, recorded) == "missing"
    os.mkfifo(path)
    assert check_raster_file(path, checksums, recorded) == "missing"
