"""Read windows of an open raster, pixel for pixel, padded where they leave it; with the metadata that they inherit."""

from collections.abc import Sequence
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.errors import UsageError
from geographer.base.values import Grid, Window, clip_window
from geographer.rasters.metadata import read_metadata
from geographer.rasters.nodata import is_same_nodata, read_nodata
from geographer.rasters.pixel_digest import make_row_buffer
from geographer.rasters.read import read_grid, translate_read_errors


class WindowReader:
    """Read windows of one open raster; what all windows share is read once. `crs` replaces the raster's own."""

    def __init__(self, raster: DatasetReader, crs: str | None) -> None:
        self.raster = raster
        self.grid = read_grid(raster, crs)
        self.dtype = np.dtype(raster.dtypes[0])
        self.nodata = read_nodata(raster)
        self.read_metadata = cache(partial(read_metadata, raster, self.grid.crs))
        flags = raster.mask_flag_enums[0]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags

    @cached_property
    def band_properties(self) -> dict[str, tuple[Any, ...]]:
        """What each band has, by rasterio's name; reading one takes as long as reading a small window."""
        names = ("dtypes", "descriptions", "scales", "offsets", "colorinterp", "mask_flag_enums", "block_shapes")
        return {name: tuple(getattr(self.raster, name)) for name in names}

    @cached_property
    def stored_nodata(self) -> float | None:
        """The nodata value as rasterio has it."""
        nodata: float | None = self.raster.nodata
        return nodata

    def make_grid(self, window: Window) -> Grid:
        """Return the grid of a window."""
        return Grid(self.grid.crs, self.grid.transform.for_window(window), window.width, window.height)

    def read_pixels(
        self, window: Window, bands: Sequence[int], pad_value: float | None, name: str
    ) -> tuple[NDArray[np.generic], NDArray[np.uint8] | None]:
        """Return pixels, shape (bands, rows, columns), and the mask, shape (rows, columns), if there is one.

        In padding, the mask and an alpha band are 0, whatever `pad_value` is.

        Raises:
            UsageError: The window of the chip `name` contains no pixel, or needs padding and there is no `pad_value`.
            CorruptError: The pixels cannot be read.
        """
        inside = self.clip_to_raster(window, pad_value, name)
        pixels = make_row_buffer(len(bands), window.height, window.width, self.dtype)
        mask = np.zeros((window.height, window.width), np.uint8) if self._has_mask else None
        if inside != window:
            exact_value = self.find_exact_pad_value(pad_value)
            for index, band in enumerate(bands):
                is_alpha = self.raster.colorinterp[band - 1] == ColorInterp.alpha
                pixels[index] = self.dtype.type(0 if is_alpha else exact_value)
        rows, columns = _select_inside(window, inside)
        with translate_read_errors(self.raster.name):
            self.raster.read(list(bands), window=RasterioWindow(*inside), out=pixels[:, rows, columns])
            if mask is not None:
                mask[rows, columns] = self.raster.read_masks(1, window=RasterioWindow(*inside))
        return pixels, mask

    def read_bands(
        self, window: Window, bands: Sequence[int], pad_value: float | None, dtype: str | None
    ) -> NDArray[np.generic]:
        """Return pixels alone, shape (bands, rows, columns), as `dtype`; None: as stored."""
        if clip_window(window, self.raster.width, self.raster.height) != window:
            pixels, _ = self.read_pixels(window, bands, pad_value, "")
            return np.ascontiguousarray(pixels, dtype=dtype)
        with translate_read_errors(self.raster.name):
            return np.asarray(self.raster.read(list(bands), window=RasterioWindow(*window), out_dtype=dtype))

    def read_valid(self, window: Window, band: int, pad_value: float | None) -> NDArray[np.uint8]:
        """Return 255 for valid pixels of a band and 0 for others, shape (rows, columns).

        Padding is valid unless its value is nodata.
        """
        inside = self.clip_to_raster(window, pad_value, "")
        is_nodata = self.nodata is not None and is_same_nodata(self.nodata, pad_value)
        valid = np.full((window.height, window.width), 0 if is_nodata else 255, np.uint8)
        with translate_read_errors(self.raster.name):
            valid[_select_inside(window, inside)] = self.raster.read_masks(band, window=RasterioWindow(*inside))
        return valid

    def clip_to_raster(self, window: Window, pad_value: float | None, name: str) -> Window:
        """Return the part of the window of the chip `name` inside the raster: all of it, if there is no `pad_value`."""
        inside = clip_window(window, self.raster.width, self.raster.height)
        if inside is not None and (inside == window or pad_value is not None):
            return inside
        subject = f"window {tuple(window)} of chip '{name}'"
        raster = f"raster '{self.raster.name}' ({self.raster.width} x {self.raster.height} pixels)"
        if inside is None:
            raise UsageError(f"{subject} contains no pixel of {raster}.")
        raise UsageError(f"{subject} crosses the edge of {raster}. Shift it inside, or pad it.")

    def find_exact_pad_value(self, pad_value: float | None) -> float | None:
        """Return the pad value; of a nodata value, which the state rounds to float64, the exact one."""
        return self.nodata if is_same_nodata(self.nodata, pad_value) else pad_value

    def require_window(self, window: Window, bands: Sequence[int], pad_value: float | None, name: str) -> None:
        """Raise `UsageError` if the window of the chip `name`, its padding or its bands cannot be read."""
        self.clip_to_raster(window, pad_value, name)
        exact_value = self.find_exact_pad_value(pad_value)
        if exact_value is not None and self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype.name)
            if not limits.min <= exact_value <= limits.max or exact_value != int(exact_value):
                numbers = f"Use a whole number from {limits.min} to {limits.max}."
                raise UsageError(f"invalid pad value {exact_value} for {self.dtype}. {numbers}")
        if unknown := set(bands) - set(self.raster.indexes):
            numbers = f"Use bands 1 to {self.raster.count}."
            raise UsageError(f"raster '{self.raster.name}' has no band {min(unknown)}. {numbers}")


def _select_inside(window: Window, inside: Window) -> tuple[slice, slice]:
    """Return the rows and columns of a window that lie in the part `inside` of it."""
    row, col = inside.row - window.row, inside.col - window.col
    return slice(row, row + inside.height), slice(col, col + inside.width)
