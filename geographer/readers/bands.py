"""Reads a product whose bands are files of their own: stacked on the grid of the finest."""

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
from geographer.readers.band_stack import Layer, grid_at, pixel_size, resampling_between, resampling_named, write_stack
from geographer.readers.base import ProductFiles, Reader, ReadResult
from geographer.readers.open_rasters import JP2S, TIFFS, names_in, opened, placed, rasters_in
from geographer.readers.options import checked, number, text, texts

CLASS_WORDS: Final = frozenset(
    {"scl", "fmask", "qa", "bqa", "qa60", "radsat", "msk", "mask", "classi", "class", "classes", "classification"}
    | {"lulc", "landcover", "worldcover", "cdl", "label", "labels"}
)
"""A band with one of these words in its name holds classes or bits, which mean nothing in between: as `SCL`, `Fmask`,
`QA_PIXEL`. So does one with a colour table."""

_SEPARATORS: Final = re.compile(r"[\s_.\-]+")
_RESOLUTION: Final = re.compile(r"_(\d+)m$")


class Bands(Reader):
    """Bands as separate files (GeoTIFF or JPEG 2000), such as `B02.tif`, `red.tif` or `T32TPT_20260101_B04_10m.jp2`.

    A band is found by its name: the file's, or one or more of the words in it (`B04`, `QA_PIXEL`), in any case; the
    finest, or the one at `resolution`, where it comes at several. Without `bands` all files are taken, by path, and
    named by what is not common to all their names. They come onto the grid of the finest, or onto the one with its
    upper left corner at `resolution`: measurements bilinear onto finer and by their mean onto coarser pixels, classes
    and bits by the nearest pixel. The dtype is the smallest that holds all of them; the nodata of the first band that
    has one becomes that of all. All of them must have one CRS and, up to a pixel of the coarsest, one outline.

    Options:
        pattern: Which files, such as `*_SR_*.TIF`.
        resampling: Of measurements, by GDAL's name.
        classes: Names of bands that hold classes, besides those that say so by `CLASS_WORDS`.
        nodata: The value for no data in what is made.
    """

    name: ClassVar[str] = "bands"

    def __init__(self, *, bands: tuple[str, ...] = (), resolution: float | None = None, **options: Any) -> None:
        """See `Reader`."""
        super().__init__(bands=bands, resolution=resolution, **options)
        checked(self, {"pattern", "resampling", "classes", "nodata"})
        self._pattern = text(self, "pattern")
        self._resampling = resampling_named(options.get("resampling"))
        self._classes = {_plain(name) for name in texts(self, "classes")}
        self._nodata = number(self, "nodata")

    @classmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        """Whether there is a GeoTIFF or JPEG 2000."""
        return bool(rasters_in(arrived, TIFFS + JP2S))

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        found = [band for name, path in self._files(arrived).items() for band in _bands_of(name, path)]
        _check_alike(found)
        finest = min(found, key=lambda band: math.prod(pixel_size(band.grid)))
        grid = grid_at(finest.grid, self.resolution)
        nodata = self._common_nodata(found)
        layers = [self._layer(band, grid) for band in found]
        metadata = _metadata(found, grid, nodata)
        require_geotiff_roundtrip(metadata, grid.crs, arrived.product_id)
        write_stack(layers, grid, metadata, destination)
        return ReadResult(self._notes(arrived, found, layers, grid))

    def _files(self, arrived: ProductFiles) -> dict[str, Path]:
        paths = rasters_in(arrived, TIFFS + JP2S, self._pattern)
        if not paths:
            has = names_in(arrived.files(), arrived)
            raise CorruptError(
                f"product '{arrived.product_id}' has no GeoTIFF or JPEG 2000 that is meant: it has {has}"
            )
        if not self.bands:
            return self._every(paths)
        return {band: self._named(band, paths, arrived) for band in self.bands}

    def _every(self, paths: list[Path]) -> dict[str, Path]:
        chosen: dict[str, list[Path]] = {}
        for name, path in zip(_short_names(paths), paths, strict=True):
            chosen.setdefault(name, []).append(path)
        return {name: self._best(name, several) for name, several in chosen.items()}

    def _named(self, band: str, paths: list[Path], arrived: ProductFiles) -> Path:
        plain = _plain(band)
        found = [path for path in paths if _plain(path.stem) == plain]
        found = found or [path for path in paths if f"_{plain}_" in f"_{_plain(path.stem)}_"]
        if not found:
            has = names_in(paths, arrived)
            raise UsageError(f"product '{arrived.product_id}' has no band '{band}': its files are {has}")
        return self._best(band, found)

    def _best(self, band: str, paths: list[Path]) -> Path:
        """The finest of a band's files, or the one at the wanted resolution."""
        if len(paths) == 1:
            return paths[0]
        sizes = {path: _size_of(path) for path in paths}
        right = [path for path, size in sizes.items() if self.resolution and math.isclose(size, self.resolution)]
        right = right or [path for path, size in sizes.items() if size == min(sizes.values())]
        if len(right) > 1:
            names = quote_names([path.name for path in right])
            raise UsageError(f"band '{band}' may be any of {names}: name it in full, or choose by the option pattern")
        return right[0]

    def _common_nodata(self, found: Sequence[_Band]) -> float | None:
        dtype = _common_dtype(found)
        stated = [band.nodata for band in found if band.nodata is not None]
        nodata = self._nodata if self._nodata is not None else next((one for one in stated if _fits(one, dtype)), None)
        if nodata is None and (stated or any(band.masked for band in found)):
            names = quote_names([band.name for band in found if band.masked or band.nodata is not None])
            raise UsageError(f"the nodata of {names} can't be that of all bands: pass a value as the option nodata")
        if nodata is not None and not _fits(nodata, dtype):
            raise UsageError(f"nodata {nodata:g} is no {dtype}: pass another one as the option nodata")
        return nodata

    def _layer(self, band: _Band, grid: Grid) -> Layer:
        classes = band.classes or bool(_words(band.name) & CLASS_WORDS) or _plain(band.name) in self._classes
        classes = classes or _plain(band.asked) in self._classes or bool(_words(band.asked) & CLASS_WORDS)
        how = Resampling.nearest if classes else resampling_between(band.grid, grid, self._resampling)
        return Layer(band.name, band.path, band.number, band.grid, band.nodata, band.masked, how)

    def _notes(
        self, arrived: ProductFiles, found: Sequence[_Band], layers: Sequence[Layer], grid: Grid
    ) -> Mapping[str, Any]:
        sizes = [pixel_size(band.grid)[0] for band in found]
        resolution = pixel_size(grid)[0]
        return {
            "reader": self.name,
            "bands": [band.name for band in found],
            "files": sorted({band.path.relative_to(arrived.folder).as_posix() for band in found}),
            "resolution": resolution,
            "resampled": {
                layer.name: f"{layer.resampling.name} from {size:g}"
                for layer, size in zip(layers, sizes, strict=True)
                if not math.isclose(size, resolution)
            },
            "without nodata": [band.name for band in found if band.nodata is None and not band.masked],
        }


