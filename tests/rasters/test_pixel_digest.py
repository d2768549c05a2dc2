"""The pixel digest, compared with its definition written out by hand."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geographer.base.errors import CorruptError, UsageError
from geographer.base.values import Grid, Transform
from geographer.rasters.pixel_digest import compute_array_digest, compute_pixel_digest
from geographer.rasters.read import iter_strips, read_raster_info
from tests.sample_rasters import CUSTOM_CRS, ROTATED, make_pixels, write_scene


def test_digest_follows_definition(tmp_path: Path):
    array = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 65535]]], "uint16")
    path = write_scene(tmp_path / "a.tif", array, transform=(10, 0, 500_000.5, 0, -10, 5_200_000))
    header = (
        b'{"bands":2,"crs":"EPSG:32633","dtype":"uint16","height":2,'
        b'"transform":[10,0,500000.5,0,-10,5200000],"width":3}'
    )
    body = struct.pack("<12H", 1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 65535)
    assert compute_pixel_digest(path) == hashlib.sha256(header + body).hexdigest()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "float32", "float64", "complex64"])
@pytest.mark.parametrize("crs", ["EPSG:32633", CUSTOM_CRS])
def test_file_and_array_have_same_digest(tmp_path: Path, dtype: str, crs: str):
    array = make_pixels(3, 37, 53, dtype)
    path = write_scene(tmp_path / "a.tif", array, transform=ROTATED, crs=crs)
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
def test_digest_ignores_file_layout(tmp_path: Path, options: dict[str, Any]):
    array = make_pixels(3, 50, 40)
    expected = compute_pixel_digest(write_scene(tmp_path / "a.tif", array))
    assert compute_pixel_digest(write_scene(tmp_path / "b.tif", array, **options)) == expected


@pytest.mark.parametrize("strip_bytes", [1, 40 * 3 * 2 * 16, 40 * 3 * 2 * 40])
def test_digest_ignores_strip_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip_bytes: int):
    path = write_scene(tmp_path / "a.tif", make_pixels(3, 50, 40))
    expected = compute_pixel_digest(path)
    monkeypatch.setattr("geographer.rasters.pixel_digest._STRIP_BYTES", strip_bytes)
    assert compute_pixel_digest(path) == expected


def test_high_blocks_are_read_in_parts(tmp_path: Path):
    array = make_pixels(1, 2513, 3, "uint8")
    path = write_scene(tmp_path / "a.tif", array, tiled=False, blockysize=2512)
    with rasterio.open(path) as raster:
        assert raster.block_shapes == [(2512, 3)]
        assert [window.height for window in iter_strips(raster, 100, 3)] == [1024, 1024, 465]
    assert compute_pixel_digest(path) == compute_array_digest(array, read_raster_info(path).grid)


def test_digest_depends_on_pixels_and_grid(tmp_path: Path):
    array = make_pixels(2, 20, 20)
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


def test_digest_depends_on_every_bit_of_floats(tmp_path: Path):
    array = make_pixels(1, 8, 8, "float32")
    array[0, 0] = [np.nan, -np.nan, 0.0, -0.0, np.inf, 1e-45, -1.5, 2.0]
    array.view("uint32")[0, 1, 0] = 0x7FC00123
    path = write_scene(tmp_path / "a.tif", array, nodata=np.nan)
    assert compute_pixel_digest(path) == compute_array_digest(array, read_raster_info(path).grid)
    other = array.copy()
    other[0, 0, 3] = 0.0
    assert compute_array_digest(other, read_raster_info(path).grid) != compute_pixel_digest(path)


def test_array_digest_ignores_memory_order():
    array = make_pixels(3, 5, 7)
    grid = Grid("EPSG:32633", Transform(1, 0, 0, 0, -1, 0), 7, 5)
    fortran_order = np.asfortranarray(array)
    assert (
        compute_array_digest(fortran_order, grid)
        == compute_array_digest(array, grid)
        == compute_array_digest(array.astype(">u2"), grid)
    )


def test_array_digest_rejects_other_shape():
    with pytest.raises(ValueError, match="7x5 pixels does not fit a grid of 5x7 pixels"):
        compute_array_digest(make_pixels(3, 5, 7), Grid("EPSG:32633", Transform(1, 0, 0, 0, -1, 0), 5, 7))


def test_digest_includes_passed_crs(tmp_path: Path):
    array = make_pixels(1, 8, 8)
    without_crs = write_scene(tmp_path / "a.tif", array, crs=None)
    with pytest.raises(UsageError, match=r"has no CRS\. Pass one"):
        compute_pixel_digest(without_crs)
    assert compute_pixel_digest(without_crs, crs=CUSTOM_CRS) == compute_pixel_digest(
        write_scene(tmp_path / "b.tif", array, crs=CUSTOM_CRS)
    )


@pytest.mark.parametrize("compress", ["deflate", None])
def test_truncated_file_is_reported_as_corrupt(tmp_path: Path, compress: str | None):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 400, 400), compress=compress)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        compute_pixel_digest(path)


def test_damaged_block_is_reported_as_corrupt(tmp_path: Path):
    path = write_scene(tmp_path / "a.tif", make_pixels(1, 400, 400), compress="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        compute_pixel_digest(path)
