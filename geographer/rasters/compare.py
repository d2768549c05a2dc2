"""Compare the pixels of two raster files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.rasters.read import iter_strips, open_raster, translate_read_errors

_STRIP_BYTES: Final = 1 << 24
_MAX_VALUES: Final = 65_536
"""Rasters with more different pairs of values than this are not labels."""


class BandChange(NamedTuple):
    """How the pixels of a band differ where both files have data; None if there are no such pixels.

    `old_mean` and `new_mean` are over the pixels with data of each file; `mean_difference` is that of absolute values.
    """

    band: int
    changed: int
    old_mean: float | None
    new_mean: float | None
    mean_difference: float | None
    max_difference: float | None


class PixelChange(NamedTuple):
    """How the pixels of two rasters of one shape differ: counts of pixels, and what each band shows.

    `changed` counts pixels that differ in any band or in having data; `old_nodata` and `new_nodata` those without data.
    """

    pixels: int
    changed: int
    old_nodata: int
    new_nodata: int
    bands: tuple[BandChange, ...]


class _Strip(NamedTuple):
    """Values of all bands of some rows, and where they are data; None: everywhere. Shapes (bands, rows, columns)."""

    values: NDArray[np.generic]
    valid: NDArray[np.bool_] | None

    def select_band(self, index: int) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        """Return the values of a band, and where they are data."""
        return self.values[index], None if self.valid is None else self.valid[index]


class _BandSums:
    """Sums over the strips of one band."""

    def __init__(self) -> None:
        self.changed, self.differences, self.largest = 0, 0.0, 0.0
        self.sums, self.counts, self.common = [0.0, 0.0], [0, 0], 0

    def add_strips(self, index: int, old: _Strip, new: _Strip, differs: NDArray[np.bool_]) -> None:
        sides = [side.select_band(index) for side in (old, new)]
        for side, (values, valid) in enumerate(sides):
            self.sums[side] += float(
                values.sum(dtype=np.float64) if valid is None else values[valid].sum(dtype=np.float64)
            )
            self.counts[side] += values.size if valid is None else int(np.count_nonzero(valid))
        both_valid = _intersect_masks(sides[0][1], sides[1][1])
        self.common += sides[0][0].size if both_valid is None else int(np.count_nonzero(both_valid))
        self.changed += int(np.count_nonzero(differs))
        compared = differs if both_valid is None else differs & both_valid
        differences = np.abs(sides[1][0][compared].astype(np.float64) - sides[0][0][compared].astype(np.float64))
        if differences.size:
            self.differences += float(differences.sum())
            self.largest = max(self.largest, float(differences.max()))

    def summarize_band(self, number: int) -> BandChange:
        means = [total / count if count else None for total, count in zip(self.sums, self.counts, strict=True)]
        mean, largest = (self.differences / self.common, self.largest) if self.common else (None, None)
        return BandChange(number, self.changed, means[0], means[1], mean, largest)


def compare_rasters(old_path: Path, new_path: Path) -> PixelChange | None:
    """Compare two raster files strip by strip; None if they differ in width, height or number of bands.

    Pixels that are masked (nodata, alpha or mask band), or NaN, have no data.

    Raises:
        CorruptError: a file cannot be read.
    """
    with open_raster(old_path, with_sidecars=False) as old, open_raster(new_path, with_sidecars=False) as new:
        if (old.width, old.height, old.count) != (new.width, new.height, new.count):
            return None
        bands = [_BandSums() for _ in range(old.count)]
        changed, nodata = 0, [0, 0]
        for window in iter_strips(old, _STRIP_BYTES):
            strips = [_read_strip(raster, window) for raster in (old, new)]
            differs = _find_differences(*strips)
            changed += int(np.count_nonzero(differs.any(axis=0)))
            for index, strip in enumerate(strips):
                nodata[index] += 0 if strip.valid is None else int(np.count_nonzero(~strip.valid.any(axis=0)))
            for index, sums in enumerate(bands):
                sums.add_strips(index, strips[0], strips[1], differs[index])
        summaries = tuple(sums.summarize_band(number) for number, sums in enumerate(bands, 1))
        return PixelChange(old.width * old.height, changed, nodata[0], nodata[1], summaries)


def _read_strip(raster: DatasetReader, window: RasterioWindow) -> _Strip:
    with translate_read_errors(raster.name):
        values = raster.read(window=window)
        has_mask = any(MaskFlags.all_valid not in flags for flags in raster.mask_flag_enums)
        valid = raster.read_masks(window=window) != 0 if has_mask else None
    if np.issubdtype(values.dtype, np.inexact):
        valid = _intersect_masks(valid, ~np.isnan(values))
    return _Strip(values, valid)


def _intersect_masks(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return b if a is None else a if b is None else a & b


def _find_differences(old: _Strip, new: _Strip) -> NDArray[np.bool_]:
    """Return where values differ, or only one side has data; shape (bands, rows, columns)."""
    differs: NDArray[np.bool_] = old.values != new.values
    if old.valid is None and new.valid is None:
        return differs
    everywhere = np.ones(differs.shape, np.bool_)
    old_valid, new_valid = (everywhere if side.valid is None else side.valid for side in (old, new))
    return np.where(old_valid & new_valid, differs, old_valid ^ new_valid)


def count_value_changes(old_path: Path, new_path: Path) -> Counter[tuple[int, int, int]] | None:
    """Count the pixels of two labels whose values differ, by (band, old value, new value); None as `compare_rasters`.

    None, too, if the files have so many different values that they are not labels of classes.

    Raises:
        CorruptError: a file cannot be read.
    """
    with open_raster(old_path, with_sidecars=False) as old, open_raster(new_path, with_sidecars=False) as new:
        has_integers = all(np.issubdtype(np.dtype(name), np.integer) for name in (*old.dtypes, *new.dtypes))
        if (old.width, old.height, old.count) != (new.width, new.height, new.count) or not has_integers:
            return None
        counts: Counter[tuple[int, int, int]] = Counter()
        for window in iter_strips(old, _STRIP_BYTES):
            with translate_read_errors(old_path):
                before = old.read(window=window)
            with translate_read_errors(new_path):
                after = new.read(window=window)
            for band in range(old.count):
                differs = before[band] != after[band]
                pairs = np.column_stack([before[band][differs], after[band][differs]]).astype(np.int64)
                values, numbers = np.unique(pairs, axis=0, return_counts=True)
                for (was, now), number in zip(values.tolist(), numbers.tolist(), strict=True):
                    counts[band + 1, was, now] += number
            if len(counts) > _MAX_VALUES:
                return None
        return counts
