"""Chips, against slices of the array that the source was written from, and what was said then."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from geographer.base.errors import CorruptError, NotFoundError, StorageError, UsageError
from geographer.base.values import Checksums, Transform, Window
from geographer.operations.cut.render import ChipMade, ChipOrder, cut
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import read_raster_info
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff
from tests.sample_rasters import CUSTOM, NORTH_UP, SOUTH_UP, TURNED, at, pixels, write_scene


def cut_one(source: Path, window: tuple[int, int, int, int], **options: object) -> tuple[Path, ChipMade]:
    """One chip of `source`, and what `cut` says of it."""
    chip = source.with_name("chip.tif")
    (made,) = cut([ChipOrder(str(source), Window(*window), str(chip), **options)])
    return chip, made


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read()


WINDOWS = {
    "inside": (5, 9, 20, 12),
    "all": (0, 0, 50, 40),
    "first pixel": (0, 0, 1, 1),
    "last pixel": (49, 39, 1, 1),
    "right border": (34, 10, 16, 16),
    "bottom border": (10, 24, 16, 16),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, TURNED], ids=["north-up", "south-up", "turned"])
def test_a_chip_is_its_window_pixel_for_pixel(
    tmp_path: Path, window: tuple[int, int, int, int], transform: tuple[float, ...]
):
    array = pixels(4, 40, 50)
    source = write_scene(tmp_path / "a.tif", array, transform=transform)
    chip, _ = cut_one(source, window)
    col, row, width, height = window
    assert np.array_equal(read(chip), array[:, row : row + height, col : col + width])
    facts = read_raster_info(chip)
    assert facts.grid.transform[:2] == transform[:2]
    assert facts.grid.transform[3:5] == transform[3:5]
    assert at(facts.grid.transform, 0, 0) == at(transform, col, row)
    assert facts.grid.crs == "EPSG:32633"


def test_what_is_said_of_a_chip_is_what_its_file_holds(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(3, 40, 50, "int16"), crs=CUSTOM, transform=TURNED, nodata=-9)
    chip, made = cut_one(source, (3, 4, 20, 10), bands=(3, 1))
    content, facts = chip.read_bytes(), read_raster_info(chip)
    assert made == ChipMade(
        index=0,
        destination=str(chip),
        checksums=Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()),
        pixel_digest=compute_pixel_digest(chip),
        grid=facts.grid,
        count=2,
        dtype="int16",
        nodata=-9,
    )
    assert facts.grid.crs == read_raster_info(source).grid.crs


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ],
)
def test_every_type_is_kept(tmp_path: Path, dtype: str):
    array = pixels(2, 40, 50, dtype)
    chip, made = cut_one(write_scene(tmp_path / "a.tif", array), (1, 2, 30, 31))
    kept = read(chip)
    assert kept.dtype == made.dtype == dtype
    assert np.array_equal(kept, array[:, 2:33, 1:31])
    assert compute_pixel_digest(chip) == made.pixel_digest


def test_bands_are_chosen_and_ordered(tmp_path: Path):
    array = pixels(5, 40, 50)
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.open(source, "r+") as raster:
        raster.descriptions = ("B2", "B3", "B4", None, "B8")
        raster.scales, raster.offsets = (1, 2, 3, 4, 5), (0, -1, -2, -3, -4)
        raster.units = ("a", "b", "c", "d", "e")
        raster.update_tags(5, WAVELENGTH="832")
    chip, _ = cut_one(source, (0, 0, 16, 16), bands=(5, 1))
    with rasterio.open(chip) as raster:
        assert np.array_equal(raster.read(), array[[4, 0], :16, :16])
        assert raster.descriptions == ("B8", "B2")
        assert (raster.scales, raster.offsets, raster.units) == ((5, 1), (-4, 0), ("e", "a"))
        assert (raster.tags(1), raster.tags(2)) == ({"WAVELENGTH": "832"}, {})


def test_tags_are_kept_but_not_what_only_holds_for_the_whole_raster(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 40, 50))
    with rasterio.open(source, "r+") as raster:
        raster.update_tags(PRODUCT="S2A <L2A> & more", TIFFTAG_DATETIME="2024:06:30 10:20:30", STATISTICS_MEAN="5")
        raster.update_tags(ns="MISSION", ORBIT="33")
        raster.rpcs = RPC(1, 1, 1, 1, [1.0] * 20, [1.0] * 20, 20, 1, 1, 1, [1.0] * 20, [1.0] * 20, 25, 1)
        raster.update_tags(1, STATISTICS_MEAN="5", STATISTICS_VALID_PERCENT="100", SOLAR="1913")
    chip, _ = cut_one(source, (0, 0, 16, 16))
    with rasterio.open(chip) as raster:
        assert raster.tags() == {
            "AREA_OR_POINT": "Area",
            "PRODUCT": "S2A <L2A> & more",
            "TIFFTAG_DATETIME": "2024:06:30 10:20:30",
        }
        assert raster.tags(ns="MISSION") == {"ORBIT": "33"}
        assert raster.tags(ns="RPC") == {}
        assert raster.tags(1) == {"SOLAR": "1913"}


def test_pixels_that_are_points_stay_so_and_stay_where_they_are(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 40, 50), transform=(0.1, 0, 7.3, 0, -0.1, 51.7), crs="EPSG:4326")
    with rasterio.open(source, "r+") as raster:
        raster.update_tags(AREA_OR_POINT="Point")
    where = read_raster_info(source).grid.transform
    chip, made = cut_one(source, (3, 5, 16, 16))
    with rasterio.open(chip) as raster:
        assert raster.tags()["AREA_OR_POINT"] == "Point"
    assert read_raster_info(chip).grid == made.grid
    assert at(made.grid.transform, 0, 0) == pytest.approx(at(where, 3, 5), abs=1e-12)
    assert compute_pixel_digest(chip) == made.pixel_digest


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 255), ("int16", -9999), ("float32", math.nan), ("uint16", None)]
)
def test_nodata_is_kept(tmp_path: Path, dtype: str, nodata: float | None):
    array = pixels(2, 40, 50, dtype)
    if nodata is not None:
        array[:, :9] = nodata
    chip, made = cut_one(write_scene(tmp_path / "a.tif", array, nodata=nodata), (0, 0, 20, 20))
    with rasterio.open(chip) as raster:
        assert np.array_equal([raster.nodata, made.nodata], [nodata] * 2, equal_nan=nodata is not None)
        assert np.array_equal(raster.read(), array[:, :20, :20], equal_nan=dtype == "float32")


def virtual(path: Path, dtype: str, *bands: str) -> Path:
    """A virtual raster with bands that are said to be `dtype` and to have what each of `bands` says in XML."""
    write_scene(path.with_name("a.tif"), pixels(1, 8, 8, "uint8"))
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
    inside = "".join(f"<VRTRasterBand dataType='{dtype}'>{band}{source}</VRTRasterBand>" for band in bands)
    path.write_text(
        "<VRTDataset rasterXSize='8' rasterYSize='8'><SRS>EPSG:32633</SRS>"
        f"<GeoTransform>500000,10,0,5200000,0,-10</GeoTransform>{inside}</VRTDataset>"
    )
    return path


def test_a_nodata_that_geotiff_would_change_is_refused(tmp_path: Path):
    source = virtual(tmp_path / "a.vrt", "Int64", "<NoDataValue>-9223372036854775808</NoDataValue>")
    with pytest.raises(UsageError, match=r"can't hold the nodata of raster.*a\.vrt"):
        cut_one(source, (0, 0, 4, 4))


def test_colours_that_geotiff_would_change_are_refused(tmp_path: Path):
    table = "<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1='9' c2='8' c3='7' c4='255'/></ColorTable>"
    source = virtual(tmp_path / "a.vrt", "Byte", table, "<ColorInterp>Gray</ColorInterp>")
    with pytest.raises(UsageError, match=r"can't hold the colours of raster.*a\.vrt"):
        cut_one(source, (0, 0, 4, 4))


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
    array = pixels(len(colours), 40, 50, dtype)
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.open(source, "r+") as raster:
        raster.colorinterp = colours
    chip, _ = cut_one(source, (4, 4, 16, 16))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.tif", "chip.tif"]
    with rasterio.open(chip) as raster:
        assert raster.colorinterp == colours
        assert (MaskFlags.alpha in raster.mask_flag_enums[0]) == (ColorInterp.alpha in colours)
        assert np.array_equal(raster.read(), array[:, 4:20, 4:20])


def test_a_chip_of_one_colour_is_that_colour(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(3, 40, 50, "uint8"), photometric="RGB")
    chip, _ = cut_one(source, (4, 4, 16, 16), bands=(3,))
    with rasterio.open(chip) as raster:
        assert raster.colorinterp == (ColorInterp.blue,)


def test_a_colour_map_is_kept(tmp_path: Path):
    array = pixels(1, 40, 50, "uint8")
    source = write_scene(tmp_path / "a.tif", array, photometric="PALETTE")
    with rasterio.open(source, "r+") as raster:
        raster.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})
    chip, _ = cut_one(source, (4, 4, 16, 16))
    with rasterio.open(source) as whole, rasterio.open(chip) as raster:
        assert raster.colorinterp == (ColorInterp.palette,)
        assert raster.colormap(1) == whole.colormap(1)
        assert np.array_equal(raster.read(), array[:, 4:20, 4:20])


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_of_the_whole_raster_is_kept_inside_the_chip(tmp_path: Path, internal: bool):
    array = pixels(3, 40, 50, "uint8")
    mask = np.where(np.random.default_rng(3).random((40, 50)) < 0.5, 0, 255).astype("uint8")
    source = write_scene(tmp_path / "a.tif", array)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(source, "r+") as raster:
        raster.write_mask(mask)
    folder = tmp_path / "chips"
    folder.mkdir()
    list(cut([ChipOrder(str(source), Window(30, 20, 16, 16), str(folder / "chip.tif"))]))
    assert [path.name for path in folder.iterdir()] == ["chip.tif"]
    with rasterio.open(folder / "chip.tif") as raster:
        assert np.array_equal(raster.dataset_mask(), mask[20:36, 30:46])
        assert np.array_equal(raster.read(), array[:, 20:36, 30:46])


PADDED = {
    "upper left": (-5, -3, 16, 16),
    "lower right": (40, 30, 16, 16),
    "all around": (-4, -4, 60, 50),
}


@pytest.mark.parametrize("window", PADDED.values(), ids=PADDED)
@pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north-up", "turned"])
def test_a_window_that_reaches_outside_is_padded(
    tmp_path: Path, window: tuple[int, int, int, int], transform: tuple[float, ...]
):
    array = pixels(2, 40, 50)
    chip, made = cut_one(write_scene(tmp_path / "a.tif", array, transform=transform), window, pad_value=7)
    col, row, width, height = window
    around = np.pad(array, ((0, 0), (60, 60), (60, 60)), constant_values=7)
    assert np.array_equal(read(chip), around[:, row + 60 : row + 60 + height, col + 60 : col + 60 + width])
    assert at(read_raster_info(chip).grid.transform, 0, 0) == at(transform, col, row)
    assert compute_pixel_digest(chip) == made.pixel_digest


def test_padding_may_be_not_a_number(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 40, 50, "float32"), nodata=math.nan)
    chip, _ = cut_one(source, (-3, 0, 16, 16), pad_value=math.nan)
    assert np.array_equal(np.isnan(read(chip)[0]), np.tile(np.arange(16) < 3, (16, 1)))


def test_padding_is_never_called_valid(tmp_path: Path):
    clear = write_scene(tmp_path / "a.tif", np.full((4, 40, 50), 255, "uint8"), photometric="RGB", alpha="YES")
    masked = write_scene(tmp_path / "b.tif", pixels(1, 40, 50, "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as raster:
        raster.write_mask(np.full((40, 50), 255, "uint8"))
    for source in (clear, masked):
        chip, _ = cut_one(source, (-3, 0, 16, 16), pad_value=9)
        with rasterio.open(chip) as raster:
            assert np.array_equal(raster.dataset_mask() != 0, np.tile(np.arange(16) >= 3, (16, 1)))
            assert (raster.read(1)[:, :3] == 9).all()


@pytest.mark.parametrize("window", PADDED.values(), ids=PADDED)
def test_without_a_pad_value_a_window_must_lie_inside(tmp_path: Path, window: tuple[int, int, int, int]):
    source = write_scene(tmp_path / "a.tif", pixels(1, 40, 50))
    with pytest.raises(UsageError, match=r"reaches outside raster.*pad it"):
        cut_one(source, window)
    assert not source.with_name("chip.tif").exists()


@pytest.mark.parametrize(
    "window", [(50, 0, 4, 4), (0, 40, 4, 4), (-4, 0, 4, 4), (0, -4, 4, 4), (0, 0, 0, 4), (0, 0, 4, 0)]
)
def test_a_window_without_any_pixel_is_refused(tmp_path: Path, window: tuple[int, int, int, int]):
    with pytest.raises(UsageError, match="holds no pixel"):
        cut_one(write_scene(tmp_path / "a.tif", pixels(1, 40, 50)), window, pad_value=0)


@pytest.mark.parametrize("value", [256, -1, 0.5, math.nan, math.inf])
def test_a_pad_value_must_fit_the_type(tmp_path: Path, value: float):
    with pytest.raises(UsageError, match="uint8 holds 0 to 255"):
        cut_one(write_scene(tmp_path / "a.tif", pixels(1, 8, 8, "uint8")), (0, 0, 9, 9), pad_value=value)


def test_an_unknown_band_is_refused(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(2, 8, 8))
    for band in (0, 3):
        with pytest.raises(UsageError, match=f"no band {band}: it has 2"):
            cut_one(source, (0, 0, 4, 4), bands=(1, band))


def test_a_source_is_checked_before_any_of_its_chips_is_made(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 40, 50))
    orders = [ChipOrder(str(source), Window(col, 0, 16, 16), str(tmp_path / f"{col}.tif")) for col in (0, 16, 40)]
    with pytest.raises(UsageError, match="chip '40' reaches outside"):
        list(cut(orders))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_crs_can_be_given_to_a_source_that_lacks_one(tmp_path: Path):
    bare, placed = (write_scene(tmp_path / f"{crs}.tif", pixels(1, 8, 8), crs=crs) for crs in (None, "EPSG:32633"))
    orders = [ChipOrder(str(path), Window(0, 0, 4, 4), f"{path}.chip") for path in (bare, placed)]
    with pytest.raises(UsageError, match="no CRS"):
        list(cut(orders))
    made = list(cut(orders, crs={str(bare): CUSTOM}))
    assert (
        made[0].grid.crs
        == read_raster_info(bare, crs=CUSTOM).grid.crs
        == read_raster_info(Path(f"{bare}.chip")).grid.crs
    )
    assert made[1].grid.crs == "EPSG:32633"


def test_a_crs_that_geotiff_would_change_is_refused(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 8, 8), crs=None)
    order = ChipOrder(str(source), Window(0, 0, 4, 4), str(tmp_path / "chip.tif"))
    with pytest.raises(UsageError, match="can't hold the CRS"):
        list(cut([order], crs={str(source): "+proj=krovak +ellps=bessel"}))


def test_a_large_chip_is_tiled_and_still_its_window(tmp_path: Path):
    array = pixels(1, 700, 600)
    chip, made = cut_one(write_scene(tmp_path / "a.tif", array, blockxsize=256, blockysize=256), (10, 20, 513, 530))
    with rasterio.open(chip) as raster:
        assert raster.block_shapes == [(256, 256)]
        assert np.array_equal(raster.read(), array[:, 20:550, 10:523])
    assert compute_pixel_digest(chip) == made.pixel_digest


def scattered(folder: Path, destination: Path, count: int = 40) -> list[ChipOrder]:
    """Orders in no order, over two sources, for a folder that is made."""
    destination.mkdir()
    sources = [folder / "a.tif", folder / "b.tif"]
    for seed, source in enumerate(sources):
        if not source.exists():
            write_scene(source, pixels(3, 120, 130, seed=seed))
    random = np.random.default_rng(4)
    return [
        ChipOrder(
            str(sources[random.integers(2)]),
            Window(int(random.integers(98)), int(random.integers(88)), 32, 32),
            str(destination / f"{number}.tif"),
            bands=(1, 2, 3) if number % 3 else (2,),
        )
        for number in range(count)
    ]


def test_chips_come_in_the_order_of_the_orders(tmp_path: Path):
    orders = scattered(tmp_path, tmp_path / "chips")
    made = list(cut(orders))
    assert [chip.index for chip in made] == list(range(len(orders)))
    assert [chip.destination for chip in made] == [order.destination for order in orders]
    arrays = {order.source: read(Path(order.source)) for order in orders}
    for order in orders:
        col, row, width, height = order.window
        bands = [band - 1 for band in order.bands]
        assert np.array_equal(
            read(Path(order.destination)), arrays[order.source][bands, row : row + height, col : col + width]
        )


def test_chips_are_made_block_by_block_so_that_none_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_scene(tmp_path / "a.tif", pixels(1, 64, 64))
    made = []

    def noted(pixels: np.ndarray, metadata: GeoTiffMetadata, transform: Transform, mask: None) -> bytes:
        made.append((round((transform.f - 5_200_000) / -10), round((transform.c - 500_000) / 10)))
        return encode_geotiff(pixels, metadata, transform, mask)

    monkeypatch.setattr("geographer.operations.cut.render.encode", noted)
    corners = [(0, 0), (1, 40), (2, 0), (3, 33), (20, 3), (17, 50), (18, 1)]
    list(cut([ChipOrder(str(source), Window(col, row, 8, 8), str(tmp_path / f"{row}.tif")) for row, col in corners]))
    assert made == [(0, 0), (2, 0), (1, 40), (3, 33), (18, 1), (20, 3), (17, 50)]


def test_two_workers_make_the_same_bytes_as_one_and_so_does_a_second_time(tmp_path: Path):
    runs = {"one": 1, "again": 1, "two": 2}
    results = {name: list(cut(scattered(tmp_path, tmp_path / name), workers=workers)) for name, workers in runs.items()}
    facts = [[(chip.index, chip.checksums, chip.pixel_digest, chip.grid) for chip in made] for made in results.values()]
    assert facts[0] == facts[1] == facts[2]
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in runs]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 40


def test_no_orders_make_no_chips():
    assert list(cut([])) == []
    assert list(cut([], workers=2)) == []


def test_two_chips_cannot_have_one_destination(tmp_path: Path):
    order = ChipOrder("a.tif", Window(0, 0, 4, 4), str(tmp_path / "chip.tif"))
    with pytest.raises(ValueError, match="one destination"):
        list(cut([order, order]))


def test_a_missing_source_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"none\.tif"):
        cut_one(tmp_path / "none.tif", (0, 0, 4, 4))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_damaged_in_the_middle_is_corrupt_and_leaves_only_whole_chips(tmp_path: Path, workers: int):
    array = pixels(1, 400, 400)
    source = write_scene(tmp_path / "a.tif", array, compress="zstd")
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    source.write_bytes(content)
    folder = tmp_path / "chips"
    folder.mkdir()
    corners = [(col, row) for row in range(0, 400, 40) for col in range(0, 400, 40)]
    orders = [
        ChipOrder(str(source), Window(col, row, 40, 40), str(folder / f"{col}-{row}.tif")) for col, row in corners
    ]
    with pytest.raises(CorruptError, match=r"a\.tif' is damaged"):
        list(cut(orders, workers=workers))
    whole = list(folder.iterdir())
    assert all(path.suffix == ".tif" for path in whole)
    assert 10 < len(whole) < 100
    for path in whole:
        col, row = map(int, path.stem.split("-"))
        assert np.array_equal(read(path), array[:, row : row + 40, col : col + 40])


def test_a_disk_that_fills_is_a_storage_error_and_leaves_no_part_of_a_chip(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 400, 400))
    code = (
        "import resource, sys; from geographer.base.errors import StorageError\n"
        "from geographer.operations.cut.render import ChipOrder, cut; from geographer.base.values import Window\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "source, folder = sys.argv[1:]\n"
        "sizes = (16, 16, 300, 16, 16)\n"
        "orders = [ChipOrder(source, Window(n, n, s, s), f'{folder}/{n}.tif') for n, s in enumerate(sizes)]\n"
        "try: list(cut(orders))\n"
        "except StorageError as error: print(error)\n"
    )
    folder = tmp_path / "chips"
    folder.mkdir()
    (folder / "2.tif").write_text("what was there before")
    run = subprocess.run(
        [sys.executable, "-c", code, str(source), str(folder)], capture_output=True, text=True, check=True
    )
    assert "can't write" in run.stdout
    assert "2.tif'" in run.stdout
    assert "make room" in run.stdout
    assert {path.name for path in folder.iterdir()} <= {f"{number}.tif" for number in range(5)}
    assert (folder / "2.tif").read_text() == "what was there before"


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(1, 8, 8))
    order = ChipOrder(str(source), Window(0, 0, 4, 4), str(tmp_path / "none" / "chip.tif"))
    with pytest.raises(StorageError, match="No such file or directory"):
        list(cut([order]))


def test_a_kill_in_the_middle_leaves_no_half_chip_under_its_name(tmp_path: Path):
    source = write_scene(tmp_path / "a.tif", pixels(3, 600, 600))
    code = (
        "import sys; from geographer.operations.cut.render import ChipOrder, cut\n"
        "from geographer.base.values import Window\n"
        "source, folder = sys.argv[1:]\n"
        "windows = [Window(n % 88, n % 77, 512, 512) for n in range(5000)]\n"
        "list(cut([ChipOrder(source, window, f'{folder}/{n}.tif') for n, window in enumerate(windows)]))\n"
    )
    folder = tmp_path / "chips"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", code, str(source), str(folder)])
    while process.poll() is None and len(list(folder.glob("*.tif"))) < 20:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    array = read(source)
    whole = list(folder.glob("*.tif"))
    assert 20 <= len(whole) < 5000
    for path in whole:
        col, row = int(path.stem) % 88, int(path.stem) % 77
        assert np.array_equal(read(path), array[:, row : row + 512, col : col + 512])
