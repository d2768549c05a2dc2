"""Read Sentinel-2 products (L1C, L2A) in the SAFE format: JPEG 2000 bands to one GeoTIFF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

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
    parse_resampling,
    write_stack,
)
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import open_delivered_raster
from geographer.readers.options import read_flag_option, read_text_option, reject_unknown_options
from geographer.readers.safe_metadata import (
    BANDS,
    SafeProduct,
    find_product_metadata,
    read_safe_product,
    verify_checksum,
)

RESOLUTIONS: Final = (10, 20, 60)
"""In metres."""
NODATA: Final = 0
MIN_VALID: Final = 1
"""The least value of a valid pixel after an offset was applied: 0 is nodata."""

_EXTRA_BANDS: Final = ("AOT", "WVP", "SCL", "TCI", "CLDPRB", "SNWPRB")
_PROBABILITY_BANDS: Final = ("CLDPRB", "SNWPRB")
_TCI_COLOURS: Final = ("R", "G", "B")
_TAG_PROPERTIES: Final = (
    *("product_uri", "processing_level", "processing_baseline", "processed", "platform", "datatake"),
    *("absolute_orbit", "relative_orbit", "orbit_direction", "tile", "acquired", "cloud_cover"),
)


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
            (default) adds it to the pixels, so that they compare with older products: the result is at least 1, so
            that no valid pixel becomes nodata; saturated pixels are unchanged. `record` keeps the pixels, and writes
            the offset to the bands' metadata.
        clouds, snow: True adds CLDPRB and SNWPRB, in percent, as last bands.
        tile: The tile of an old product with several, such as `32TPT`; by default the one in the archive's metadata.
        resampling: GDAL's name of the method for all bands but SCL.
    """

    name: ClassVar[str] = "safe"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        super().__init__(bands=bands, resolution=resolution, **options)
        reject_unknown_options(self, {"offset", "clouds", "snow", "tile", "resampling"})
        if resolution is not None and resolution not in RESOLUTIONS:
            raise UsageError(f"invalid resolution {resolution:g} m for Sentinel-2. Use 10, 20 or 60.")
        self._offset_mode = read_text_option(self, "offset") or "apply"
        if self._offset_mode not in ("apply", "record"):
            raise UsageError(f"invalid option offset of reader 'safe': '{self._offset_mode}'. Use apply or record.")
        self._band_names = [_parse_band_name(band) for band in bands]
        if len(set(self._band_names)) < len(self._band_names):
            raise UsageError(f"the same band is requested twice: {quote_names(list(bands), limit=20)}.")
        flags = {"CLDPRB": read_flag_option(self, "clouds"), "SNWPRB": read_flag_option(self, "snow")}
        self._probability_bands = [band for band, flag in flags.items() if flag and band not in self._band_names]
        self._tile = read_text_option(self, "tile")
        self._resampling = parse_resampling(options.get("resampling"))

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the files include SAFE product metadata."""
        return bool(find_product_metadata(product_files.folder))

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        hint = str(product_files.properties.get("tile") or "")
        safe = read_safe_product(product_files.folder, product_files.product_id, self._tile, hint)
        bands = self._select_bands(safe)
        resolution = int(self.resolution or min(min(safe.images[band]) for band in bands))
        grid = _require_grid_at(safe, resolution)
        images = [_find_image(safe, band, resolution) for band in bands]
        layers = [layer for image in images for layer in self._make_layers(safe, image, grid)]
        write_stack(layers, grid, self._make_metadata(safe, images, layers, grid), destination)
        return ReadResult(self._make_notes(safe, images, layers, resolution))

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
                f"product '{safe.root.name}' is incomplete: it lacks "
                f"{quote_objects('band', missing)}, and has {available}. "
                "Download the product again."
            )
        return bands

    def _make_layers(self, safe: SafeProduct, image: _Image, grid: Grid) -> list[Layer]:
        is_classes = image.band == "SCL"
        resampling = Resampling.nearest if is_classes else choose_resampling(image.grid, grid, self._resampling)
        nodata = None if image.band in _PROBABILITY_BANDS else NODATA
        offset = safe.offsets.get(image.band, 0)
        transform = _AddOffset(offset, safe.saturated) if offset and self._offset_mode == "apply" else None
        return [
            Layer(name, image.path, number, image.grid, nodata, resampling=resampling, transform_pixels=transform)
            for number, name in enumerate(image.layer_names, start=1)
        ]

    def _make_metadata(
        self, safe: SafeProduct, images: Sequence[_Image], layers: Sequence[Layer], grid: Grid
    ) -> GeoTiffMetadata:
        layer_images = [image for image in images for _ in image.layer_names]
        tags = {name.upper(): str(safe.properties[name]) for name in _TAG_PROPERTIES if name in safe.properties}
        tags |= {"QUANTIFICATION_VALUE": f"{safe.quantification['']:g}", "ADD_OFFSET": self._offset_status(safe)}
        return GeoTiffMetadata(
            crs=parse_crs(grid.crs),
            count=len(layers),
            dtype=str(np.result_type(*{image.dtype for image in images})),
            nodata=None if all(image.band in _PROBABILITY_BANDS for image in images) else NODATA,
            interpretation=_find_interpretation(layer_images),
            descriptions=tuple(layer.name for layer in layers),
            scales=tuple(_find_scale(safe, image.band) for image in layer_images),
            offsets=tuple(self._find_recorded_offset(safe, image.band) for image in layer_images),
            tags={None: tags},
            band_tags=tuple(_make_band_tags(safe, image) for image in layer_images),
        )

    def _find_recorded_offset(self, safe: SafeProduct, band: str) -> float:
        """Return the offset of `pixel * scale + offset`, without what was added to the pixels."""
        offset = safe.offsets.get(band, 0)
        return offset / safe.quantification[""] if offset and self._offset_mode == "record" else 0.0

    def _offset_status(self, safe: SafeProduct) -> str:
        if not any(safe.offsets.values()):
            return "none"
        return "applied" if self._offset_mode == "apply" else "recorded"

    def _make_notes(
        self, safe: SafeProduct, images: Sequence[_Image], layers: Sequence[Layer], resolution: int
    ) -> dict[str, Any]:
        methods = {layer.name: layer.resampling.name for layer in layers}
        return {
            "reader": self.name,
            "level": safe.level,
            "bands": [layer.name for layer in layers],
            "resolution": resolution,
            "resampled": {
                image.band: f"{methods[image.layer_names[0]]} from {image.resolution}"
                for image in images
                if image.resolution != resolution
            },
            "offset": self._offset_status(safe),
            "offsets": {image.band: safe.offsets[image.band] for image in images if safe.offsets.get(image.band)},
            "quantification": safe.quantification[""],
            "facts": dict(safe.properties),
        }


@dataclass(frozen=True, slots=True)
class _Image:
    """The file from which a band is read; `layer_names` are the names of its bands in the GeoTIFF."""

    band: str
    path: Path
    resolution: int
    grid: Grid
    layer_names: tuple[str, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _AddOffset:
    """Adds an offset to all but saturated pixels; see `SafeReader`. Nodata is filled in afterwards."""

    offset: int
    saturated: int

    def __call__(self, pixels: Pixels) -> Pixels:
        max_value = np.iinfo(pixels.dtype).max
        shifted = np.clip(pixels.astype(np.int32) + self.offset, MIN_VALID, max_value)
        return np.where(pixels == self.saturated, pixels, shifted.astype(pixels.dtype))


def _parse_band_name(name: str) -> str:
    """Return `B01` for `b1`; raise UsageError if Sentinel-2 has no such band."""
    band = re.sub(r"^B?(\d)$", r"B0\1", name.strip().upper())
    band = f"B{band}" if band in ("8A", "10", "11", "12") else band
    if band not in (*BANDS, *_EXTRA_BANDS):
        raise UsageError(f"Sentinel-2 has no band '{name}'. Its bands are: {', '.join((*BANDS, *_EXTRA_BANDS))}.")
    return band


def _require_grid_at(safe: SafeProduct, resolution: int) -> Grid:
    if resolution not in safe.grids:
        raise CorruptError(
            f"the metadata of product '{safe.root.name}' have no grid of {resolution} m. Download the product again."
        )
    return safe.grids[resolution]


def _find_image(safe: SafeProduct, band: str, resolution: int) -> _Image:
    """Choose and check a band's file: at this resolution, else the next finer, else the finest."""
    paths = safe.images[band]
    fine_enough = [candidate for candidate in paths if candidate <= resolution]
    best = max(fine_enough) if fine_enough else min(paths)
    path, grid = paths[best], _require_grid_at(safe, best)
    if not path.is_file():
        raise CorruptError(
            f"band {band} of product '{safe.root.name}' is missing ('{path}' does not exist). Download it again."
        )
    verify_checksum(safe, path)
    with open_delivered_raster(path) as raster:
        _check_georeference(raster, path, grid)
        band_count = 3 if band == "TCI" else 1
        if raster.count != band_count:
            raise CorruptError(f"'{path}' has {raster.count} bands, expected {band_count}. Download the product again.")
        layer_names = (band,) if band_count == 1 else tuple(f"{band}_{colour}" for colour in _TCI_COLOURS)
        return _Image(band, path, best, grid, layer_names, np.dtype(raster.dtypes[0]))


