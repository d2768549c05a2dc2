"""Read a product whose bands are separate files: the bands are resampled to the grid of the finest."""

import math
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags, Resampling

from geographer.base.band_names import find_band
from geographer.base.errors import CorruptError, UsageError, quote_names, quote_objects
from geographer.base.values import Grid
from geographer.rasters.crs import parse_crs
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.nodata import require_float_nodata
from geographer.rasters.read import find_grid_corners
from geographer.rasters.write import GeoTiffMetadata
from geographer.readers.band_stack import (
    Layer,
    choose_resampling,
    compute_pixel_size,
    make_grid_at_resolution,
    open_delivered_raster,
    require_grid,
    write_stack,
)
from geographer.readers.base import (
    JP2_SUFFIXES,
    NAMES,
    NUMBER,
    RESAMPLINGS,
    TEXT,
    TIFF_SUFFIXES,
    ProductFiles,
    Reader,
    ReadResult,
)

CLASS_WORDS: Final = frozenset(
    {"scl", "fmask", "qa", "bqa", "qa60", "radsat", "msk", "mask", "classi", "class", "classes", "classification"}
    | {"lulc", "landcover", "worldcover", "cdl", "label", "labels"}
)
"""A band with one of these words in its name (`SCL`, `Fmask`, `QA_PIXEL`), or with a colour table, holds classes or
bits, which must not be interpolated."""

_SEPARATORS: Final = re.compile(r"[\s_.\-]+")
_RESOLUTION_SUFFIX: Final = re.compile(r"_(\d+)m$")


class _Band(NamedTuple):
    """One band, number `number` (from 1) of a file that was matched as `file_name`.

    `nodata` is None unless the dtype holds it. `has_mask` is True if the file has a mask or alpha band. Values are
    `pixel * scale + offset`, in `unit`.
    """

    name: str
    file_name: str
    path: Path
    number: int
    grid: Grid
    dtype: np.dtype[np.generic]
    nodata: float | None
    has_mask: bool
    interpretation: ColorInterp
    scale: float
    offset: float
    unit: str | None


class _Match(NamedTuple):
    """A file that holds a band, and its number (from 1) there; None: all bands of the file."""

    path: Path
    number: int | None = None

    def format_place(self) -> str:
        """Return the file's name, and the number."""
        return self.path.name if self.number is None else f"{self.path.name} band {self.number}"


