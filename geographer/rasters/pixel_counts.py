"""Count the pixels of many rasters by value: of images, for statistics of bands, and of class values in labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.algorithms.value_counts import (
    Distribution,
    NarrowCounts,
    ValueCounts,
    count_bits,
    find_bits,
    load_value_counts,
    make_value_counts,
    merge_distributions,
)
from geographer.base.errors import UsageError
from geographer.base.executors.task_files import locate_file
from geographer.rasters.chip_address import ChipAddress
from geographer.rasters.open_chips import ignore_sidecars, open_chip
from geographer.rasters.read import iter_strips, open_raster, translate_read_errors
from geographer.rasters.virtual_chips import VirtualRaster, open_virtual_window

_STRIP_BYTES: Final = 1 << 25
_UNSCALED: Final = (1.0, 0.0)
_MAX_CLASSES: Final = 1 << 16
_MAX_SCALES: Final = 8
"""The largest number of different scales for which scaled values are counted."""


class RasterPath(NamedTuple):
    """A file to read, and whether GDAL reads its sidecar files, too."""

    path: str
    with_sidecars: bool = False


Scale = tuple[float, float]
"""Scale and offset of a band: value = pixel * scale + offset."""


class BandCounts:
    """The pixels of one band of many rasters, in any order.

    Attributes:
        name: GDAL's description of the band, or `alpha`; None if it has none, or files differ.
        nodata: The number of pixels that nodata, an alpha band or a mask band marks as invalid.
        non_finite: The number of other pixels that are NaN or infinite.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.nodata = 0
        self.non_finite = 0
        self._counts: dict[tuple[str, Scale | None], ValueCounts] = {}

    def find_counts(self, dtype: str, scale: Scale | None) -> ValueCounts:
        """Return the counts of valid pixels, as stored, of the files with a dtype and a scale.

        Without limit, files that differ in scale would take more and more memory: those after the first few share the
        counts of the scale None.
        """
        known = {scale for _, scale in self._counts}
        if scale not in known and len(known) >= _MAX_SCALES:
            scale = None
        return self._counts.setdefault((dtype, scale), make_value_counts(dtype))

    def merge_counts(self, other: BandCounts) -> None:
        """Add the pixels of the same band of other rasters."""
        self.name = self.name if self.name == other.name else None
        self.nodata += other.nodata
        self.non_finite += other.non_finite
        for (dtype, scale), counts in other._counts.items():
            self.find_counts(dtype, scale).merge_counts(counts)

    def make_distribution(self) -> Distribution:
        """Return the distribution of the values as stored."""
        by_dtype: dict[str, ValueCounts] = {}
        for (dtype, _), counts in sorted(self._counts.items(), key=repr):
            by_dtype.setdefault(dtype, make_value_counts(dtype)).merge_counts(counts)
        return merge_distributions([counts.make_distribution() for counts in by_dtype.values()])

    def has_scale(self) -> bool:
        """Return whether a file states a scale or an offset."""
        return any(scale != _UNSCALED for _, scale in self._counts)

    def make_scaled_distribution(self) -> Distribution | None:
        """Return the distribution of pixel * scale + offset; None if no file has a scale, or too many have others."""
        if not self.has_scale() or None in {scale for _, scale in self._counts}:
            return None
        scaled = [
            counts.make_distribution().scale_values(*scale)
            for (_, scale), counts in sorted(self._counts.items())
            if scale is not None
        ]
        return merge_distributions(scaled)

    def to_record(self) -> dict[str, Any]:
        """Return what JSON can store, for `from_record`."""
        counts = [{"scale": scale, **counts.to_record()} for (_, scale), counts in self._counts.items()]
        return {"name": self.name, "nodata": self.nodata, "non_finite": self.non_finite, "counts": counts}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BandCounts:
        """Return the counts of a record; `ValueError`, `KeyError` or `TypeError` if it is none."""
        band = cls(record["name"])
        band.nodata, band.non_finite = int(record["nodata"]), int(record["non_finite"])
        for item in record["counts"]:
            scale = None if item["scale"] is None else (float(item["scale"][0]), float(item["scale"][1]))
            band._counts[item["dtype"], scale] = load_value_counts(item)
        return band


