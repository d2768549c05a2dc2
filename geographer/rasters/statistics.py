"""Statistics of pixels: the number, sum and sum of squares of the valid pixels of each band, exact and in any order."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from geographer.algorithms.exact_sums import ExactSums, compute_mean, compute_standard_deviation
from geographer.rasters.pixel_counts import RasterPath, count_images


class BandSums(NamedTuple):
    """The valid pixels of one band: their number, sum and sum of squares.

    `non_finite` is the number of NaN and infinite pixels that nodata and masks do not mark; they are left out.
    """

    pixels: int = 0
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    non_finite: int = 0

    def add_sums(self, other: "BandSums") -> "BandSums":
        """Return the sums of the pixels of both."""
        return BandSums(
            self.pixels + other.pixels,
            self.total + other.total,
            self.squares + other.squares,
            self.non_finite + other.non_finite,
        )

    def compute_mean(self) -> float | None:
        """Return the mean; None without pixels."""
        return compute_mean(self.pixels, ExactSums(self.total, self.squares))

    def compute_standard_deviation(self) -> float | None:
        """Return the standard deviation of the population (divided by the number of pixels); None without pixels."""
        return compute_standard_deviation(self.pixels, ExactSums(self.total, self.squares))


def read_band_sums(path: Path, *, with_sidecars: bool = True) -> list[BandSums]:
    """Read the pixels of the raster at `path`, and return the sums of each band in file order.

    Pixels that nodata, an alpha band or a mask band marks as invalid are left out. Values are as stored: no scale or
    offset is applied. All sums are exact.

    Raises:
        NotFoundError, UsageError, CorruptError: as for `count_images`.
    """
    sums = []
    for band in count_images([RasterPath(str(path), with_sidecars)]).bands:
        distribution = band.make_distribution()
        sums.append(BandSums(distribution.sum_counts(), *distribution.sums, band.non_finite))
    return sums


def merge_band_sums(rasters: Iterable[list[BandSums]]) -> list[BandSums]:
    """Return the sums of each band over many rasters; those with fewer bands have no pixels in the others."""
    merged: list[BandSums] = []
    for sums in rasters:
        merged += [BandSums()] * (len(sums) - len(merged))
        merged = [total.add_sums(new) for total, new in zip(merged, sums, strict=False)] + merged[len(sums) :]
    return merged
