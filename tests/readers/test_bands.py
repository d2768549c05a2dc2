"""The reader of bands in separate files: one raster on one grid, without interpolated classes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scipy.ndimage import map_coordinates

from geographer.base.band_names import BandNames
from geographer.base.errors import CorruptError, StorageError, UsageError
from geographer.readers.bands import BandsReader
from geographer.readers.base import ProductFiles, ReadResult
from tests.sample_products import EAST, NORTH, from_origin, write_band_files, write_cog, write_jp2

RNG = np.random.default_rng(0)
FINE = RNG.integers(1, 6000, (120, 120), dtype=np.uint16)
COARSE = RNG.integers(1, 6000, (60, 60), dtype=np.uint16)
CLASSES = RNG.choice(np.array([4, 11], np.uint8), (60, 60))
ONES = np.ones((2, 2), np.uint8)


def read_bands(folder: Path, **options: Any) -> tuple[ReadResult, Path]:
    destination = folder.parent / "out.tif"
    return BandsReader(**options).read(ProductFiles(folder, "product"), destination), destination


def write_bands(folder: Path, **options: Any) -> None:
    write_band_files(
        folder,
        {"B02": FINE, "B05": COARSE, "SCL": CLASSES},
        {"B02": 10, "B05": 20, "SCL": 20},
        **{"nodata": {"B02": 0, "B05": 0}} | options,
    )


def interpolate_bilinearly(pixels: np.ndarray, factor: int) -> np.ndarray:
    positions = [(np.arange(size * factor) + 0.5) / factor - 0.5 for size in pixels.shape]
    return map_coordinates(pixels.astype(float), np.meshgrid(*positions, indexing="ij"), order=1, mode="nearest")


def test_bands_are_resampled_to_finest_grid(tmp_path: Path) -> None:
    write_bands(tmp_path / "in")

    result, output = read_bands(tmp_path / "in", bands=("SCL", "B05", "B02"))

    with rasterio.open(output) as raster:
        scl, five, two = raster.read()
        np.testing.assert_array_equal(two, FINE)
        np.testing.assert_array_equal(scl, np.kron(CLASSES, ONES))
        np.testing.assert_allclose(five, interpolate_bilinearly(COARSE, 2), atol=0.51)
        assert raster.descriptions == ("SCL", "B05", "B02")
        assert raster.dtypes == ("uint16",) * 3
        assert raster.nodata == 0
        assert raster.transform == from_origin(EAST, NORTH, 10, 10)
        assert raster.crs == "EPSG:32632"
    assert not result.unchanged_bytes
    assert result.notes["resampled"] == {"SCL": "nearest from 20", "B05": "bilinear from 20"}


@pytest.mark.parametrize("resampling", ["nearest", "cubic", "average"])
def test_resampling_option_applies_to_measurements(tmp_path: Path, resampling: str) -> None:
    write_bands(tmp_path / "in")
    _, output = read_bands(tmp_path / "in", resampling=resampling)
    with rasterio.open(output) as raster:
        two, five, scl = raster.read()
    np.testing.assert_array_equal(two, FINE)
    np.testing.assert_array_equal(scl, np.kron(CLASSES, ONES))
    assert np.array_equal(five, np.kron(COARSE, ONES)) == (resampling != "cubic")


def test_resolution_keeps_upper_left_corner(tmp_path: Path) -> None:
    write_bands(tmp_path / "in")
    _, output = read_bands(tmp_path / "in", resolution=20)
    with rasterio.open(output) as raster:
        two, five, scl = raster.read()
        assert raster.transform == from_origin(EAST, NORTH, 20, 20)
    np.testing.assert_allclose(two, FINE.reshape(60, 2, 60, 2).mean(axis=(1, 3)), atol=0.51)
    np.testing.assert_array_equal(five, COARSE)
    np.testing.assert_array_equal(scl, CLASSES)


@pytest.mark.parametrize("name", ["SCL", "Fmask", "LC08_QA_PIXEL", "my_mask"])
def test_classes_are_recognised_by_name(tmp_path: Path, name: str) -> None:
    write_band_files(tmp_path / "in", {"a_B1": FINE, name: CLASSES}, {"a_B1": 10, name: 20})
    _, output = read_bands(tmp_path / "in", bands=(name, "B1"), resampling="bilinear")
    with rasterio.open(output) as raster:
        assert set(np.unique(raster.read(1))) == {4, 11}


def test_classes_option_names_class_bands(tmp_path: Path) -> None:
    write_band_files(tmp_path / "in", {"B02": FINE, "cover": CLASSES}, {"B02": 10, "cover": 20})
    _, output = read_bands(tmp_path / "in", classes=["Cover"])
    with rasterio.open(output) as raster:
        assert set(np.unique(raster.read(2))) == {4, 11}


def test_nodata_is_not_interpolated(tmp_path: Path) -> None:
    coarse = COARSE.copy()
    coarse[:, 30:] = 0
    coarse[:, :30] = np.clip(coarse[:, :30], 3000, 3100)
    write_band_files(tmp_path / "in", {"B02": FINE, "B05": coarse}, {"B02": 10, "B05": 20}, nodata={"B02": 0, "B05": 0})

    _, output = read_bands(tmp_path / "in")

    with rasterio.open(output) as raster:
        five = raster.read(2)
    assert (five[:, 60:] == 0).all()
    assert five[:, :60].min() >= 3000


def test_first_nodata_is_used_for_all(tmp_path: Path) -> None:
    values = FINE.astype(np.int16)
    values[:10] = -9999
    mask = np.kron(CLASSES, ONES)
    mask[:, :20] = 255
    write_band_files(tmp_path / "in", {"B04": values, "Fmask": mask}, {"B04": 30, "Fmask": 30}, nodata={"B04": -9999, "Fmask": 255})  # fmt: skip

    _, output = read_bands(tmp_path / "in")

    with rasterio.open(output) as raster:
        four, fmask = raster.read()
        assert raster.nodata == -9999
        assert raster.dtypes == ("int16", "int16")
    np.testing.assert_array_equal(four, values)
    np.testing.assert_array_equal(fmask, np.where(mask == 255, -9999, mask.astype(int)))


def test_valid_pixel_with_nodata_value_is_rejected(tmp_path: Path) -> None:
    water = CLASSES.copy()
    water[0, 0], water[1, 1] = 0, 255
    write_band_files(tmp_path / "in", {"B1": COARSE, "Fmask": water}, {"B1": 30, "Fmask": 30}, nodata={"B1": 0, "Fmask": 255})  # fmt: skip

    with pytest.raises(
        UsageError, match=r"'Fmask' has valid pixels with the nodata value of the other bands, 0\..*option nodata"
    ):
        read_bands(tmp_path / "in")
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]

    _, output = read_bands(tmp_path / "in", nodata=65535)
    with rasterio.open(output) as raster:
        assert raster.nodata == 65535
        assert raster.read(2)[0, 0] == 0
        assert raster.read(2)[1, 1] == 65535


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        ("uint8", "uint16", "uint16"),
        ("int16", "uint16", "int32"),
        ("float32", "uint16", "float32"),
        ("int32", "float32", "float64"),
    ],
)
def test_dtype_holds_all_values(tmp_path: Path, first: str, second: str, common: str) -> None:
    values = {name: np.iinfo(name).max if "int" in name else 0.1 for name in (first, second)}
    pixels = {f"b{name}": np.full((20, 20), values[name], name) for name in (first, second)}
    write_band_files(tmp_path / "in", pixels, dict.fromkeys(pixels, 10.0))

    _, output = read_bands(tmp_path / "in", bands=tuple(pixels))

    with rasterio.open(output) as raster:
        assert raster.dtypes == (common, common)
        for band, name in enumerate(pixels, start=1):
            np.testing.assert_array_equal(raster.read(band), pixels[name].astype(common))


def test_nan_is_nodata_of_floats(tmp_path: Path) -> None:
    heights = np.linspace(0, 9, 400, dtype=np.float32).reshape(20, 20)
    heights[:, 15:] = np.nan
    write_band_files(tmp_path / "in", {"dem": heights, "slope": heights * 2}, {"dem": 30, "slope": 30}, nodata={"dem": np.nan, "slope": np.nan})  # fmt: skip
    _, output = read_bands(tmp_path / "in", resolution=15)
    with rasterio.open(output) as raster:
        dem = raster.read(1)
        assert np.isnan(raster.nodata)
    assert np.isnan(dem[:, 30:]).all()
    assert np.isfinite(dem[:, :30]).all()


def test_mask_becomes_nodata(tmp_path: Path) -> None:
    mask = np.full((120, 120), 255, np.uint8)
    mask[:50] = 0
    write_cog(tmp_path / "in" / "a.tif", FINE[np.newaxis], mask=mask)
    write_band_files(tmp_path / "in", {"b": COARSE}, {"b": 20})

    with pytest.raises(UsageError, match="nodata of 'a' cannot be used for all bands"):
        read_bands(tmp_path / "in")

    _, output = read_bands(tmp_path / "in", nodata=0, resolution=5)
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(1) == 0, np.kron(mask == 0, np.ones((2, 2), bool)))


def test_bands_match_words_of_file_names(tmp_path: Path) -> None:
    for name, pixels, resolution in (("B04_10m", FINE, 10), ("B04_20m", COARSE, 20), ("B8A_20m", COARSE, 20)):
        write_jp2(tmp_path / "in" / f"T32TPT_20260101_{name}.jp2", pixels[np.newaxis], resolution, "EPSG:32632", (EAST, NORTH))  # fmt: skip

    result, output = read_bands(tmp_path / "in", bands=("b8a", "B04"))
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(2), FINE)
        assert raster.descriptions == ("b8a", "B04")

    assert read_bands(tmp_path / "in")[0].notes["bands"] == ["B04", "B8A"]
    result, output = read_bands(tmp_path / "in", bands=("B04",), resolution=20)
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(1), COARSE)
    assert result.notes["files"] == ["T32TPT_20260101_B04_20m.jp2"]


def test_bands_of_multiband_file_are_numbered(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "visual.tif", np.stack([FINE] * 3).astype(np.uint8), photometric="RGB")
    write_band_files(tmp_path / "in", {"nir": FINE}, {"nir": 10})
    result, _ = read_bands(tmp_path / "in", bands=("nir", "visual"))
    assert result.notes["bands"] == ["nir", "visual_1", "visual_2", "visual_3"]


def test_panchromatic_grid_may_be_shifted(tmp_path: Path) -> None:
    """Landsat's 15 m band starts 7.5 m right of and below its 30 m bands."""
    coarse = write_cog(tmp_path / "in" / "B4.tif", COARSE[np.newaxis], transform=from_origin(EAST, NORTH, 30, 30))
    fine = from_origin(EAST + 7.5, NORTH - 7.5, 15, 15)
    write_cog(tmp_path / "in" / "B8.tif", FINE[np.newaxis], transform=fine)

    _, output = read_bands(tmp_path / "in", resampling="nearest")

    with rasterio.open(output) as raster, rasterio.open(coarse) as four:
        assert raster.transform == fine
        row, col = 30, 41
        x, y = raster.xy(row, col)
        assert raster.read(1)[row, col] == next(four.sample([(x, y)]))[0]


