"""A product's reader is found by its name, or by the files that arrived."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geographer.readers.base as module
from geographer.base.errors import NotFoundError, PluginError, UsageError
from geographer.readers.bands import Bands
from geographer.readers.base import ProductFiles, Reader, ReadResult, choose_reader
from geographer.readers.geotiff import GeoTiff
from geographer.readers.safe import SafeReader
from geographer.readers.unpack import unpack
from tests.sample_products import pixels_of, write_band_files, write_cog, write_safe, zipped

PIXELS = np.ones((30, 30), np.uint16)


class Own(Reader):
    name = "own"

    @classmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        return any(path.suffix == ".own" for path in arrived.files())

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        write_cog(destination, PIXELS[np.newaxis])
        return ReadResult({"options": dict(self.options)})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**values: str) -> None:
        entries = EntryPoints(EntryPoint(name, value, module.READERS) for name, value in values.items())

        def found(**wanted: str) -> EntryPoints:
            return entries.select(**wanted)

        monkeypatch.setattr(module, "entry_points", found)
        monkeypatch.setattr("geographer.base.plugins.entry_points", found)

    return install


def test_files_say_which_reader_reads_them(tmp_path: Path) -> None:
    write_safe(tmp_path / "safe", size_10m=60, bands=("B02",))
    write_cog(tmp_path / "one" / "deep" / "a.TIF", PIXELS[np.newaxis])
    write_band_files(tmp_path / "many", {"B02": PIXELS, "B03": PIXELS}, {"B02": 10, "B03": 10})

    assert isinstance(choose_reader(ProductFiles(tmp_path / "safe", "x")), SafeReader)
    assert isinstance(choose_reader(ProductFiles(tmp_path / "one", "x")), GeoTiff)
    assert isinstance(choose_reader(ProductFiles(tmp_path / "many", "x")), Bands)


def test_files_that_nobody_reads_are_named(tmp_path: Path) -> None:
    (tmp_path / "scene.nc").write_bytes(b"CDF")
    with pytest.raises(UsageError, match=r"'scene\.nc'.*--reader.*geographer\.readers"):
        choose_reader(ProductFiles(tmp_path, "x"))


def test_a_name_has_the_last_word(tmp_path: Path) -> None:
    write_cog(tmp_path / "a.tif", PIXELS[np.newaxis])
    arrived = ProductFiles(tmp_path, "x")
    assert isinstance(choose_reader(arrived, "bands"), Bands)
    own = choose_reader(arrived, f"{__name__}:Own", {"bands": ["a"], "resolution": 20, "more": [1]})
    assert isinstance(own, Own)
    assert (own.bands, own.resolution, own.options) == (("a",), 20.0, {"more": [1]})


def test_entry_points_are_asked_first_and_found_by_name(tmp_path: Path, installed: Any) -> None:
    installed(mine=f"{__name__}:Own")
    write_cog(tmp_path / "a.tif", PIXELS[np.newaxis])
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x")), GeoTiff)
    (tmp_path / "a.own").write_bytes(b"")
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x")), Own)
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x"), "mine"), Own)


def test_an_entry_point_that_is_broken_is_named(tmp_path: Path, installed: Any) -> None:
    installed(gone="not_there.at_all:Own")
    with pytest.raises(PluginError, match="'gone'"):
        choose_reader(ProductFiles(tmp_path, "x"))


def test_names_that_stand_for_no_reader_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'nothing'"):
        choose_reader(ProductFiles(tmp_path, "x"), "nothing")
    with pytest.raises(UsageError, match="no reader"):
        choose_reader(ProductFiles(tmp_path, "x"), "pathlib:Path")


@pytest.mark.parametrize("options", [{"bands": "B02"}, {"bands": [2]}, {"resolution": "10"}, {"resolution": True}])
def test_options_of_the_wrong_kind_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        choose_reader(ProductFiles(tmp_path, "x"), "bands", options)


def test_a_zipped_product_goes_from_archive_to_raster(tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", size_10m=60, bands=("B02", "B03"), baseline="02.14")
    zipped(tmp_path / "arrived" / "product.zip", safe)

    unpack(tmp_path / "arrived", tmp_path / "unpacked")
    arrived = ProductFiles(tmp_path / "unpacked", safe.stem)
    choose_reader(arrived, None, {"bands": ["B03", "B02"]}).read(arrived, tmp_path / "o.tif")

    with rasterio.open(tmp_path / "o.tif") as raster:
        np.testing.assert_array_equal(raster.read(), [pixels_of(band, 10, 60)[0] for band in ("B03", "B02")])
