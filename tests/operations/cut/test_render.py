"""Test chips against slices of the array and the metadata that the source was written from."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from geographer.base.errors import CorruptError, NotFoundError, StorageError, UsageError
from geographer.base.values import Checksums, Grid, Window
from geographer.operations.cut.render import ChipResult, ChipTask, cut_chips
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import read_raster_info
from geographer.rasters.windows import WindowReader
from tests.sample_rasters import CUSTOM_CRS, NORTH_UP, ROTATED, SOUTH_UP, make_pixels, to_xy, write_scene


def cut_chip(source: Path, window: tuple[int, int, int, int], **options: Any) -> tuple[Path, ChipResult]:
    """Cut one chip of `source`; return its path and its result."""
    chip = source.with_name("chip.tif")
    (result,) = cut_chips([ChipTask(str(source), Window(*window), str(chip), **options)])
    return chip, result


def read_pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read()


def crop_array(array: np.ndarray, window: tuple[int, ...]) -> np.ndarray:
    col, row, width, height = window
    return array[:, row : row + height, col : col + width]


def run_script(code: str, *arguments: Path) -> subprocess.Popen[str]:
    """Start Python code that cuts chips; it reads `arguments` from `sys.argv`."""
    imports = (
        "import resource, sys; from geographer.base.errors import StorageError\n"
        "from geographer.base.values import Window; from geographer.operations.cut.render import ChipTask, cut_chips\n"
        "source, folder = sys.argv[1:]\n"
    )
    command = [sys.executable, "-c", imports + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def chip_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "chips"
    folder.mkdir()
    return folder


WINDOWS = {
    "inside": (5, 9, 20, 12),
    "all": (0, 0, 50, 40),
    "first pixel": (0, 0, 1, 1),
    "last pixel": (49, 39, 1, 1),
    "right border": (34, 10, 16, 16),
    "bottom border": (10, 24, 16, 16),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
def test_chip_equals_its_window(tmp_path: Path, window: tuple[int, int, int, int], transform: tuple[float, ...]):
    array = make_pixels(4, 40, 50)
    source = write_scene(tmp_path / "a.tif", array, transform=transform)
    chip, _ = cut_chip(source, window)
    assert np.array_equal(read_pixels(chip), crop_array(array, window))
    info = read_raster_info(chip)
    assert info.grid.transform[:2] == transform[:2]
    assert info.grid.transform[3:5] == transform[3:5]
    assert to_xy(info.grid.transform, 0, 0) == to_xy(transform, *window[:2])
    assert info.grid.crs == "EPSG:32633"


def test_chip_result_describes_the_file(tmp_path: Path):
    source = write_scene(
        tmp_path / "a.tif", make_pixels(3, 40, 50, "int16"), crs=CUSTOM_CRS, transform=ROTATED, nodata=-9
    )
    chip, result = cut_chip(source, (3, 4, 20, 10), bands=(3, 1))
    content, info = chip.read_bytes(), read_raster_info(chip)
    assert result == ChipResult(
        index=0,
        destination=str(chip),
        checksums=Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()),
        pixel_digest=compute_pixel_digest(chip),
        grid=info.grid,
        band_count=2,
        dtype="int16",
        nodata=-9,
    )
    assert info.grid.crs == read_raster_info(source).grid.crs


INTEGERS = [f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("dtype", [*INTEGERS, "float32", "float64", "complex64", "complex128"])
def test_every_dtype_is_kept(tmp_path: Path, dtype: str):
    array = make_pixels(2, 40, 50, dtype)
    chip, result = cut_chip(write_scene(tmp_path / "a.tif", array), (1, 2, 30, 31))
    pixels = read_pixels(chip)
    assert pixels.dtype == result.dtype == dtype
    assert np.array_equal(pixels, array[:, 2:33, 1:31])
    assert compute_pixel_digest(chip) == result.pixel_digest


def test_bands_are_selected_and_ordered(tmp_path: Path):
    array = make_pixels(5, 40, 50)
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.open(source, "r+") as raster:
        raster.descriptions = ("B2", "B3", "B4", None, "B8")
        raster.scales, raster.offsets = (1, 2, 3, 4, 5), (0, -1, -2, -3, -4)
        raster.units = ("a", "b", "c", "d", "e")
        raster.update_tags(5, WAVELENGTH="832")
    chip, _ = cut_chip(source, (0, 0, 16, 16), bands=(5, 1))
    with rasterio.open(chip) as raster:
        assert np.array_equal(raster.read(), array[[4, 0], :16, :16])
        assert raster.descriptions == ("B8", "B2")
        assert (raster.scales, raster.offsets, raster.units) == ((5, 1), (-4, 0), ("e", "a"))
        assert (raster.tags(1), raster.tags(2)) == ({"WAVELENGTH": "832"}, {})


def test_tags_are_kept_without_statistics(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 40, 50))
    with rasterio.open(source, "r+") as raster:
        raster.update_tags(PRODUCT="S2A <L2A> & more", TIFFTAG_DATETIME="2024:06:30 10:20:30", STATISTICS_MEAN="5")
        raster.update_tags(ns="MISSION", ORBIT="33")
        raster.rpcs = RPC(1, 1, 1, 1, [1.0] * 20, [1.0] * 20, 20, 1, 1, 1, [1.0] * 20, [1.0] * 20, 25, 1)
        raster.update_tags(1, STATISTICS_MEAN="5", STATISTICS_VALID_PERCENT="100", SOLAR="1913")
    chip, _ = cut_chip(source, (0, 0, 16, 16))
    with rasterio.open(chip) as raster:
        assert raster.tags() == {
            "AREA_OR_POINT": "Area",
            "PRODUCT": "S2A <L2A> & more",
            "TIFFTAG_DATETIME": "2024:06:30 10:20:30",
        }
        assert raster.tags(ns="MISSION") == {"ORBIT": "33"}
        assert raster.tags(ns="RPC") == {}
        assert raster.tags(1) == {"SOLAR": "1913"}


def test_pixel_is_point_is_kept(tmp_path: Path):
    source = write_scene(
        tmp_path / "a.tif", make_pixels(1, 40, 50), transform=(0.1, 0, 7.3, 0, -0.1, 51.7), crs="EPSG:4326"
    )
    with rasterio.open(source, "r+") as raster:
        raster.update_tags(AREA_OR_POINT="Point")
    source_transform = read_raster_info(source).grid.transform
    chip, result = cut_chip(source, (3, 5, 16, 16))
    with rasterio.open(chip) as raster:
        assert raster.tags()["AREA_OR_POINT"] == "Point"
    assert read_raster_info(chip).grid == result.grid
    assert to_xy(result.grid.transform, 0, 0) == pytest.approx(to_xy(source_transform, 3, 5), abs=1e-12)
    assert compute_pixel_digest(chip) == result.pixel_digest


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 255), ("int16", -9999), ("float32", math.nan), ("uint16", None)]
)
def test_nodata_is_kept(tmp_path: Path, dtype: str, nodata: float | None):
    array = make_pixels(2, 40, 50, dtype)
    if nodata is not None:
        array[:, :9] = nodata
    expected: Any = [nodata] * 2
    chip, result = cut_chip(write_scene(tmp_path / "a.tif", array, nodata=nodata), (0, 0, 20, 20))
    with rasterio.open(chip) as raster:
        assert np.array_equal([raster.nodata, result.nodata], expected, equal_nan=nodata is not None)
        assert np.array_equal(raster.read(), array[:, :20, :20], equal_nan=dtype == "float32")


def write_vrt(path: Path, dtype: str, *bands: str) -> Path:
    """Write a VRT with bands of `dtype`, each with the XML elements in `bands`."""
    write_scene(path.with_name("a.tif"), make_pixels(1, 8, 8, "uint8"))
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
    elements = "".join(f"<VRTRasterBand dataType='{dtype}'>{band}{source}</VRTRasterBand>" for band in bands)
    path.write_text(
        "<VRTDataset rasterXSize='8' rasterYSize='8'><SRS>EPSG:32633</SRS>"
        f"<GeoTransform>500000,10,0,5200000,0,-10</GeoTransform>{elements}</VRTDataset>"
    )
    return path


def test_nodata_of_vrt_is_exact(tmp_path: Path):
    source = write_vrt(tmp_path / "a.vrt", "Int64", "<NoDataValue>-9223372036854775807</NoDataValue>")
    chip, result = cut_chip(source, (0, 0, 4, 4))
    assert result.nodata == -(2**63) + 1
    assert b"-9223372036854775807\0" in chip.read_bytes()


def test_differing_wide_nodata_of_bands_is_rejected(tmp_path: Path):
    bands = [f"<NoDataValue>{nodata}</NoDataValue>" for nodata in (2**60, 2**60 + 1)]
    with pytest.raises(UsageError, match=r"bands of raster .*a\.vrt' differ in nodata"):
        cut_chip(write_vrt(tmp_path / "a.vrt", "Int64", *bands), (0, 0, 4, 4))


def test_colours_changed_by_geotiff_are_rejected(tmp_path: Path):
    table = "<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1='9' c2='8' c3='7' c4='255'/></ColorTable>"
    source = write_vrt(tmp_path / "a.vrt", "Byte", table, "<ColorInterp>Gray</ColorInterp>")
    with pytest.raises(UsageError, match=r"cannot store the colours of raster.*a\.vrt"):
        cut_chip(source, (0, 0, 4, 4))


RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@pytest.mark.parametrize(
    ("dtype", "colours"),
    [
        ("uint8", RGB),
        ("uint8", (*RGB, ColorInterp.alpha)),
        ("uint8", (ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined)),
        ("uint16", RGB),
        ("uint16", (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)),
        ("uint16", (ColorInterp.gray, ColorInterp.alpha)),
        ("float32", (ColorInterp.gray,)),
    ],
    ids=str,
)
def test_colours_are_kept(tmp_path: Path, dtype: str, colours: tuple[ColorInterp, ...]):
    array = make_pixels(len(colours), 40, 50, dtype)
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.open(source, "r+") as raster:
        raster.colorinterp = colours
    chip, _ = cut_chip(source, (4, 4, 16, 16))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.tif", "chip.tif"]
    with rasterio.open(chip) as raster:
        assert raster.colorinterp == colours
        assert (MaskFlags.alpha in raster.mask_flag_enums[0]) == (ColorInterp.alpha in colours)
        assert np.array_equal(raster.read(), array[:, 4:20, 4:20])


def test_single_colour_band_is_kept(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(3, 40, 50, "uint8"), photometric="RGB")
    chip, _ = cut_chip(source, (4, 4, 16, 16), bands=(3,))
    with rasterio.open(chip) as raster:
        assert raster.colorinterp == (ColorInterp.blue,)


def test_colour_map_is_kept(tmp_path: Path):
    array = make_pixels(1, 40, 50, "uint8")
    source = write_scene(tmp_path / "a.tif", array, photometric="PALETTE")
    with rasterio.open(source, "r+") as raster:
        raster.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})
    chip, _ = cut_chip(source, (4, 4, 16, 16))
    with rasterio.open(source) as source_raster, rasterio.open(chip) as raster:
        assert raster.colorinterp == (ColorInterp.palette,)
        assert raster.colormap(1) == source_raster.colormap(1)
        assert np.array_equal(raster.read(), array[:, 4:20, 4:20])


@pytest.mark.parametrize("internal", [True, False])
def test_dataset_mask_is_kept(tmp_path: Path, chip_folder: Path, internal: bool):
    array = make_pixels(3, 40, 50, "uint8")
    mask = np.where(np.random.default_rng(3).random((40, 50)) < 0.5, 0, 255).astype("uint8")
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(source, "r+") as raster:
        raster.write_mask(mask)
    list(cut_chips([ChipTask(str(source), Window(30, 20, 16, 16), str(chip_folder / "chip.tif"))]))
    assert [path.name for path in chip_folder.iterdir()] == ["chip.tif"]
    with rasterio.open(chip_folder / "chip.tif") as raster:
        assert np.array_equal(raster.dataset_mask(), mask[20:36, 30:46])
        assert np.array_equal(raster.read(), array[:, 20:36, 30:46])


PADDED = {
    "upper left": (-5, -3, 16, 16),
    "lower right": (40, 30, 16, 16),
    "all around": (-4, -4, 60, 50),
}


@pytest.mark.parametrize("window", PADDED.values(), ids=PADDED)
@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north-up", "rotated"])
def test_window_across_edge_is_padded(tmp_path: Path, window: tuple[int, int, int, int], transform: tuple[float, ...]):
    array = make_pixels(2, 40, 50)
    chip, result = cut_chip(write_scene(tmp_path / "a.tif", array, transform=transform), window, pad_value=7)
    col, row, *size = window
    padded = np.pad(array, ((0, 0), (60, 60), (60, 60)), constant_values=7)
    assert np.array_equal(read_pixels(chip), crop_array(padded, (col + 60, row + 60, *size)))
    assert to_xy(read_raster_info(chip).grid.transform, 0, 0) == to_xy(transform, col, row)
    assert compute_pixel_digest(chip) == result.pixel_digest


def test_pad_value_may_be_nan(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 40, 50, "float32"), nodata=math.nan)
    chip, _ = cut_chip(source, (-3, 0, 16, 16), pad_value=math.nan)
    assert np.array_equal(np.isnan(read_pixels(chip)[0]), np.tile(np.arange(16) < 3, (16, 1)))


def test_padding_is_masked(tmp_path: Path):
    with_alpha = write_scene(tmp_path / "a.tif", np.full((4, 40, 50), 255, "uint8"), photometric="RGB", alpha="YES")
    masked = write_scene(tmp_path / "b.tif", make_pixels(1, 40, 50, "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as raster:
        raster.write_mask(np.full((40, 50), 255, "uint8"))
    for source in (with_alpha, masked):
        chip, _ = cut_chip(source, (-3, 0, 16, 16), pad_value=9)
        with rasterio.open(chip) as raster:
            assert np.array_equal(raster.dataset_mask() != 0, np.tile(np.arange(16) >= 3, (16, 1)))
            assert (raster.read(1)[:, :3] == 9).all()


@pytest.mark.parametrize("window", PADDED.values(), ids=PADDED)
def test_window_across_edge_needs_pad_value(tmp_path: Path, window: tuple[int, int, int, int]):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 40, 50))
    with pytest.raises(UsageError, match=r"crosses the edge of raster.*pad it"):
        cut_chip(source, window)
    assert not source.with_name("chip.tif").exists()


@pytest.mark.parametrize(
    "window", [(50, 0, 4, 4), (0, 40, 4, 4), (-4, 0, 4, 4), (0, -4, 4, 4), (0, 0, 0, 4), (0, 0, 4, 0)]
)
def test_window_outside_raster_is_rejected(tmp_path: Path, window: tuple[int, int, int, int]):
    with pytest.raises(UsageError, match="contains no pixel"):
        cut_chip(write_scene(tmp_path / "a.tif", make_pixels(1, 40, 50)), window, pad_value=0)


@pytest.mark.parametrize("value", [256, -1, 0.5, math.nan, math.inf])
def test_pad_value_must_fit_dtype(tmp_path: Path, value: float):
    with pytest.raises(UsageError, match=r"for uint8\. Use a whole number from 0 to 255"):
        cut_chip(write_scene(tmp_path / "a.tif", make_pixels(1, 8, 8, "uint8")), (0, 0, 9, 9), pad_value=value)


def test_unknown_band_is_rejected(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(2, 8, 8))
    for band in (0, 3):
        with pytest.raises(UsageError, match=f"no band {band}. Use bands 1 to 2"):
            cut_chip(source, (0, 0, 4, 4), bands=(1, band))


def test_tasks_are_validated_before_cutting(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 40, 50))
    tasks = [ChipTask(str(source), Window(col, 0, 16, 16), str(tmp_path / f"{col}.tif")) for col in (0, 16, 40)]
    with pytest.raises(UsageError, match="chip '40' crosses the edge"):
        list(cut_chips(tasks))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_crs_of_task_replaces_missing_crs(tmp_path: Path):
    without_crs, with_crs = (
        write_scene(tmp_path / f"{crs}.tif", make_pixels(1, 8, 8), crs=crs) for crs in (None, "EPSG:32633")
    )
    tasks = [ChipTask(str(path), Window(0, 0, 4, 4), f"{path}.chip") for path in (without_crs, with_crs)]
    with pytest.raises(UsageError, match="no CRS"):
        list(cut_chips(tasks))
    results = list(cut_chips([replace(tasks[0], crs=CUSTOM_CRS), tasks[1]]))
    assert (
        results[0].grid.crs
        == read_raster_info(without_crs, crs=CUSTOM_CRS).grid.crs
        == read_raster_info(Path(f"{without_crs}.chip")).grid.crs
    )
    assert results[1].grid.crs == "EPSG:32633"


def test_crs_changed_by_geotiff_is_rejected(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 8, 8), crs=None)
    crs = "+proj=krovak +ellps=bessel"
    task = ChipTask(str(source), Window(0, 0, 4, 4), str(tmp_path / "chip.tif"), crs=crs)
    with pytest.raises(UsageError, match="cannot store the CRS"):
        list(cut_chips([task]))


def test_large_chip_is_tiled(tmp_path: Path):
    array = make_pixels(1, 700, 600)
    chip, result = cut_chip(write_scene(tmp_path / "a.tif", array, blockxsize=256, blockysize=256), (10, 20, 513, 530))
    with rasterio.open(chip) as raster:
        assert raster.block_shapes == [(256, 256)]
        assert np.array_equal(raster.read(), array[:, 20:550, 10:523])
    assert compute_pixel_digest(chip) == result.pixel_digest


def make_scattered_tasks(folder: Path, destination: Path, count: int = 40) -> list[ChipTask]:
    """Make tasks in random order over two sources, and the folder `destination`."""
    destination.mkdir()
    sources = [folder / "a.tif", folder / "b.tif"]
    for seed, source in enumerate(sources):
        if not source.exists():
            write_scene(source, make_pixels(3, 120, 130, seed=seed))
    rng = np.random.default_rng(4)
    return [
        ChipTask(
            str(sources[rng.integers(2)]),
            Window(int(rng.integers(98)), int(rng.integers(88)), 32, 32),
            str(destination / f"{number}.tif"),
            bands=(1, 2, 3) if number % 3 else (2,),
        )
        for number in range(count)
    ]


def test_results_come_in_task_order(tmp_path: Path):
    tasks = make_scattered_tasks(tmp_path, tmp_path / "chips")
    results = list(cut_chips(tasks))
    assert [chip.index for chip in results] == list(range(len(tasks)))
    assert [chip.destination for chip in results] == [task.destination for task in tasks]
    arrays = {task.raster_path: read_pixels(Path(task.raster_path)) for task in tasks}
    for task in tasks:
        assert task.bands
        expected = crop_array(arrays[task.raster_path], task.window)[[band - 1 for band in task.bands]]
        assert np.array_equal(read_pixels(Path(task.destination)), expected)


def test_chips_are_cut_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 64, 64))
    corners_in_order = []

    def record_corner(reader: WindowReader, window: Window) -> Grid:
        corners_in_order.append((window.row, window.col))
        return make_grid(reader, window)

    make_grid = WindowReader.make_grid
    monkeypatch.setattr(WindowReader, "make_grid", record_corner)
    corners = [(0, 0), (1, 40), (2, 0), (3, 33), (20, 3), (17, 50), (18, 1)]
    list(
        cut_chips([ChipTask(str(source), Window(col, row, 8, 8), str(tmp_path / f"{row}.tif")) for row, col in corners])
    )
    assert corners_in_order == [(0, 0), (2, 0), (1, 40), (3, 33), (18, 1), (20, 3), (17, 50)]


def test_workers_do_not_change_bytes(tmp_path: Path):
    runs = {"one": 1, "again": 1, "two": 2}
    results = {
        name: list(cut_chips(make_scattered_tasks(tmp_path, tmp_path / name), workers=workers))
        for name, workers in runs.items()
    }
    summaries = [
        [(chip.index, chip.checksums, chip.pixel_digest, chip.grid) for chip in chips] for chips in results.values()
    ]
    assert summaries[0] == summaries[1] == summaries[2]
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in runs]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 40


def test_no_tasks_make_no_chips():
    assert list(cut_chips([])) == []
    assert list(cut_chips([], workers=2)) == []


def test_equal_destinations_are_rejected(tmp_path: Path):
    task = ChipTask("a.tif", Window(0, 0, 4, 4), str(tmp_path / "chip.tif"))
    with pytest.raises(ValueError, match="same destination"):
        list(cut_chips([task, task]))


def test_missing_source_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"none\.tif"):
        cut_chip(tmp_path / "none.tif", (0, 0, 4, 4))


@pytest.mark.parametrize("workers", [1, 2])
def test_corrupt_source_leaves_only_complete_chips(tmp_path: Path, chip_folder: Path, workers: int):
    array = make_pixels(1, 400, 400)
    source = write_scene(tmp_path / "a.tif", array, compress="zstd")
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    source.write_bytes(content)
    corners = [(col, row) for row in range(0, 400, 40) for col in range(0, 400, 40)]
    tasks = [
        ChipTask(str(source), Window(col, row, 40, 40), str(chip_folder / f"{col}-{row}.tif")) for col, row in corners
    ]
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        list(cut_chips(tasks, workers=workers))
    paths = list(chip_folder.iterdir())
    assert all(path.suffix == ".tif" for path in paths)
    assert 10 < len(paths) < 100
    for path in paths:
        col, row = map(int, path.stem.split("-"))
        assert np.array_equal(read_pixels(path), crop_array(array, (col, row, 40, 40)))


def test_full_disk_leaves_no_partial_chip(tmp_path: Path, chip_folder: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 400, 400))
    code = (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sizes = (16, 16, 300, 16, 16)\n"
        "tasks = [ChipTask(source, Window(n, n, s, s), f'{folder}/{n}.tif') for n, s in enumerate(sizes)]\n"
        "try: list(cut_chips(tasks))\n"
        "except StorageError as error: print(error)\n"
    )
    (chip_folder / "2.tif").write_text("the existing file")
    process = run_script(code, source, chip_folder)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "cannot write" in output
    assert "2.tif'" in output
    assert "File too large" in output
    assert {path.name for path in chip_folder.iterdir()} <= {f"{number}.tif" for number in range(5)}
    assert (chip_folder / "2.tif").read_text() == "the existing file"


def test_missing_folder_is_a_storage_error(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(1, 8, 8))
    task = ChipTask(str(source), Window(0, 0, 4, 4), str(tmp_path / "none" / "chip.tif"))
    with pytest.raises(StorageError, match="its folder does not exist"):
        list(cut_chips([task]))


def test_kill_leaves_no_partial_chip(tmp_path: Path, chip_folder: Path):
    source = write_scene(tmp_path / "a.tif", make_pixels(3, 600, 600))
    code = (
        "windows = [Window(n % 88, n % 77, 512, 512) for n in range(5000)]\n"
        "list(cut_chips([ChipTask(source, window, f'{folder}/{n}.tif') for n, window in enumerate(windows)]))\n"
    )
    with run_script(code, source, chip_folder) as process:
        while process.poll() is None and len(list(chip_folder.glob("*.tif"))) < 20:
            time.sleep(0.01)
        process.kill()
    array = read_pixels(source)
    paths = list(chip_folder.glob("*.tif"))
    assert 20 <= len(paths) < 5000
    for path in paths:
        number = int(path.stem)
        assert np.array_equal(read_pixels(path), crop_array(array, (number % 88, number % 77, 512, 512)))