@pytest.mark.parametrize(
    ("options", "difference"),
    [({"crs": "EPSG:32633"}, "CRS"), ({"transform": from_origin(EAST + 100, NORTH, 20, 20)}, "extent")],
)
def test_bands_of_different_extent_are_rejected(tmp_path: Path, options: dict[str, Any], difference: str) -> None:
    write_band_files(tmp_path / "in", {"B02": FINE}, {"B02": 10})
    write_cog(
        tmp_path / "in" / "B05.tif", COARSE[np.newaxis], **{"transform": from_origin(EAST, NORTH, 20, 20)} | options
    )
    with pytest.raises(CorruptError, match=f"bands 'B02' and 'B05' differ in {difference}"):
        read_bands(tmp_path / "in")


def test_unknown_and_ambiguous_bands_are_reported(tmp_path: Path) -> None:
    write_band_files(tmp_path / "in", {"a_B02": FINE, "b_B02": FINE}, {"a_B02": 10, "b_B02": 10})
    with pytest.raises(UsageError, match=r"no band 'B09'\. Its files are: 'a_B02\.tif'"):
        read_bands(tmp_path / "in", bands=("B09",))
    with pytest.raises(UsageError, match=r"'B02' matches several files: 'a_B02\.tif', 'b_B02\.tif'"):
        read_bands(tmp_path / "in", bands=("B02",))