@dataclass(frozen=True, slots=True)
class _Band:
    """One band of one file; `asked` is what its file was asked for by."""

    name: str
    asked: str
    path: Path
    number: int
    grid: Grid
    dtype: str
    nodata: float | None
    masked: bool
    classes: bool
    colour: ColorInterp
    scale: float
    offset: float
    unit: str | None


def _bands_of(name: str, path: Path) -> list[_Band]:
    """A file's bands; those of a file with several are told apart by their descriptions or numbers. Alpha is none."""
    with opened(path) as raster:
        grid = placed(raster)
        numbers = [band for band in raster.indexes if raster.colorinterp[band - 1] != ColorInterp.alpha]
        if not numbers:
            raise CorruptError(f"raster '{path}' has no bands: fetch it again")
        return [_band(raster, name, path, band, grid, alone=len(numbers) == 1) for band in numbers]


def _band(raster: DatasetReader, name: str, path: Path, number: int, grid: Grid, *, alone: bool) -> _Band:
    at = number - 1
    dtype, nodata = str(np.dtype(raster.dtypes[at])), raster.nodatavals[at]
    return _Band(
        name=name if alone else f"{name}_{raster.descriptions[at] or number}",
        asked=name,
        path=path,
        number=number,
        grid=grid,
        dtype=dtype,
        nodata=nodata if nodata is not None and _fits(nodata, np.dtype(dtype)) else None,
        masked=MaskFlags.per_dataset in raster.mask_flag_enums[at],
        classes=raster.colorinterp[at] == ColorInterp.palette,
        colour=raster.colorinterp[at],
        scale=raster.scales[at],
        offset=raster.offsets[at],
        unit=raster.units[at],
    )


