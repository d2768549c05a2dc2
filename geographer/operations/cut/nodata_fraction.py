"""How much of a window is nodata, or lies outside its raster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.values import Window
from geographer.rasters.read import open_raster, translate_read_errors

_MOST_OPEN = 64


class NodataShares:
    """The shares of pixels without data in windows of rasters, read when they are asked for."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """Take the rasters' files by the rasters' ids."""
        self._paths = paths
        self._open: dict[str, DatasetReader] = {}

    def of(self, raster_id: str, window: Window) -> float:
        """The share, 0 to 1, of a window's pixels that lie outside the raster or that no band has data for.

        Raises:
            NotFoundError: the file is not there.
            CorruptError: its pixels can't be read.
        """
        raster = self._opened(raster_id)
        left, top = max(window.col, 0), max(window.row, 0)
        right, bottom = min(window.col + window.width, raster.width), min(window.row + window.height, raster.height)
        if right <= left or bottom <= top:
            return 1.0
        with translate_read_errors(raster.name):
            mask = raster.dataset_mask(window=RasterioWindow(left, top, right - left, bottom - top))
        return 1.0 - float(np.count_nonzero(mask)) / (window.width * window.height)

    def _opened(self, raster_id: str) -> DatasetReader:
        if raster_id not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[raster_id] = open_raster(Path(self._paths[raster_id]))
        return self._open[raster_id]
