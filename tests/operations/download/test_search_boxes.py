"""The boxes that are searched: all features lie in them, and there are few."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from geographer.operations.download.search_boxes import search_boxes


def inside(boxes, searches):
    """Whether each box lies in one of the searches."""
    low = (searches[None, :, :2] <= boxes[:, None, :2]).all(axis=2)
    high = (searches[None, :, 2:] >= boxes[:, None, 2:]).all(axis=2)
    return (low & high).any(axis=1)


def points(lons, lats):
    return np.column_stack([lons, lats, lons, lats])


@pytest.mark.parametrize("seed", range(5))
def test_every_feature_lies_in_a_search(seed):
    random = np.random.default_rng(seed)
    low = np.column_stack([random.uniform(-180, 179, 300), random.uniform(-90, 89, 300)])
    boxes = np.column_stack([low, low + random.choice([0, 0.01, 1], (300, 1))])

    searches = search_boxes(boxes)

    assert inside(boxes, searches).all()
    assert (searches[:, :2] >= [-180, -90]).all()
    assert (searches[:, 2:] <= [180, 90]).all()


def test_a_thousand_features_in_fifty_clusters_take_fifty_searches():
    random = np.random.default_rng(2)
    middles = np.array([(lon, lat) for lon in range(-170, 180, 35) for lat in (-50, -25, 0, 25, 50)], float)[:50]
    places = np.repeat(middles, 20, axis=0) + random.uniform(-0.1, 0.1, (1000, 2))

    assert len(search_boxes(points(*places.T))) == 50


def test_features_far_apart_are_not_searched_as_one():
    searches = search_boxes(points(np.array([0.0, 100.0]), np.array([0.0, 50.0])))

    assert len(searches) == 2
    assert (searches[:, 2] - searches[:, 0] < 0.01).all()


def test_a_long_chain_of_features_is_searched_in_parts():
    lons = np.arange(0, 60, 0.4)

    searches = search_boxes(points(lons, np.zeros(len(lons))))

    assert (searches[:, 2] - searches[:, 0]).max() < 11
    assert len(searches) < 15


def test_a_ring_of_features_does_not_search_what_it_surrounds():
    angle = np.linspace(0, 2 * np.pi, 400)

    searches = search_boxes(points(15 * np.cos(angle), 15 * np.sin(angle)))

    area = np.prod(searches[:, 2:] - searches[:, :2], axis=1).sum()
    assert area < 30 * 30 / 2


def test_a_city_of_very_many_features_is_one_search_found_without_comparing_all_with_all():
    random = np.random.default_rng(3)
    lons, lats = random.uniform(0, 0.3, 100_000), random.uniform(0, 0.3, 100_000)
    tracemalloc.start()

    searches = search_boxes(points(lons, lats))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(searches) == 1
    assert peak < 100e6


def test_nothing_missing_is_no_search():
    assert search_boxes(np.empty((0, 4))).shape == (0, 4)
