"""Compute which fraction of a window is nodata or lies outside its raster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.values import Window
from geographer.operations.cut.windows.clipping import clip_window
from geographer.rasters.read import open_raster, translate_read_errors

_MAX_OPEN_FILES = 64


class NodataFractions:
    """Nodata fractions of windows, computed on demand; raster files (`paths` by raster id) stay open between calls."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._open_rasters: dict[str, DatasetReader] = {}

    def compute_fraction(self, raster_id: str, window: Window) -> float:
        """Return the fraction, 0 to 1, of pixels that lie outside the raster or are nodata in all bands.

        Raises:
            NotFoundError: The file does not exist.
            CorruptError: The pixels cannot be read.
        """
        raster = self._get_raster(raster_id)
        inside = clip_window(window, raster.width, raster.height)
        if inside is None:
            return 1.0
        with translate_read_errors(raster.name):
            mask = raster.dataset_mask(window=RasterioWindow(*inside))
        return 1.0 - float(np.count_nonzero(mask)) / (window.width * window.height)

    def _get_raster(self, raster_id: str) -> DatasetReader:
        if raster_id not in self._open_rasters:
            if len(self._open_rasters) >= _MAX_OPEN_FILES:
                self._open_rasters.pop(next(iter(self._open_rasters))).close()
            self._open_rasters[raster_id] = open_raster(Path(self._paths[raster_id]))
        return self._open_rasters[raster_id]
