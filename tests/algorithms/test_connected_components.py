"""Connected components, against a plain union of sets."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geographer.algorithms.connected_components import NO_LINKS, components, links_through


def merged_sets(count, pairs):
    """The components as sets, in the order of their smallest members."""
    sets = [{thing} for thing in range(count)]
    for one, other in pairs:
        first, second = (next(some for some in sets if thing in some) for thing in (one, other))
        if first is not second:
            sets.remove(second)
            first |= second
    return sorted(sets, key=min)


def pairs_of(*pairs):
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


counted_pairs = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=15)
    )
)


@given(counted_pairs)
def test_components_are_numbered_by_their_smallest_members(counted):
    count, pairs = counted
    expected = {thing: label for label, some in enumerate(merged_sets(count, pairs)) for thing in some}
    assert components(count, pairs_of(*pairs)).tolist() == [expected[thing] for thing in range(count)]


@given(counted_pairs, st.randoms())
def test_the_order_and_direction_of_links_and_how_they_come_do_not_matter(counted, random):
    count, pairs = counted
    shuffled = [pair[::-1] if random.random() < 0.5 else pair for pair in random.sample(pairs, len(pairs))]
    half = len(pairs) // 2
    apart = components(count, pairs_of(*shuffled[:half]), pairs_of(*shuffled[half:]))
    assert apart.tolist() == components(count, pairs_of(*pairs)).tolist()


def test_without_links_everything_is_alone():
    assert components(3).tolist() == components(3, NO_LINKS).tolist() == [0, 1, 2]
    assert components(0).tolist() == []


@pytest.mark.parametrize("link", [(0, 3), (-1, 0)])
def test_a_link_to_nothing_is_refused(link):
    with pytest.raises(ValueError, match="index"):
        components(3, pairs_of(link))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=30))
def test_links_through_groups_join_what_all_pairs_of_a_group_would_join(incidence):
    groups, members = pairs_of(*incidence).T
    links = links_through(groups, members)
    every = [(a, b) for (g, a), (h, b) in combinations(incidence, 2) if g == h]
    assert merged_sets(10, links.tolist()) == merged_sets(10, every)


def test_a_group_of_many_takes_one_link_less_than_it_has_members():
    assert links_through(np.repeat([4, 7], [1000, 2]), np.arange(1002)).shape == (1000, 2)
    assert links_through(np.array([7, 4, 7]), np.array([9, 1, 3])).tolist() == [[3, 9]]