class BandsReader(Reader):
    """Reads bands in separate files (GeoTIFF or JPEG 2000): `B02.tif`, `red.tif` or `T32TPT_20260101_B04_10m.jp2`.

    A band is matched by the file's name, by the name or the common name that the archive or the file gives to a band in
    it, or by one or more consecutive words of the file's name (`B04`, `QA_PIXEL`), ignoring case if nothing is equal.
    If a band has files of several resolutions, the finest is read, or the one at `resolution`. Without `bands` all
    files are read, sorted by path, and named by their names without the words common to all.

    Bands are resampled to the grid of the finest, or to the grid with its upper left corner at `resolution`:
    measurements bilinear to finer pixels and by average to coarser ones, classes and bits with nearest. The dtype is
    the smallest that holds all bands; the first nodata value of a band that fits becomes that of all. All bands must
    have the same CRS and, up to a pixel of the coarsest, the same extent.

    Options:
        pattern: Which files to read, such as `*_SR_*.TIF`.
        resampling: GDAL's name of the method for measurements.
        classes: Names of bands that hold classes, in addition to those matched by `CLASS_WORDS`.
        nodata: The nodata value of the GeoTIFF.
    """

    name = "bands"
    option_forms = MappingProxyType({"pattern": TEXT, "resampling": RESAMPLINGS, "classes": NAMES, "nodata": NUMBER})

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        super().__init__(bands=bands, resolution=resolution, **options)
        self._pattern, self._resampling, nodata = (options.get(name) for name in ("pattern", "resampling", "nodata"))
        self._nodata: float | None = math.nan if nodata == "nan" else nodata
        self._classes = {_normalise_name(name) for name in options.get("classes") or ()}

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the product has a GeoTIFF or JPEG 2000."""
        return bool(product_files.find_files(TIFF_SUFFIXES + JP2_SUFFIXES))

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        matches = self._find_files(product_files)
        bands = [band for name, match in matches.items() for band in _read_bands(name, match.path, match.number)]
        _require_same_extent(bands)
        finest = min(bands, key=lambda band: math.prod(compute_pixel_size(band.grid)))
        grid = make_grid_at_resolution(finest.grid, self.resolution)
        dtype = _find_common_dtype(bands)
        metadata = _make_metadata(bands, grid, dtype, self._find_common_nodata(bands, dtype))
        layers = [self._make_layer(band, grid) for band in bands]
        require_geotiff_roundtrip(metadata, grid.crs, product_files.product_id)
        write_stack(layers, grid, metadata, destination)
        sizes, resolution = [compute_pixel_size(band.grid)[0] for band in bands], compute_pixel_size(grid)[0]
        notes = {
            "reader": self.name,
            "bands": [band.name for band in bands],
            "files": sorted({band.path.relative_to(product_files.folder).as_posix() for band in bands}),
            "resolution": resolution,
            "resampled": {
                layer.name: f"{layer.resampling.name} from {size:g}"
                for layer, size in zip(layers, sizes, strict=True)
                if not math.isclose(size, resolution)
            },
            "without nodata": [band.name for band in bands if band.nodata is None and not band.has_mask],
        }
        return ReadResult(notes)

    def _find_files(self, product_files: ProductFiles) -> dict[str, _Match]:
        """Map each band's name to its place."""
        product = f"product '{product_files.product_id}'"
        paths = product_files.find_files(TIFF_SUFFIXES + JP2_SUFFIXES, self._pattern)
        if not paths:
            names = product_files.format_names()
            raise CorruptError(f"{product} has no matching GeoTIFF or JPEG 2000. Its files are: {names}.")
        matches: dict[str, list[_Match]] = {}
        if self.bands:
            matches = {band: _match_band(band, paths, product_files) for band in self.bands}
        else:
            for name, path in zip(_shorten_names(paths), paths, strict=True):
                matches.setdefault(name, []).append(_Match(path))
        if missing := [band for band, matching in matches.items() if not matching]:
            names = product_files.format_names(paths)
            raise UsageError(f"{product} has no {quote_objects('band', missing)}. Its files are: {names}.")
        return {band: self._choose_file(band, matching) for band, matching in matches.items()}

    def _choose_file(self, band: str, matches: list[_Match]) -> _Match:
        """Return the finest of a band's places, or the one at the requested resolution."""
        if len(matches) == 1:
            return matches[0]
        sizes = {}
        for match in matches:
            with open_delivered_raster(match.path) as raster:
                sizes[match] = compute_pixel_size(require_grid(raster))[0]
        best = [match for match, size in sizes.items() if self.resolution and math.isclose(size, self.resolution)]
        best = best or [match for match, size in sizes.items() if size == min(sizes.values())]
        if len(best) > 1:
            names = quote_names([match.format_place() for match in best])
            raise UsageError(
                f"band '{band}' matches several files: {names}. Use the full name, or choose one with the option "
                "pattern."
            )
        return best[0]

    def _find_common_nodata(self, bands: Sequence[_Band], dtype: np.dtype[np.generic]) -> float | None:
        """Return the nodata value of the GeoTIFF: the option, or the first of the bands' that fits their dtype."""
        fitting = (band.nodata for band in bands if band.nodata is not None and _fits_dtype(band.nodata, dtype))
        nodata = self._nodata if self._nodata is not None else next(fitting, None)
        names = [band.name for band in bands if band.has_mask or band.nodata is not None]
        if nodata is None and names:
            raise UsageError(
                f"the nodata of {quote_names(names)} cannot be used for all bands. Pass a value as the option nodata."
            )
        if nodata is not None and not _fits_dtype(nodata, dtype):
            raise UsageError(f"nodata {nodata:g} does not fit {dtype}. Pass another value as the option nodata.")
        return nodata

    def _make_layer(self, band: _Band, grid: Grid) -> Layer:
        names = {_normalise_name(band.name), _normalise_name(band.file_name)}
        words = {word for name in names for word in name.split("_")}
        is_classes = band.interpretation == ColorInterp.palette or names & self._classes or words & CLASS_WORDS
        resampling = Resampling.nearest if is_classes else choose_resampling(band.grid, grid, self._resampling)
        return Layer(band.name, band.path, band.number, band.grid, band.nodata, band.has_mask, resampling)


def _match_band(band: str, paths: list[Path], product_files: ProductFiles) -> list[_Match]:
    """Return the files, or the bands in files, that have a band's name, or else the files with its words in theirs."""
    matches = [_Match(path) for path in paths]
    names: list[tuple[str | None, ...]] = [(path.stem,) for path in paths]
    for path in paths:
        stated = product_files.get_bands(path)
        matches += [_Match(path, number if len(stated) > 1 else None) for number in range(1, len(stated) + 1)]
        names += [(None, *band_names) for band_names in stated]
    if found := [matches[index] for index in find_band(band, names, _normalise_name)]:
        return [match for match in found if match.number is None] or found
    name = _normalise_name(band)
    in_names = [_Match(path) for path in paths if f"_{name}_" in f"_{_normalise_name(path.stem)}_"]
    return in_names or _match_description(band, paths)


