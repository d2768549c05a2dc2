"""Exact sums of many numbers and of their squares: no rounding, so they do not depend on the order of the numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LIMB_BITS: Final = 16
_SPLITTER: Final = 2.0**27 + 1
_LARGEST: Final = 2.0**400
_ROOT_BITS: Final = 128


class ExactSums(NamedTuple):
    """The sum of numbers, and the sum of their squares."""

    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)

    def add_sums(self, other: ExactSums) -> ExactSums:
        """Return the sums over the numbers of both."""
        return ExactSums(self.total + other.total, self.squares + other.squares)


def sum_values(values: NDArray[Any]) -> ExactSums:
    """Return the sums of finite numbers, shape (n,), of any real dtype; at most 2^30 numbers.

    Integers are split into limbs of 16 bits, whose products are summed as int64. Floats are summed by the extraction of
    leading bits in Rump, Ogita and Oishi, "Accurate floating-point summation, part I" (2008), and squared without error
    by the split of Dekker, "A floating-point technique for extending the available precision" (1971).
    """
    if values.dtype.kind != "f":
        return _sum_integers(values)
    numbers = values.astype(np.float64, copy=False)
    if values.dtype.itemsize <= 4:
        # The square of a float32 has 48 bits.
        return ExactSums(_sum_floats(numbers), _sum_floats(numbers * numbers))
    return _sum_doubles(numbers)


def sum_counted_integers(values: NDArray[Any], counts: NDArray[np.int64]) -> ExactSums:
    """Return the sums of integers of at most 16 bits, each of which occurs as often as `counts` says; below 2^47."""
    numbers = values.astype(np.int64)
    squares = numbers * numbers
    low, high = (int(np.dot(half, counts)) for half in (squares & 0xFFFF, squares >> _LIMB_BITS))
    return ExactSums(Fraction(int(np.dot(numbers, counts))), Fraction(low + (high << _LIMB_BITS)))


def compute_mean(count: int, sums: ExactSums) -> float | None:
    """Return the mean of `count` numbers, rounded once; None without numbers."""
    return _round_fraction(sums.total / count) if count else None


def compute_standard_deviation(count: int, sums: ExactSums) -> float | None:
    """Return the standard deviation of the population (divided by `count`); None without numbers."""
    if not count:
        return None
    numerator, denominator = (sums.squares / count - (sums.total / count) ** 2).as_integer_ratio()
    if numerator <= 0:
        return 0.0
    # An even number of bits is added, so that the root of the integer has enough of them.
    shift = max(_ROOT_BITS - numerator.bit_length() + denominator.bit_length(), 0) // 2
    return _round_fraction(Fraction(math.isqrt((numerator << 2 * shift) // denominator), 1 << shift))


def _round_fraction(value: Fraction) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _sum_integers(values: NDArray[Any]) -> ExactSums:
    limbs = _split_limbs(values)
    total = sum(int(limb.sum()) << _LIMB_BITS * index for index, limb in enumerate(limbs))
    squares = 0
    for i, first in enumerate(limbs):
        for j, second in enumerate(limbs[i:], i):
            product = int(np.dot(first, second)) << _LIMB_BITS * (i + j)
            squares += product if i == j else 2 * product
    return ExactSums(Fraction(total), Fraction(squares))


def _split_limbs(values: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Return the 16-bit digits of integers, lowest first; the highest one has the sign."""
    count = max(values.dtype.itemsize * 8 // _LIMB_BITS, 1)
    digits = [(values >> _LIMB_BITS * index).astype(np.int64) for index in range(count)]
    return [*(digit & 0xFFFF for digit in digits[:-1]), digits[-1]]


def _sum_floats(values: NDArray[np.float64]) -> Fraction:
    """Return the sum of float64: of the bits above a limit, which is exact in any order, then of the rest alike."""
    total, rest, high = Fraction(0), values.copy(), np.empty_like(values)
    reserve = len(values).bit_length() + 1
    while len(rest) and (largest := max(float(rest.max()), -float(rest.min()))):
        exponent = math.frexp(largest)[1] + reserve
        if exponent >= np.finfo(np.float64).maxexp:
            return sum(map(Fraction, values.tolist()), Fraction(0))
        limit = 2.0**exponent
        np.add(rest, limit, out=high)
        high -= limit
        total += Fraction(float(high.sum()))
        rest -= high
    return total


def _sum_doubles(numbers: NDArray[np.float64]) -> ExactSums:
    total = _sum_floats(numbers)
    sizes = np.abs(numbers[numbers != 0])
    if sizes.size and (sizes.max() > _LARGEST or sizes.min() < 1 / _LARGEST):
        # A product could overflow, or lose bits.
        return ExactSums(total, sum((Fraction(number) ** 2 for number in numbers.tolist()), Fraction(0)))
    shifted = numbers * _SPLITTER
    high = shifted - (shifted - numbers)
    low = numbers - high
    products = (high * high, 2 * high * low, low * low)
    return ExactSums(total, sum(map(_sum_floats, products), Fraction(0)))
