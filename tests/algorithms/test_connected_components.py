"""Connected components, compared with unions of Python sets."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geographer.algorithms.connected_components import NO_LINKS, chain_group_members, label_components


def merge_sets(count, pairs):
    """Return the components as sets, in the order of their smallest members."""
    sets = [{node} for node in range(count)]
    for pair in pairs:
        first, second = (next(nodes for nodes in sets if node in nodes) for node in pair)
        if first is not second:
            sets.remove(second)
            first |= second
    return sorted(sets, key=min)


def to_links(*pairs):
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


graphs = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=15)
    )
)


@given(graphs)
def test_components_are_numbered_by_smallest_member(graph):
    count, pairs = graph
    expected = {node: label for label, nodes in enumerate(merge_sets(count, pairs)) for node in nodes}
    assert label_components(count, to_links(*pairs)).tolist() == [expected[node] for node in range(count)]


@given(graphs, st.randoms())
def test_components_ignore_order_of_links(graph, random):
    count, pairs = graph
    shuffled = [pair[::-1] if random.random() < 0.5 else pair for pair in random.sample(pairs, len(pairs))]
    half = len(pairs) // 2
    labels = label_components(count, to_links(*shuffled[:half]), to_links(*shuffled[half:]))
    assert labels.tolist() == label_components(count, to_links(*pairs)).tolist()


def test_nodes_without_links_are_separate():
    assert label_components(3).tolist() == label_components(3, NO_LINKS).tolist() == [0, 1, 2]
    assert label_components(0).tolist() == []


@pytest.mark.parametrize("link", [(0, 3), (-1, 0)])
def test_link_to_unknown_node_is_rejected(link):
    with pytest.raises(ValueError, match="index"):
        label_components(3, to_links(link))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=30))
def test_chains_connect_like_all_pairs(memberships):
    groups, members = to_links(*memberships).T
    links = chain_group_members(groups, members)
    all_pairs = [(a, b) for (g, a), (h, b) in combinations(memberships, 2) if g == h]
    assert merge_sets(10, links.tolist()) == merge_sets(10, all_pairs)


def test_chain_has_one_link_less_than_members():
    assert chain_group_members(np.repeat([4, 7], [1000, 2]), np.arange(1002)).shape == (1000, 2)
    assert chain_group_members(np.array([7, 4, 7]), np.array([9, 1, 3])).tolist() == [[3, 9]]