def _match_description(band: str, paths: list[Path]) -> list[_Match]:
    """Return the bands that the files themselves call so."""
    places: dict[_Match, str | None] = {}
    for path in paths:
        with open_delivered_raster(path) as raster:
            places |= {_Match(path, number): raster.descriptions[number - 1] for number in raster.indexes}
    matches = list(places)
    return [matches[index] for index in find_band(band, [(name,) for name in places.values()], _normalise_name)]


def _read_bands(name: str, path: Path, only: int | None) -> list[_Band]:
    """Read the bands of a file without alpha, or only one; several get their descriptions or numbers as suffixes."""
    with open_delivered_raster(path) as raster:
        grid = require_grid(raster)
        numbers = [band for band in raster.indexes if raster.colorinterp[band - 1] != ColorInterp.alpha]
        numbers = [band for band in numbers if only in (None, band)]
        if not numbers:
            which = "bands" if only is None else f"band {only}, which is '{name}' by the archive"
            raise CorruptError(f"raster '{path}' has no {which}. Download the product again.")
        bands = []
        for number in numbers:
            index = number - 1
            dtype, nodata = np.dtype(raster.dtypes[index]), require_float_nodata(raster)
            band = _Band(
                name=name if len(numbers) == 1 else f"{name}_{raster.descriptions[index] or number}",
                file_name=name,
                path=path,
                number=number,
                grid=grid,
                dtype=dtype,
                nodata=nodata if nodata is not None and _fits_dtype(nodata, dtype) else None,
                has_mask=MaskFlags.per_dataset in raster.mask_flag_enums[index],
                interpretation=raster.colorinterp[index],
                scale=raster.scales[index],
                offset=raster.offsets[index],
                unit=raster.units[index],
            )
            bands.append(band)
        return bands


def _require_same_extent(bands: Sequence[_Band]) -> None:
    """Raise unless all bands have the CRS and, up to a pixel of the coarsest, the extent of the first."""
    first = bands[0]
    first_corners = find_grid_corners(first.grid)
    tolerance = max(max(compute_pixel_size(band.grid)) for band in bands) * (1 + 1e-6)
    for band in bands:
        corners = find_grid_corners(band.grid)
        if band.grid.crs != first.grid.crs:
            difference = f"CRS ({first.grid.crs}, {band.grid.crs})"
        elif (np.abs(corners - first_corners)[:3] > tolerance).any():
            difference = f"extent (corners {first_corners.tolist()}, {corners.tolist()})"
        else:
            continue
        raise CorruptError(
            f"bands '{first.name}' and '{band.name}' differ in {difference}. Read them as separate rasters."
        )


def _find_common_dtype(bands: Sequence[_Band]) -> np.dtype[np.generic]:
    """Return the smallest dtype that holds the values of all bands; raise UsageError if none does."""
    dtypes = {band.dtype for band in bands}
    common = np.result_type(*dtypes)
    if any(dtype.kind in "iu" and dtype.itemsize == 8 for dtype in dtypes) and common.kind in "fc":
        names = quote_names([f"{band.name} ({band.dtype})" for band in bands])
        raise UsageError(f"no dtype holds the values of all of {names}. Read some of them as a separate raster.")
    return common


def _fits_dtype(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "fc":
        return math.isnan(value) or math.isinf(value) or abs(value) <= float(np.finfo(dtype).max)
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _make_metadata(
    bands: Sequence[_Band], grid: Grid, dtype: np.dtype[np.generic], nodata: float | None
) -> GeoTiffMetadata:
    has_scales = any((band.scale, band.offset) != (1, 0) for band in bands)
    interpretation = tuple(band.interpretation for band in bands)
    without_colours = (ColorInterp.gray, *[ColorInterp.undefined] * (len(bands) - 1))
    # Colours are kept of a single file without a palette.
    has_colours = len({band.path for band in bands}) == 1 and ColorInterp.palette not in interpretation
    return GeoTiffMetadata(
        parse_crs(grid.crs),
        count=len(bands),
        dtype=str(dtype),
        nodata=nodata,
        interpretation=interpretation if has_colours else without_colours,
        descriptions=tuple(band.name for band in bands),
        scales=tuple(band.scale for band in bands) if has_scales else (),
        offsets=tuple(band.offset for band in bands) if has_scales else (),
        units=tuple(band.unit for band in bands) if any(band.unit for band in bands) else (),
    )


def _shorten_names(paths: list[Path]) -> list[str]:
    """Return the files' names without their common first words and without a suffix such as `_10m`."""
    stems = [_RESOLUTION_SUFFIX.sub("", path.stem) for path in paths]
    if len(set(stems)) == 1:
        return stems
    words = [stem.split("_") for stem in stems]
    common_words = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    common_count = min(sum(1 for _ in common_words), min(map(len, words)) - 1)
    return ["_".join(stem_words[common_count:]) for stem_words in words]


def _normalise_name(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().casefold())
