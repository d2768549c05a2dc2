"""Folds for a prediction area: closer to its distances than random and block folds, by distances of every pair."""

import numpy as np
import pytest

from geographer.algorithms.nearest_neighbour_folds import assign_matching_folds, assign_random_folds

WEST, SOUTH, EAST, NORTH = 5.0, 45.0, 15.0, 52.0
RADIUS = 6_371_008.8


def draw_points(rng, count):
    return np.column_stack([rng.uniform(WEST, EAST, count), rng.uniform(SOUTH, NORTH, count)])


def draw_clustered(rng, count):
    return draw_points(rng, 10)[rng.integers(10, size=count)] + rng.normal(0, 0.1, (count, 2))


def draw_regular(_rng, count):
    side = int(count**0.5)
    axes = np.linspace(WEST, EAST, side), np.linspace(SOUTH, NORTH, side)
    return np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)


def compute_distances(a, b):
    """Return the great-circle distance of every pair, in metres (haversine)."""
    (lon, lat), (other_lon, other_lat) = np.radians(a).T[:, :, None], np.radians(b).T[:, None, :]
    half = np.sin((lat - other_lat) / 2) ** 2 + np.cos(lat) * np.cos(other_lat) * np.sin((lon - other_lon) / 2) ** 2
    return 2 * RADIUS * np.arcsin(np.sqrt(half))


def compute_wasserstein(a, b):
    """Return the area between the distribution functions of two samples."""
    grid = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(values), grid[:-1], "right") / len(values) for values in (a, b)]
    return float((np.abs(shares[0] - shares[1]) * np.diff(grid)).sum())


def measure_match(samples, folds, area):
    pairs = compute_distances(samples, samples)
    pairs[folds[:, None] == folds[None, :]] = np.inf
    return compute_wasserstein(pairs.min(axis=1), compute_distances(area, samples).min(axis=1))


def assign_blocks(rng, samples, count, divisions):
    cells = [
        ((samples[:, axis] - low) / size * divisions).astype(int) for axis, low, size in ((0, WEST, 10), (1, SOUTH, 7))
    ]
    block = np.unique(cells[0] * 1000 + cells[1], return_inverse=True)[1]
    return rng.permutation(block.max() + 1)[block] % count


@pytest.mark.parametrize("draw", [draw_clustered, draw_regular, draw_points])
def test_folds_match_better_than_random_and_blocks(draw):
    rng = np.random.default_rng(3)
    samples, area = draw(rng, 225), draw_points(rng, 400)
    result = assign_matching_folds(samples, np.arange(len(samples)), area, 5, 0)
    ours = measure_match(samples, result.folds, area)
    assert ours == pytest.approx(result.distance, abs=0.01)
    random = assign_random_folds(np.arange(len(samples)), 5, 0)
    assert measure_match(samples, random, area) == pytest.approx(result.random_distance, abs=0.01)
    blocks = [measure_match(samples, assign_blocks(rng, samples, 5, divisions), area) for divisions in (2, 3, 5, 8)]
    assert ours <= min(result.random_distance, *blocks)
    assert set(result.folds) == set(range(5))


def test_groups_are_not_divided():
    rng = np.random.default_rng(4)
    samples, groups = draw_clustered(rng, 200), rng.integers(40, size=200)
    folds = assign_matching_folds(samples, np.unique(groups, return_inverse=True)[1], draw_points(rng, 200), 4, 1).folds
    assert all(len(set(folds[groups == group])) == 1 for group in range(40))
    assert np.bincount(folds).max() <= 100


def test_result_is_the_same_again():
    rng = np.random.default_rng(5)
    samples, area = draw_points(rng, 60), draw_points(rng, 60)
    first, second = (assign_matching_folds(samples, np.arange(60), area, 3, 7) for _ in range(2))
    assert (first.folds == second.folds).all()
