"""Sentinel-2 products become one GeoTIFF that says what they say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from scipy.ndimage import map_coordinates

from geographer.base.errors import CorruptError, UsageError
from geographer.readers.base import ProductFiles, ReadResult
from geographer.readers.safe import SafeReader
from geographer.readers.safe_metadata import facts
from tests.sample_products import BANDS, EAST, NATIVE, NORTH, from_origin, pixels_of, write_jp2, write_safe

SIZE = 120
L2A_BANDS = tuple(band for band in BANDS if band != "B10")


@pytest.fixture(scope="session")
def l2a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("l2a"), "L2A", size_10m=SIZE)


@pytest.fixture(scope="session")
def l1c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("l1c"), "L1C", size_10m=SIZE)


def read(safe: Path, destination: Path, **options: Any) -> tuple[ReadResult, np.ndarray]:
    properties = options.pop("properties", {})
    reading = SafeReader(**options).read(ProductFiles(safe, "product", properties=properties), destination)
    with rasterio.open(destination) as raster:
        return reading, raster.read()


def stored(band: str, resolution: int, size: int = SIZE) -> np.ndarray:
    return pixels_of(band, resolution, size * 10 // resolution)[0]


def lowered(pixels: np.ndarray) -> np.ndarray:
    """The oracle of an offset of -1000: nodata and saturated pixels stay, and nothing else becomes nodata."""
    moved = np.maximum(pixels.astype(int) - 1000, 1)
    return np.where((pixels == 0) | (pixels == 65535), pixels, moved)


def twice(pixels: np.ndarray, factor: int = 2) -> np.ndarray:
    return np.kron(pixels, np.ones((factor, factor), pixels.dtype))


def test_l2a_has_its_bands_in_order_at_10_m(l2a: Path, tmp_path: Path) -> None:
    reading, pixels = read(l2a, tmp_path / "o.tif")

    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.descriptions == L2A_BANDS
        assert raster.dtypes == ("uint16",) * 12
        assert raster.nodata == 0
        assert raster.crs == "EPSG:32632"
        assert raster.transform == from_origin(EAST, NORTH, 10, 10)
        assert raster.shape == (SIZE, SIZE)
        assert raster.scales == (1 / 10_000,) * 12
        assert raster.offsets == (0.0,) * 12
        assert raster.tags(3) == {"ADD_OFFSET": "-1000", "RESOLUTION": "10"}
        tags = raster.tags()
    for band in ("B02", "B03", "B04", "B08"):
        np.testing.assert_array_equal(pixels[L2A_BANDS.index(band)], lowered(stored(band, 10)))
    assert tags["ADD_OFFSET"] == "applied"
    assert tags["QUANTIFICATION_VALUE"] == "10000"
    assert tags["PROCESSING_BASELINE"] == "05.09"
    assert tags["PRODUCT_URI"] == l2a.name
    assert not reading.unchanged_bytes
    assert reading.notes["bands"] == list(L2A_BANDS)
    assert reading.notes["offset"] == "applied"
    assert reading.notes["offsets"]["B8A"] == -1000
    assert reading.notes["resampled"]["B09"] == "bilinear from 60"
    assert reading.notes["resampled"]["B05"] == "bilinear from 20"


def test_l1c_has_its_bands_in_order_at_10_m(l1c: Path, tmp_path: Path) -> None:
    reading, pixels = read(l1c, tmp_path / "o.tif", resampling="nearest")
    assert reading.notes["bands"] == list(BANDS)
    for band, made in zip(BANDS, pixels, strict=True):
        resolution = NATIVE.get(band, 20)
        np.testing.assert_array_equal(made, lowered(twice(stored(band, resolution), resolution // 10)), err_msg=band)


@pytest.mark.parametrize("resolution", [10, 20, 60])
def test_every_resolution_begins_at_the_corner_of_the_tile(l2a: Path, tmp_path: Path, resolution: int) -> None:
    _, pixels = read(l2a, tmp_path / "o.tif", resolution=resolution, bands=("SCL", "B05"))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.transform == from_origin(EAST, NORTH, resolution, resolution)
        assert raster.shape == (SIZE * 10 // resolution,) * 2
    if resolution == 10:
        np.testing.assert_array_equal(pixels[0], twice(stored("SCL", 20)))
    else:
        np.testing.assert_array_equal(pixels[0], stored("SCL", resolution))
        np.testing.assert_array_equal(pixels[1], lowered(stored("B05", resolution)))


def test_bands_that_l1c_has_only_finer_are_means_of_valid_pixels(l1c: Path, tmp_path: Path) -> None:
    _, pixels = read(l1c, tmp_path / "o.tif", resolution=20, bands=("B02",), offset="record")
    stored_pixels = stored("B02", 10).astype(float)
    stored_pixels[stored_pixels == 0] = np.nan
    blocks = stored_pixels.reshape(60, 2, 60, 2).transpose(0, 2, 1, 3).reshape(60, 60, 4)
    valid = ~np.isnan(blocks).all(axis=2)
    np.testing.assert_allclose(pixels[0][valid], np.nanmean(blocks[valid], axis=1), atol=0.51)
    assert (pixels[0][~valid] == 0).all()


def test_coarse_bands_are_interpolated_and_nodata_is_not(l2a: Path, tmp_path: Path) -> None:
    _, pixels = read(l2a, tmp_path / "o.tif", bands=("B8A",), resolution=10, offset="record")
    coarse = stored("B8A", 20)
    columns = int((coarse != 0).any(axis=0).sum())
    at = (np.arange(SIZE) + 0.5) / 2 - 0.5
    valid = coarse[:, :columns].astype(float)
    wanted = map_coordinates(valid, np.meshgrid(at, at[: 2 * columns], indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(pixels[0][:, : 2 * columns], wanted, atol=0.51)
    assert (pixels[0][:, 2 * columns :] == 0).all()


def test_no_valid_pixel_becomes_nodata_by_the_offset(l2a: Path, tmp_path: Path) -> None:
    _, pixels = read(l2a, tmp_path / "o.tif", bands=("B02",))
    given = stored("B02", 10)
    assert (given[given != 0] < 1000).any()
    np.testing.assert_array_equal(pixels[0] == 0, given == 0)
    np.testing.assert_array_equal(pixels[0] == 65535, given == 65535)


def test_a_recorded_offset_gives_the_same_reflectance(l2a: Path, tmp_path: Path) -> None:
    reading, pixels = read(l2a, tmp_path / "o.tif", bands=("B02", "SCL"), offset="record")
    np.testing.assert_array_equal(pixels[0], stored("B02", 10))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.scales == (1 / 10_000, 1.0)
        assert raster.offsets == (-0.1, 0.0)
        assert raster.tags()["ADD_OFFSET"] == "recorded"
    assert reading.notes["offset"] == "recorded"


def test_old_baselines_have_no_offset(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, "L2A", size_10m=60, baseline="02.14", bands=("B02",))
    reading, pixels = read(safe, tmp_path / "o.tif", bands=("B02",))
    np.testing.assert_array_equal(pixels[0], stored("B02", 10, 60))
    assert reading.notes["offset"] == "none"
    assert reading.notes["offsets"] == {}


def test_each_band_has_the_offset_of_its_own_id(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, "L2A", size_10m=60, bands=("B08", "B8A"))
    metadata = safe / "MTD_MSIL2A.xml"
    # Band 8 of the metadata is B8A, and band 7 is B08.
    metadata.write_text(metadata.read_text().replace('band_id="8">-1000', 'band_id="8">-200'))
    reading, pixels = read(safe, tmp_path / "o.tif", bands=("B8A",), resolution=20)
    assert reading.notes["offsets"] == {"B8A": -200}
    given = stored("B8A", 20, 60)
    wanted = np.where((given == 0) | (given == 65535), given, given.astype(int) - 200)
    np.testing.assert_array_equal(pixels[0], wanted)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
def test_classes_are_neither_interpolated_nor_offset(l2a: Path, tmp_path: Path, resampling: str) -> None:
    _, pixels = read(l2a, tmp_path / "o.tif", bands=("B02", "SCL"), resampling=resampling)
    np.testing.assert_array_equal(pixels[1], twice(stored("SCL", 20)))


def test_clouds_and_snow_come_last_when_asked(l2a: Path, tmp_path: Path) -> None:
    reading, pixels = read(l2a, tmp_path / "o.tif", bands=("B05",), clouds=True, snow=True)
    assert reading.notes["bands"] == ["B05", "CLDPRB", "SNWPRB"]
    np.testing.assert_array_equal(pixels[1], stored("CLDPRB", 20))
    np.testing.assert_array_equal(pixels[2], stored("SNWPRB", 20))


def test_no_probability_is_taken_for_nodata(l2a: Path, tmp_path: Path) -> None:
    """0 percent counts in what is interpolated, and stays 0."""
    _, pixels = read(l2a, tmp_path / "o.tif", bands=("CLDPRB",), resolution=10)
    at = (np.arange(SIZE) + 0.5) / 2 - 0.5
    given = stored("CLDPRB", 20).astype(float)
    wanted = map_coordinates(given, np.meshgrid(at, at, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(pixels[0], wanted, atol=0.51)
    assert (given == 0).any()
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.nodata is None


def test_colours_and_quantities_come_by_name(l2a: Path, tmp_path: Path) -> None:
    reading, pixels = read(l2a, tmp_path / "o.tif", bands=("TCI", "AOT", "wvp"))
    assert reading.notes["bands"] == ["TCI_R", "TCI_G", "TCI_B", "AOT", "WVP"]
    np.testing.assert_array_equal(pixels[:3], pixels_of("TCI", 10, SIZE))
    np.testing.assert_array_equal(pixels[3], stored("AOT", 10))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.scales == (1, 1, 1, 0.001, 0.001)

    read(l2a, tmp_path / "tci.tif", bands=("TCI",))
    with rasterio.open(tmp_path / "tci.tif") as raster:
        assert raster.dtypes == ("uint8",) * 3
        assert raster.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_the_finest_of_the_bands_is_the_resolution(l2a: Path, tmp_path: Path) -> None:
    assert read(l2a, tmp_path / "o.tif", bands=("B09",))[0].notes["resolution"] == 60
    assert read(l2a, tmp_path / "o.tif", bands=("B09", "b8a"))[0].notes["resolution"] == 20


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_the_old_naming_is_read_like_the_new(level: str, tmp_path: Path) -> None:
    old = write_safe(tmp_path / "old", level, size_10m=60, naming="old", manifest=False)
    new = write_safe(tmp_path / "new", level, size_10m=60)
    _, pixels = read(old, tmp_path / "o.tif")
    np.testing.assert_array_equal(pixels, read(new, tmp_path / "n.tif")[1])


def test_of_an_old_product_with_several_tiles_one_is_read(tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "a", "L1C", "32TPT", size_10m=60, naming="old", manifest=False)
    other = write_safe(tmp_path / "b", "L1C", "32TPS", size_10m=60, naming="old", manifest=False, seed=7)
    granule = next((other / "GRANULE").iterdir())
    shutil.move(granule, safe / "GRANULE" / granule.name)
    metadata = next(safe.glob("*.xml"))
    listed = next(other.glob("*.xml")).read_text()
    second = listed[listed.index("<Granules") : listed.index("</Granule_List>")]
    metadata.write_text(metadata.read_text().replace("</Granule_List>", f"{second}</Granule_List>"))

    with pytest.raises(UsageError, match=r"2 tiles.*'32TPS', '32TPT' as the option tile"):
        read(safe, tmp_path / "o.tif")
    with pytest.raises(UsageError, match="no tile 33XXX"):
        read(safe, tmp_path / "o.tif", tile="33XXX")

    wanted = lowered(pixels_of("B02", 10, 60, seed=7)[0])
    for chosen in ({"tile": "32TPS"}, {"properties": {"tile": "MGRS-32TPS"}}):
        reading, pixels = read(safe, tmp_path / "o.tif", bands=("B02",), **chosen)
        assert reading.notes["facts"]["tile"] == "32TPS"
        np.testing.assert_array_equal(pixels[0], wanted)


def test_the_folder_may_hold_the_product(l2a: Path, tmp_path: Path) -> None:
    assert SafeReader.can_read(ProductFiles(l2a.parent, "x"))
    reading, _ = read(l2a.parent, tmp_path / "o.tif", bands=("B02",))
    assert reading.notes["facts"]["product_uri"] == l2a.name


def test_of_several_products_the_one_with_the_id_is_read(tmp_path: Path) -> None:
    write_safe(tmp_path / "in", size_10m=60, bands=("B02",), seed=1)
    other = write_safe(tmp_path / "in", size_10m=60, bands=("B02",), seed=2, generated="2027-01-01T00:00:00")
    with pytest.raises(UsageError, match="2 Sentinel-2 products"):
        read(tmp_path / "in", tmp_path / "o.tif", bands=("B02",))
    SafeReader(bands=("B02",)).read(ProductFiles(tmp_path / "in", other.stem), tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), lowered(pixels_of("B02", 10, 60, seed=2)[0]))


def test_what_is_worth_recording_is_found(l2a: Path) -> None:
    assert facts(l2a) == {
        "product_uri": l2a.name,
        "processing_level": "L2A",
        "processing_baseline": "05.09",
        "processed": "2026-06-01T14:00:00.000000",
        "platform": "Sentinel-2B",
        "datatake": "GS2B_20260601T101031_042123_N05.09",
        "absolute_orbit": 42123,
        "relative_orbit": 22,
        "orbit_direction": "DESCENDING",
        "tile": "32TPT",
        "acquired": "2026-06-01T10:10:31.500000",
        "cloud_cover": 12.5,
    }


@pytest.fixture
def broken(l2a: Path, tmp_path: Path) -> Path:
    return shutil.copytree(l2a, tmp_path / l2a.name)


def image(safe: Path, band: str) -> Path:
    return next(safe.rglob(f"*_{band}.jp2"))


def test_a_missing_band_is_named(broken: Path, tmp_path: Path) -> None:
    image(broken, "B05_20m").unlink()
    with pytest.raises(CorruptError, match=r"band B05 .*T32TPT_20260601T101031_B05_20m\.jp2"):
        read(broken, tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()
    read(broken, tmp_path / "o.tif", bands=("B05",), resolution=60)


def test_a_band_that_lies_elsewhere_is_found_by_its_name(broken: Path, tmp_path: Path) -> None:
    path = image(broken, "B02_10m")
    path.rename(path.parents[1] / path.name)
    (broken / "manifest.safe").unlink()
    _, pixels = read(broken, tmp_path / "o.tif", bands=("B02",))
    np.testing.assert_array_equal(pixels[0], lowered(stored("B02", 10)))


@pytest.mark.parametrize("manifest", [True, False])
def test_a_band_that_is_cut_off_is_named(broken: Path, tmp_path: Path, manifest: bool) -> None:
    path = image(broken, "B03_10m")
    path.write_bytes(path.read_bytes()[:9000])
    if not manifest:
        (broken / "manifest.safe").unlink()
    with pytest.raises(CorruptError, match="B03_10m"):
        read(broken, tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()


def test_a_flipped_bit_is_found_by_the_manifest(broken: Path, tmp_path: Path) -> None:
    """A JPEG 2000 decodes all the same, to other pixels."""
    path = image(broken, "B03_10m")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"B03_10m.*not what manifest\.safe says"):
        read(broken, tmp_path / "o.tif")


def test_a_band_of_another_size_is_named(broken: Path, tmp_path: Path) -> None:
    (broken / "manifest.safe").unlink()
    write_jp2(image(broken, "B02_10m"), np.ones((1, 60, 60), np.uint16), 10, "EPSG:32632", (EAST, NORTH))
    with pytest.raises(CorruptError, match="has 60 by 60 pixels, and its tile 120 by 120"):
        read(broken, tmp_path / "o.tif")


@pytest.mark.parametrize(("crs", "east"), [("EPSG:32633", EAST), ("EPSG:32632", EAST + 100)])
def test_a_band_of_another_place_is_named(broken: Path, tmp_path: Path, crs: str, east: float) -> None:
    (broken / "manifest.safe").unlink()
    write_jp2(image(broken, "B02_10m"), np.ones((1, SIZE, SIZE), np.uint16), 10, crs, (east, NORTH))
    with pytest.raises(CorruptError, match=r"B02_10m.*its tile"):
        read(broken, tmp_path / "o.tif")


@pytest.mark.parametrize("text", ["", "<a>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"])
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_TL.xml", "manifest.safe"])
def test_damaged_and_hostile_metadata_are_refused(broken: Path, tmp_path: Path, name: str, text: str) -> None:
    next(broken.rglob(name)).write_text(text)
    with pytest.raises(CorruptError, match=name):
        read(broken, tmp_path / "o.tif")


def test_metadata_that_declare_entities_are_refused(broken: Path, tmp_path: Path) -> None:
    """Else a few of them, each made of ten of the one before, would fill the memory."""
    path = broken / "MTD_MSIL2A.xml"
    content = path.read_text().replace("<n1:Level", '<!DOCTYPE x [<!ENTITY a "05.09">]><n1:Level', 1)
    path.write_text(content.replace(">05.09<", ">&a;<"))
    with pytest.raises(CorruptError, match=r"MTD_MSIL2A\.xml.*document type"):
        read(broken, tmp_path / "o.tif")


@pytest.mark.parametrize("relative", [True, False])
def test_metadata_lead_out_of_no_product(broken: Path, tmp_path: Path, relative: bool) -> None:
    secret = "../secret_B02_10m" if relative else f"{tmp_path}/secret_B02_10m"
    shutil.copy(image(broken, "B02_10m"), tmp_path / "secret_B02_10m.jp2")
    real = image(broken, "B02_10m")
    metadata = broken / "MTD_MSIL2A.xml"
    inside = real.relative_to(broken).with_suffix("").as_posix()
    metadata.write_text(metadata.read_text().replace(inside, secret))
    real.unlink()
    with pytest.raises(CorruptError, match="a file that is none of it"):
        read(broken, tmp_path / "o.tif", bands=("B02",))


@pytest.mark.parametrize("removed", ["HORIZONTAL_CS_CODE", "NROWS", "ULX"])
def test_a_tile_without_a_place_is_damaged(broken: Path, tmp_path: Path, removed: str) -> None:
    metadata = next(broken.rglob("MTD_TL.xml"))
    metadata.write_text(metadata.read_text().replace(removed, "ELSE"))
    with pytest.raises(CorruptError, match=r"MTD_TL\.xml"):
        read(broken, tmp_path / "o.tif")


def test_levels_are_told_what_they_have_not(l1c: Path, l2a: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no band 'CLDPRB'"):
        read(l1c, tmp_path / "o.tif", clouds=True)
    with pytest.raises(UsageError, match="no band 'SCL'"):
        read(l1c, tmp_path / "o.tif", bands=("SCL",))
    with pytest.raises(UsageError, match="no band 'B10'"):
        read(l2a, tmp_path / "o.tif", bands=("B10",))


@pytest.mark.parametrize(
    "options",
    [
        {"bands": ("B14",)},
        {"bands": ("B02", "b2")},
        {"resolution": 30},
        {"offset": "maybe"},
        {"clouds": "yes"},
        {"tile": 3},
        {"resampling": "magic"},
        {"cloud": True},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SafeReader(**options)


def test_the_same_product_gives_the_same_bytes(l2a: Path, tmp_path: Path) -> None:
    read(l2a, tmp_path / "one.tif", clouds=True)
    elsewhere = shutil.copytree(l2a, tmp_path / "copy" / l2a.name)
    read(elsewhere, tmp_path / "two.tif", clouds=True)
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "two.tif").read_bytes()


def test_tiles_of_any_zone_are_placed_in_it(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, tile="19HCC", size_10m=60, bands=("B02",))
    read(safe, tmp_path / "o.tif", bands=("B02",))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.crs == "EPSG:32719"
