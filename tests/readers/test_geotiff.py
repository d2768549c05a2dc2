"""The reader of a single GeoTIFF: its bytes are kept unless bands or resolution are requested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geographer.base.band_names import BandNames
from geographer.base.errors import CorruptError, UsageError
from geographer.readers.base import ProductFiles, ReadResult
from geographer.readers.geotiff import GeoTiffReader
from tests.sample_products import EAST, NORTH, from_origin, write_cog

PIXELS = np.random.default_rng(0).integers(1, 6000, (3, 120, 90), dtype=np.uint16)


def read_geotiff(folder: Path, **options: Any) -> tuple[ReadResult, Path]:
    destination = folder.parent / "out.tif"
    return GeoTiffReader(**options).read(ProductFiles(folder, "product"), destination), destination


@pytest.mark.parametrize("options", [{}, {"bands": ("red", "GREEN", "3")}, {"resolution": 10.0}])
def test_bytes_are_kept_without_changes(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_cog(tmp_path / "in" / "scene.tif", PIXELS, descriptions=("red", "green", "blue"), nodata=0)
    (tmp_path / "in" / "preview.png").write_bytes(b"png")
    (tmp_path / "in" / "meta.xml").write_text("<x/>")

    result, output = read_geotiff(tmp_path / "in", **options)

    assert result.unchanged_bytes
    assert result.notes == {"reader": "geotiff", "file": "scene.tif"}
    assert output.read_bytes() == path.read_bytes()
    assert path.exists()


def test_bands_are_selected_by_name_and_number(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "s.tif", PIXELS, descriptions=("red", "green", "nir"), nodata=0, tags={"SENSOR": "x"})

    result, output = read_geotiff(tmp_path / "in", bands=("NIR", "1"))

    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(), PIXELS[[2, 0]])
        assert raster.descriptions == ("nir", "red")
        assert raster.nodata == 0
        assert raster.tags()["SENSOR"] == "x"
        assert raster.transform == from_origin(EAST, NORTH, 10, 10)
        assert raster.crs == "EPSG:32632"
    assert not result.unchanged_bytes
    assert result.notes["bands"] == ["NIR", "1"]


def test_coarser_pixels_are_averages(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "s.tif", PIXELS)

    result, output = read_geotiff(tmp_path / "in", resolution=30)

    with rasterio.open(output) as raster:
        means = PIXELS.reshape(3, 40, 3, 30, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(raster.read(), means, atol=0.51)
        assert raster.transform == from_origin(EAST, NORTH, 30, 30)
    assert result.notes["resampling"] == "average"


def test_nearest_resampling_repeats_pixels(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "s.tif", PIXELS)
    _, output = read_geotiff(tmp_path / "in", resolution=5, resampling="nearest")
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(), np.kron(PIXELS, np.ones((1, 2, 2), np.uint16)))


def test_colour_table_is_never_interpolated(tmp_path: Path) -> None:
    classes = np.random.default_rng(1).choice(np.array([1, 9], np.uint8), (1, 60, 60))
    path = write_cog(tmp_path / "in" / "s.tif", classes)
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {1: (255, 0, 0, 255), 9: (0, 0, 255, 255)})

    for resolution in (5, 20, 30):
        _, output = read_geotiff(tmp_path / "in", resolution=resolution, resampling="cubic")
        with rasterio.open(output) as raster:
            assert set(np.unique(raster.read())) == {1, 9}
            assert raster.colormap(1)[9] == (0, 0, 255, 255)


@pytest.mark.parametrize("resolution", [None, 5, 20])
def test_mask_is_kept(tmp_path: Path, resolution: float | None) -> None:
    mask = np.full((120, 90), 255, np.uint8)
    mask[:, 40:] = 0
    write_cog(tmp_path / "in" / "s.tif", PIXELS, mask=mask)

    _, output = read_geotiff(tmp_path / "in", bands=("2",), resolution=resolution)

    factor = (resolution or 10) / 10
    with rasterio.open(output) as raster:
        valid = raster.dataset_mask() == 255
        expected = np.zeros(raster.shape, bool)
        expected[:, : int(40 / factor)] = True
        np.testing.assert_array_equal(valid, expected)
        assert raster.read(1)[valid].min() >= 1


def test_raster_larger_than_strip_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geographer.readers.band_stack._STRIP_BYTES", 1)
    pixels = np.random.default_rng(0).integers(0, 60000, (2, 700, 600), dtype=np.uint16)
    write_cog(tmp_path / "in" / "s.tif", pixels)
    _, output = read_geotiff(tmp_path / "in", bands=("2",))
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(1), pixels[1])


def test_pattern_selects_file(tmp_path: Path) -> None:
    path = write_cog(tmp_path / "in" / "N047E008" / "N047E008_DSM.tif", PIXELS)
    write_cog(tmp_path / "in" / "N047E008" / "N047E008_MSK.tif", PIXELS)

    result, output = read_geotiff(tmp_path / "in", pattern="*_dsm.TIF")

    assert result.unchanged_bytes
    assert result.notes["file"] == "N047E008/N047E008_DSM.tif"
    assert output.read_bytes() == path.read_bytes()


def test_several_files_need_pattern(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "a_DSM.tif", PIXELS)
    write_cog(tmp_path / "in" / "a_MSK.tif", PIXELS)
    with pytest.raises(UsageError, match=r"pattern.*'a_DSM.tif', 'a_MSK.tif'"):
        read_geotiff(tmp_path / "in")


def test_truncated_file_is_damaged(tmp_path: Path) -> None:
    path = write_cog(tmp_path / "in" / "s.tif", PIXELS, copy_src_overviews=False)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CorruptError, match="damaged"):
        read_geotiff(tmp_path / "in")
    assert not (tmp_path / "out.tif").exists()


def test_vrt_named_tif_is_not_opened(tmp_path: Path) -> None:
    write_cog(tmp_path / "secret.tif", PIXELS)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s.tif").write_text(
        '<VRTDataset rasterXSize="90" rasterYSize="120"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path / 'secret.tif'}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(CorruptError, match="damaged or not a raster"):
        read_geotiff(tmp_path / "in")


def test_product_without_geotiff_is_reported(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("hello")
    with pytest.raises(CorruptError, match=r"no GeoTIFF\. Its files are: 'readme\.txt'"):
        read_geotiff(tmp_path / "in")


def test_unknown_band_is_reported(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "s.tif", PIXELS, descriptions=("red", "green", "nir"))
    with pytest.raises(UsageError, match=r"no band 'swir'\. Its bands are: 'red', 'green', 'nir'"):
        read_geotiff(tmp_path / "in", bands=("swir",))


@pytest.mark.parametrize("options", [{"patern": "x"}, {"pattern": 3}, {"resampling": "magic"}])
def test_invalid_options_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GeoTiffReader(**options)


def test_colours_are_kept(tmp_path: Path) -> None:
    pixels = PIXELS.astype(np.uint8)
    write_cog(tmp_path / "in" / "s.tif", pixels, photometric="RGB")
    _, output = read_geotiff(tmp_path / "in", resolution=20)
    with rasterio.open(output) as raster:
        assert raster.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_only_band_has_name_of_its_file(tmp_path: Path) -> None:
    path = write_cog(tmp_path / "in" / "blue.tif", PIXELS[:1], nodata=0)
    files = ProductFiles(tmp_path / "in", "product", bands={"blue.tif": (BandNames("B02", "azure"),)})
    for name in ("blue", "b02", "AZURE", "1"):
        GeoTiffReader(bands=(name,)).read(files, tmp_path / "out.tif")
        assert (tmp_path / "out.tif").read_bytes() == path.read_bytes()
    with pytest.raises(UsageError, match="has no band 'B03'"):
        GeoTiffReader(bands=("B03",)).read(files, tmp_path / "out.tif")


def test_bands_have_names_of_archive(tmp_path: Path) -> None:
    write_cog(tmp_path / "in" / "scene.tif", PIXELS, nodata=0)
    names = (BandNames("B04", "red"), BandNames("B05", "rededge"), BandNames("B06", "rededge"))
    files, output = ProductFiles(tmp_path / "in", "product", bands={"scene.tif": names}), tmp_path / "out.tif"
    GeoTiffReader(bands=("B06", "red")).read(files, output)
    with rasterio.open(output) as raster:
        np.testing.assert_array_equal(raster.read(), PIXELS[[2, 0]])
    with pytest.raises(UsageError, match="has several bands 'rededge': 2, 3"):
        GeoTiffReader(bands=("rededge",)).read(files, output)
