"""Test nodata fractions of windows against counts in the array."""

import numpy as np
import pytest

from geographer.base.values import Window
from geographer.operations.cut.nodata_fraction import NodataFractions
from geographer.rasters.read import open_raster
from tests.sample_rasters import make_pixels, write_scene

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
def scene_array():
    array = make_pixels(2, 30, 40, "uint8")
    array[:, :, :7] = 0
    array[0, 12:] = 0
    array[1, 5:20, 20:33] = 0
    return array


@pytest.mark.parametrize("window", WINDOWS)
def test_fraction_counts_nodata_and_outside(scene_array, window, tmp_path):
    path = write_scene(tmp_path / "r.tif", scene_array, nodata=0)
    is_nodata = np.pad((scene_array == 0).all(axis=0), 50, constant_values=True)
    col, row, width, height = window
    expected = is_nodata[row + 50 : row + 50 + height, col + 50 : col + 50 + width].mean()
    assert NodataFractions(lambda _id: open_raster(path)).compute_fraction("r", Window(*window)) == pytest.approx(
        expected
    )


def test_raster_without_nodata_value_is_valid(scene_array, tmp_path):
    fractions = NodataFractions(lambda _id: open_raster(write_scene(tmp_path / "r.tif", scene_array)))
    assert fractions.compute_fraction("r", Window(0, 0, 10, 10)) == 0
    assert fractions.compute_fraction("r", Window(-5, 0, 10, 10)) == 0.5


def test_open_files_are_limited(scene_array, tmp_path):
    path = write_scene(tmp_path / "r.tif", scene_array, nodata=0)
    fractions = NodataFractions(lambda _id: open_raster(path))
    values = {fractions.compute_fraction(str(number), Window(0, 0, 14, 10)) for number in [*range(70), 0, 1]}
    assert values == {0.5}