def test_damaged_band_is_reported(tmp_path: Path) -> None:
    write_bands(tmp_path / "in")
    path = tmp_path / "in" / "B05.tif"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(CorruptError, match="B05"):
        read_bands(tmp_path / "in")
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_output_bytes_are_deterministic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = {"a": RNG.integers(0, 9000, (600, 700), dtype=np.uint16), "b": RNG.integers(0, 9000, (300, 350), dtype=np.uint16)}  # fmt: skip
    write_band_files(tmp_path / "in", pixels, {"a": 10, "b": 20})
    _, output = read_bands(tmp_path / "in")
    first = output.read_bytes()
    monkeypatch.setattr("geographer.readers.band_stack._CACHE_MEGABYTES", 1)
    assert read_bands(tmp_path / "in")[1].read_bytes() == first
    monkeypatch.setattr("geographer.readers.band_stack._STRIP_BYTES", 1)
    assert read_bands(tmp_path / "in")[1].read_bytes() == first


@pytest.mark.parametrize("size", [100, 600])
def test_full_disk_is_reported_without_leftovers(tmp_path: Path, size: int) -> None:
    """GDAL writes a small file when it is closed, and does not report errors then."""
    write_band_files(tmp_path / "in", {"a": RNG.integers(0, 60000, (size, size), dtype=np.uint16)}, {"a": 10})
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from geographer.base.errors import StorageError\n"
        "from geographer.readers.bands import BandsReader\n"
        "from geographer.readers.base import ProductFiles\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "folder = Path(sys.argv[1])\n"
        "try:\n"
        "    BandsReader().read(ProductFiles(folder / 'in', 'x'), folder / 'out.tif')\n"
        "except StorageError as error:\n"
        "    print('StorageError', error)\n"
    )
    process = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, env=os.environ)
    assert "StorageError" in process.stdout, process.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]
    assert issubclass(StorageError, Exception)