def _check_alike(found: Sequence[_Band]) -> None:
    first = found[0]
    room = max(max(pixel_size(band.grid)) for band in found) * (1 + 1e-6)
    for band in found:
        if band.grid.crs != first.grid.crs:
            what = f"CRS ({first.grid.crs}, {band.grid.crs})"
        elif any(abs(one - other) > room for one, other in zip(_ends(first.grid), _ends(band.grid), strict=True)):
            what = f"extent ({_ends(first.grid)}, {_ends(band.grid)})"
        else:
            continue
        raise CorruptError(
            f"bands '{first.name}' and '{band.name}' differ in {what}: read them as rasters of their own"
        )


def _ends(grid: Grid) -> tuple[float, ...]:
    """The outer corners at the start and the end of the pixels, and of the first row: x, y, x, y, x, y."""
    a, b, c, d, e, f = grid.transform
    w, h = grid.width, grid.height
    return (c, f, a * w + b * h + c, d * w + e * h + f, a * w + c, d * w + f)


def _common_dtype(found: Sequence[_Band]) -> np.dtype[Any]:
    """The smallest dtype that holds all values.

    Raises:
        UsageError: there is none.
    """
    dtypes = {np.dtype(band.dtype) for band in found}
    common = np.result_type(*dtypes)
    if any(one.kind in "iu" and one.itemsize == 8 for one in dtypes) and common.kind in "fc":
        names = quote_names([f"{band.name} ({band.dtype})" for band in found])
        raise UsageError(f"no dtype holds the values of all of {names}: read some of them as a raster of their own")
    return common


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "fc":
        return math.isnan(value) or math.isinf(value) or abs(value) <= float(np.finfo(dtype).max)
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _metadata(found: Sequence[_Band], grid: Grid, nodata: float | None) -> GeoTiffMetadata:
    one_file = len({band.path for band in found}) == 1
    scaled = any((band.scale, band.offset) != (1, 0) for band in found)
    return GeoTiffMetadata(
        parse_crs(grid.crs),
        count=len(found),
        dtype=str(_common_dtype(found)),
        nodata=nodata,
        interpretation=_colours(found) if one_file else _no_colours(len(found)),
        descriptions=tuple(band.name for band in found),
        scales=tuple(band.scale for band in found) if scaled else (),
        offsets=tuple(band.offset for band in found) if scaled else (),
        units=tuple(band.unit for band in found) if any(band.unit for band in found) else (),
    )


def _colours(found: Sequence[_Band]) -> tuple[ColorInterp, ...]:
    colours = tuple(band.colour for band in found)
    return _no_colours(len(found)) if ColorInterp.palette in colours else colours


def _no_colours(count: int) -> tuple[ColorInterp, ...]:
    """Three bands of bytes would become red, green and blue."""
    return (ColorInterp.gray, *[ColorInterp.undefined] * (count - 1))


def _short_names(paths: list[Path]) -> list[str]:
    """The files' names without what is common to all of them at the start, in whole words, and without `_10m`."""
    stems = [_RESOLUTION.sub("", path.stem) for path in paths]
    if len(set(stems)) == 1:
        return stems
    words = [stem.split("_") for stem in stems]
    alike = takewhile(lambda some: len(set(some)) == 1, zip(*words, strict=False))
    common = min(sum(1 for _ in alike), min(map(len, words)) - 1)
    return ["_".join(some[common:]) for some in words]


def _size_of(path: Path) -> float:
    with opened(path) as raster:
        return pixel_size(placed(raster))[0]


def _plain(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().casefold())


def _words(name: str) -> set[str]:
    return set(_plain(name).split("_"))
