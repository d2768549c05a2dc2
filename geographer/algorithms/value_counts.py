"""Count values: how often each occurs, exactly or in fine bins, in flat memory and independently of the order."""

from __future__ import annotations

import base64
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.algorithms.exact_sums import (
    ExactSums,
    compute_mean,
    compute_standard_deviation,
    sum_counted_integers,
    sum_values,
)

MAX_DISTINCT: Final = 1 << 16
"""Up to this number of distinct values, those of more than 16 bits are counted one by one; then in bins."""
_MANTISSA_BITS: Final = 11
BIN_ERROR: Final = 2.0 ** -(_MANTISSA_BITS + 1)
"""The largest relative distance of a value from the middle of its bin."""
_DENSE_BINS: Final = 1 << 19
_FLOAT16_UNIT: Final = 24


class Distribution(NamedTuple):
    """Values with their numbers, in ascending order, and exact sums.

    Attributes:
        values: float64; the middles of bins unless `is_exact`.
        counts: How often each occurs, int64.
        minimum, maximum: Of the values themselves; None without values.
        sums: Of the values themselves.
        is_exact: Whether `values` are the values themselves.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    minimum: float | None
    maximum: float | None
    sums: ExactSums
    is_exact: bool

    def sum_counts(self) -> int:
        """Return the number of values."""
        return int(self.counts.sum())

    def compute_mean(self) -> float | None:
        """Return the mean, rounded once; None without values."""
        return compute_mean(self.sum_counts(), self.sums)

    def compute_standard_deviation(self) -> float | None:
        """Return the standard deviation of the population, rounded once; None without values."""
        return compute_standard_deviation(self.sum_counts(), self.sums)

    def compute_percentiles(self, percentiles: Sequence[float]) -> list[float | None]:
        """Return percentiles with linear interpolation between two values, as `numpy.percentile` does by default."""
        if not len(self.values):
            return [None] * len(percentiles)
        ends = np.cumsum(self.counts)
        positions = np.asarray(percentiles, np.float64) / 100 * (int(ends[-1]) - 1)
        lower = np.floor(positions)
        upper = np.minimum(lower + 1, ends[-1] - 1)
        low, high = (self.values[np.searchsorted(ends, rank, side="right")] for rank in (lower, upper))
        return [*_interpolate_values(low, high, positions - lower).tolist()]

    def compute_histogram(self, bins: int) -> tuple[list[float], list[int]]:
        """Return the edges of bins of equal width from the minimum to the maximum, and the numbers of values in them.

        As `numpy.histogram` does, each bin has its left edge, and the last one both. Both lists are empty without
        values; there is one bin if float64 cannot tell the edges of more.
        """
        if self.minimum is None or self.maximum is None:
            return [], []
        limits = (float(self.minimum), float(self.maximum))
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                numbers, edges = np.histogram(self.values, bins, limits, weights=self.counts.astype(np.float64))
        except ValueError:
            return [*limits], [self.sum_counts()]
        return edges.tolist(), numbers.astype(np.int64).tolist()

    def scale_values(self, scale: float, offset: float) -> Distribution:
        """Return the distribution of value * scale + offset."""
        factor, summand = Fraction(scale), Fraction(offset)
        total, squares = self.sums
        count = self.sum_counts()
        sums = ExactSums(
            factor * total + summand * count,
            factor**2 * squares + 2 * factor * summand * total + summand**2 * count,
        )
        minimum, maximum = (None if value is None else value * scale + offset for value in (self.minimum, self.maximum))
        step = 1
        if scale < 0:
            step, minimum, maximum = -1, maximum, minimum
        with np.errstate(over="ignore"):
            values = self.values * scale + offset
        return Distribution(values[::step], self.counts[::step], minimum, maximum, sums, self.is_exact)


def _interpolate_values(
    low: NDArray[np.float64], high: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate as numpy does, which gives equal ends exactly; or so that nothing overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance = high - low
        values = np.where(weight >= 0.5, high - distance * (1 - weight), low + distance * weight)
    return np.where(np.isfinite(distance), values, low * (1 - weight) + high * weight)


def merge_distributions(distributions: Sequence[Distribution]) -> Distribution:
    """Return the distribution of all values; one or more."""
    if len(distributions) == 1:
        return distributions[0]
    values, counts = _sum_counts([(item.values, item.counts) for item in distributions])
    sums = ExactSums()
    for item in distributions:
        sums = sums.add_sums(item.sums)
    minima = [item.minimum for item in distributions if item.minimum is not None]
    maxima = [item.maximum for item in distributions if item.maximum is not None]
    is_exact = all(item.is_exact for item in distributions)
    return Distribution(values, counts, min(minima, default=None), max(maxima, default=None), sums, is_exact)


class ValueCounts(ABC):
    """The values of one dtype that were added, and how often each occurs; what is added last counts as what is first.

    `make_value_counts` returns the class that fits the dtype.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)

    @abstractmethod
    def add_values(self, values: NDArray[Any]) -> None:
        """Count finite values of this dtype, shape (n,)."""

    @abstractmethod
    def merge_counts(self, other: ValueCounts) -> None:
        """Add the values of another object of the same dtype."""

    @abstractmethod
    def make_distribution(self) -> Distribution:
        """Return the values with their numbers."""

    @abstractmethod
    def to_record(self) -> dict[str, Any]:
        """Return what JSON can store, for `load_value_counts`."""


