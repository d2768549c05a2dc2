"""The reader of Sentinel-2 SAFE products, on generated products."""

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
from geographer.readers.safe_metadata import read_safe_product
from tests.sample_products import BANDS, EAST, NATIVE, NORTH, from_origin, make_band_pixels, write_jp2, write_safe

SIZE = 120
L2A_BANDS = tuple(band for band in BANDS if band != "B10")


@pytest.fixture(scope="session")
def l2a_product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("l2a"), "L2A", size_10m=SIZE)


@pytest.fixture(scope="session")
def l1c_product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("l1c"), "L1C", size_10m=SIZE)


def read_product(safe: Path, destination: Path, **options: Any) -> tuple[ReadResult, np.ndarray]:
    properties = options.pop("properties", {})
    result = SafeReader(**options).read(ProductFiles(safe, "product", properties=properties), destination)
    with rasterio.open(destination) as raster:
        return result, raster.read()


def make_stored_pixels(band: str, resolution: int, size: int = SIZE) -> np.ndarray:
    return make_band_pixels(band, resolution, size * 10 // resolution)[0]


def apply_offset(pixels: np.ndarray) -> np.ndarray:
    """Apply the offset -1000 as expected: nodata and saturated pixels stay, and nothing else becomes nodata."""
    shifted = np.maximum(pixels.astype(int) - 1000, 1)
    return np.where((pixels == 0) | (pixels == 65535), pixels, shifted)


def repeat_pixels(pixels: np.ndarray, factor: int = 2) -> np.ndarray:
    return np.kron(pixels, np.ones((factor, factor), pixels.dtype))


def test_l2a_has_all_bands_at_10_m(l2a_product: Path, tmp_path: Path) -> None:
    result, pixels = read_product(l2a_product, tmp_path / "o.tif")

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
        np.testing.assert_array_equal(pixels[L2A_BANDS.index(band)], apply_offset(make_stored_pixels(band, 10)))
    assert tags["ADD_OFFSET"] == "applied"
    assert tags["QUANTIFICATION_VALUE"] == "10000"
    assert tags["PROCESSING_BASELINE"] == "05.09"
    assert tags["PRODUCT_URI"] == l2a_product.name
    assert not result.unchanged_bytes
    assert result.notes["bands"] == list(L2A_BANDS)
    assert result.notes["offset"] == "applied"
    assert result.notes["offsets"]["B8A"] == -1000
    assert result.notes["resampled"]["B09"] == "bilinear from 60"
    assert result.notes["resampled"]["B05"] == "bilinear from 20"


def test_l1c_has_all_bands_at_10_m(l1c_product: Path, tmp_path: Path) -> None:
    result, pixels = read_product(l1c_product, tmp_path / "o.tif", resampling="nearest")
    assert result.notes["bands"] == list(BANDS)
    for band, band_pixels in zip(BANDS, pixels, strict=True):
        resolution = NATIVE.get(band, 20)
        np.testing.assert_array_equal(
            band_pixels,
            apply_offset(repeat_pixels(make_stored_pixels(band, resolution), resolution // 10)),
            err_msg=band,
        )


@pytest.mark.parametrize("resolution", [10, 20, 60])
def test_resolution_keeps_corner_of_tile(l2a_product: Path, tmp_path: Path, resolution: int) -> None:
    _, pixels = read_product(l2a_product, tmp_path / "o.tif", resolution=resolution, bands=("SCL", "B05"))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.transform == from_origin(EAST, NORTH, resolution, resolution)
        assert raster.shape == (SIZE * 10 // resolution,) * 2
    if resolution == 10:
        np.testing.assert_array_equal(pixels[0], repeat_pixels(make_stored_pixels("SCL", 20)))
    else:
        np.testing.assert_array_equal(pixels[0], make_stored_pixels("SCL", resolution))
        np.testing.assert_array_equal(pixels[1], apply_offset(make_stored_pixels("B05", resolution)))


def test_finer_bands_are_averaged_without_nodata(l1c_product: Path, tmp_path: Path) -> None:
    _, pixels = read_product(l1c_product, tmp_path / "o.tif", resolution=20, bands=("B02",), offset="record")
    expected_pixels = make_stored_pixels("B02", 10).astype(float)
    expected_pixels[expected_pixels == 0] = np.nan
    blocks = expected_pixels.reshape(60, 2, 60, 2).transpose(0, 2, 1, 3).reshape(60, 60, 4)
    valid = ~np.isnan(blocks).all(axis=2)
    np.testing.assert_allclose(pixels[0][valid], np.nanmean(blocks[valid], axis=1), atol=0.51)
    assert (pixels[0][~valid] == 0).all()


def test_coarse_bands_are_interpolated_without_nodata(l2a_product: Path, tmp_path: Path) -> None:
    _, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("B8A",), resolution=10, offset="record")
    coarse = make_stored_pixels("B8A", 20)
    columns = int((coarse != 0).any(axis=0).sum())
    positions = (np.arange(SIZE) + 0.5) / 2 - 0.5
    valid = coarse[:, :columns].astype(float)
    expected = map_coordinates(
        valid, np.meshgrid(positions, positions[: 2 * columns], indexing="ij"), order=1, mode="nearest"
    )
    np.testing.assert_allclose(pixels[0][:, : 2 * columns], expected, atol=0.51)
    assert (pixels[0][:, 2 * columns :] == 0).all()


def test_offset_makes_no_valid_pixel_nodata(l2a_product: Path, tmp_path: Path) -> None:
    _, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("B02",))
    source_pixels = make_stored_pixels("B02", 10)
    assert (source_pixels[source_pixels != 0] < 1000).any()
    np.testing.assert_array_equal(pixels[0] == 0, source_pixels == 0)
    np.testing.assert_array_equal(pixels[0] == 65535, source_pixels == 65535)


def test_recorded_offset_keeps_pixels(l2a_product: Path, tmp_path: Path) -> None:
    result, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("B02", "SCL"), offset="record")
    np.testing.assert_array_equal(pixels[0], make_stored_pixels("B02", 10))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.scales == (1 / 10_000, 1.0)
        assert raster.offsets == (-0.1, 0.0)
        assert raster.tags()["ADD_OFFSET"] == "recorded"
    assert result.notes["offset"] == "recorded"


def test_old_baselines_have_no_offset(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, "L2A", size_10m=60, baseline="02.14", bands=("B02",))
    result, pixels = read_product(safe, tmp_path / "o.tif", bands=("B02",))
    np.testing.assert_array_equal(pixels[0], make_stored_pixels("B02", 10, 60))
    assert result.notes["offset"] == "none"
    assert result.notes["offsets"] == {}


def test_offset_is_read_by_band_id(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, "L2A", size_10m=60, bands=("B08", "B8A"))
    metadata = safe / "MTD_MSIL2A.xml"
    # In the metadata, band_id 8 is B8A, and band_id 7 is B08.
    metadata.write_text(metadata.read_text().replace('band_id="8">-1000', 'band_id="8">-200'))
    result, pixels = read_product(safe, tmp_path / "o.tif", bands=("B8A",), resolution=20)
    assert result.notes["offsets"] == {"B8A": -200}
    source_pixels = make_stored_pixels("B8A", 20, 60)
    expected = np.where((source_pixels == 0) | (source_pixels == 65535), source_pixels, source_pixels.astype(int) - 200)
    np.testing.assert_array_equal(pixels[0], expected)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
def test_classes_are_neither_interpolated_nor_offset(l2a_product: Path, tmp_path: Path, resampling: str) -> None:
    _, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("B02", "SCL"), resampling=resampling)
    np.testing.assert_array_equal(pixels[1], repeat_pixels(make_stored_pixels("SCL", 20)))


