"""Read a product that is one GeoTIFF: its bytes are kept unless other bands or another resolution are requested."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.band_names import BandNames, find_band
from geographer.base.errors import CorruptError, UsageError, quote_names, quote_objects
from geographer.rasters.crs import crs_to_text
from geographer.rasters.metadata import read_metadata
from geographer.rasters.nodata import require_float_nodata
from geographer.readers.band_stack import (
    Layer,
    check_pixels,
    choose_resampling,
    compute_pixel_size,
    is_same_grid,
    make_grid_at_resolution,
    open_delivered_raster,
    require_grid,
    write_stack,
)
from geographer.readers.base import RESAMPLINGS, TEXT, TIFF_SUFFIXES, ProductFiles, Reader, ReadResult
from geographer.readers.unpack import link_or_copy


class GeoTiffReader(Reader):
    """Reads a single GeoTIFF or COG; other files of the product (metadata, previews) are ignored.

    Without `bands` and `resolution`, or if they are those of the file, its bytes are kept. Otherwise a new GeoTIFF has
    the requested `bands` (by number from 1, by description, by the name or the common name that the archive states, or
    by the name of a file with one band), with nodata, mask, names, scales and tags of the file.
    At another `resolution`, measurements are resampled bilinear to finer pixels, by average to coarser ones, or with
    the option `resampling`; a band with a colour table always with nearest.

    Options:
        pattern: Which file to read if the product has several GeoTIFFs, such as `*_DSM.tif`.
        resampling: GDAL's name of the method; use `nearest` for classes.
    """

    name = "geotiff"
    option_forms = MappingProxyType({"pattern": TEXT, "resampling": RESAMPLINGS})

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the product has exactly one GeoTIFF."""
        return len(product_files.find_files(TIFF_SUFFIXES)) == 1

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`. All pixels are decoded once, so that damage is detected."""
        path = self._find_file(product_files)
        notes: dict[str, object] = {"reader": self.name, "file": path.relative_to(product_files.folder).as_posix()}
        with open_delivered_raster(path) as raster:
            bands = self._find_bands(raster, path, product_files.get_bands(path))
            file_grid = require_grid(raster)
            grid = make_grid_at_resolution(file_grid, self.resolution)
            is_unchanged_grid = is_same_grid(file_grid, grid)
            if is_unchanged_grid and bands == raster.indexes:
                check_pixels(raster)
                with translate_os_errors(destination), temporary_sibling(destination) as temporary:
                    link_or_copy(path, temporary)
                    temporary.replace(destination)
                return ReadResult(notes, unchanged_bytes=True)
            metadata = read_metadata(raster, crs_to_text(raster.crs), bands)
            nodata = require_float_nodata(raster)
            resampling = choose_resampling(file_grid, grid, self.options.get("resampling"))
            if ColorInterp.palette in metadata.interpretation:
                resampling = Resampling.nearest
            has_alpha = ColorInterp.alpha in metadata.interpretation
            has_mask = not has_alpha and MaskFlags.per_dataset in raster.mask_flag_enums[bands[0] - 1]
            names = [raster.descriptions[band - 1] or str(band) for band in bands]
            layers = [
                Layer(name, path, band, file_grid, nodata, has_mask, resampling)
                for name, band in zip(names, bands, strict=True)
            ]
        mask = replace(layers[0], nodata=None) if has_mask else None
        write_stack(layers, grid, metadata, destination, mask=mask)
        if not is_unchanged_grid:
            file_resolution = compute_pixel_size(file_grid)[0]
            notes |= {"resampling": resampling.name, "from": file_resolution, "resolution": self.resolution}
        return ReadResult(notes | {"bands": list(self.bands) or [str(band) for band in bands]})

    def _find_file(self, product_files: ProductFiles) -> Path:
        matches = product_files.find_files(TIFF_SUFFIXES, self.options.get("pattern"))
        if len(matches) == 1:
            return matches[0]
        all_tiffs = product_files.find_files(TIFF_SUFFIXES)
        product = f"product '{product_files.product_id}'"
        if not all_tiffs:
            raise CorruptError(f"{product} has no GeoTIFF. Its files are: {product_files.format_names()}.")
        raise UsageError(
            f"{product} has {len(matches)} matching GeoTIFFs, expected one. Choose one with the option pattern, e.g. "
            f"pattern=*_DSM.tif, or use the reader bands. The GeoTIFFs are: {product_files.format_names(all_tiffs)}."
        )

    def _find_bands(self, raster: DatasetReader, path: Path, stated: tuple[BandNames, ...]) -> tuple[int, ...]:
        """Return the numbers of the requested bands."""
        if not self.bands:
            return tuple(raster.indexes)
        candidates = _list_band_names(raster, path.stem, stated)
        numbers = {band: [index + 1 for index in find_band(band, candidates)] for band in self.bands}
        names = quote_names([next(filter(None, names[1:]), names[0] or "") for names in candidates], limit=20)
        if missing := [band for band, matches in numbers.items() if not matches]:
            raise UsageError(f"raster '{raster.name}' has no {quote_objects('band', missing)}. Its bands are: {names}.")
        if ambiguous := [band for band, matches in numbers.items() if len(matches) > 1]:
            listed = ", ".join(map(str, numbers[ambiguous[0]]))
            raise UsageError(f"raster '{raster.name}' has several bands '{ambiguous[0]}': {listed}. Use a number.")
        return tuple(matches[0] for matches in numbers.values())


def _list_band_names(raster: DatasetReader, stem: str, stated: tuple[BandNames, ...]) -> list[tuple[str | None, ...]]:
    """Return number, description, names by the archive and, of a file with one band, the file's name of each band."""
    n_alpha = raster.colorinterp.count(ColorInterp.alpha)
    padded = (*stated, *[BandNames()] * raster.count)
    return [
        (str(number), description, *names, stem if raster.count - n_alpha == 1 and kind != ColorInterp.alpha else None)
        for number, description, kind, names in zip(
            raster.indexes, raster.descriptions, raster.colorinterp, padded, strict=False
        )
    ]