def _check_georeference(raster: DatasetReader, path: Path, grid: Grid) -> None:
    """Compare an image with the grid in the tile's metadata; CRS and upper left corner only if it is georeferenced."""
    corner, grid_corner = (np.array([transform[2], transform[5]]) for transform in (raster.transform, grid.transform))
    if (raster.width, raster.height) != (grid.width, grid.height):
        difference = f"has {raster.width}x{raster.height} pixels, but its tile {grid.width}x{grid.height}"
    elif raster.crs and crs_to_text(raster.crs) != grid.crs:
        difference = f"has the CRS {crs_to_text(raster.crs)}, but its tile {grid.crs}"
    elif raster.crs and (np.abs(corner - grid_corner) > compute_pixel_size(grid)).any():
        difference = "starts at {:.10g}, {:.10g}, but its tile at {:.10g}, {:.10g}".format(*corner, *grid_corner)
    else:
        return
    raise CorruptError(f"'{path}' {difference}. Download the product again.")


def _find_scale(safe: SafeProduct, band: str) -> float:
    divisor: float = safe.quantification[""] if band in BANDS else safe.quantification.get(band, 1.0)
    return 1 / divisor


def _find_interpretation(layer_images: Sequence[_Image]) -> tuple[ColorInterp, ...]:
    if {image.band for image in layer_images} == {"TCI"}:
        return (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return (ColorInterp.gray, *[ColorInterp.undefined] * (len(layer_images) - 1))


def _make_band_tags(safe: SafeProduct, image: _Image) -> dict[str, str]:
    tags = {"RESOLUTION": str(image.resolution)}
    offset = safe.offsets.get(image.band)
    return tags | {"ADD_OFFSET": str(offset)} if offset else tags
