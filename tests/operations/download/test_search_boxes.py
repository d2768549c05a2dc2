"""Search boxes contain all features, and there are few of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from geographer.operations.download.search_boxes import make_search_boxes


def is_inside(boxes, boxes_to_search):
    """Return whether each box is within one of the search boxes."""
    low = (boxes_to_search[None, :, :2] <= boxes[:, None, :2]).all(axis=2)
    high = (boxes_to_search[None, :, 2:] >= boxes[:, None, 2:]).all(axis=2)
    return (low & high).any(axis=1)


def make_points(lons, lats):
    return np.column_stack([lons, lats, lons, lats])


@pytest.mark.parametrize("seed", range(5))
def test_search_boxes_contain_every_feature(seed):
    rng = np.random.default_rng(seed)
    low = np.column_stack([rng.uniform(-180, 179, 300), rng.uniform(-90, 89, 300)])
    boxes = np.column_stack([low, low + rng.choice([0, 0.01, 1], (300, 1))])

    boxes_to_search = make_search_boxes(boxes)

    assert is_inside(boxes, boxes_to_search).all()
    assert (boxes_to_search[:, :2] >= [-180, -90]).all()
    assert (boxes_to_search[:, 2:] <= [180, 90]).all()


def test_clusters_get_one_search_each():
    rng = np.random.default_rng(2)
    centres = np.array([(lon, lat) for lon in range(-170, 180, 35) for lat in (-50, -25, 0, 25, 50)], float)[:50]
    locations = np.repeat(centres, 20, axis=0) + rng.uniform(-0.1, 0.1, (1000, 2))

    assert len(make_search_boxes(make_points(*locations.T))) == 50


def test_distant_features_are_searched_separately():
    boxes_to_search = make_search_boxes(make_points(np.array([0.0, 100.0]), np.array([0.0, 50.0])))

    assert len(boxes_to_search) == 2
    assert (boxes_to_search[:, 2] - boxes_to_search[:, 0] < 0.01).all()


def test_long_chain_is_split():
    lons = np.arange(0, 60, 0.4)

    boxes_to_search = make_search_boxes(make_points(lons, np.zeros(len(lons))))

    assert (boxes_to_search[:, 2] - boxes_to_search[:, 0]).max() < 11
    assert len(boxes_to_search) < 15


def test_ring_excludes_its_interior():
    angle = np.linspace(0, 2 * np.pi, 400)

    boxes_to_search = make_search_boxes(make_points(15 * np.cos(angle), 15 * np.sin(angle)))

    area = np.prod(boxes_to_search[:, 2:] - boxes_to_search[:, :2], axis=1).sum()
    assert area < 30 * 30 / 2


def test_dense_features_need_little_memory():
    rng = np.random.default_rng(3)
    lons, lats = rng.uniform(0, 0.3, 100_000), rng.uniform(0, 0.3, 100_000)
    tracemalloc.start()

    boxes_to_search = make_search_boxes(make_points(lons, lats))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(boxes_to_search) == 1
    assert peak < 100e6


def test_no_features_need_no_search():
    assert make_search_boxes(np.empty((0, 4))).shape == (0, 4)
