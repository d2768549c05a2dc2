"""Metric change: a metric at two revisions and on the common subset, and the terms that its change consists of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Final, NamedTuple

_FRACTION_BITS: Final = 53


class ChipSets(NamedTuple):
    """The values of a metric on sets of chips, as exact fractions; None where a set has nothing to score.

    `kept` are the chips that the subset has at both revisions, `common` the untouched ones among them; each is scored
    with the truth of both revisions.
    """

    before: Fraction | None
    kept_before: Fraction | None
    kept_after: Fraction | None
    after: Fraction | None
    common_before: Fraction | None
    common_after: Fraction | None


class MetricChange(NamedTuple):
    """A metric at both revisions, its change, and the terms, which sum exactly to the change.

    Attributes:
        metric: The name of the metric.
        before: Its value at the first revision.
        after: Its value at the second revision.
        change: `after - before`.
        left: The term of the chips that left the subset.
        relabelled: The term of the chips in both, whose truth differs.
        entered: The term of the chips that entered.
        common_before: The value on the common subset, with the truth of the first revision.
        common_after: The same with the truth of the second revision; always equal.

    All are float64; `left + relabelled + entered`, from left to right, is `change` to the last bit. A value is None
    if there is nothing to score, and so are the change and the terms that need it.
    """

    metric: str
    before: float | None
    after: float | None
    change: float | None
    left: float | None
    relabelled: float | None
    entered: float | None
    common_before: float | None
    common_after: float | None


def decompose_change(metric: str, values: ChipSets) -> MetricChange:
    """Return the change of a metric with its terms.

    Each value is rounded to a multiple of a power of two that all differences of the values are float64 multiples of:
    2^-53 for values from 0 to 1; otherwise 2^(e - 52), if no value exceeds 2^e. So no subtraction or addition rounds.
    """
    before, kept_before, kept_after, after, *common = round_values(values)
    change, left = subtract_values(after, before), subtract_values(kept_before, before)
    relabelled, entered = subtract_values(kept_after, kept_before), subtract_values(after, kept_after)
    if left is not None and relabelled is not None and entered is not None:
        assert left + relabelled + entered == change
    return MetricChange(metric, before, after, change, left, relabelled, entered, *common)


def round_values(values: Iterable[Fraction | None]) -> list[float | None]:
    """Round fractions to multiples of one power of two; see `decompose_change`."""
    values = list(values)
    numbers = [value for value in values if value is not None]
    bits = _FRACTION_BITS
    if any(not 0 <= number <= 1 for number in numbers):
        largest = math.ceil(max(map(abs, numbers)))
        bits = _FRACTION_BITS - 1 - (largest - 1).bit_length()
    scale = Fraction(2) ** bits
    return [None if value is None else float(Fraction(round(value * scale)) / scale) for value in values]


def subtract_values(minuend: float | None, subtrahend: float | None) -> float | None:
    """Return the difference of two numbers; None if one of them is not known."""
    return None if minuend is None or subtrahend is None else minuend - subtrahend