def make_value_counts(dtype: str) -> ValueCounts:
    """Return empty counts for numpy's name of a real dtype."""
    return NarrowCounts(dtype) if np.dtype(dtype).itemsize <= 2 else WideCounts(dtype)


def load_value_counts(record: Mapping[str, Any]) -> ValueCounts:
    """Return the counts of a record; `ValueError`, `KeyError` or `TypeError` if it is none."""
    counts = NarrowCounts if np.dtype(record["dtype"]).itemsize <= 2 else WideCounts
    return counts.from_record(record)


def count_bits(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each value of at most 16 bits occurs, by its bits as an unsigned integer; zeros at the end lack.

    Bytes are counted in pairs, which halves the number of steps.
    """
    bits = np.ascontiguousarray(values).reshape(-1).view(f"u{values.dtype.itemsize}")
    if bits.itemsize > 1:
        return np.bincount(bits).astype(np.int64, copy=False)
    pairs = np.bincount(bits[: len(bits) & ~1].view(np.uint16))
    rows = -(-len(pairs) // 256)
    table = np.zeros((rows, 256), np.int64)
    table.reshape(-1)[: len(pairs)] = pairs
    counts = table.sum(axis=0)
    counts[:rows] += table.sum(axis=1)
    if len(bits) % 2:
        counts[bits[-1]] += 1
    return np.asarray(counts)


def find_bits(value: float, dtype: np.dtype[Any]) -> int | None:
    """Return the index of an integer in the result of `count_bits`; None if the integer dtype does not have it."""
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        return None
    return int(value) & ((1 << 8 * dtype.itemsize) - 1)


class NarrowCounts(ValueCounts):
    """Counts of values of at most 16 bits: a number for each value that there can be."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        self._counts = np.zeros(0, np.int64)

    def add_values(self, values: NDArray[Any]) -> None:
        """See `ValueCounts.add_values`."""
        self.add_bit_counts(count_bits(values))

    def add_bit_counts(self, counts: NDArray[np.int64]) -> None:
        """Add a result of `count_bits`."""
        if len(counts) > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(len(counts) - len(self._counts), np.int64)])
        self._counts[: len(counts)] += counts

    def merge_counts(self, other: ValueCounts) -> None:
        """See `ValueCounts.merge_counts`."""
        assert isinstance(other, NarrowCounts)
        self.add_bit_counts(other._counts)

    def make_distribution(self) -> Distribution:
        """See `ValueCounts.make_distribution`."""
        bits = np.flatnonzero(self._counts)
        values = bits.astype(f"u{self.dtype.itemsize}").view(self.dtype)
        order = np.argsort(values, kind="stable")
        values, counts = values[order], self._counts[bits[order]]
        numbers = values.astype(np.float64)
        minimum, maximum = (values[0].item(), values[-1].item()) if len(values) else (None, None)
        return Distribution(numbers, counts, minimum, maximum, _sum_narrow(values, numbers, counts), is_exact=True)

    def to_record(self) -> dict[str, Any]:
        """See `ValueCounts.to_record`."""
        return {"dtype": self.dtype.name, "counts": _encode_array(self._counts)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> NarrowCounts:
        """See `load_value_counts`."""
        counts = cls(record["dtype"])
        counts.add_bit_counts(_decode_array(record["counts"], np.dtype(np.int64)))
        return counts


def _sum_narrow(values: NDArray[Any], numbers: NDArray[np.float64], counts: NDArray[np.int64]) -> ExactSums:
    if values.dtype.kind != "f":
        return sum_counted_integers(values, counts)
    # Every finite float16 is a multiple of 2^-24.
    integers: list[int] = (numbers * 2**_FLOAT16_UNIT).astype(np.int64).tolist()
    products = [number * count for number, count in zip(integers, counts.tolist(), strict=True)]
    squares = sum(number * product for number, product in zip(integers, products, strict=True))
    return ExactSums(Fraction(sum(products), 2**_FLOAT16_UNIT), Fraction(squares, 4**_FLOAT16_UNIT))


class WideCounts(ValueCounts):
    """Counts of values of more than 16 bits: of each value while there are few, then of bins.

    A bin has the values with one sign, exponent and 11 first bits of the mantissa as a float (float32 of float32, else
    float64), so each lies within `BIN_ERROR` of the bin's middle. As the number of distinct values decides, and never
    falls, the result does not depend on the order.
    """

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        self._has_bins = False
        self._pieces: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self._waiting = 0
        self._sums = ExactSums()
        self._limits: tuple[float, float] | None = None

    def add_values(self, values: NDArray[Any]) -> None:
        """See `ValueCounts.add_values`."""
        if not len(values):
            return
        if values.dtype.kind == "f":
            values = values + values.dtype.type(0)  # -0 becomes 0.
        self._sums = self._sums.add_sums(sum_values(values))
        self._extend_limits(values.min().item(), values.max().item())
        # What a part of many values exceeds, all of them do.
        is_long = not self._has_bins and len(values) > 2 * MAX_DISTINCT
        if is_long and len(np.unique(values[: 2 * MAX_DISTINCT])) > MAX_DISTINCT:
            self._use_bins()
        self._add_piece(*(_count_bins(values) if self._has_bins else np.unique(values, return_counts=True)))

    def merge_counts(self, other: ValueCounts) -> None:
        """See `ValueCounts.merge_counts`."""
        assert isinstance(other, WideCounts)
        self._sums = self._sums.add_sums(other._sums)
        if other._limits:
            self._extend_limits(*other._limits)
        if other._has_bins and not self._has_bins:
            self._use_bins()
        for keys, counts in other._pieces:
            if self._has_bins and not other._has_bins:
                keys = _find_bins(keys)
            self._add_piece(keys, counts)
        self._join_pieces()

    def make_distribution(self) -> Distribution:
        """See `ValueCounts.make_distribution`."""
        self._join_pieces()
        if self._limits is None:
            return Distribution(np.zeros(0), np.zeros(0, np.int64), None, None, self._sums, is_exact=True)
        keys, counts = self._pieces[0]
        values = keys.astype(np.float64)
        if self._has_bins:
            minimum, maximum = map(float, self._limits)
            values = np.clip(_find_middles(keys, self.dtype), minimum, maximum)
        return Distribution(values, counts, *self._limits, self._sums, not self._has_bins)

    def to_record(self) -> dict[str, Any]:
        """See `ValueCounts.to_record`."""
        self._join_pieces()
        keys, counts = self._pieces[0] if self._pieces else (np.zeros(0, self._key_dtype), np.zeros(0, np.int64))
        limits = [_format_number(value) for value in self._limits or ()]
        record = {"dtype": self.dtype.name, "has_bins": self._has_bins, "limits": limits}
        sums = [str(value) for value in self._sums]
        return record | {"sums": sums, "keys": _encode_array(keys), "counts": _encode_array(counts)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> WideCounts:
        """See `load_value_counts`."""
        counts = cls(record["dtype"])
        counts._has_bins = bool(record["has_bins"])
        counts._sums = ExactSums(*map(Fraction, record["sums"]))
        numbers = _decode_array(record["counts"], np.dtype(np.int64))
        keys = _decode_array(record["keys"], counts._key_dtype)
        if len(keys) != len(numbers):
            raise ValueError("the record has other numbers than keys")
        if len(keys):
            counts._limits = tuple(_parse_number(text) for text in record["limits"])  # type: ignore[assignment]
            counts._pieces = [(keys, numbers)]
        return counts

    @property
    def _key_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.int64) if self._has_bins else self.dtype

    def _extend_limits(self, minimum: float, maximum: float) -> None:
        low, high = self._limits or (minimum, maximum)
        self._limits = min(low, minimum), max(high, maximum)

    def _add_piece(self, keys: NDArray[Any], counts: NDArray[np.int64]) -> None:
        self._pieces.append((keys, counts))
        self._waiting += len(keys)
        if self._waiting > max(len(self._pieces[0][0]), 4 * MAX_DISTINCT):
            self._join_pieces()

    def _join_pieces(self) -> None:
        """Join the pieces, and count in bins from now on if there are too many values."""
        if len(self._pieces) > 1:
            self._pieces = [_sum_counts(self._pieces)]
        self._waiting = 0
        if not self._has_bins and self._pieces and len(self._pieces[0][0]) > MAX_DISTINCT:
            self._use_bins()

    def _use_bins(self) -> None:
        self._pieces = [(_find_bins(values), counts) for values, counts in self._pieces]
        self._has_bins = True
        if self._pieces:
            self._pieces = [_sum_counts(self._pieces)]


def _sum_counts(pieces: Iterable[tuple[NDArray[Any], NDArray[np.int64]]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return each key once, in ascending order, with the sum of its counts."""
    all_keys, all_counts = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    order = np.argsort(all_keys, kind="stable")
    keys, counts = all_keys[order], all_counts[order]
    if not len(keys):
        return keys, counts
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts)


def _count_bins(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bins of values and their counts; those of other signs lie far from each other."""
    bins = _find_bins(values)
    if bins.max() - bins.min() < _DENSE_BINS:
        return _count_range(bins)
    (zero,) = _find_bins(np.zeros(1, values.dtype))
    parts = [_count_range(part) for part in (bins[bins < zero], bins[bins == zero], bins[bins > zero]) if len(part)]
    keys, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return keys, counts


def _count_range(bins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = bins.min()
    if bins.max() - first >= _DENSE_BINS:
        keys, counts = np.unique(bins, return_counts=True)
        return keys, counts
    counts = np.bincount(bins - first)
    used = np.flatnonzero(counts != 0)
    return used + first, counts[used]


def _find_bins(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bins of values, in the order of the values: the leading bits of floats, with the order of integers."""
    kind, shift = _find_layout(values.dtype)
    bits = values.astype(kind.replace("u", "f"), copy=False).view(kind)
    sign = bits.dtype.type(1 << 8 * bits.itemsize - 1)
    # All bits of negative floats are inverted, and the sign of others.
    inverted = (bits.view(kind.replace("u", "i")) >> 8 * bits.itemsize - 1).view(kind) | sign
    bins: NDArray[np.int64] = ((bits ^ inverted) >> bits.dtype.type(shift)).astype(np.int64)
    return bins


def _find_middles(bins: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Return the middle of the first and the last float of each bin."""
    kind, shift = _find_layout(dtype)
    unsigned = np.dtype(kind).type
    first = bins.astype(kind) << unsigned(shift)
    ends = []
    for ordered in (first, first | unsigned((1 << shift) - 1)):
        sign = unsigned(1 << 8 * ordered.itemsize - 1)
        bits = np.where(ordered & sign, ordered ^ sign, ~ordered)
        ends.append(bits.view(kind.replace("u", "f")).astype(np.float64))
    middles: NDArray[np.float64] = ends[0] / 2 + ends[1] / 2
    return middles


def _find_layout(dtype: np.dtype[Any]) -> tuple[str, int]:
    """Return the unsigned dtype of the floats whose bits make bins, and how many of their last bits are dropped."""
    return ("u4", 23 - _MANTISSA_BITS) if dtype == np.float32 else ("u8", 52 - _MANTISSA_BITS)


def _encode_array(array: NDArray[Any]) -> str:
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(zlib.compress(little_endian.tobytes())).decode()


def _decode_array(text: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array; `ValueError` if the text is none."""
    try:
        content = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype)


def _format_number(value: float) -> str:
    return value.hex() if isinstance(value, float) else str(value)


def _parse_number(text: str) -> float:
    return float.fromhex(text) if "x" in text else int(text)
