"""Compute which fraction of a window is nodata or lies outside its raster."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.values import Window, clip_window
from geographer.rasters.read import translate_read_errors

_MAX_OPEN_FILES = 64


class NodataFractions:
    """Nodata fractions of windows, computed on demand; rasters, opened by their ids, stay open between calls."""

    def __init__(self, open_raster: Callable[[str], DatasetReader]) -> None:
        self._open_raster = lru_cache(_MAX_OPEN_FILES)(open_raster)

    def compute_fraction(self, raster_id: str, window: Window) -> float:
        """Return the fraction, 0 to 1, of pixels that lie outside the raster or are nodata in all bands.

        `CorruptError` if the file cannot be read.
        """
        raster = self._open_raster(raster_id)
        inside = clip_window(window, raster.width, raster.height)
        if inside is None:
            return 1.0
        with translate_read_errors(raster.name):
            mask = raster.dataset_mask(window=RasterioWindow(*inside))
        return 1.0 - float(np.count_nonzero(mask)) / (window.width * window.height)
