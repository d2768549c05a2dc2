"""Overlays of labels: where they are painted and how, as Pillow and scipy see it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import generate_binary_structure, maximum_filter, minimum_filter

from geographer.rasters.overlays import (
    FILL_ALPHA,
    OUTLINE_ALPHA,
    PATTERN_ALPHA,
    Paint,
    find_outlines,
    lay_over,
    paint_ramp,
    paint_values,
    parse_colour,
)

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)


@pytest.fixture
def values() -> np.ndarray:
    values = np.zeros((40, 60), np.uint8)
    values[5:25, 10:30] = 1
    values[15:40, 30:60] = 2
    values[30, 5] = 3
    return values


def test_parse_colour_reads_hexadecimal_digits() -> None:
    assert parse_colour("#0072b2") == BLUE


def test_find_outlines_equals_filters_of_neighbours(values) -> None:
    cross = generate_binary_structure(2, 1)
    differs = maximum_filter(values, footprint=cross) != minimum_filter(values, footprint=cross)
    differs[[0, -1], :] = differs[:, [0, -1]] = True
    np.testing.assert_array_equal(find_outlines(values), differs)


def test_paint_values_fills_areas_and_outlines_them(values) -> None:
    picture = paint_values(values, {1: Paint(BLUE), 2: Paint(ORANGE)})
    image = Image.fromarray(np.moveaxis(picture, 0, -1), "RGBA")
    assert image.getpixel((20, 15)) == (*BLUE, FILL_ALPHA)
    assert image.getpixel((10, 15)) == (*BLUE, OUTLINE_ALPHA)
    assert image.getpixel((59, 30)) == (*ORANGE, OUTLINE_ALPHA)
    np.testing.assert_array_equal(picture[3] > 0, np.isin(values, [1, 2]))


def test_paint_values_outlines_objects_of_one_value(values) -> None:
    objects = np.where(values == 1, np.arange(60) // 20 + 1, 0)
    picture = paint_values(values, {1: Paint(BLUE)}, objects)
    assert (picture[3, 6:24, 19] == OUTLINE_ALPHA).all()
    assert (picture[3, 6:24, 15] == FILL_ALPHA).all()


@pytest.mark.parametrize("hatch", ["/", "\\", "x", "-", "+", ".", "o"])
def test_patterns_make_a_part_of_an_area_more_opaque(hatch) -> None:
    alpha = paint_values(np.ones((60, 60), np.uint8), {1: Paint(BLUE, hatch)})[3, 2:-2, 2:-2]
    assert {*np.unique(alpha).tolist()} == {FILL_ALPHA, PATTERN_ALPHA}
    assert 0.005 < (alpha == PATTERN_ALPHA).mean() < 0.3


def test_lay_over_equals_pillow(values) -> None:
    below = paint_values(values, {1: Paint(BLUE), 2: Paint(BLUE)})
    above = paint_values(np.roll(values, 7), {1: Paint(ORANGE), 2: Paint(ORANGE)})
    images = [Image.fromarray(np.moveaxis(picture, 0, -1), "RGBA") for picture in (below, above)]
    expected = np.moveaxis(np.asarray(Image.alpha_composite(*images)), -1, 0).astype(int)
    found = lay_over(below, above).astype(int)
    assert np.abs(found - expected)[:, expected[3] > 0].max() <= 1


def test_paint_ramp_leaves_out_what_is_not_finite() -> None:
    picture, low, high = paint_ramp(np.array([[np.nan, 2.0], [4.0, np.inf]]))
    assert (low, high) == (2.0, 4.0)
    assert (picture[3] > 0).tolist() == [[False, True], [True, False]]
    assert picture[:3, 0, 1].tolist() == [*BLUE]
    assert paint_ramp(np.full((2, 2), np.nan))[1:] == (0.0, 0.0)
