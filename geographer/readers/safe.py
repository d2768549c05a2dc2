"""Reads Sentinel-2 products in the SAFE format, L1C and L2A: their JPEG 2000 bands into one GeoTIFF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader

from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.base.values import Grid
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.write import GeoTiffMetadata
from geographer.readers.band_stack import Layer, Pixels, pixel_size, resampling_between, resampling_named, write_stack
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import opened
from geographer.readers.options import checked, text, truth
from geographer.readers.safe_metadata import BANDS, Safe, check_sum, products_in, safe_in

RESOLUTIONS: Final = (10, 20, 60)
"""In metres."""
NODATA: Final = 0
SMALLEST: Final = 1
"""What a valid pixel is at least once an offset was applied: 0 is nodata."""

_MORE: Final = ("AOT", "WVP", "SCL", "TCI", "CLDPRB", "SNWPRB")
_PROBABILITIES: Final = ("CLDPRB", "SNWPRB")
_COLOURS: Final = ("R", "G", "B")
_TAGS: Final = (
    *("product_uri", "processing_level", "processing_baseline", "processed", "platform", "datatake"),
    *("absolute_orbit", "relative_orbit", "orbit_direction", "tile", "acquired", "cloud_cover"),
)


class SafeReader(Reader):
    """Sentinel-2 L1C and L2A, in the compact or the old naming, one tile.

    Bands: B01 to B12 with B8A, in that order (L2A has no B10), or those that are named: of L2A also AOT, WVP, SCL, TCI
    (three bands: TCI_R, TCI_G, TCI_B), CLDPRB and SNWPRB. Pixels are 10, 20 or 60 m; by default the finest that one of
    the bands has. Where a product has a band at that resolution its pixels are taken as they are. Otherwise it comes
    from the file next finer, by the mean of what a pixel covers, or else from the finest there is, bilinear; SCL
    always takes the nearest pixel. All grids begin at the tile's upper left corner, as the tile's metadata say.

    Nodata is 0. What is 0 in CLDPRB and SNWPRB is 0 percent as well as no data (the other bands tell them apart); of
    these two alone there is no nodata. Each band's scale and offset give reflectance: `pixel * scale + offset`.

    Options:
        offset: What is to be added to pixels from processing baseline 04.00 on (-1000). `apply` (default) adds it, so
            that they are as older ones: at least 1, so that no valid pixel becomes nodata; a saturated pixel stays
            as it is. `record` keeps the pixels, and puts it in the bands' offset.
        clouds, snow: true adds CLDPRB and SNWPRB, in percent, as the last bands.
        tile: Which tile, of old products with several, such as `32TPT`; by default the one that the archive names.
        resampling: Of all but SCL, by GDAL's name.
    """

    name: ClassVar[str] = "safe"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """See `Reader`."""
        super().__init__(bands=bands, resolution=resolution, **options)
        checked(self, {"offset", "clouds", "snow", "tile", "resampling"})
        if resolution is not None and resolution not in RESOLUTIONS:
            raise UsageError(f"Sentinel-2 has no resolution of {resolution:g} m: choose 10, 20 or 60")
        self._offset = text(self, "offset") or "apply"
        if self._offset not in ("apply", "record"):
            raise UsageError(f"option offset of reader 'safe' is '{self._offset}': choose apply or record")
        self._named = [_band_named(band) for band in bands]
        if len(set(self._named)) < len(self._named):
            raise UsageError(f"a band is asked for twice: {quote_names(list(bands), limit=20)}")
        asked = {"CLDPRB": truth(self, "clouds"), "SNWPRB": truth(self, "snow")}
        self._besides = [band for band, wanted in asked.items() if wanted and band not in self._named]
        self._tile = text(self, "tile")
        self._resampling = resampling_named(options.get("resampling"))

    @classmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        """Whether there is a file with a product's metadata."""
        return bool(products_in(arrived.folder))

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        safe = safe_in(arrived.folder, arrived.product_id, self._tile, str(arrived.properties.get("tile") or ""))
        wanted = self._wanted(safe)
        resolution = int(self.resolution or min(min(safe.images[band]) for band in wanted))
        grid = _grid_at(safe, resolution)
        images = [_image(safe, band, resolution) for band in wanted]
        layers = [layer for image in images for layer in self._layers(safe, image, grid)]
        write_stack(layers, grid, self._metadata(safe, images, layers, grid), destination)
        return ReadResult(self._notes(safe, images, layers, resolution))

    def _wanted(self, safe: Safe) -> list[str]:
        standard = [band for band in BANDS if band != "B10" or safe.level == "L1C"]
        wanted = (self._named or standard) + self._besides
        missing = [band for band in wanted if band not in safe.images]
        unknown = [band for band in missing if band not in standard and (band not in _MORE or safe.level == "L1C")]
        has = quote_names([band for band in (*BANDS, *_MORE) if band in safe.images], limit=20)
        if unknown:
            raise UsageError(
                f"{safe.level} product '{safe.root.name}' has no band {quote_names(unknown)}: it has {has}"
            )
        if missing:
            raise CorruptError(
                f"product '{safe.root.name}' lacks band {quote_names(missing)}: it has {has}; fetch it again"
            )
        return wanted

    def _layers(self, safe: Safe, image: _Image, grid: Grid) -> list[Layer]:
        how = Resampling.nearest if image.band == "SCL" else resampling_between(image.grid, grid, self._resampling)
        nodata = None if image.band in _PROBABILITIES else NODATA
        added = safe.offsets.get(image.band, 0)
        change = _Offset(added, safe.saturated) if added and self._offset == "apply" else None
        return [
            Layer(name, image.path, number, image.grid, nodata, resampling=how, change=change)
            for number, name in enumerate(image.names, start=1)
        ]

    def _metadata(self, safe: Safe, images: Sequence[_Image], layers: Sequence[Layer], grid: Grid) -> GeoTiffMetadata:
        scales = [_scale(safe, image.band) for image in images for _ in image.names]
        offsets = [self._recorded(safe, image.band) for image in images for _ in image.names]
        tags = {name.upper(): str(safe.facts[name]) for name in _TAGS if name in safe.facts}
        tags |= {"QUANTIFICATION_VALUE": f"{safe.quantification['']:g}", "ADD_OFFSET": self._done(safe)}
        return GeoTiffMetadata(
            crs=parse_crs(grid.crs),
            count=len(layers),
            dtype=str(np.result_type(*{image.dtype for image in images})),
            nodata=None if all(image.band in _PROBABILITIES for image in images) else NODATA,
            interpretation=_colours(images),
            descriptions=tuple(layer.name for layer in layers),
            scales=tuple(scales),
            offsets=tuple(offsets),
            tags={None: tags},
            band_tags=tuple(_band_tags(safe, image) for image in images for _ in image.names),
        )

    def _recorded(self, safe: Safe, band: str) -> float:
        """The offset of `pixel * scale + offset`, as far as it is not in the pixels."""
        added = safe.offsets.get(band, 0)
        return added / safe.quantification[""] if added and self._offset == "record" else 0.0

    def _done(self, safe: Safe) -> str:
        """What became of the offsets."""
        if not any(safe.offsets.values()):
            return "none"
        return "applied" if self._offset == "apply" else "recorded"

    def _notes(self, safe: Safe, images: Sequence[_Image], layers: Sequence[Layer], resolution: int) -> dict[str, Any]:
        how = {layer.name: layer.resampling.name for layer in layers}
        return {
            "reader": self.name,
            "level": safe.level,
            "bands": [layer.name for layer in layers],
            "resolution": resolution,
            "resampled": {
                image.band: f"{how[image.names[0]]} from {image.resolution}"
                for image in images
                if image.resolution != resolution
            },
            "offset": self._done(safe),
            "offsets": {image.band: safe.offsets[image.band] for image in images if safe.offsets.get(image.band)},
            "quantification": safe.quantification[""],
            "facts": dict(safe.facts),
        }


