"""Counts of values against numpy: sums, percentiles and histograms of every dtype, in any order and division."""

from __future__ import annotations

import json
from fractions import Fraction
from statistics import pstdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geographer.algorithms import value_counts
from geographer.algorithms.exact_sums import ExactSums, compute_mean, compute_standard_deviation, sum_values
from geographer.algorithms.value_counts import (
    BIN_ERROR,
    Distribution,
    count_bits,
    load_value_counts,
    make_value_counts,
    merge_distributions,
)

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES = [*INTEGERS, "float16", "float32", "float64"]
PERCENTILES = [0, 1, 2.5, 25, 50, 75, 99, 100]


def make_values(dtype: str, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(seed))
    if np.dtype(dtype).kind == "f":
        return (rng.normal(0, 1, count) * 10.0 ** rng.integers(-3, 3, count)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, count, dtype, endpoint=True)


def count_parts(dtype: str, parts: list[np.ndarray]) -> Distribution:
    counts = make_value_counts(dtype)
    for part in parts:
        counts.add_values(part)
    return counts.make_distribution()


def is_equal(first: Distribution, second: Distribution) -> bool:
    arrays = np.array_equal(first.values, second.values) and np.array_equal(first.counts, second.counts)
    return arrays and first[2:] == second[2:]


@pytest.mark.parametrize("dtype", DTYPES)
def test_distribution_equals_numpy(dtype):
    values = make_values(dtype, 501)
    found = count_parts(dtype, np.array_split(values, 4))
    numbers = values.astype(np.float64)
    assert found.is_exact
    assert (found.sum_counts(), found.minimum, found.maximum) == (501, values.min(), values.max())
    exact = [Fraction(value) for value in values.tolist()]
    assert found.sums == (sum(exact), sum(value * value for value in exact))
    assert found.compute_mean() == float(sum(exact) / 501)
    assert found.compute_standard_deviation() == pytest.approx(pstdev(exact), rel=1e-15)
    assert found.compute_percentiles(PERCENTILES) == np.percentile(numbers, PERCENTILES).tolist()
    counts, edges = np.histogram(numbers, 9)
    assert found.compute_histogram(9) == (edges.tolist(), counts.tolist())


@pytest.mark.parametrize("dtype", ["int32", "uint64", "float32", "float64"])
def test_many_values_are_counted_in_bins(dtype, monkeypatch):
    monkeypatch.setattr(value_counts, "MAX_DISTINCT", 1000)
    values = make_values(dtype, 5000)
    found = count_parts(dtype, np.array_split(values, 7))
    assert not found.is_exact
    assert is_equal(found, count_parts(dtype, [values]))
    assert found.compute_mean() == float(sum(map(Fraction, values.tolist())) / 5000)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    expected = np.percentile(values.astype(np.float64), PERCENTILES, method="lower")
    ranks = np.searchsorted(np.cumsum(found.counts), (np.array(PERCENTILES) / 100 * 4999).astype(int), side="right")
    assert np.all(np.abs(found.values[ranks] - expected) <= BIN_ERROR * np.abs(expected))
    assert len(count_parts(dtype, [values[:1000]]).values) == 1000


@given(st.data())
def test_merges_do_not_depend_on_order(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    limit = data.draw(st.sampled_from([3, 1 << 16]))
    if np.dtype(dtype).kind == "f":
        elements = st.floats(width=np.dtype(dtype).itemsize * 8, allow_nan=False, allow_infinity=False)
    else:
        limits = np.iinfo(dtype)
        elements = st.integers(int(limits.min), int(limits.max))
    parts = [np.array(part, dtype) for part in data.draw(st.lists(st.lists(elements, max_size=8), max_size=5))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_counts, "MAX_DISTINCT", limit)
        merged = make_value_counts(dtype)
        for part in data.draw(st.permutations(parts)):
            counts = make_value_counts(dtype)
            counts.add_values(part)
            merged.merge_counts(load_value_counts(json.loads(json.dumps(counts.to_record()))))
        assert is_equal(merged.make_distribution(), count_parts(dtype, parts))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_sums_of_floats_are_exact(values):
    exact = [Fraction(value) for value in values]
    assert sum_values(np.array(values, np.float64)) == (sum(exact), sum(value * value for value in exact))


def test_deviation_is_not_lost_beside_a_large_mean():
    values = 1e9 + np.array([0.0, 1e-6, 2e-6])
    expected = pstdev(map(Fraction, values.tolist()))
    assert expected > 0
    assert compute_standard_deviation(3, sum_values(values)) == pytest.approx(expected, rel=1e-15)
    huge = sum_values(np.array([1e300, -1e300]))
    assert (compute_mean(2, huge), compute_standard_deviation(2, huge)) == (0, 1e300)
    assert (compute_mean(0, ExactSums()), compute_standard_deviation(0, ExactSums())) == (None, None)


def test_bits_are_counted_in_any_layout():
    pixels = np.arange(256, dtype=np.uint8).repeat(3)[:701].reshape(1, 701)
    assert np.array_equal(count_bits(pixels), np.bincount(pixels[0], minlength=256))
    assert count_bits(pixels[:, ::2])[:256].tolist() == np.bincount(pixels[0, ::2], minlength=256).tolist()
    assert count_bits(np.array([-1, -1, 3], np.int8))[[3, 255]].tolist() == [1, 2]


def test_scaled_and_joined_distributions_equal_numpy():
    first, second = make_values("int16", 300, 1), make_values("uint8", 200, 2)
    scaled = [
        count_parts("int16", [first]).scale_values(-0.01, 3),
        count_parts("uint8", [second]).scale_values(0.5, -7),
    ]
    expected = np.concatenate([first * -0.01 + 3, second * 0.5 - 7])
    found = merge_distributions(scaled)
    assert found.compute_percentiles(PERCENTILES) == np.percentile(expected, PERCENTILES).tolist()
    assert (found.minimum, found.maximum) == (expected.min(), expected.max())
    assert found.compute_mean() == pytest.approx(expected.mean(), rel=1e-14)
    assert found.compute_standard_deviation() == pytest.approx(expected.std(), rel=1e-14)


def test_extreme_values_have_statistics():
    wide = count_parts("float64", [np.array([-1.7e308, 1.7e308, 0, 5e-324])])
    (percentile,) = wide.compute_percentiles([10])
    assert percentile == pytest.approx(-1.7e308 * 0.7)
    assert wide.compute_histogram(3) == ([-1.7e308, 1.7e308], [4])
    assert count_parts("uint64", [np.array([2**64 - 1], np.uint64)]).compute_histogram(3)[1] == [1]
    empty = count_parts("float32", [np.zeros(0, np.float32)])
    assert empty.compute_percentiles([5, 50]) == [None, None]
    assert (empty.compute_mean(), empty.minimum, empty.compute_histogram(4)) == (None, None, ([], []))


@pytest.mark.parametrize("change", [{"counts": "!"}, {"counts": "AAAA"}, {"dtype": 5}, {"keys": ""}, {"sums": ["x"]}])
def test_damaged_records_are_errors(change):
    counts = make_value_counts("float32")
    counts.add_values(np.array([1, 2], np.float32))
    with pytest.raises((ValueError, TypeError)):
        load_value_counts({**counts.to_record(), **change})
