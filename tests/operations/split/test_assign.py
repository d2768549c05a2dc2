"""How components are dealt to parts: against every deal there is."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.operations.split import assign as balance
from geographer.operations.split.assign import deal


def cost_of(weights, held, shares, parts):
    """The deviation of shares: summed over the parts for rasters, and averaged over the classes that are seen.

    What a part lacks below half of its share counts twice.
    """
    totals = [sum(column) for column in zip(*weights, *held, strict=True)]
    have = [list(some) for some in held]
    for weight, part in zip(weights, parts, strict=True):
        have[part] = [a + b for a, b in zip(have[part], weight, strict=True)]
    off = [
        sum(off_by(some[measure] / total, share) for some, share in zip(have, shares, strict=True)) if total else None
        for measure, total in enumerate(totals)
    ]
    classes = [some for some in off[1:] if some is not None]
    return off[0] + (sum(classes) / len(classes) if classes else 0.0)


def off_by(got, asked):
    return abs(got - asked) + (asked / 2 - got if got < asked / 2 else 0)


def best_cost(weights, held, shares):
    """The least cost of all deals that fill as many empty parts as there are components for."""
    empty = {part for part, some in enumerate(held) if not some[0]}
    first = sorted(empty, key=lambda part: -shares[part])[: len(weights)]
    deals = product(range(len(shares)), repeat=len(weights))
    return min(cost_of(weights, held, shares, parts) for parts in deals if {*first} <= {*parts})


def arrays(weights, held, shares):
    return (
        np.array(weights, dtype=float).reshape(len(weights), len(held[0])),
        np.array(held, dtype=float),
        np.array(shares),
        np.random.default_rng(0).permutation(len(weights)).astype(float),
    )


@st.composite
def deals(draw):
    classes = draw(st.integers(0, 2))
    weight = st.tuples(st.integers(1, 9), *[st.integers(0, 6)] * classes)
    weights = draw(st.lists(weight, max_size=6))
    nothing = (0,) * (1 + classes)
    held = [draw(st.just(nothing) | weight) for _ in range(3)]
    asked = draw(st.sampled_from([(70, 15, 15), (80, 15, 5), (34, 33, 33), (98, 1, 1)]))
    if not weights and held == [nothing] * 3:
        held[0] = (3,) * (1 + classes)
    return weights, held, tuple(share / sum(asked) for share in asked)


@given(deals())
@settings(max_examples=60, deadline=None)
def test_no_other_deal_comes_nearer_to_the_shares(asked):
    weights, held, shares = asked
    dealt = deal(*arrays(*asked))
    best = best_cost(weights, held, shares)
    assert dealt.cost == pytest.approx(cost_of(weights, held, shares, dealt.parts))
    assert dealt.proven
    assert best - 1e-9 <= dealt.cost <= best + balance.FINE
    assert dealt.bound <= best + 1e-9


@given(deals())
@settings(max_examples=60, deadline=None)
def test_dealing_without_the_program_fills_the_parts_and_states_a_true_bound(asked):
    weights, held, shares = asked
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(balance, "UNKNOWNS", 0)
        dealt = deal(*arrays(*asked))
    best = best_cost(weights, held, shares)
    wanting = sum(not some[0] for some in held)
    assert dealt.method == ("greedy" if weights else "none")
    assert dealt.cost == pytest.approx(cost_of(weights, held, shares, dealt.parts))
    assert dealt.bound <= best + 1e-9 <= dealt.cost + 2e-9
    filled = {*np.flatnonzero(np.array(held)[:, 0]), *dealt.parts.tolist()}
    assert len(filled) == 3 - max(0, wanting - len(weights))


def crowd(seed, count, classes):
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.3, count)
    counts = [rng.binomial(2 * sizes, share) for share in rng.dirichlet(np.ones(classes))]
    return np.column_stack([sizes, *counts]).astype(float), rng.permutation(count).astype(float)


@pytest.mark.parametrize(("count", "classes", "cost"), [(253, 3, 0.01), (3000, 8, 0.02)])
def test_many_components_come_within_a_percent_of_the_shares(count, classes, cost):
    weights, draws = crowd(1, count, classes)
    dealt = deal(weights, np.zeros((3, 1 + classes)), np.array([0.7, 0.15, 0.15]), draws)
    assert dealt.cost < cost
    assert dealt.cost == pytest.approx(cost_of(weights, [[0] * (1 + classes)] * 3, [0.7, 0.15, 0.15], dealt.parts))


def test_the_program_finds_what_mending_does_not(monkeypatch):
    weights = np.array([[4.0], [2.0], [4.0], [1.0], [1.0], [5.0], [2.0], [3.0]])
    asked = weights, np.zeros((3, 1)), np.array([0.5, 0.32, 0.18]), np.arange(8.0)
    monkeypatch.setattr(balance, "mended", lambda taken, *_: taken)
    monkeypatch.setattr(balance, "dealt_out", lambda kinds, count, *_: np.outer(count, [1, 0, 0]))
    dealt = deal(*asked)
    assert dealt.method == "milp"
    assert sorted(np.bincount(dealt.parts, weights[:, 0]).tolist()) == [4, 7, 11]


def test_the_order_of_components_does_not_matter():
    weights, draws = crowd(2, 60, 2)
    shares = np.array([0.7, 0.2, 0.1])
    order = np.random.default_rng(3).permutation(60)
    first = deal(weights, np.zeros((3, 3)), shares, draws)
    shuffled = deal(weights[order], np.zeros((3, 3)), shares, draws[order])
    assert first.parts[order].tolist() == shuffled.parts.tolist()


def test_draws_decide_between_components_that_count_alike():
    alike = np.ones((10, 1))
    shares = np.array([0.7, 0.3])
    first = deal(alike, np.zeros((2, 1)), shares, np.arange(10.0))
    assert first.parts.tolist() == [0] * 7 + [1] * 3
    assert deal(alike, np.zeros((2, 1)), shares, np.arange(10.0)[::-1]).parts.tolist() == [1] * 3 + [0] * 7
