"""The choice of a product's reader, by name or by files."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geographer.readers.base as module
from geographer.base.errors import NotFoundError, PluginError, UsageError
from geographer.readers.bands import BandsReader
from geographer.readers.base import ProductFiles, Reader, ReadResult, choose_reader
from geographer.readers.geotiff import GeoTiffReader
from geographer.readers.safe import SafeReader
from geographer.readers.unpack import unpack_product
from tests.sample_products import make_band_pixels, write_band_files, write_cog, write_safe, zip_path

PIXELS = np.ones((30, 30), np.uint16)


class CustomReader(Reader):
    name = "custom"

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        return any(path.suffix == ".custom" for path in product_files.list_files())

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        write_cog(destination, PIXELS[np.newaxis])
        return ReadResult({"options": dict(self.options)})


@pytest.fixture
def install_readers(monkeypatch: pytest.MonkeyPatch) -> Any:
    def add_entry_points(**values: str) -> None:
        entries = EntryPoints(EntryPoint(name, value, module.READERS.group) for name, value in values.items())

        def select_entry_points(**parameters: Any) -> EntryPoints:
            return entries.select(**parameters)

        monkeypatch.setattr(module, "entry_points", select_entry_points)
        monkeypatch.setattr("importlib.metadata.entry_points", select_entry_points)

    return add_entry_points


def test_reader_is_chosen_by_files(tmp_path: Path) -> None:
    write_safe(tmp_path / "safe", size_10m=60, bands=("B02",))
    write_cog(tmp_path / "one" / "deep" / "a.TIF", PIXELS[np.newaxis])
    write_band_files(tmp_path / "many", {"B02": PIXELS, "B03": PIXELS}, {"B02": 10, "B03": 10})

    assert isinstance(choose_reader(ProductFiles(tmp_path / "safe", "x")), SafeReader)
    assert isinstance(choose_reader(ProductFiles(tmp_path / "one", "x")), GeoTiffReader)
    assert isinstance(choose_reader(ProductFiles(tmp_path / "many", "x")), BandsReader)


def test_unsupported_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "scene.nc").write_bytes(b"CDF")
    with pytest.raises(UsageError, match=r"'scene\.nc'.*--reader.*geographer\.readers"):
        choose_reader(ProductFiles(tmp_path, "x"))


def test_reader_name_overrides_files(tmp_path: Path) -> None:
    write_cog(tmp_path / "a.tif", PIXELS[np.newaxis])
    product_files = ProductFiles(tmp_path, "x")
    assert isinstance(choose_reader(product_files, "bands"), BandsReader)
    custom = choose_reader(product_files, f"{__name__}:CustomReader", {"bands": ["a"], "resolution": 20, "more": [1]})
    assert isinstance(custom, CustomReader)
    assert (custom.bands, custom.resolution, custom.options) == (("a",), 20.0, {"more": [1]})


def test_entry_points_come_before_built_in_readers(tmp_path: Path, install_readers: Any) -> None:
    install_readers(mine=f"{__name__}:CustomReader")
    write_cog(tmp_path / "a.tif", PIXELS[np.newaxis])
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x")), GeoTiffReader)
    (tmp_path / "a.custom").write_bytes(b"")
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x")), CustomReader)
    assert isinstance(choose_reader(ProductFiles(tmp_path, "x"), "mine"), CustomReader)


def test_broken_entry_point_is_reported(tmp_path: Path, install_readers: Any) -> None:
    install_readers(broken="not_there.at_all:CustomReader")
    with pytest.raises(PluginError, match="'broken'"):
        choose_reader(ProductFiles(tmp_path, "x"))


def test_unknown_reader_names_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'nothing'"):
        choose_reader(ProductFiles(tmp_path, "x"), "nothing")
    with pytest.raises(UsageError, match=r"is not a geographer\.Reader"):
        choose_reader(ProductFiles(tmp_path, "x"), "pathlib:Path")


@pytest.mark.parametrize("options", [{"bands": "B02"}, {"bands": [2]}, {"resolution": "10"}, {"resolution": True}])
def test_options_of_wrong_type_are_rejected(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        choose_reader(ProductFiles(tmp_path, "x"), "bands", options)


def test_zipped_product_is_unpacked_and_read(tmp_path: Path) -> None:
    safe = write_safe(tmp_path / "made", size_10m=60, bands=("B02", "B03"), baseline="02.14")
    zip_path(tmp_path / "downloaded" / "product.zip", safe)

    unpack_product(tmp_path / "downloaded", tmp_path / "unpacked")
    product_files = ProductFiles(tmp_path / "unpacked", safe.stem)
    choose_reader(product_files, None, {"bands": ["B03", "B02"]}).read(product_files, tmp_path / "o.tif")

    with rasterio.open(tmp_path / "o.tif") as raster:
        np.testing.assert_array_equal(raster.read(), [make_band_pixels(band, 10, 60)[0] for band in ("B03", "B02")])
