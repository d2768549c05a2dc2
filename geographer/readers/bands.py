"""Read a product whose bands are separate files: the bands are resampled to the grid of the finest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader

from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.base.values import Grid
from geographer.rasters.crs import parse_crs
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.write import GeoTiffMetadata
from geographer.readers.band_stack import (
    Layer,
    choose_resampling,
    compute_pixel_size,
    make_grid_at_resolution,
    parse_resampling,
    write_stack,
)
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import (
    JP2_SUFFIXES,
    TIFF_SUFFIXES,
    find_raster_files,
    format_file_names,
    open_delivered_raster,
    require_grid,
)
from geographer.readers.options import read_names_option, read_number_option, read_text_option, reject_unknown_options

CLASS_WORDS: Final = frozenset(
    {"scl", "fmask", "qa", "bqa", "qa60", "radsat", "msk", "mask", "classi", "class", "classes", "classification"}
    | {"lulc", "landcover", "worldcover", "cdl", "label", "labels"}
)
"""A band with one of these words in its name (`SCL`, `Fmask`, `QA_PIXEL`), or with a colour table, holds classes or
bits, which must not be interpolated."""

_SEPARATORS: Final = re.compile(r"[\s_.\-]+")
_RESOLUTION_SUFFIX: Final = re.compile(r"_(\d+)m$")


class BandsReader(Reader):
    """Reads bands in separate files (GeoTIFF or JPEG 2000): `B02.tif`, `red.tif` or `T32TPT_20260101_B04_10m.jp2`.

    A band is matched by the file's name, or by one or more consecutive words of it (`B04`, `QA_PIXEL`), ignoring case.
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

    name: ClassVar[str] = "bands"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        super().__init__(bands=bands, resolution=resolution, **options)
        reject_unknown_options(self, {"pattern", "resampling", "classes", "nodata"})
        self._pattern = read_text_option(self, "pattern")
        self._resampling = parse_resampling(options.get("resampling"))
        self._classes = {_normalise_name(name) for name in read_names_option(self, "classes")}
        self._nodata = read_number_option(self, "nodata")

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """Return whether the product has a GeoTIFF or JPEG 2000."""
        return bool(find_raster_files(product_files, TIFF_SUFFIXES + JP2_SUFFIXES))

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        files = self._find_files(product_files)
        bands = [band for name, path in files.items() for band in _read_bands(name, path)]
        _require_same_extent(bands)
        finest = min(bands, key=lambda band: math.prod(compute_pixel_size(band.grid)))
        grid = make_grid_at_resolution(finest.grid, self.resolution)
        nodata = self._find_common_nodata(bands)
        layers = [self._make_layer(band, grid) for band in bands]
        metadata = _make_metadata(bands, grid, nodata)
        require_geotiff_roundtrip(metadata, grid.crs, product_files.product_id)
        write_stack(layers, grid, metadata, destination)
        return ReadResult(self._make_notes(product_files, bands, layers, grid))

    def _find_files(self, product_files: ProductFiles) -> dict[str, Path]:
        """Map each band's name to its file."""
        paths = find_raster_files(product_files, TIFF_SUFFIXES + JP2_SUFFIXES, self._pattern)
        if not paths:
            names = format_file_names(product_files.list_files(), product_files)
            raise CorruptError(
                f"product '{product_files.product_id}' has no matching GeoTIFF or JPEG 2000. Its files are: {names}."
            )
        if self.bands:
            return {band: self._find_file(band, paths, product_files) for band in self.bands}
        paths_by_name: dict[str, list[Path]] = {}
        for name, path in zip(_shorten_names(paths), paths, strict=True):
            paths_by_name.setdefault(name, []).append(path)
        return {name: self._choose_file(name, matches) for name, matches in paths_by_name.items()}

    def _find_file(self, band: str, paths: list[Path], product_files: ProductFiles) -> Path:
        name = _normalise_name(band)
        matches = [path for path in paths if _normalise_name(path.stem) == name]
        matches = matches or [path for path in paths if f"_{name}_" in f"_{_normalise_name(path.stem)}_"]
        if not matches:
            names = format_file_names(paths, product_files)
            raise UsageError(f"product '{product_files.product_id}' has no band '{band}'. Its files are: {names}.")
        return self._choose_file(band, matches)

    def _choose_file(self, band: str, paths: list[Path]) -> Path:
        """Return the finest of a band's files, or the one at the requested resolution."""
        if len(paths) == 1:
            return paths[0]
        sizes = {path: _read_pixel_width(path) for path in paths}
        best = [path for path, size in sizes.items() if self.resolution and math.isclose(size, self.resolution)]
        best = best or [path for path, size in sizes.items() if size == min(sizes.values())]
        if len(best) > 1:
            names = quote_names([path.name for path in best])
            raise UsageError(
                f"band '{band}' matches several files: {names}. Use the full name, or choose one with the option "
                "pattern."
            )
        return best[0]

    def _find_common_nodata(self, bands: Sequence[_Band]) -> float | None:
        """Return the nodata value of the GeoTIFF: the option, or the first of the bands' that fits their dtype."""
        dtype = _find_common_dtype(bands)
        values = [band.nodata for band in bands if band.nodata is not None]
        fitting = [value for value in values if _fits_dtype(value, dtype)]
        nodata = self._nodata if self._nodata is not None else next(iter(fitting), None)
        if nodata is None and (values or any(band.has_mask for band in bands)):
            names = quote_names([band.name for band in bands if band.has_mask or band.nodata is not None])
            raise UsageError(f"the nodata of {names} cannot be used for all bands. Pass a value as the option nodata.")
        if nodata is not None and not _fits_dtype(nodata, dtype):
            raise UsageError(f"nodata {nodata:g} does not fit {dtype}. Pass another value as the option nodata.")
        return nodata

    def _make_layer(self, band: _Band, grid: Grid) -> Layer:
        names = {_normalise_name(band.name), _normalise_name(band.file_name)}
        words = {word for name in names for word in name.split("_")}
        is_classes = band.interpretation == ColorInterp.palette or names & self._classes or words & CLASS_WORDS
        resampling = Resampling.nearest if is_classes else choose_resampling(band.grid, grid, self._resampling)
        return Layer(band.name, band.path, band.number, band.grid, band.nodata, band.has_mask, resampling)

    def _make_notes(
        self, product_files: ProductFiles, bands: Sequence[_Band], layers: Sequence[Layer], grid: Grid
    ) -> Mapping[str, Any]:
        sizes = [compute_pixel_size(band.grid)[0] for band in bands]
        resolution = compute_pixel_size(grid)[0]
        return {
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


@dataclass(frozen=True, slots=True)
class _Band:
    """One band, number `number` (from 1) of a file that was matched as `file_name`.

    `nodata` is None unless the dtype holds it. `has_mask` is True if the file has a mask or alpha band. Values are
    `pixel * scale + offset`, in `unit`.
    """

    name: str
    file_name: str
    path: Path
    number: int
    grid: Grid
    dtype: str
    nodata: float | None
    has_mask: bool
    interpretation: ColorInterp
    scale: float
    offset: float
    unit: str | None


def _read_bands(name: str, path: Path) -> list[_Band]:
    """Read the bands of a file, without alpha; several bands get their descriptions or numbers as suffixes."""
    with open_delivered_raster(path) as raster:
        grid = require_grid(raster)
        numbers = [band for band in raster.indexes if raster.colorinterp[band - 1] != ColorInterp.alpha]
        if not numbers:
            raise CorruptError(f"raster '{path}' has no bands. Download the product again.")
        return [_read_band(raster, name, path, band, grid, is_only_band=len(numbers) == 1) for band in numbers]


def _read_band(raster: DatasetReader, name: str, path: Path, number: int, grid: Grid, *, is_only_band: bool) -> _Band:
    index = number - 1
    dtype, nodata = str(np.dtype(raster.dtypes[index])), raster.nodatavals[index]
    return _Band(
        name=name if is_only_band else f"{name}_{raster.descriptions[index] or number}",
        file_name=name,
        path=path,
        number=number,
        grid=grid,
        dtype=dtype,
        nodata=nodata if nodata is not None and _fits_dtype(nodata, np.dtype(dtype)) else None,
        has_mask=MaskFlags.per_dataset in raster.mask_flag_enums[index],
        interpretation=raster.colorinterp[index],
        scale=raster.scales[index],
        offset=raster.offsets[index],
        unit=raster.units[index],
    )


def _require_same_extent(bands: Sequence[_Band]) -> None:
    """Raise unless all bands have the CRS and, up to a pixel of the coarsest, the extent of the first."""
    first = bands[0]
    first_corners = _find_corners(first.grid)
    tolerance = max(max(compute_pixel_size(band.grid)) for band in bands) * (1 + 1e-6)
    for band in bands:
        corners = _find_corners(band.grid)
        if band.grid.crs != first.grid.crs:
            difference = f"CRS ({first.grid.crs}, {band.grid.crs})"
        elif any(abs(a - b) > tolerance for a, b in zip(first_corners, corners, strict=True)):
            difference = f"extent ({first_corners}, {corners})"
        else:
            continue
        raise CorruptError(
            f"bands '{first.name}' and '{band.name}' differ in {difference}. Read them as separate rasters."
        )


def _find_corners(grid: Grid) -> tuple[float, ...]:
    """Return three outer corners, of the first pixel, the last pixel and the last one of the first row, as x, y, …."""
    a, b, c, d, e, f = grid.transform
    w, h = grid.width, grid.height
    return (c, f, a * w + b * h + c, d * w + e * h + f, a * w + c, d * w + f)


def _find_common_dtype(bands: Sequence[_Band]) -> np.dtype[Any]:
    """Return the smallest dtype that holds the values of all bands; raise UsageError if none does."""
    dtypes = {np.dtype(band.dtype) for band in bands}
    common = np.result_type(*dtypes)
    if any(dtype.kind in "iu" and dtype.itemsize == 8 for dtype in dtypes) and common.kind in "fc":
        names = quote_names([f"{band.name} ({band.dtype})" for band in bands])
        raise UsageError(f"no dtype holds the values of all of {names}. Read some of them as a separate raster.")
    return common


def _fits_dtype(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "fc":
        return math.isnan(value) or math.isinf(value) or abs(value) <= float(np.finfo(dtype).max)
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _make_metadata(bands: Sequence[_Band], grid: Grid, nodata: float | None) -> GeoTiffMetadata:
    has_scales = any((band.scale, band.offset) != (1, 0) for band in bands)
    return GeoTiffMetadata(
        parse_crs(grid.crs),
        count=len(bands),
        dtype=str(_find_common_dtype(bands)),
        nodata=nodata,
        interpretation=_find_interpretation(bands),
        descriptions=tuple(band.name for band in bands),
        scales=tuple(band.scale for band in bands) if has_scales else (),
        offsets=tuple(band.offset for band in bands) if has_scales else (),
        units=tuple(band.unit for band in bands) if any(band.unit for band in bands) else (),
    )


def _find_interpretation(bands: Sequence[_Band]) -> tuple[ColorInterp, ...]:
    """Keep the colours of a single file without a palette; otherwise set none, so that GDAL doesn't assume RGB."""
    interpretation = tuple(band.interpretation for band in bands)
    if len({band.path for band in bands}) == 1 and ColorInterp.palette not in interpretation:
        return interpretation
    return (ColorInterp.gray, *[ColorInterp.undefined] * (len(bands) - 1))


def _shorten_names(paths: list[Path]) -> list[str]:
    """Return the files' names without their common first words and without a suffix such as `_10m`."""
    stems = [_RESOLUTION_SUFFIX.sub("", path.stem) for path in paths]
    if len(set(stems)) == 1:
        return stems
    words = [stem.split("_") for stem in stems]
    common_words = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    common_count = min(sum(1 for _ in common_words), min(map(len, words)) - 1)
    return ["_".join(stem_words[common_count:]) for stem_words in words]


def _read_pixel_width(path: Path) -> float:
    with open_delivered_raster(path) as raster:
        return compute_pixel_size(require_grid(raster))[0]


def _normalise_name(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().casefold())
