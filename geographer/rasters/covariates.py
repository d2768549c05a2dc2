"""Covariates: bands of several rasters on the grid of the first one, and a map of two values written on that grid."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform
from rasterio.windows import Window

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import UsageError
from geographer.rasters.read import open_raster
from geographer.rasters.write import GeoTiffMetadata, make_creation_options, write_metadata

if TYPE_CHECKING:
    from types import TracebackType

    from rasterio.io import DatasetReader

Floats = NDArray[np.float64]
BLOCK: Final = 512
"""The side of the blocks that are read and written, in pixels."""

_BANDS: Final = re.compile(r"(.+?):(\d+(?:,\d+)*)")


class Covariate(NamedTuple):
    """A band of a raster: its name, its number from 1, and the file."""

    name: str
    band: int
    path: Path


def parse_covariates(texts: Sequence[str]) -> list[Covariate]:
    """Return the bands that texts such as `dem.tif` (all bands) and `scene.tif:4,8` name.

    Errors are those of `open_raster`; `UsageError` if a file has no such band, or a band is named twice.
    """
    covariates: list[Covariate] = []
    for text in texts:
        match = None if Path(text).exists() else _BANDS.fullmatch(text)
        path = Path(match[1] if match else text)
        with open_raster(path) as raster:
            bands = [int(band) for band in match[2].split(",")] if match else [*raster.indexes]
            for band in bands:
                if band not in raster.indexes:
                    raise UsageError(f"'{path}' has no band {band}; it has {raster.count}.")
                name = path.stem if raster.count == 1 else f"{path.stem}:{band}"
                covariates.append(Covariate(name, band, path))
    if repeated := [item.name for index, item in enumerate(covariates) if item in covariates[:index]]:
        raise UsageError(f"the covariate '{repeated[0]}' is named twice.")
    return covariates


class CovariateStack:
    """Covariates that are open for reading, resampled (bilinear) to the grid of the first one if theirs differ."""

    def __init__(self, covariates: Sequence[Covariate]) -> None:
        self._covariates = covariates
        self._stack = ExitStack()
        self._readers: dict[Path, Any] = {}

    def __enter__(self) -> Self:
        for item in self._covariates:
            if item.path not in self._readers:
                self._readers[item.path] = self._stack.enter_context(self._open_on_grid(item.path))
        self.grid: DatasetReader = self._readers[self._covariates[0].path]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_on_grid(self, path: Path) -> Any:
        raster = self._stack.enter_context(open_raster(path))
        if raster.crs is None:
            raise UsageError(f"the covariate '{path}' has no CRS. Convert it to GeoTIFF with one.")
        grid = next(iter(self._readers.values()), raster)
        if (raster.crs, raster.transform, raster.shape) == (grid.crs, grid.transform, grid.shape):
            return raster
        size = {"width": grid.width, "height": grid.height}
        return WarpedVRT(raster, crs=grid.crs, transform=grid.transform, resampling=Resampling.bilinear, **size)

    def read_block(self, window: Window) -> Floats:
        """Return the covariates in a window, shape (p, rows, columns); NaN where a pixel is missing."""
        layers = []
        for item in self._covariates:
            values = self._readers[item.path].read(item.band, window=window, masked=True)
            layers.append(np.ma.filled(values.astype(np.float64), np.nan))
        return np.stack(layers)

    def sample_places(self, lonlat: Floats) -> Floats:
        """Return the covariates at places in degrees, shape (n, 2), as (n, p); NaN outside and where one is missing."""
        x, y = (np.array(values) for values in transform("EPSG:4326", self.grid.crs, *lonlat.T))
        a, b, c, d, e, f = (~self.grid.transform)[:6]
        positions = np.floor(np.stack([a * x + b * y + c, d * x + e * y + f]))
        columns, rows = np.where(np.isfinite(positions), positions, -1).astype(np.int64)
        result = np.full((len(lonlat), len(self._covariates)), np.nan)
        inside = (columns >= 0) & (rows >= 0) & (columns < self.grid.width) & (rows < self.grid.height)
        blocks = np.column_stack([rows // BLOCK, columns // BLOCK])
        for row, column in np.unique(blocks[inside], axis=0):
            members = np.flatnonzero(inside & (blocks == (row, column)).all(axis=1))
            block = self.read_block(self._make_window(row * BLOCK, column * BLOCK))
            result[members] = block[:, rows[members] - row * BLOCK, columns[members] - column * BLOCK].T
        return result

    def write_map(self, path: Path, compute: Callable[[Floats], Floats], names: Sequence[str]) -> None:
        """Write a GeoTIFF (float32, nodata NaN) on the grid, block by block.

        `compute` returns the bands `names`, shape (bands, m), for covariates of shape (m, p).
        """
        metadata = GeoTiffMetadata(self.grid.crs, len(names), "float32", nodata=float("nan"), descriptions=tuple(names))
        options = make_creation_options(metadata, self.grid.height, self.grid.width)
        with translate_os_errors(path), temporary_sibling(path, ".tif") as temporary:
            with rasterio.open(temporary, "w", transform=self.grid.transform, BIGTIFF="IF_SAFER", **options) as target:
                write_metadata(target, metadata)
                for row in range(0, self.grid.height, BLOCK):
                    for column in range(0, self.grid.width, BLOCK):
                        window = self._make_window(row, column)
                        block = self.read_block(window)
                        values = compute(block.reshape(len(block), -1).T)
                        target.write(values.reshape(len(names), *block.shape[1:]).astype(np.float32), window=window)
            temporary.replace(path)

    def _make_window(self, row: int, column: int) -> Window:
        height, width = min(BLOCK, self.grid.height - row), min(BLOCK, self.grid.width - column)
        return Window(column, row, width, height)
