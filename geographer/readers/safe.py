"""Read Sentinel-2 products (L1C, L2A) in the SAFE format: JPEG 2000 bands to one GeoTIFF."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader

from geographer.base.errors import CorruptError, UsageError, quote_names, quote_objects
from geographer.base.values import Grid
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.write import GeoTiffMetadata
from geographer.readers.band_stack import (
    Layer,
    Pixels,
    choose_resampling,
    compute_pixel_size,
    open_delivered_raster,
    write_stack,
)
from geographer.readers.base import FLAG, RESAMPLINGS, TEXT, ProductFiles, Reader, ReadResult
from geographer.readers.safe_metadata import BANDS, SafeProduct, find_product_metadata, read_safe_product

RESOLUTIONS: Final = (10, 20, 60)  # metres
NODATA, MIN_VALID = 0, 1
_EXTRA_BANDS: Final = ("AOT", "WVP", "SCL", "TCI", "CLDPRB", "SNWPRB")
_PROBABILITY_BANDS: Final = ("CLDPRB", "SNWPRB")
_RGB: Final = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


class _Image(NamedTuple):
    """Where a band of the GeoTIFF, called `name`, is read from: band `number` of a file."""

    name: str
    band: str
    path: Path
    number: int
    resolution: int
    grid: Grid
    dtype: np.dtype[np.generic]
    offset: int

    def make_tags(self) -> dict[str, str]:
        tags = {"RESOLUTION": str(self.resolution)}
        return tags | {"ADD_OFFSET": str(self.offset)} if self.offset else tags


class SafeReader(Reader):
    """Reads one tile of a Sentinel-2 L1C or L2A product, in the compact or the old naming.

    Bands: without `bands`, B01 to B12 with B8A, in that order (L2A has no B10). L2A also has AOT, WVP, SCL, TCI (three
    bands: TCI_R, TCI_G, TCI_B), CLDPRB and SNWPRB.
    Resolution: 10, 20 or 60 m; by default that of the finest requested band. A band with a file at that resolution is
    not resampled. Otherwise it is read from the next finer file, by average, or else from the finest one, bilinear;
    SCL always with nearest. All grids start at the upper left corner given in the tile's metadata.
    Nodata is 0. In CLDPRB and SNWPRB, 0 means 0 percent as well as nodata (other bands distinguish them); a GeoTIFF of
    these bands alone has no nodata. Scale and offset of each band give reflectance: `pixel * scale + offset`.

    Options:
        offset: What to do with the radiometric offset (-1000) of products from processing baseline 04.00 on. `apply`
            (default) adds it to the pixels, so that they compare with older products: the result is at least 1, not
            nodata; saturated pixels are unchanged. `record` writes it to the bands' metadata.
        clouds, snow: True adds CLDPRB and SNWPRB, in percent, as last bands.
        tile: The tile of an old product with several, such as `32TPT`; by default the one in the archive's metadata.
        resampling: GDAL's name of the method for all bands but SCL.
    """

    name = "safe"
    option_forms = MappingProxyType(
        {"offset": ("apply", "record"), "clouds": FLAG, "snow": FLAG, "tile": TEXT, "resampling": RESAMPLINGS}
    )

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        super().__init__(bands=bands, resolution=resolution, **options)
        if resolution is not None and resolution not in RESOLUTIONS:
            raise UsageError(f"invalid resolution {resolution:g} m for Sentinel-2. Use 10, 20 or 60.")
        self._band_names = [_parse_band_name(band) for band in bands]
        if len(set(self._band_names)) < len(self._band_names):
            raise UsageError(f"the same band is requested twice: {quote_names(list(bands), limit=20)}.")
        added = [band for option, band in (("clouds", "CLDPRB"), ("snow", "SNWPRB")) if options.get(option)]
        self._probability_bands = [band for band in added if band not in self._band_names]
        self._applies_offset = options.get("offset") != "record"

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the files include SAFE product metadata."""
        return bool(find_product_metadata(product_files.folder))

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        hint = str(product_files.properties.get("tile") or "")
        safe = read_safe_product(product_files.folder, product_files.product_id, self.options.get("tile"), hint)
        bands = self._select_bands(safe)
        resolution = int(self.resolution or min(min(safe.images[band]) for band in bands))
        grid = safe.require_grid(resolution)
        images = [image for band in bands for image in _find_images(safe, band, resolution)]
        layers = [self._make_layer(safe, image, grid) for image in images]
        offset_status = "none"
        if any(safe.offsets.values()):
            offset_status = "applied" if self._applies_offset else "recorded"
        write_stack(layers, grid, self._make_metadata(safe, images, grid, offset_status), destination)
        notes = {
            "reader": self.name,
            "level": safe.level,
            "bands": [image.name for image in images],
            "resolution": resolution,
            "resampled": {
                image.band: f"{layer.resampling.name} from {image.resolution}"
                for image, layer in zip(images, layers, strict=True)
                if image.resolution != resolution
            },
            "offset": offset_status,
            "offsets": {image.band: image.offset for image in images if image.offset},
            "quantification": safe.quantification[""],
            "facts": dict(safe.properties),
        }
        return ReadResult(notes)

    def _select_bands(self, safe: SafeProduct) -> list[str]:
        standard = [band for band in BANDS if band != "B10" or safe.level == "L1C"]
        bands = (self._band_names or standard) + self._probability_bands
        missing = [band for band in bands if band not in safe.images]
        possible = [*standard, *(() if safe.level == "L1C" else _EXTRA_BANDS)]
        impossible = [band for band in missing if band not in possible]
        available = quote_names([band for band in (*BANDS, *_EXTRA_BANDS) if band in safe.images], limit=20)
        if impossible:
            raise UsageError(
                f"{safe.level} product '{safe.root.name}' has no {quote_objects('band', impossible)}. "
                f"Its bands are: {available}."
            )
        if missing:
            raise CorruptError(
                f"product '{safe.root.name}' is incomplete: it lacks {quote_objects('band', missing)}, and has "
                f"{available}. Download the product again."
            )
        return bands

    def _make_layer(self, safe: SafeProduct, image: _Image, grid: Grid) -> Layer:
        resampling = choose_resampling(image.grid, grid, self.options.get("resampling"))
        add_offset = partial(_add_offset, offset=image.offset, saturated=safe.saturated)
        return Layer(
            name=image.name,
            path=image.path,
            band=image.number,
            grid=image.grid,
            nodata=None if image.band in _PROBABILITY_BANDS else NODATA,
            resampling=Resampling.nearest if image.band == "SCL" else resampling,
            transform_pixels=add_offset if image.offset and self._applies_offset else None,
        )

    def _make_metadata(
        self, safe: SafeProduct, images: Sequence[_Image], grid: Grid, offset_status: str
    ) -> GeoTiffMetadata:
        bands = {image.band for image in images}
        tags = {name.upper(): str(value) for name, value in safe.properties.items()}
        tags |= {"QUANTIFICATION_VALUE": f"{safe.quantification['']:g}", "ADD_OFFSET": offset_status}
        without_colours = (ColorInterp.gray, *[ColorInterp.undefined] * (len(images) - 1))
        recorded_offsets = [0 if self._applies_offset else image.offset for image in images]
        return GeoTiffMetadata(
            crs=parse_crs(grid.crs),
            count=len(images),
            dtype=str(np.result_type(*{image.dtype for image in images})),
            nodata=None if bands.issubset(_PROBABILITY_BANDS) else NODATA,
            interpretation=_RGB if bands == {"TCI"} else without_colours,
            descriptions=tuple(image.name for image in images),
            scales=tuple(1 / safe.find_divisor(image.band) for image in images),
            offsets=tuple(offset / safe.quantification[""] for offset in recorded_offsets),
            tags={None: tags},
            band_tags=tuple(image.make_tags() for image in images),
        )


