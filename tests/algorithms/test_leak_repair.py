"""Repairs of leaks: the fewest changes by brute force and by disjoint pairs, fixed rasters, and a time limit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import milp

from geographer.algorithms.grouping_constraints import GroupingConstraints, spans_several_parts
from geographer.algorithms.leak_repair import integer_program
from geographer.algorithms.leak_repair.repair import FixedRastersError, LeakRepair, repair_leaks

GONE = -2
"""The label of an excluded raster in the oracle; -1 is that of a raster without a part."""


@dataclass(frozen=True)
class Case:
    """Rasters with parts, the sets of rasters that show a feature, pairs, and which rasters are fixed."""

    part: Sequence[int]
    features: Sequence[Sequence[int]] = ()
    links: Sequence[Sequence[int]] = ()
    fixed: frozenset[int] = frozenset()

    def repair(self, seed: int = 0, **options) -> LeakRepair:
        """Repair with features and links in an order that the seed decides."""
        shuffle, count = random.Random(seed).shuffle, len(self.part)
        numbers = [*range(len(self.features))]
        shuffle(numbers)
        incidence = [(numbers[f], raster) for f, rasters in enumerate(self.features) for raster in rasters]
        links = [tuple(pair) for pair in self.links]
        shuffle(incidence)
        shuffle(links)
        features, rasters = np.array(incidence, np.int64).reshape(-1, 2).T
        half = len(links) // 2
        by_reason = {
            "overlap": np.array(links[:half], np.int64).reshape(-1, 2),
            "buffer": np.array(links[half:], np.int64).reshape(-1, 2),
        }
        fixed = np.isin(np.arange(count), [*self.fixed])
        return repair_leaks(
            GroupingConstraints(count, features, rasters, by_reason), np.array(self.part, np.int64), fixed, **options
        )

    def is_sound(self, labels: Sequence[int]) -> bool:
        return all(
            len({labels[raster] for raster in linked if labels[raster] >= 0}) < 2
            for linked in chain(self.features, self.links)
        )

    def find_smallest_cost(self) -> tuple[int, int] | None:
        """The fewest changes, and the fewest exclusions with so many changes; None if no labels are sound."""
        parts = sorted({*self.part} - {-1})
        options = [
            [part] if part < 0 or raster in self.fixed else [*parts, GONE] for raster, part in enumerate(self.part)
        ]
        costs = [
            (sum(a != b for a, b in zip(labels, self.part, strict=True)), labels.count(GONE))
            for labels in product(*options)
            if self.is_sound(labels)
        ]
        return min(costs, default=None)


def make_case(seed: int) -> Case:
    """Return a case of five or six rasters: mostly of three parts in few large features, so that many leak."""
    draw = random.Random(seed)
    count, n_parts = draw.choice([(6, 2), (5, 3), (5, 3)])
    rasters = range(count)
    return Case(
        [draw.randrange(n_parts) if draw.random() < 0.9 else -1 for _ in rasters],
        [draw.sample(rasters, draw.randint(1, 4)) for _ in range(draw.randint(0, 3))],
        [draw.sample(rasters, 2) for _ in range(draw.choice([0, 0, 3, 6]))],
        frozenset(draw.sample(rasters, draw.choice([0, 0, 1, 2]))),
    )


@settings(deadline=None, max_examples=2 * settings().max_examples)
@given(st.integers(0, 10**6))
def test_repair_equals_brute_force(seed: int) -> None:
    case = make_case(seed)
    expected = case.find_smallest_cost()
    try:
        repair = case.repair(seed)
    except FixedRastersError as error:
        a, b = error.rasters
        linked = [{*rasters} for rasters in chain(case.features, case.links)]
        assert expected is None
        assert {a, b} <= case.fixed
        assert case.part[a] != case.part[b]
        assert any({a, b} <= rasters for rasters in linked)
        return
    part = repair.part.tolist()
    assert case.is_sound(part)
    assert all(part[raster] == case.part[raster] for raster in case.fixed)
    assert all(after == -1 for after, before in zip(part, case.part, strict=True) if before == -1)
    changed = [before != after for before, after in zip(case.part, part, strict=True)]
    assert (repair.moved | repair.excluded).tolist() == changed
    assert (sum(changed), int(repair.excluded.sum())) == expected
    assert repair.is_proven.all()


def make_grid(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Pairs of neighbours in a grid, also diagonal ones."""
    for row, column in product(range(rows), range(columns)):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            if row + down < rows and 0 <= column + right < columns:
                yield row * columns + column, (row + down) * columns + column + right


