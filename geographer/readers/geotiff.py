"""Reads a product that is one GeoTIFF: kept byte for byte, unless some bands or another resolution are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.base.values import Grid
from geographer.rasters.crs import crs_to_text
from geographer.rasters.metadata import read_metadata
from geographer.readers.band_stack import (
    Layer,
    grid_at,
    pixel_size,
    resampling_between,
    resampling_named,
    same_grid,
    write_stack,
)
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import TIFFS, check_pixels, names_in, opened, placed, rasters_in
from geographer.readers.options import checked, text
from geographer.readers.unpack import link_or_copy


class GeoTiff(Reader):
    """A single GeoTIFF or COG; whatever else arrived (metadata, previews) is left aside.

    With no `bands` and no `resolution`, or those that it has anyway, its bytes are kept. Otherwise it is written anew:
    with `bands` (by description, or by number from 1) and at `resolution`, with its nodata, mask, names, scales and
    tags. On other pixels, measurements are resampled as `resampling` says (by default bilinear onto finer and the mean
    onto coarser ones), and a band with a colour table never is: it takes the nearest pixel.

    Options:
        pattern: Which file, where several GeoTIFFs arrive, such as `*_DSM.tif`.
        resampling: By GDAL's name; `nearest` for classes.
    """

    name: ClassVar[str] = "geotiff"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """See `Reader`."""
        super().__init__(bands=bands, resolution=resolution, **options)
        checked(self, {"pattern", "resampling"})
        self._pattern = text(self, "pattern")
        self._resampling = resampling_named(options.get("resampling"))

    @classmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        """Whether there is exactly one GeoTIFF."""
        return len(rasters_in(arrived, TIFFS)) == 1

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`. All pixels are decoded once, so that damage is found."""
        path = self._file(arrived)
        notes: dict[str, Any] = {"reader": self.name, "file": path.relative_to(arrived.folder).as_posix()}
        with opened(path) as raster:
            chosen = self._chosen(raster)
            given = placed(raster)
            grid = grid_at(given, self.resolution)
            if same_grid(given, grid) and chosen == raster.indexes:
                check_pixels(raster)
                with translate_os_errors(destination), temporary_sibling(destination) as draft:
                    link_or_copy(path, draft)
                    draft.replace(destination)
                return ReadResult(notes, unchanged_bytes=True)
            how = self._write(path, raster, chosen, (given, grid), destination)
        if not same_grid(given, grid):
            notes |= {"resampling": how.name, "from": pixel_size(given)[0], "resolution": self.resolution}
        return ReadResult(notes | {"bands": list(self.bands) or [str(band) for band in chosen]})

    def _file(self, arrived: ProductFiles) -> Path:
        found = rasters_in(arrived, TIFFS, self._pattern)
        if len(found) == 1:
            return found[0]
        every = rasters_in(arrived, TIFFS)
        if not every:
            raise CorruptError(
                f"product '{arrived.product_id}' has no GeoTIFF: it has {names_in(arrived.files(), arrived)}"
            )
        raise UsageError(
            f"{len(found)} GeoTIFFs of product '{arrived.product_id}' are meant, and one is needed: choose it by the "
            f"option pattern, such as pattern=*_DSM.tif, or read them as bands (there are {names_in(every, arrived)})"
        )

    def _chosen(self, raster: DatasetReader) -> tuple[int, ...]:
        """The bands' numbers."""
        if not self.bands:
            return tuple(raster.indexes)
        known = {str(band): band for band in raster.indexes}
        known |= {
            (name or "").casefold(): band for band, name in reversed([*enumerate(raster.descriptions, 1)]) if name
        }
        missing = [band for band in self.bands if band.casefold() not in known]
        if missing:
            has = quote_names([name or str(band) for band, name in enumerate(raster.descriptions, 1)], limit=20)
            raise UsageError(f"raster '{raster.name}' has no band {quote_names(missing)}: it has {has}")
        return tuple(known[band.casefold()] for band in self.bands)

    def _write(
        self, path: Path, raster: DatasetReader, chosen: tuple[int, ...], grids: tuple[Grid, Grid], destination: Path
    ) -> Resampling:
        given, grid = grids
        metadata = read_metadata(raster, crs_to_text(raster.crs), chosen)
        how = resampling_between(given, grid, self._resampling)
        if ColorInterp.palette in metadata.interpretation:
            how = Resampling.nearest
        alpha = any(raster.colorinterp[band - 1] == ColorInterp.alpha for band in chosen)
        masked = not alpha and MaskFlags.per_dataset in raster.mask_flag_enums[chosen[0] - 1]
        layers = [
            Layer(raster.descriptions[band - 1] or str(band), path, band, given, raster.nodata, masked, how)
            for band in chosen
        ]
        mask = replace(layers[0], nodata=None) if masked else None
        write_stack(layers, grid, metadata, destination, mask=mask)
        return how