class ImageCounts:
    """The pixels of many images with equally many bands.

    Attributes:
        bands: The counts of each band; empty without images.
    """

    def __init__(self, bands: Sequence[BandCounts] = ()) -> None:
        self.bands = [*bands]

    def merge_counts(self, other: ImageCounts) -> None:
        """Add the pixels of other images; `ValueError` if they have another number of bands."""
        if not self.bands:
            self.bands = [BandCounts(band.name) for band in other.bands]
        for band, added in zip(self.bands, other.bands, strict=True):
            band.merge_counts(added)

    def to_record(self) -> Any:
        """Return what JSON can store, for `from_record`."""
        return [band.to_record() for band in self.bands]

    @classmethod
    def from_record(cls, record: Any) -> ImageCounts:
        """Return the counts of a record; errors as for `BandCounts.from_record`."""
        return cls([BandCounts.from_record(band) for band in record])


class ClassCounts:
    """The pixels of many labels by value.

    Attributes:
        pixels: The number of pixels of each value, by band: its name, or its number from 1 as text.
        shown: The number of pixels, without ignored ones, of the rasters that show the value; alike.
        has_classes: Whether all labels have class values: one band of integers, or bands of them in multilabels.
    """

    def __init__(self) -> None:
        self.pixels: dict[str, Counter[int]] = {}
        self.shown: dict[str, Counter[int]] = {}
        self.has_classes = True

    def add_band(self, name: str, pixels: Mapping[int, int], ignore: int | None) -> None:
        """Add the pixels of one band of a label by value."""
        total = sum(pixels.values()) - (0 if ignore is None else pixels.get(ignore, 0))
        self.pixels.setdefault(name, Counter()).update(pixels)
        self.shown.setdefault(name, Counter()).update(dict.fromkeys(pixels, total))
        self.has_classes = self.has_classes and len(self.pixels[name]) <= _MAX_CLASSES

    def merge_counts(self, other: ClassCounts) -> None:
        """Add the pixels of other labels."""
        self.has_classes = self.has_classes and other.has_classes
        for own, added in ((self.pixels, other.pixels), (self.shown, other.shown)):
            for name, counts in added.items():
                own.setdefault(name, Counter()).update(counts)

    def to_record(self) -> Any:
        """Return what JSON can store, for `from_record`."""
        bands = {
            name: [[value, count, self.shown[name][value]] for value, count in sorted(self.pixels[name].items())]
            for name in self.pixels
        }
        return {"has_classes": self.has_classes, "bands": bands}

    @classmethod
    def from_record(cls, record: Any) -> ClassCounts:
        """Return the counts of a record; `ValueError`, `KeyError`, `TypeError` or `AttributeError` if it is none."""
        counts = cls()
        counts.has_classes = bool(record["has_classes"])
        for name, rows in record["bands"].items():
            counts.pixels[name] = Counter({int(value): int(pixels) for value, pixels, _ in rows})
            counts.shown[name] = Counter({int(value): int(shown) for value, _, shown in rows})
        return counts


def count_images(files: Iterable[RasterPath]) -> ImageCounts:
    """Read images once, a strip of at most 32 MiB at a time, and return their pixels by value.

    Raises:
        NotFoundError, UsageError: as for `open_raster`, or the pixels are complex numbers.
        CorruptError: some pixels cannot be read.
    """
    images = ImageCounts()
    for path, raster in _iter_rasters(files):
        with translate_read_errors(path):
            if np.dtype(raster.dtypes[0]).kind == "c":
                raise UsageError(f"raster '{path}' has complex pixels, which have no statistics. Leave it out.")
            if not images.bands:
                images.bands = [BandCounts(name) for name in _list_band_names(raster)]
            _count_image(raster, images.bands)
    return images


def count_class_pixels(files: Iterable[RasterPath], *, is_multilabel: bool, ignore: int | None) -> ClassCounts:
    """Read labels once, and return their pixels by value; errors as for `count_images`."""
    labels = ClassCounts()
    for path, raster in _iter_rasters(files):
        with translate_read_errors(path):
            dtype = np.dtype(raster.dtypes[0])
            if dtype.kind not in "iu" or (raster.count > 1 and not is_multilabel):
                labels.has_classes = False
                continue
            names = raster.descriptions if is_multilabel else [None]
            for index, name in enumerate(names, 1):
                pixels: Counter[int] = Counter()
                for window in _list_windows(raster):
                    pixels.update(_count_values(raster.read(index, window=window)))
                labels.add_band(name or str(index), pixels, ignore)
    return labels


