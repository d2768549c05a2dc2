"""Read a product that is one GeoTIFF: its bytes are kept unless other bands or another resolution are requested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.errors import CorruptError, UsageError, quote_names, quote_objects
from geographer.base.values import Grid
from geographer.rasters.crs import crs_to_text
from geographer.rasters.metadata import read_metadata
from geographer.readers.band_stack import (
    Layer,
    choose_resampling,
    compute_pixel_size,
    is_same_grid,
    make_grid_at_resolution,
    parse_resampling,
    write_stack,
)
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import (
    TIFF_SUFFIXES,
    check_pixels,
    find_raster_files,
    format_file_names,
    open_delivered_raster,
    require_grid,
)
from geographer.readers.options import read_text_option, reject_unknown_options
from geographer.readers.unpack import link_or_copy


class GeoTiffReader(Reader):
    """Reads a single GeoTIFF or COG; other files of the product (metadata, previews) are ignored.

    Without `bands` and `resolution`, or if they are those of the file, its bytes are kept. Otherwise a new GeoTIFF is
    written with the requested `bands` (by description, or by number from 1), with nodata, mask, names, scales and
    tags of the file. At another `resolution`, measurements are resampled with `resampling` (default: bilinear to finer
    pixels, average to coarser ones); a band with a colour table is always resampled with nearest.

    Options:
        pattern: Which file to read if the product has several GeoTIFFs, such as `*_DSM.tif`.
        resampling: GDAL's name of the method; use `nearest` for classes.
    """

    name: ClassVar[str] = "geotiff"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        super().__init__(bands=bands, resolution=resolution, **options)
        reject_unknown_options(self, {"pattern", "resampling"})
        self._pattern = read_text_option(self, "pattern")
        self._resampling = parse_resampling(options.get("resampling"))

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the product has exactly one GeoTIFF."""
        return len(find_raster_files(product_files, TIFF_SUFFIXES)) == 1

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`. All pixels are decoded once, so that damage is detected."""
        path = self._find_file(product_files)
        notes: dict[str, Any] = {"reader": self.name, "file": path.relative_to(product_files.folder).as_posix()}
        with open_delivered_raster(path) as raster:
            bands = self._find_bands(raster)
            file_grid = require_grid(raster)
            grid = make_grid_at_resolution(file_grid, self.resolution)
            is_unchanged_grid = is_same_grid(file_grid, grid)
            if is_unchanged_grid and bands == raster.indexes:
                check_pixels(raster)
                with translate_os_errors(destination), temporary_sibling(destination) as temporary:
                    link_or_copy(path, temporary)
                    temporary.replace(destination)
                return ReadResult(notes, unchanged_bytes=True)
            resampling = self._write_geotiff(path, raster, bands, (file_grid, grid), destination)
        if not is_unchanged_grid:
            file_resolution = compute_pixel_size(file_grid)[0]
            notes |= {"resampling": resampling.name, "from": file_resolution, "resolution": self.resolution}
        return ReadResult(notes | {"bands": list(self.bands) or [str(band) for band in bands]})

    def _find_file(self, product_files: ProductFiles) -> Path:
        matches = find_raster_files(product_files, TIFF_SUFFIXES, self._pattern)
        if len(matches) == 1:
            return matches[0]
        all_tiffs = find_raster_files(product_files, TIFF_SUFFIXES)
        if not all_tiffs:
            names = format_file_names(product_files.list_files(), product_files)
            raise CorruptError(f"product '{product_files.product_id}' has no GeoTIFF. Its files are: {names}.")
        raise UsageError(
            f"product '{product_files.product_id}' has {len(matches)} matching GeoTIFFs, expected one. Choose one with "
            "the option pattern, e.g. pattern=*_DSM.tif, or use the reader bands. The GeoTIFFs are: "
            f"{format_file_names(all_tiffs, product_files)}."
        )

    def _find_bands(self, raster: DatasetReader) -> tuple[int, ...]:
        """Return the numbers of the requested bands."""
        if not self.bands:
            return tuple(raster.indexes)
        numbers = {str(band): band for band in raster.indexes}
        numbers |= {name.casefold(): band for band, name in reversed([*enumerate(raster.descriptions, 1)]) if name}
        missing = [band for band in self.bands if band.casefold() not in numbers]
        if missing:
            names = quote_names([name or str(band) for band, name in enumerate(raster.descriptions, 1)], limit=20)
            raise UsageError(f"raster '{raster.name}' has no {quote_objects('band', missing)}. Its bands are: {names}.")
        return tuple(numbers[band.casefold()] for band in self.bands)

    def _write_geotiff(
        self, path: Path, raster: DatasetReader, bands: tuple[int, ...], grids: tuple[Grid, Grid], destination: Path
    ) -> Resampling:
        file_grid, grid = grids
        metadata = read_metadata(raster, crs_to_text(raster.crs), bands)
        resampling = choose_resampling(file_grid, grid, self._resampling)
        if ColorInterp.palette in metadata.interpretation:
            resampling = Resampling.nearest
        has_alpha = any(raster.colorinterp[band - 1] == ColorInterp.alpha for band in bands)
        has_mask = not has_alpha and MaskFlags.per_dataset in raster.mask_flag_enums[bands[0] - 1]
        names = raster.descriptions
        layers = [
            Layer(names[band - 1] or str(band), path, band, file_grid, raster.nodata, has_mask, resampling)
            for band in bands
        ]
        mask = replace(layers[0], nodata=None) if has_mask else None
        write_stack(layers, grid, metadata, destination, mask=mask)
        return resampling
