"""Pictures: 8-bit PNG and JPEG copies of rasters and masks, for tools that read neither their bands nor their types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile

from geographer.base.errors import UsageError
from geographer.rasters.open_chips import ignore_sidecars, open_chip
from geographer.rasters.read import open_raster, translate_read_errors
from geographer.rasters.read_chips import find_band_numbers

_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "png": {"driver": "PNG"},
    "jpeg": {"driver": "JPEG", "quality": 95},
}
_COLOURS: Final = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class Stretch(NamedTuple):
    """What becomes black and white: two pixel values, or two percentiles of each band's valid pixels."""

    low: float
    high: float
    is_percentile: bool


class PictureSettings(NamedTuple):
    """How a raster becomes a picture.

    Attributes:
        format: PNG is lossless; JPEG has quality 95.
        bands: One band for grey, or three for red, green and blue, by number from 1 or by name. None: those that the
            file marks as red, green and blue, else the first three; with one or two bands, the first.
        stretch: None: uint8 bands stay as they are, others are stretched from their 2nd to their 98th percentile.
        size: The width and height of the picture in pixels: smaller ones are averages, larger ones repeat pixels. None:
            those of the raster.
    """

    format: Literal["png", "jpeg"]
    bands: Sequence[int | str] | None = None
    stretch: Stretch | None = None
    size: tuple[int, int] | None = None


UNSTRETCHED: Final = Stretch(0, 255, is_percentile=False)
DEFAULT_STRETCH: Final = Stretch(2, 98, is_percentile=True)


def encode_picture(path: Path, settings: PictureSettings, *, with_sidecars: bool = False) -> bytes:
    """Return the picture of the raster at `path`; pixels without data are black.

    Raises:
        NotFoundError, CorruptError: the file does not exist, or is damaged.
        UsageError: it is not a raster, or has no such band.
    """
    with _open_source(path, with_sidecars=with_sidecars) as raster, translate_read_errors(path):
        pixels, valid = _read_bands(raster, choose_picture_bands(raster, settings), settings.size)
    picture = stretch_bands(pixels, valid, settings.stretch)
    if settings.size is not None:
        picture = resize_pixels(picture, settings.size)
    return encode_pixels(picture, settings.format)


def _read_bands(
    raster: DatasetReader, numbers: Sequence[int], size: tuple[int, int] | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return bands, reduced if `size` is smaller, and which pixels are valid, both of shape (bands, rows, columns)."""
    width, height = (raster.width, raster.height) if size is None else size
    shape = (len(numbers), min(height, raster.height), min(width, raster.width))
    pixels = np.asarray(raster.read(numbers, out_shape=shape, resampling=Resampling.average))
    has_masks = any(MaskFlags.all_valid not in raster.mask_flag_enums[number - 1] for number in numbers)
    if not has_masks:
        return pixels, np.ones(shape, np.bool_)
    return pixels, np.asarray(raster.read_masks(numbers, out_shape=shape)) != 0


def resize_pixels(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return pixels, shape (…, rows, columns), in another (width, height): each is the nearest one."""
    rows, columns = (
        ((np.arange(count) + 0.5) * old / count).astype(np.intp)
        for count, old in zip(size[::-1], pixels.shape[-2:], strict=True)
    )
    return pixels[..., rows[:, None], columns]


def encode_pixels(
    pixels: NDArray[np.uint8],
    format: Literal["png", "jpeg"],
    palette: Mapping[int, tuple[int, int, int]] | None = None,
) -> bytes:
    """Encode pixels as a file.

    Args:
        pixels: Shape (bands, rows, columns): 1 band, 3 bands, or 4, of which the last is the opacity (PNG).
        format: The format of the file.
        palette: The colours of the values of one band.
    """
    count, height, width = pixels.shape
    if count not in (1, 3, 4):
        raise UsageError(f"a picture has 1 or 3 bands, but {count} are chosen. Pass one band, or three.")
    profile = {"count": count, "height": height, "width": width, "dtype": "uint8", **_OPTIONS[format]}
    with MemoryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env(GDAL_PAM_ENABLED=False), file.open(**profile) as picture:
            if palette is not None:
                picture.write_colormap(1, {value: (*colour, 255) for value, colour in palette.items()})
            picture.write(pixels)
        return bytes(file.getbuffer())


@contextmanager
def _open_source(path: Path, *, with_sidecars: bool) -> Iterator[DatasetReader]:
    if with_sidecars:
        with open_raster(path) as raster:
            yield raster
    else:
        with ignore_sidecars(), open_chip(str(path)) as raster:
            yield raster


def choose_picture_bands(raster: DatasetReader, settings: PictureSettings) -> list[int]:
    """Return the numbers of the bands to show; `UsageError` if the raster has no such band."""
    if settings.bands is not None:
        return find_band_numbers(raster, settings.bands)
    if raster.count < 3:
        return [1]
    meanings = raster.colorinterp
    if all(colour in meanings for colour in _COLOURS):
        return [meanings.index(colour) + 1 for colour in _COLOURS]
    return [1, 2, 3]


def stretch_bands(pixels: NDArray[Any], valid: NDArray[np.bool_], stretch: Stretch | None) -> NDArray[np.uint8]:
    """Return the bands as uint8, 0 where a pixel is not valid, shape (bands, rows, columns); see `PictureSettings`."""
    if stretch is None and pixels.dtype == np.uint8:
        return np.where(valid, pixels, 0).astype(np.uint8)
    stretch = stretch or DEFAULT_STRETCH
    real = pixels.real if np.iscomplexobj(pixels) else pixels
    values = real.astype(np.float64)
    valid = valid & np.isfinite(values)
    return np.stack([_stretch_band(*band, stretch) for band in zip(values, valid, strict=True)])


def _stretch_band(values: NDArray[np.float64], valid: NDArray[np.bool_], stretch: Stretch) -> NDArray[np.uint8]:
    if not valid.any():
        return np.zeros(values.shape, np.uint8)
    low, high = stretch.low, stretch.high
    if stretch.is_percentile:
        low, high = (float(limit) for limit in np.percentile(values[valid], [low, high]))
    safe = np.where(valid, values, low)
    scaled = (np.clip(safe, low, high) - low) / (high - low) * 255 if high > low else np.where(safe > low, 255.0, 0.0)
    return np.where(valid, np.round(scaled), 0).astype(np.uint8)
