"""Pictures of rasters, as Pillow reads them, against numpy."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from geographer.base.errors import UsageError
from geographer.rasters.pictures import UNSTRETCHED, PictureSettings, Stretch, encode_picture, encode_pixels
from tests.sample_rasters import make_pixels, write_scene


def read_picture(content):
    image = Image.open(io.BytesIO(content))
    pixels = np.array(image)
    return image.format, np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]


def stretch(band, valid, low, high):
    scaled = (np.clip(band.astype(float), low, high) - low) / (high - low) * 255
    return np.where(valid, np.rint(scaled), 0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pixels = make_pixels(4, 20, 30, "uint16") * 20
    pixels[:, 3:6, 4:9] = 0
    path = write_scene(tmp_path_factory.mktemp("pictures") / "scene.tif", pixels, nodata=0)
    return path, pixels


def test_bands_are_stretched_between_percentiles(scene):
    path, pixels = scene
    format, picture = read_picture(encode_picture(path, PictureSettings("png")))
    valid = pixels[0] > 0
    expected = [stretch(band, valid, *np.percentile(band[valid], [2, 98])) for band in pixels[:3]]
    assert format == "PNG"
    assert np.array_equal(picture, expected)


def test_bands_and_values_can_be_chosen(scene):
    path, pixels = scene
    settings = PictureSettings("png", [4, 1, 2], Stretch(500, 3000, is_percentile=False))
    picture = read_picture(encode_picture(path, settings))[1]
    valid = pixels[0] > 0
    assert np.array_equal(picture, [stretch(pixels[index], valid, 500, 3000) for index in (3, 0, 1)])
    single = read_picture(encode_picture(path, settings._replace(bands=[2])))[1]
    assert np.array_equal(single[0], picture[2])


def test_bytes_stay_as_they_are(tmp_path):
    pixels = make_pixels(3, 20, 30, "uint8")
    path = write_scene(tmp_path / "scene.tif", pixels)
    assert np.array_equal(read_picture(encode_picture(path, PictureSettings("png")))[1], pixels)
    format, picture = read_picture(encode_picture(path, PictureSettings("jpeg")))
    assert format == "JPEG"
    assert picture.shape == pixels.shape
    assert np.abs(picture.astype(int) - pixels).mean() < 40


def test_values_beyond_bytes_are_clipped_without_stretch(scene):
    path, pixels = scene
    picture = read_picture(encode_picture(path, PictureSettings("png", None, UNSTRETCHED)))[1]
    assert np.array_equal(picture, np.minimum(pixels[:3], 255))


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_constant_bands_have_a_picture(tmp_path, value):
    pixels = np.full((1, 8, 9), value, "float32")
    path = write_scene(tmp_path / "scene.tif", pixels, tiled=False)
    assert not read_picture(encode_picture(path, PictureSettings("png")))[1].any()


def test_palette_has_the_colours_of_values():
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    image = Image.open(io.BytesIO(encode_pixels(pixels, "png", {value: (value, 9, 250) for value in range(256)})))
    assert image.mode == "P"
    assert (image.getpalette() or [])[:6] == [0, 9, 250, 1, 9, 250]
    assert np.array_equal(np.array(image), pixels[0])


def test_two_bands_are_refused(scene):
    with pytest.raises(UsageError, match="1 or 3 bands"):
        encode_picture(scene[0], PictureSettings("png", [1, 2]))
