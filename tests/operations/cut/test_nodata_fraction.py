"""How much of a window is nodata, against counting in the array."""

import numpy as np
import pytest

from geographer.base.errors import NotFoundError
from geographer.base.values import Window
from geographer.operations.cut.nodata_fraction import NodataShares
from tests.sample_rasters import pixels, write_scene

WINDOWS = [
    (0, 0, 8, 8),
    (10, 3, 16, 9),
    (-5, -2, 12, 12),
    (30, 20, 20, 20),
    (40, 0, 4, 4),
    (-4, 2, 4, 4),
    (0, 0, 40, 30),
]


@pytest.fixture(scope="module")
def array():
    array = pixels(2, 30, 40, "uint8")
    array[:, :, :7] = 0
    array[0, 12:] = 0
    array[1, 5:20, 20:33] = 0
    return array


@pytest.mark.parametrize("window", WINDOWS)
def test_a_pixel_counts_where_no_band_has_data_or_the_raster_has_none(array, window, tmp_path):
    path = write_scene(tmp_path / "r.tif", array, nodata=0)
    missing = np.pad((array == 0).all(axis=0), 50, constant_values=True)
    col, row, width, height = window
    due = missing[row + 50 : row + 50 + height, col + 50 : col + 50 + width].mean()
    assert NodataShares({"r": str(path)}).of("r", Window(*window)) == pytest.approx(due)


def test_a_raster_without_a_nodata_value_has_data_in_all_its_pixels(array, tmp_path):
    shares = NodataShares({"r": str(write_scene(tmp_path / "r.tif", array))})
    assert shares.of("r", Window(0, 0, 10, 10)) == 0
    assert shares.of("r", Window(-5, 0, 10, 10)) == 0.5


def test_more_rasters_can_be_asked_than_are_kept_open(array, tmp_path):
    path = str(write_scene(tmp_path / "r.tif", array, nodata=0))
    shares = NodataShares({str(number): path for number in range(70)})
    found = {shares.of(str(number), Window(0, 0, 14, 10)) for number in [*range(70), 0, 1]}
    assert found == {0.5}


def test_a_raster_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="nothing"):
        NodataShares({"r": str(tmp_path / "nothing.tif")}).of("r", Window(0, 0, 4, 4))
