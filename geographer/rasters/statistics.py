"""Statistics of pixels: the number, sum and sum of squares of the valid pixels of each band, exact and in any order."""

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.rasters.read import iter_strips, open_raster, translate_read_errors

_STRIP_BYTES = 1 << 25


class BandSums(NamedTuple):
    """The valid pixels of one band: their number, sum and sum of squares; None where a sum exceeds float64.

    `non_finite` is the number of NaN and infinite pixels that nodata and masks do not mark; they are left out.
    """

    pixels: int = 0
    total: Fraction | None = Fraction(0)
    squares: Fraction | None = Fraction(0)
    non_finite: int = 0

    def add_sums(self, other: "BandSums") -> "BandSums":
        """Return the sums of the pixels of both."""
        return BandSums(
            self.pixels + other.pixels,
            None if self.total is None or other.total is None else self.total + other.total,
            None if self.squares is None or other.squares is None else self.squares + other.squares,
            self.non_finite + other.non_finite,
        )

    def compute_mean(self) -> float | None:
        """Return the mean; None without pixels."""
        return float(self.total / self.pixels) if self.pixels and self.total is not None else None

    def compute_standard_deviation(self) -> float | None:
        """Return the standard deviation of the population (divided by the number of pixels); None without pixels."""
        if not self.pixels or self.total is None or self.squares is None:
            return None
        return math.sqrt(max((self.squares - self.total**2 / self.pixels) / self.pixels, Fraction(0)))


def read_band_sums(path: Path, *, with_sidecars: bool = True) -> list[BandSums]:
    """Read the pixels of the raster at `path`, and return the sums of each band in file order.

    Pixels that nodata, an alpha band or a mask band marks as invalid are left out. Values are as stored: no scale or
    offset is applied. Integers are summed exactly. The sum of floating-point pixels is that of `math.fsum`, exact but
    for one rounding for each strip of 32 MiB; so are squares, each rounded to float64.

    Raises:
        NotFoundError, UsageError: as for `open_raster`, or the pixels are complex numbers.
        CorruptError: some pixels cannot be read.
    """
    with open_raster(path, with_sidecars=with_sidecars) as raster, translate_read_errors(path):
        if np.dtype(raster.dtypes[0]).kind == "c":
            raise UsageError(f"raster '{path}' has complex pixels, which have no statistics. Pass --no-statistics.")
        sums = [BandSums()] * raster.count
        for window in iter_strips(raster, _STRIP_BYTES):
            pixels, masks = raster.read(window=window), raster.read_masks(window=window)
            sums = [
                total.add_sums(_sum_pixels(band[mask != 0]))
                for total, band, mask in zip(sums, pixels, masks, strict=True)
            ]
    return sums


def _sum_pixels(pixels: NDArray[Any]) -> BandSums:
    """Return the sums of the pixels of one dimension."""
    if pixels.dtype.kind == "f":
        values = pixels[np.isfinite(pixels)].astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            squares = values * values
        return BandSums(len(values), _sum_floats(values), _sum_floats(squares), len(pixels) - len(values))
    if pixels.dtype.itemsize <= 2:
        integers = pixels.astype(np.int64)
        return BandSums(len(pixels), Fraction(int(integers.sum())), Fraction(int((integers * integers).sum())))
    numbers: list[int] = pixels.tolist()
    return BandSums(len(pixels), Fraction(sum(numbers)), Fraction(sum(number * number for number in numbers)))


def _sum_floats(values: NDArray[np.float64]) -> Fraction | None:
    try:
        total = math.fsum(values.tolist())
    except OverflowError:
        return None
    return Fraction(total) if math.isfinite(total) else None


def merge_band_sums(rasters: Iterable[list[BandSums]]) -> list[BandSums]:
    """Return the sums of each band over many rasters; those with fewer bands have no pixels in the others."""
    merged: list[BandSums] = []
    for sums in rasters:
        merged += [BandSums()] * (len(sums) - len(merged))
        merged = [total.add_sums(new) for total, new in zip(merged, sums, strict=False)] + merged[len(sums) :]
    return merged