def test_bands_are_found_by_names_of_archive(tmp_path: Path) -> None:
    write_band_files(tmp_path / "in", {"blue": FINE, "swir": COARSE}, {"blue": 10, "swir": 20})
    write_cog(tmp_path / "in" / "visual.tif", np.stack([FINE + 1, FINE + 2, FINE + 3]), descriptions=("r", "g", "b"))
    bands = {
        "blue.tif": (BandNames("B02", "blue"),),
        "swir.tif": (BandNames("B11", "swir16"),),
        "visual.tif": (BandNames("B04", "red"), BandNames("B03", "green"), BandNames("B02", "blue")),
    }
    files, output = ProductFiles(tmp_path / "in", "product", bands=bands), tmp_path / "out.tif"

    for names, values in ((("SWIR16", "B02"), FINE), (("b11", "green"), FINE + 2), (("B11", "g"), FINE + 2)):
        BandsReader(bands=names).read(files, output)
        with rasterio.open(output) as raster:
            np.testing.assert_array_equal(raster.read(2), values)
            assert raster.descriptions == names

    excess = {"visual.tif": (*bands["visual.tif"], BandNames("B01"), BandNames("B05"))}
    files = ProductFiles(tmp_path / "in", "product", bands=excess)
    with pytest.raises(CorruptError, match="has no band 5, which is 'B05' by the archive"):
        BandsReader(bands=("B05",)).read(files, output)
