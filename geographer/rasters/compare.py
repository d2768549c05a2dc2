"""Compare the pixels of two raster files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class _BandSums:
    """Sums over the strips of one band."""

    def __init__(self) -> None:
        self.changed, self.differences, self.largest = 0, 0.0, 0.0
        self.sums, self.counts, self.common = [0.0, 0.0], [0, 0], 0

    def add_strips(self, old: np.ma.MaskedArray, new: np.ma.MaskedArray, has_changed: NDArray[np.bool_]) -> None:
        masks = [np.ma.getmaskarray(side) for side in (old, new)]
        for index, (side, mask) in enumerate(zip((old, new), masks, strict=True)):
            self.sums[index] += float(np.sum(side.data, dtype=np.float64, where=~mask))
            self.counts[index] += int(np.count_nonzero(~mask))
        common = ~(masks[0] | masks[1])
        self.common += int(np.count_nonzero(common))
        self.changed += int(np.count_nonzero(has_changed))
        differences = np.abs(new.data[common].astype(np.float64) - old.data[common].astype(np.float64))
        if differences.size:
            self.differences += float(differences.sum())
            self.largest = max(self.largest, float(differences.max()))

    def summarize_band(self, number: int) -> BandChange:
        means = [total / count if count else None for total, count in zip(self.sums, self.counts, strict=True)]
        mean, largest = (self.differences / self.common, self.largest) if self.common else (None, None)
        return BandChange(number, self.changed, means[0], means[1], mean, largest)


def compare_rasters(old_path: Path, new_path: Path) -> PixelChange | None:
    """Compare two raster files strip by strip; None if they differ in width, height or number of bands.

    Raises:
        CorruptError: a file cannot be read.
    """
    with open_raster(old_path, with_sidecars=False) as old, open_raster(new_path, with_sidecars=False) as new:
        if (old.width, old.height, old.count) != (new.width, new.height, new.count):
            return None
        bands = [_BandSums() for _ in range(old.count)]
        changed, nodata = 0, [0, 0]
        for window in iter_strips(old, _STRIP_BYTES):
            with translate_read_errors(old_path):
                before = old.read(window=window, masked=True)
            with translate_read_errors(new_path):
                after = new.read(window=window, masked=True)
            masks = [np.ma.getmaskarray(side) for side in (before, after)]
            differs = _find_differences(before.data, after.data) & ~(masks[0] & masks[1]) | (masks[0] ^ masks[1])
            changed += int(np.count_nonzero(differs.any(axis=0)))
            for index, mask in enumerate(masks):
                nodata[index] += int(np.count_nonzero(mask.all(axis=0)))
            for sums, *strips in zip(bands, before, after, differs, strict=True):
                sums.add_strips(*strips)
        summaries = tuple(sums.summarize_band(number) for number, sums in enumerate(bands, 1))
        return PixelChange(old.width * old.height, changed, nodata[0], nodata[1], summaries)


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


def _find_differences(old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where values differ; NaN equals NaN."""
    differs: NDArray[np.bool_] = old != new
    if np.issubdtype(old.dtype, np.floating) and np.issubdtype(new.dtype, np.floating):
        differs &= ~(np.isnan(old) & np.isnan(new))
    return differs
