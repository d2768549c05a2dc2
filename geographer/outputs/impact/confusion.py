"""Confusion: pixels counted by class value of truth and prediction, and the metrics that follow, as exact fractions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Confusion = Counter[tuple[int, int]]
"""The number of pixels by (class value of the truth, predicted class value)."""

_MAX_BINS: Final = 1 << 20


def count_confusion(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], ignore: int | None
) -> Confusion:
    """Count the pixels of two arrays of one shape, but those where the truth is `ignore`."""
    truth, predicted = truth.ravel(), predicted.ravel()
    if ignore is not None:
        is_counted = truth != ignore
        truth, predicted = truth[is_counted], predicted[is_counted]
    if not truth.size:
        return Counter()
    truth_values, truth_index = _index_values(truth)
    predicted_values, predicted_index = _index_values(predicted)
    bins = truth_index * len(predicted_values) + predicted_index
    if len(truth_values) * len(predicted_values) <= _MAX_BINS:
        counts = np.bincount(bins)
        numbers = np.flatnonzero(counts)
        counts = counts[numbers]
    else:
        numbers, counts = np.unique(bins, return_counts=True)
    rows, columns = np.divmod(numbers, len(predicted_values))
    pairs = zip(truth_values[rows].tolist(), predicted_values[columns].tolist(), strict=True)
    return Counter(dict(zip(pairs, counts.tolist(), strict=True)))


def _index_values(values: NDArray[np.integer[Any]]) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64]]:
    """Return candidate values, and for each element the index of its value among them."""
    smallest, largest = int(values.min()), int(values.max())
    if smallest >= 0 and largest < 1024:
        return np.arange(largest + 1), values.astype(np.int64)
    found, index = np.unique(values, return_inverse=True)
    return found, index.reshape(values.shape).astype(np.int64)


def compute_accuracy(confusion: Confusion) -> Fraction | None:
    """Return the fraction of pixels whose predicted value is that of the truth; None without pixels."""
    total = sum(confusion.values())
    return Fraction(sum(count for (row, column), count in confusion.items() if row == column), total) if total else None


def compute_mean_iou(confusion: Confusion) -> Fraction | None:
    """Return the mean intersection over union of the class values in truth or prediction; None without pixels."""
    rows: Counter[int] = Counter()
    columns: Counter[int] = Counter()
    for (row, column), count in confusion.items():
        rows[row] += count
        columns[column] += count
    values = sorted({*rows, *columns})
    if not values:
        return None
    common = {value: confusion[value, value] for value in values}
    ratios = [Fraction(common[value], rows[value] + columns[value] - common[value]) for value in values]
    return sum(ratios, Fraction(0)) / len(ratios)


METRICS: Final[Mapping[str, Callable[[Confusion], Fraction | None]]] = {
    "accuracy": compute_accuracy,
    "mean-iou": compute_mean_iou,
}
"""The metrics of arrays of class values."""