def test_cloud_and_snow_bands_come_last(l2a_product: Path, tmp_path: Path) -> None:
    result, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("B05",), clouds=True, snow=True)
    assert result.notes["bands"] == ["B05", "CLDPRB", "SNWPRB"]
    np.testing.assert_array_equal(pixels[1], make_stored_pixels("CLDPRB", 20))
    np.testing.assert_array_equal(pixels[2], make_stored_pixels("SNWPRB", 20))


def test_zero_probability_is_not_nodata(l2a_product: Path, tmp_path: Path) -> None:
    """0 percent is interpolated like other values, and stays 0."""
    _, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("CLDPRB",), resolution=10)
    positions = (np.arange(SIZE) + 0.5) / 2 - 0.5
    source_pixels = make_stored_pixels("CLDPRB", 20).astype(float)
    expected = map_coordinates(source_pixels, np.meshgrid(positions, positions, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(pixels[0], expected, atol=0.51)
    assert (source_pixels == 0).any()
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.nodata is None


def test_extra_bands_are_read_by_name(l2a_product: Path, tmp_path: Path) -> None:
    result, pixels = read_product(l2a_product, tmp_path / "o.tif", bands=("TCI", "AOT", "wvp"))
    assert result.notes["bands"] == ["TCI_R", "TCI_G", "TCI_B", "AOT", "WVP"]
    np.testing.assert_array_equal(pixels[:3], make_band_pixels("TCI", 10, SIZE))
    np.testing.assert_array_equal(pixels[3], make_stored_pixels("AOT", 10))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.scales == (1, 1, 1, 0.001, 0.001)

    read_product(l2a_product, tmp_path / "tci.tif", bands=("TCI",))
    with rasterio.open(tmp_path / "tci.tif") as raster:
        assert raster.dtypes == ("uint8",) * 3
        assert raster.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_default_resolution_is_that_of_finest_band(l2a_product: Path, tmp_path: Path) -> None:
    assert read_product(l2a_product, tmp_path / "o.tif", bands=("B09",))[0].notes["resolution"] == 60
    assert read_product(l2a_product, tmp_path / "o.tif", bands=("B09", "b8a"))[0].notes["resolution"] == 20


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_old_naming_is_read_like_new(level: str, tmp_path: Path) -> None:
    old = write_safe(tmp_path / "old", level, size_10m=60, naming="old", manifest=False)
    new = write_safe(tmp_path / "new", level, size_10m=60)
    _, pixels = read_product(old, tmp_path / "o.tif")
    np.testing.assert_array_equal(pixels, read_product(new, tmp_path / "n.tif")[1])


def test_tile_is_selected_in_old_product(tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "a", "L1C", "32TPT", size_10m=60, naming="old", manifest=False)
    other = write_safe(tmp_path / "b", "L1C", "32TPS", size_10m=60, naming="old", manifest=False, seed=7)
    granule = next((other / "GRANULE").iterdir())
    shutil.move(granule, safe / "GRANULE" / granule.name)
    metadata = next(safe.glob("*.xml"))
    other_xml = next(other.glob("*.xml")).read_text()
    second = other_xml[other_xml.index("<Granules") : other_xml.index("</Granule_List>")]
    metadata.write_text(metadata.read_text().replace("</Granule_List>", f"{second}</Granule_List>"))

    with pytest.raises(UsageError, match=r"2 tiles.*as the option tile: '32TPS', '32TPT'"):
        read_product(safe, tmp_path / "o.tif")
    with pytest.raises(UsageError, match="no tile 33XXX"):
        read_product(safe, tmp_path / "o.tif", tile="33XXX")

    expected = apply_offset(make_band_pixels("B02", 10, 60, seed=7)[0])
    for selection in ({"tile": "32TPS"}, {"properties": {"tile": "MGRS-32TPS"}}):
        result, pixels = read_product(safe, tmp_path / "o.tif", bands=("B02",), **selection)
        assert result.notes["facts"]["tile"] == "32TPS"
        np.testing.assert_array_equal(pixels[0], expected)


def test_product_may_be_in_subfolder(l2a_product: Path, tmp_path: Path) -> None:
    assert SafeReader.can_read(ProductFiles(l2a_product.parent, "x"))
    result, _ = read_product(l2a_product.parent, tmp_path / "o.tif", bands=("B02",))
    assert result.notes["facts"]["product_uri"] == l2a_product.name


def test_product_is_selected_by_id(tmp_path: Path) -> None:
    write_safe(tmp_path / "in", size_10m=60, bands=("B02",), seed=1)
    other = write_safe(tmp_path / "in", size_10m=60, bands=("B02",), seed=2, generated="2027-01-01T00:00:00")
    with pytest.raises(UsageError, match="2 Sentinel-2 products"):
        read_product(tmp_path / "in", tmp_path / "o.tif", bands=("B02",))
    SafeReader(bands=("B02",)).read(ProductFiles(tmp_path / "in", other.stem), tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), apply_offset(make_band_pixels("B02", 10, 60, seed=2)[0]))


def test_product_properties_are_read(l2a_product: Path) -> None:
    assert read_safe_product(l2a_product).properties == {
        "product_uri": l2a_product.name,
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
def product_copy(l2a_product: Path, tmp_path: Path) -> Path:
    return shutil.copytree(l2a_product, tmp_path / l2a_product.name)


def find_image(safe: Path, band: str) -> Path:
    return next(safe.rglob(f"*_{band}.jp2"))


def test_renamed_image_is_found_by_its_band(product_copy: Path, tmp_path: Path) -> None:
    _, expected = read_product(product_copy, tmp_path / "o.tif", bands=("B05",))
    path = find_image(product_copy, "B05_20m")
    path.rename(path.with_name("renamed_B05_20m.jp2"))
    _, pixels = read_product(product_copy, tmp_path / "o.tif", bands=("B05",))
    np.testing.assert_array_equal(pixels, expected)


def test_missing_band_is_reported(product_copy: Path, tmp_path: Path) -> None:
    find_image(product_copy, "B05_20m").unlink()
    with pytest.raises(CorruptError, match=r"band B05 .*T32TPT_20260601T101031_B05_20m\.jp2"):
        read_product(product_copy, tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()
    read_product(product_copy, tmp_path / "o.tif", bands=("B05",), resolution=60)


def test_moved_band_is_found_by_name(product_copy: Path, tmp_path: Path) -> None:
    path = find_image(product_copy, "B02_10m")
    path.rename(path.parents[1] / path.name)
    (product_copy / "manifest.safe").unlink()
    _, pixels = read_product(product_copy, tmp_path / "o.tif", bands=("B02",))
    np.testing.assert_array_equal(pixels[0], apply_offset(make_stored_pixels("B02", 10)))


@pytest.mark.parametrize("manifest", [True, False])
def test_truncated_band_is_reported(product_copy: Path, tmp_path: Path, manifest: bool) -> None:
    path = find_image(product_copy, "B03_10m")
    path.write_bytes(path.read_bytes()[:9000])
    if not manifest:
        (product_copy / "manifest.safe").unlink()
    with pytest.raises(CorruptError, match="B03_10m"):
        read_product(product_copy, tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()


def test_manifest_reveals_flipped_bit(product_copy: Path, tmp_path: Path) -> None:
    """The JPEG 2000 still decodes, to other pixels."""
    path = find_image(product_copy, "B03_10m")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"B03_10m.*differs from manifest\.safe"):
        read_product(product_copy, tmp_path / "o.tif")


def test_band_of_other_size_is_reported(product_copy: Path, tmp_path: Path) -> None:
    (product_copy / "manifest.safe").unlink()
    write_jp2(find_image(product_copy, "B02_10m"), np.ones((1, 60, 60), np.uint16), 10, "EPSG:32632", (EAST, NORTH))
    with pytest.raises(CorruptError, match="has 60x60 pixels, but its tile 120x120"):
        read_product(product_copy, tmp_path / "o.tif")


@pytest.mark.parametrize(("crs", "east"), [("EPSG:32633", EAST), ("EPSG:32632", EAST + 100)])
def test_band_at_other_position_is_reported(product_copy: Path, tmp_path: Path, crs: str, east: float) -> None:
    (product_copy / "manifest.safe").unlink()
    write_jp2(find_image(product_copy, "B02_10m"), np.ones((1, SIZE, SIZE), np.uint16), 10, crs, (east, NORTH))
    with pytest.raises(CorruptError, match=r"B02_10m.*its tile"):
        read_product(product_copy, tmp_path / "o.tif")


@pytest.mark.parametrize("text", ["", "<a>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"])
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_TL.xml", "manifest.safe"])
def test_damaged_and_hostile_metadata_are_rejected(product_copy: Path, tmp_path: Path, name: str, text: str) -> None:
    next(product_copy.rglob(name)).write_text(text)
    with pytest.raises(CorruptError, match=name):
        read_product(product_copy, tmp_path / "o.tif")


def test_metadata_with_entities_are_rejected(product_copy: Path, tmp_path: Path) -> None:
    """Otherwise a few entities, each made of ten of the previous one, would fill the memory."""
    path = product_copy / "MTD_MSIL2A.xml"
    content = path.read_text().replace("<n1:Level", '<!DOCTYPE x [<!ENTITY a "05.09">]><n1:Level', 1)
    path.write_text(content.replace(">05.09<", ">&a;<"))
    with pytest.raises(CorruptError, match=r"MTD_MSIL2A\.xml.*document type"):
        read_product(product_copy, tmp_path / "o.tif")


@pytest.mark.parametrize("relative", [True, False])
def test_paths_outside_product_are_rejected(product_copy: Path, tmp_path: Path, relative: bool) -> None:
    secret = "../secret_B02_10m" if relative else f"{tmp_path}/secret_B02_10m"
    shutil.copy(find_image(product_copy, "B02_10m"), tmp_path / "secret_B02_10m.jp2")
    original = find_image(product_copy, "B02_10m")
    metadata = product_copy / "MTD_MSIL2A.xml"
    listed_path = original.relative_to(product_copy).with_suffix("").as_posix()
    metadata.write_text(metadata.read_text().replace(listed_path, secret))
    original.unlink()
    with pytest.raises(CorruptError, match="a file outside the product"):
        read_product(product_copy, tmp_path / "o.tif", bands=("B02",))


@pytest.mark.parametrize("element", ["HORIZONTAL_CS_CODE", "NROWS", "ULX"])
def test_tile_without_georeference_is_damaged(product_copy: Path, tmp_path: Path, element: str) -> None:
    metadata = next(product_copy.rglob("MTD_TL.xml"))
    metadata.write_text(metadata.read_text().replace(element, "Other"))
    with pytest.raises(CorruptError, match=r"MTD_TL\.xml"):
        read_product(product_copy, tmp_path / "o.tif")


def test_bands_missing_from_level_are_reported(l1c_product: Path, l2a_product: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no band 'CLDPRB'"):
        read_product(l1c_product, tmp_path / "o.tif", clouds=True)
    with pytest.raises(UsageError, match="no band 'SCL'"):
        read_product(l1c_product, tmp_path / "o.tif", bands=("SCL",))
    with pytest.raises(UsageError, match="no band 'B10'"):
        read_product(l2a_product, tmp_path / "o.tif", bands=("B10",))


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
def test_invalid_options_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SafeReader(**options)


def test_output_bytes_are_deterministic(l2a_product: Path, tmp_path: Path) -> None:
    read_product(l2a_product, tmp_path / "first.tif", clouds=True)
    copy = shutil.copytree(l2a_product, tmp_path / "copy" / l2a_product.name)
    read_product(copy, tmp_path / "second.tif", clouds=True)
    assert (tmp_path / "first.tif").read_bytes() == (tmp_path / "second.tif").read_bytes()


def test_tile_of_southern_zone_has_its_crs(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, tile="19HCC", size_10m=60, bands=("B02",))
    read_product(safe, tmp_path / "o.tif", bands=("B02",))
    with rasterio.open(tmp_path / "o.tif") as raster:
        assert raster.crs == "EPSG:32719"