def test_component_of_ten_thousand_rasters() -> None:
    """Three bands of a grid: each border has 100 disjoint pairs, so that 200 rasters must change."""
    part = [0 if column < 30 else 1 if column < 70 else 2 for _ in range(100) for column in range(100)]
    case = Case(part, links=[*make_grid(100, 100)])
    repair = case.repair()
    assert case.is_sound(repair.part.tolist())
    assert int((repair.moved | repair.excluded).sum()) == 200
    assert repair.is_proven.all()
    assert int(repair.is_leaking.sum()) == 400


def test_feature_on_ten_thousand_rasters() -> None:
    part = random.Random(1).choices([0, 1, 2], [7, 2, 1], k=10_000)
    repair = Case(part, [range(10_000)]).repair()
    assert {*repair.part.tolist()} == {0}
    assert repair.is_proven.all()


def test_scattered_leaks_are_separate_problems() -> None:
    """Every tenth raster of a path of 10,000 is of another part than its neighbours: it alone moves."""
    part = [1 + raster // 10 % 2 if raster % 10 == 5 else 0 for raster in range(10_000)]
    repair = Case(part, links=[*pairwise(range(10_000))]).repair()
    assert repair.moved.nonzero()[0].tolist() == [*range(5, 10_000, 10)]
    assert not repair.excluded.any()


def test_time_limit_leaves_a_sound_repair() -> None:
    draw = random.Random(2)
    case = Case(draw.choices([0, 1, 2, 3], k=400), links=[*make_grid(20, 20)])
    quick = case.repair(time_limit=0.0)
    assert case.is_sound(quick.part.tolist())
    assert not quick.is_proven.any()
    assert 0 < int((quick.moved | quick.excluded).sum()) < 300


def test_order_of_links_does_not_matter() -> None:
    draw = random.Random(5)
    features = [draw.sample(range(100), 3) for _ in range(14)]
    case = Case(draw.choices([0, 1, 2], k=100), features, [*make_grid(10, 10)])
    parts = [case.repair(seed).part.tolist() for seed in range(4)]
    assert parts == [parts[0]] * 4


@pytest.mark.parametrize(("status", "bound_change"), [(1, 0.0), (0, -1.0)])
def test_repair_without_proof_says_so(monkeypatch: pytest.MonkeyPatch, status: int, bound_change: float) -> None:
    """The solver stops early, or its bound leaves room for a better solution; what it found is used."""

    def stop_early(*args: Any, **options: Any) -> Any:
        result = milp(*args, **options)
        result.status, result.mip_dual_bound = status, result.mip_dual_bound + bound_change
        return result

    case = Case([0, 1, 2, 1], [[0, 1, 2], [2, 3]])
    proven = case.repair()
    monkeypatch.setattr(integer_program, "milp", stop_early)
    unproven = case.repair()
    assert unproven.part.tolist() == proven.part.tolist() == [1, 1, 1, 1]
    assert proven.is_proven.all()
    assert not unproven.is_proven.any()


def test_repair_without_leak_changes_nothing() -> None:
    for case in (Case([]), Case([2]), Case([2, -1, 0], [[0, 1], [1, 2]]), Case([1, 1], [[0, 1]])):
        repair = case.repair()
        assert repair.part.tolist() == [*case.part]
        assert not repair.is_leaking.any()


def test_component_of_one_raster_has_one_part() -> None:
    """Also if the number of its part is above the number of rasters."""
    assert spans_several_parts(np.array([0]), np.array([2])).tolist() == [False]
    assert spans_several_parts(np.array([0, 1, 1]), np.array([-1, 5, 7])).tolist() == [False, True]
