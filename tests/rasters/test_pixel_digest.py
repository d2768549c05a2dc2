"""The pixel digest, against its definition written out by hand."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer.base.errors import CorruptError, UsageError
from geographer.base.values import Grid, Transform
from geographer.rasters.pixel_digest import compute_array_digest, compute_pixel_digest
from geographer.rasters.read import iter_strips, read_raster_info
from tests.sample_rasters import CUSTOM, TURNED, pixels, write_scene


def test_the_digest_is_that_of_the_definition_byte_for_byte(tmp_path: Path):
    array = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 65535]]], "uint16")
    path = write_scene(tmp_path / "a.tif", array, transform=(10, 0, 500_000.5, 0, -10, 5_200_000))
    header = (
        b'{"bands":2,"crs":"EPSG:32633","dtype":"uint16","height":2,'
        b'"transform":[10,0,500000.5,0,-10,5200000],"width":3}'
    )
    body = struct.pack("<12H", 1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 65535)
    assert compute_pixel_digest(path) == hashlib.sha256(header + body).hexdigest()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "float32", "float64", "complex64"])
@pytest.mark.parametrize("crs", ["EPSG:32633", CUSTOM])
def test_a_file_and_its_array_have_one_digest(tmp_path: Path, dtype: str, crs: str):
    array = pixels(3, 37, 53, dtype)
    path = write_scene(tmp_path / "a.tif", array, transform=TURNED, crs=crs)
    assert compute_pixel_digest(path) == compute_array_digest(array, read_raster_info(path).grid)


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "zstd", "predictor": 2},
        {"tiled": False, "blockysize": 7},
        {"interleave": "band"},
        {"interleave": "pixel", "blockxsize": 32},
        {"compress": None, "ENDIANNESS": "BIG"},
        {"nodata": 3, "BIGTIFF": "YES"},
    ],
    ids=str,
)
def test_how_the_file_is_laid_out_does_not_matter(tmp_path: Path, options: dict[str, object]):
    array = pixels(3, 50, 40)
    plain = compute_pixel_digest(write_scene(tmp_path / "a.tif", array))
    assert compute_pixel_digest(write_scene(tmp_path / "b.tif", array, **options)) == plain


@pytest.mark.parametrize("strip_bytes", [1, 40 * 3 * 2 * 16, 40 * 3 * 2 * 40])
def test_how_many_rows_are_read_at_a_time_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip_bytes: int
):
    path = write_scene(tmp_path / "a.tif", pixels(3, 50, 40))
    whole = compute_pixel_digest(path)
    monkeypatch.setattr("geographer.rasters.pixel_digest._STRIP_BYTES", strip_bytes)
    assert compute_pixel_digest(path) == whole


def test_a_file_of_very_high_blocks_is_read_in_parts(tmp_path: Path):
    array = pixels(1, 2513, 3, "uint8")
    path = write_scene(tmp_path / "a.tif", array, tiled=False, blockysize=2512)
    with rasterio.open(path) as raster:
        assert raster.block_shapes == [(2512, 3)]
        assert [window.height for window in iter_strips(raster, 3, 100)] == [1024, 1024, 465]
    assert compute_pixel_digest(path) == compute_array_digest(array, read_raster_info(path).grid)


def test_every_pixel_and_all_that_places_it_matters(tmp_path: Path):
    array = pixels(2, 20, 20)
    flipped = array.copy()
    flipped[1, 19, 19] ^= 1
    paths = [
        write_scene(tmp_path / "a.tif", array),
        write_scene(tmp_path / "b.tif", flipped),
        write_scene(tmp_path / "c.tif", array[::-1]),
        write_scene(tmp_path / "d.tif", array.astype("int16")),
        write_scene(tmp_path / "e.tif", array, crs="EPSG:32634"),
        write_scene(tmp_path / "f.tif", array, transform=(10, 0, 500_000, 0, -10, 5_200_000.001)),
        write_scene(tmp_path / "g.tif", array.reshape(2, 10, 40)),
    ]
    assert len({compute_pixel_digest(path) for path in paths}) == len(paths)


def test_no_bit_of_a_float_is_lost(tmp_path: Path):
    array = pixels(1, 8, 8, "float32")
    array[0, 0] = [np.nan, -np.nan, 0.0, -0.0, np.inf, 1e-45, -1.5, 2.0]
    array.view("uint32")[0, 1, 0] = 0x7FC00123
    path = write_scene(tmp_path / "a.tif", array, nodata=np.nan)
    assert compute_pixel_digest(path) == compute_array_digest(array, read_raster_info(path).grid)
    other = array.copy()
    other[0, 0, 3] = 0.0
    assert compute_array_digest(other, read_raster_info(path).grid) != compute_pixel_digest(path)


def test_the_order_in_memory_does_not_matter():
    array = pixels(3, 5, 7)
    grid = Grid("EPSG:32633", Transform(1, 0, 0, 0, -1, 0), 7, 5)
    turned = np.asfortranarray(array)
    assert (
        compute_array_digest(turned, grid)
        == compute_array_digest(array, grid)
        == compute_array_digest(array.astype(">u2"), grid)
    )


def test_an_array_that_is_not_the_grids_is_an_error():
    with pytest.raises(ValueError, match="5 rows of 7 pixels"):
        compute_array_digest(pixels(3, 5, 7), Grid("EPSG:32633", Transform(1, 0, 0, 0, -1, 0), 5, 7))


def test_a_crs_that_is_passed_is_in_the_digest(tmp_path: Path):
    array = pixels(1, 8, 8)
    bare = write_scene(tmp_path / "a.tif", array, crs=None)
    with pytest.raises(UsageError, match="pass --crs"):
        compute_pixel_digest(bare)
    assert compute_pixel_digest(bare, crs=CUSTOM) == compute_pixel_digest(
        write_scene(tmp_path / "b.tif", array, crs=CUSTOM)
    )


@pytest.mark.parametrize("compress", ["deflate", None])
def test_a_truncated_file_is_corrupt_and_named(tmp_path: Path, compress: str | None):
    path = write_scene(tmp_path / "a.tif", pixels(1, 400, 400), compress=compress)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        compute_pixel_digest(path)


def test_a_damaged_block_is_corrupt(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", pixels(1, 400, 400), compress="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        compute_pixel_digest(path)