def _add_offset(pixels: Pixels, *, offset: int, saturated: int) -> Pixels:
    """Add an offset to all but saturated pixels; see `SafeReader`. Nodata is filled in afterwards."""
    shifted = np.clip(pixels.astype(np.int32) + offset, MIN_VALID, np.iinfo(pixels.dtype).max)
    return np.where(pixels == saturated, pixels, shifted.astype(pixels.dtype))


def _parse_band_name(name: str) -> str:
    """Return `B01` for `b1`; raise UsageError if Sentinel-2 has no such band."""
    band = re.sub(r"^B?(\d)$", r"B0\1", name.strip().upper())
    band = f"B{band}" if band in ("8A", "10", "11", "12") else band
    if band not in (*BANDS, *_EXTRA_BANDS):
        raise UsageError(f"Sentinel-2 has no band '{name}'. Its bands are: {', '.join((*BANDS, *_EXTRA_BANDS))}.")
    return band


def _find_images(safe: SafeProduct, band: str, resolution: int) -> list[_Image]:
    """Choose and check a band's file: at this resolution, else the next finer, else the finest."""
    paths = safe.images[band]
    best = max((candidate for candidate in paths if candidate <= resolution), default=min(paths))
    path, grid = paths[best], safe.require_grid(best)
    if not path.is_file():
        raise CorruptError(
            f"band {band} of product '{safe.root.name}' is missing ('{path}' does not exist). Download it again."
        )
    safe.verify_checksum(path)
    names = [f"TCI_{colour}" for colour in "RGB"] if band == "TCI" else [band]
    with open_delivered_raster(path) as raster:
        if difference := _find_difference(raster, grid, len(names)):
            raise CorruptError(f"'{path}' {difference}. Download the product again.")
        dtype = np.dtype(raster.dtypes[0])
    offset = safe.offsets.get(band, 0)
    return [_Image(name, band, path, number, best, grid, dtype, offset) for number, name in enumerate(names, start=1)]


def _find_difference(raster: DatasetReader, grid: Grid, band_count: int) -> str:
    """Compare an image with its tile's metadata; CRS and upper left corner only if the image is georeferenced."""
    corner, grid_corner = (np.array([transform[2], transform[5]]) for transform in (raster.transform, grid.transform))
    if (raster.width, raster.height) != (grid.width, grid.height):
        return f"has {raster.width}x{raster.height} pixels, but its tile {grid.width}x{grid.height}"
    if raster.crs and crs_to_text(raster.crs) != grid.crs:
        return f"has the CRS {crs_to_text(raster.crs)}, but its tile {grid.crs}"
    if raster.crs and (np.abs(corner - grid_corner) > compute_pixel_size(grid)).any():
        return "starts at {:.10g}, {:.10g}, but its tile at {:.10g}, {:.10g}".format(*corner, *grid_corner)
    return "" if raster.count == band_count else f"has {raster.count} bands, expected {band_count}"