@dataclass(frozen=True, slots=True)
class _Image:
    """The file that a band is taken from; `names` are of what becomes of its bands."""

    band: str
    path: Path
    resolution: int
    grid: Grid
    names: tuple[str, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Offset:
    """Adds an offset to all but saturated pixels; see `SafeReader`. Nodata is put in again after it."""

    added: int
    saturated: int

    def __call__(self, pixels: Pixels) -> Pixels:
        largest = np.iinfo(pixels.dtype).max
        moved = np.clip(pixels.astype(np.int32) + self.added, SMALLEST, largest)
        return np.where(pixels == self.saturated, pixels, moved.astype(pixels.dtype))


def _band_named(name: str) -> str:
    """`B01` for `b1`.

    Raises:
        UsageError: Sentinel-2 has no such band.
    """
    plain = name.strip().upper()
    plain = re.sub(r"^B?(\d)$", r"B0\1", plain)
    plain = f"B{plain}" if plain in ("8A", "10", "11", "12") else plain
    if plain not in (*BANDS, *_MORE):
        raise UsageError(f"Sentinel-2 has no band '{name}': it has {', '.join((*BANDS, *_MORE))}")
    return plain


def _grid_at(safe: Safe, resolution: int) -> Grid:
    if resolution not in safe.grids:
        raise CorruptError(f"the metadata of product '{safe.root.name}' have no grid of {resolution} m: fetch it again")
    return safe.grids[resolution]


def _image(safe: Safe, band: str, resolution: int) -> _Image:
    """The file to take a band from: at this resolution, or the next finer, or the finest there is."""
    files = safe.images[band]
    finer = [one for one in files if one <= resolution]
    best = max(finer) if finer else min(files)
    path, grid = files[best], _grid_at(safe, best)
    if not path.is_file():
        raise CorruptError(
            f"band {band} of product '{safe.root.name}' is missing: '{path}' is not there; fetch it again"
        )
    check_sum(safe, path)
    with opened(path) as raster:
        _check_place(raster, path, grid)
        count = 3 if band == "TCI" else 1
        if raster.count != count:
            raise CorruptError(f"'{path}' has {raster.count} bands where {count} belong: fetch the product again")
        names = (band,) if count == 1 else tuple(f"{band}_{colour}" for colour in _COLOURS)
        return _Image(band, path, best, grid, names, np.dtype(raster.dtypes[0]))


def _check_place(raster: DatasetReader, path: Path, grid: Grid) -> None:
    """The tile's metadata have the say; an image that is georeferenced has to agree, up to a pixel."""
    if (raster.width, raster.height) != (grid.width, grid.height):
        what = f"has {raster.width} by {raster.height} pixels, and its tile {grid.width} by {grid.height}"
    elif raster.crs and crs_to_text(raster.crs) != grid.crs:
        what = f"lies in {crs_to_text(raster.crs)}, and its tile in {grid.crs}"
    elif raster.crs and _apart(raster, grid) > 1:
        what = f"begins at {raster.transform.c:.10g}, {raster.transform.f:.10g}, and its tile elsewhere"
    else:
        return
    raise CorruptError(f"'{path}' {what}: fetch the product again")


def _apart(raster: DatasetReader, grid: Grid) -> float:
    """How many pixels apart the upper left corners are."""
    across, down = pixel_size(grid)
    x, y = float(raster.transform.c), float(raster.transform.f)
    return max(abs(x - grid.transform.c) / across, abs(y - grid.transform.f) / down)


def _scale(safe: Safe, band: str) -> float:
    divisor: float = safe.quantification[""] if band in BANDS else safe.quantification.get(band, 1.0)
    return 1 / divisor


def _colours(images: Sequence[_Image]) -> tuple[ColorInterp, ...]:
    if [image.band for image in images] == ["TCI"]:
        return (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return (ColorInterp.gray, *[ColorInterp.undefined] * (sum(len(image.names) for image in images) - 1))


def _band_tags(safe: Safe, image: _Image) -> dict[str, str]:
    tags = {"RESOLUTION": str(image.resolution)}
    added = safe.offsets.get(image.band)
    return tags | {"ADD_OFFSET": str(added)} if added else tags