def _iter_rasters(files: Iterable[RasterPath]) -> Iterator[tuple[str, DatasetReader | VirtualRaster]]:
    """Open files one after the other."""
    for with_sidecars, group in groupby(files, lambda file: file.with_sidecars):
        with _choose_environment(with_sidecars):
            for path, _ in group:
                with _open_file(path, with_sidecars) as raster:
                    yield path, raster


def _open_file(path: str, with_sidecars: bool) -> DatasetReader | VirtualRaster:
    if address := ChipAddress.from_path(path):
        return open_virtual_window(address)
    file = locate_file(path)
    return open_raster(file) if with_sidecars else open_chip(str(file))


def _choose_environment(with_sidecars: bool) -> AbstractContextManager[None]:
    return nullcontext() if with_sidecars else ignore_sidecars()


def _list_band_names(raster: DatasetReader | VirtualRaster) -> list[str | None]:
    return [
        description or ("alpha" if color == ColorInterp.alpha else None)
        for description, color in zip(raster.descriptions, raster.colorinterp, strict=True)
    ]


def _count_image(raster: DatasetReader | VirtualRaster, bands: Sequence[BandCounts]) -> None:
    if raster.count != len(bands):
        raise UsageError(f"raster '{raster.name}' has {raster.count} bands, but others have {len(bands)}.")
    dtype = np.dtype(raster.dtypes[0])
    scales = zip(raster.scales, raster.offsets, strict=True)
    counts = [band.find_counts(dtype.name, scale) for band, scale in zip(bands, scales, strict=True)]
    flags = raster.mask_flag_enums
    nodata: Any = raster.nodata
    is_decided_by_nodata = all(item == [MaskFlags.nodata] for item in flags)
    for window in _list_windows(raster):
        pixels = raster.read(window=window)
        for index, (band, values) in enumerate(zip(bands, counts, strict=True)):
            if flags[index] == [MaskFlags.all_valid]:
                _count_valid(pixels[index].reshape(-1), band, values)
            elif is_decided_by_nodata and dtype.kind != "f" and dtype.itemsize <= 2 and float(nodata).is_integer():
                _count_all(pixels[index], nodata, band, values)
            else:
                is_nan = is_decided_by_nodata and np.isnan(nodata)
                valid = ~np.isnan(pixels[index]) if is_nan else raster.read_masks(index + 1, window=window) != 0
                invalid = valid.size - int(np.count_nonzero(valid))
                band.nodata += invalid
                _count_valid(pixels[index][valid] if invalid else pixels[index].reshape(-1), band, values)


def _count_all(pixels: NDArray[Any], nodata: float, band: BandCounts, values: ValueCounts) -> None:
    """Count integers of at most 16 bits, also those that are nodata, which are then taken away."""
    assert isinstance(values, NarrowCounts)
    counts = count_bits(pixels)
    bits = find_bits(nodata, pixels.dtype)
    if bits is not None and bits < len(counts):
        band.nodata += int(counts[bits])
        counts[bits] = 0
    values.add_bit_counts(counts)


def _count_valid(pixels: NDArray[Any], band: BandCounts, values: ValueCounts) -> None:
    """Count the pixels, shape (n,), that are finite."""
    if pixels.dtype.kind == "f":
        is_finite = np.isfinite(pixels)
        if not is_finite.all():
            band.non_finite += len(pixels) - int(np.count_nonzero(is_finite))
            pixels = pixels[is_finite]
    values.add_values(pixels)


def _list_windows(raster: DatasetReader | VirtualRaster) -> list[RasterioWindow | None]:
    """Return the windows to read one after the other; None is the whole raster, which takes less to read."""
    size = raster.count * raster.width * raster.height * np.dtype(raster.dtypes[0]).itemsize
    return [None] if size <= _STRIP_BYTES else [*iter_strips(raster, _STRIP_BYTES)]


def _count_values(pixels: NDArray[Any]) -> dict[int, int]:
    if pixels.dtype.itemsize > 2:
        values, counts = np.unique(pixels, return_counts=True)
    else:
        all_counts = count_bits(pixels)
        bits = np.flatnonzero(all_counts)
        values, counts = bits.astype(f"u{pixels.dtype.itemsize}").view(pixels.dtype), all_counts[bits]
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
