"""Split plans: no leakage, stable assignments, and repeatable conflict decisions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.algorithms.grouping_constraints import GroupingConstraints
from geographer.algorithms.leak_repair.repair import repair_leaks
from geographer.base.errors import ConflictError, UsageError
from geographer.operations.split import assign as assign
from geographer.operations.split import plan as planner
from geographer.operations.split.conflicts import RasterAssignment
from geographer.operations.split.plan import SplitInputs
from geographer.operations.split.recipe import Split, parse_parts
from geographer.operations.split.report import SplitReport
from geographer.planning.recipe import OnConflict, load_recipe
from geographer.storage.events.payload import RecipeRecord

PARTS = {"train": 0.7, "val": 0.15, "test": 0.15}


@dataclass(frozen=True, kw_only=True)
class SplitRequest:
    """The inputs of a split in terms of ids and names, with the parameters that its plan depends on."""

    rasters: Sequence[str]
    feature_ids: Sequence[str] = ()
    incidence: tuple[np.ndarray, np.ndarray] = (np.empty(0, np.int64), np.empty(0, np.int64))
    links: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: Sequence[str] = ()
    class_counts: np.ndarray | None = None
    assigned: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, str | None] = field(default_factory=dict)
    parts: Mapping[str, float]
    seed: int = 0
    on_conflict: OnConflict | None = None


@dataclass(frozen=True)
class NamedPlan:
    """A plan in terms of ids and names."""

    parts: list[str | None]
    components: np.ndarray
    moved: dict[str, tuple[str, str]]
    unassigned: list[str]
    excluded: dict[str, str | None]
    report: SplitReport


def plan_split(request: SplitRequest) -> NamedPlan:
    rasters = request.rasters
    number_of: dict[Any, int] = {name: number for number, name in enumerate(sorted(request.parts))}
    before = RasterAssignment(
        np.array([number_of.get(request.assigned.get(raster), -1) for raster in rasters], np.int64),
        np.array([number_of.get(request.excluded.get(raster), -1) for raster in rasters], np.int64),
        np.array([raster in request.excluded for raster in rasters], bool),
    )
    counts: Any = np.zeros((len(rasters), 0)) if request.class_counts is None else request.class_counts
    constraints = GroupingConstraints(len(rasters), *request.incidence, request.links)
    inputs = SplitInputs(rasters, request.feature_ids, constraints, before, request.classes, counts)
    after, components, report = planner.plan_split(inputs, request.parts, request.seed, request.on_conflict)
    names = [*sorted(request.parts), None]
    parts = [names[number] for number in after.part]
    changed = {
        raster: (request.assigned[raster], part)
        for raster, part in zip(rasters, parts, strict=True)
        if part is not None and request.assigned.get(raster, part) != part
    }
    assert report.moved == len(changed)
    excluded = {rasters[index]: names[after.previous_part[index]] for index in np.flatnonzero(after.excluded).tolist()}
    unassigned = [raster for raster in excluded if raster not in request.excluded]
    return NamedPlan(parts, components, changed, unassigned, excluded, report)


def make_request(
    rasters_of_features: Mapping[str, Sequence[str]],
    links: Sequence[Sequence[str]] = (),
    *,
    alone: Sequence[str] = (),
    **options: Any,
) -> SplitRequest:
    """A request in terms of ids: the rasters that show each feature, linked pairs, and other rasters (`alone`)."""
    of_features = (raster for rasters in rasters_of_features.values() for raster in rasters)
    ids = sorted({*of_features, *(raster for pair in links for raster in pair), *alone})
    index = {raster: number for number, raster in enumerate(ids)}
    incidence = [
        (number, index[raster]) for number, rasters in enumerate(rasters_of_features.values()) for raster in rasters
    ]
    features, rasters = np.array(incidence, dtype=np.int64).reshape(-1, 2).T
    pairs = [(index[a], index[b]) for a, b in links]
    fields: dict[str, Any] = {"parts": PARTS} | options
    return SplitRequest(
        rasters=ids,
        feature_ids=list(rasters_of_features),
        incidence=(features, rasters),
        links={"buffer": np.array(pairs, dtype=np.int64).reshape(-1, 2)} if pairs else {},
        **fields,
    )


def map_parts(request: SplitRequest, plan: NamedPlan) -> dict[str, str | None]:
    return dict(zip(request.rasters, plan.parts, strict=True))


def list_linked_sets(shown, links):
    return [*map(set, shown.values()), *map(set, links)]


def find_leaking_sets(shown, links, parts):
    """Linked sets of rasters in two or more parts, by brute force."""
    return [
        linked for linked in list_linked_sets(shown, links) if len({parts[raster] for raster in linked} - {None}) > 1
    ]


def merge_linked_sets(rasters, shown, links):
    """The components, by brute force."""
    components = [{raster} for raster in rasters]
    for linked in list_linked_sets(shown, links):
        touched = [component for component in components if component & linked]
        components = [component for component in components if not component & linked]
        components += [set().union(*touched)] * bool(touched)
    return components


def make_following_request(request: SplitRequest, plan: NamedPlan, **options: Any) -> SplitRequest:
    """The request after a plan, with the plan's assignments and exclusions."""
    assigned = {raster: part for raster, part in map_parts(request, plan).items() if part is not None}
    return replace(request, assigned=assigned, excluded=plan.excluded, **options)


NAMES = [f"r{number}" for number in range(14)]


@st.composite
def linked_rasters(draw, rasters=NAMES):
    """Features with the rasters that show them, and links."""
    subset = st.lists(st.sampled_from(rasters), min_size=1, max_size=3, unique=True)
    shown = draw(st.lists(subset, max_size=7))
    links = draw(st.lists(st.lists(st.sampled_from(rasters), min_size=2, max_size=2, unique=True), max_size=3))
    return {f"f{number}": rasters for number, rasters in enumerate(shown)}, links


# --- components -------------------------------------------------------------------------------------------------------


@given(linked_rasters(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_components_are_never_divided(features_and_links, seed):
    request = make_request(*features_and_links, alone=NAMES, seed=seed)
    plan = plan_split(request)
    parts, labels = map_parts(request, plan), dict(zip(request.rasters, plan.components.tolist(), strict=True))
    components = merge_linked_sets(request.rasters, *features_and_links)
    assert all(len({parts[raster] for raster in component}) == 1 for component in components)
    assert len({labels[raster] for raster in NAMES}) == len(components)
    assert all(len({labels[raster] for raster in component}) == 1 for component in components)
    assert {*parts.values()} <= {*PARTS}
    assert (plan.moved, plan.unassigned, plan.excluded) == ({}, [], {})


@given(linked_rasters(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_plan_does_not_depend_on_order(features_and_links, random):
    shown, links = features_and_links
    request = make_request(shown, links, alone=NAMES, seed=5)
    shuffled = {
        feature: random.sample(shown[feature], len(shown[feature])) for feature in random.sample([*shown], len(shown))
    }
    repeated_request = make_request(
        shuffled,
        [pair[::-1] for pair in random.sample(links, len(links))],
        alone=random.sample(NAMES, len(NAMES)),
        seed=5,
        parts={name: 20 * PARTS[name] for name in random.sample([*PARTS], 3)},
    )
    assert map_parts(request, plan_split(request)) == map_parts(repeated_request, plan_split(repeated_request))


def test_components_are_numbered_by_first_rasters():
    request = make_request({"lake": ["b", "z"], "hill": ["a", "c"]}, alone=["d"])
    assert request.rasters == ["a", "b", "c", "d", "z"]
    assert plan_split(request).components.tolist() == [0, 1, 0, 2, 1]


# --- target fractions -------------------------------------------------------------------------------------------------


def test_single_rasters_meet_fractions_exactly():
    plan = plan_split(make_request({}, alone=[f"r{number}" for number in range(200)]))
    assert Counter(plan.parts) == {"train": 140, "val": 30, "test": 30}
    assert plan.report.deviation == pytest.approx(0)
    assert [(name, part.rasters, part.asked) for name, part in plan.report.parts.items()] == [
        ("train", 140, 0.7),
        ("val", 30, 0.15),
        ("test", 30, 0.15),
    ]
    assert not plan.report.warnings


def test_seed_decides_assignment():
    request = make_request({}, alone=[f"r{number}" for number in range(40)])
    first, repeated, other = (plan_split(replace(request, seed=seed)).parts for seed in (1, 1, 2))
    assert first == repeated != other


def test_added_raster_keeps_other_draws():
    fewer = make_request({}, alone=[f"r{number}" for number in range(20)], parts={"a": 1, "b": 1})
    more = make_request({}, alone=[f"r{number}" for number in range(21)], parts={"a": 1, "b": 1})
    before, after = map_parts(fewer, plan_split(fewer)), map_parts(more, plan_split(more))
    assert sum(before[raster] != after[raster] for raster in before) <= 1


def test_classes_meet_fractions():
    rng = np.random.default_rng(2)
    counts = np.eye(3, dtype=np.int64)[rng.integers(0, 3, 300)] * rng.integers(1, 4, (300, 1))
    request = make_request(
        {}, alone=[f"r{number}" for number in range(300)], classes=["ice", "rock", "lake"], class_counts=counts
    )
    plan = plan_split(request)
    parts = np.array(plan.parts)
    for part_name, part in plan.report.parts.items():
        for number, name in enumerate(request.classes):
            actual = counts[parts == part_name, number].sum() / counts[:, number].sum()
            assert part.classes[name] == pytest.approx(actual)
            assert actual == pytest.approx(PARTS[part_name], abs=0.01)
    assert plan.report.class_deviation is not None
    assert plan.report.class_deviation < 0.01
    assert plan_split(replace(request, classes=[], class_counts=None)).report.class_deviation is None


def test_every_part_gets_a_raster():
    plan = plan_split(make_request({}, alone=list("abcd"), parts={"train": 0.98, "val": 0.01, "test": 0.01}))
    assert Counter(plan.parts) == {"train": 2, "val": 1, "test": 1}


# --- report -----------------------------------------------------------------------------------------------------------


def test_report_warns_about_large_component():
    features_and_links = {
        "glacier": [f"big{number}" for number in range(83)],
        "pond": [f"small{number}" for number in range(10)],
    }
    plan = plan_split(make_request(features_and_links, [("big0", "big1")], alone=[f"r{number}" for number in range(7)]))
    assert plan.report.largest == 0.83
    assert plan.report.deviation == pytest.approx(0.13)
    other_fractions = "/".join(f"{plan.report.parts[name].got:.3g}" for name in ("val", "test"))
    assert other_fractions in {"0.07/0.1", "0.1/0.07", "0.08/0.09", "0.09/0.08"}
    assert plan.report.warnings == [
        "one component holds 83 % of the rasters, so a split of 0.7/0.15/0.15 cannot be reached: "
        f"the closest is 0.83/{other_fractions}. For smaller components, pass a smaller --buffer.",
    ]


def test_report_warns_about_empty_part():
    plan = plan_split(make_request({"a": ["r1", "r2", "r3"], "b": ["r4", "r5"]}))
    assert plan.parts.count(None) == 0
    assert plan.report.warnings[1].endswith(
        " is empty: only 2 components for 3 parts. "
        "For smaller components, leave out features that connect rasters (--where)."
    )


def test_report_warns_about_new_empty_part():
    request = make_request({}, alone=["r1", "r2", "r3"], assigned={"r1": "train", "r2": "train", "r3": "val"})
    assert plan_split(request).report.warnings == [
        "part 'test' is empty: assigned rasters keep their part, and there are too few new rasters.",
    ]


def test_report_warns_about_missed_fractions():
    assigned = {f"r{number}": "train" if number < 9 else "val" for number in range(10)}
    plan = plan_split(make_request({}, alone=[*assigned, "new"], assigned=assigned))
    assert map_parts(make_request({}, alone=[*assigned, "new"]), plan)["new"] == "test"
    assert plan.report.warnings == [
        "a split of 0.7/0.15/0.15 is not reached: the closest is 0.818/0.0909/0.0909. Components are not divided, and "
        "assigned rasters keep their part.",
    ]


def test_report_warns_about_missing_class():
    counts = np.array([[1, 0]] * 9 + [[0, 1]])
    request = make_request(
        {},
        alone=[f"r{number}" for number in range(10)],
        parts={"a": 1, "b": 1},
        classes=["ice", "lake"],
        class_counts=counts,
    )
    parts_without = {name for name, part in plan_split(request).report.parts.items() if not part.classes["lake"]}
    assert [f"part '{part}' shows no feature of class 'lake'." for part in parts_without] == [
        *plan_split(request).report.warnings
    ]


def test_report_states_method_and_optimality(monkeypatch):
    sizes = [4, 2, 4, 1, 1, 5, 2, 3]
    shown = {f"f{number}": [f"r{number}-{copy}" for copy in range(size)] for number, size in enumerate(sizes)}
    report = plan_split(make_request(shown, parts={"a": 0.5, "b": 0.32, "c": 0.18})).report
    assert (report.method, report.proven) in {("milp", True), ("greedy", True)}
    assert (
        report.bound <= report.cost == pytest.approx(sum(abs(part.got - part.asked) for part in report.parts.values()))
    )
    monkeypatch.setattr(assign, "MAX_UNKNOWNS", 0)
    assert plan_split(make_request(shown)).report.method == "greedy"


# --- growth -----------------------------------------------------------------------------------------------------------


@st.composite
def growing_links(draw):
    """Three steps of growth: rasters, features and links are added, and features are removed."""
    steps = []
    shown: dict[str, list[str]] = {}
    links: list[list[str]] = []
    for stage in range(3):
        rasters = NAMES[: 6 + 4 * stage]
        new_shown, new_links = draw(linked_rasters(rasters))
        removed = draw(st.sets(st.sampled_from([*shown]), max_size=1)) if shown else set()
        shown = {feature: linked for feature, linked in shown.items() if feature not in removed}
        shown |= {f"{stage}{feature}": linked for feature, linked in new_shown.items() if draw(st.booleans())}
        links = [*links, *new_links[:1]]
        steps.append((shown, links, rasters))
    return steps


@given(growing_links(), st.sampled_from(["exclude", "move"]))
@settings(max_examples=80, deadline=None)
def test_growing_split_never_leaks(steps, on_conflict):
    assigned: dict[str, str] = {}
    excluded: dict[str, str | None] = {}
    for shown, links, rasters in steps:
        request = make_request(
            shown,
            links,
            alone=rasters,
            assigned=assigned,
            excluded=excluded,
            on_conflict=on_conflict,
            seed=len(rasters),
        )
        plan = plan_split(request)
        parts = map_parts(request, plan)
        assert not find_leaking_sets(shown, links, parts)
        changed = {raster for raster, part in assigned.items() if parts[raster] != part}
        if on_conflict == "exclude":
            assert {raster for raster in changed if parts[raster] is not None} == {*plan.moved} == set()
        assert {raster for raster, part in parts.items() if part is None} == {*plan.excluded}
        assert {*plan.excluded} - {*excluded} == {*plan.unassigned}
        assert {raster: (assigned[raster], parts[raster]) for raster in changed if parts[raster]} == plan.moved
        if on_conflict == "move":
            assert not plan.excluded
        repeated_request = make_following_request(request, plan, on_conflict=None, seed=99)
        repeated = plan_split(repeated_request)
        assert (repeated.parts, repeated.excluded) == (plan.parts, plan.excluded)
        assert (repeated.moved, repeated.unassigned) == ({}, [])
        assigned, excluded = dict(repeated_request.assigned), dict(repeated_request.excluded)


@given(growing_links())
@settings(max_examples=60, deadline=None)
def test_growth_without_conflict_keeps_assignments(steps):
    assigned: dict[str, Any] = {}
    for shown, links, rasters in steps:
        request = make_request(shown, links, alone=rasters, assigned=assigned)
        conflicting = [
            component
            for component in merge_linked_sets(rasters, shown, links)
            if len({assigned[raster] for raster in component if raster in assigned}) > 1
        ]
        if conflicting:
            with pytest.raises(ConflictError):
                plan_split(request)
            return
        parts = map_parts(request, plan_split(request))
        assert assigned.items() <= parts.items()
        assert not find_leaking_sets(shown, links, parts)
        assigned = parts


def test_new_rasters_join_part_of_component():
    before = {f"r{number}": "train" for number in range(6)} | {"r6": "val"}
    request = make_request({"lake": ["r6", "new"]}, alone=[*before, "x", "y", "z"], assigned=before)
    parts = map_parts(request, plan_split(request))
    assert parts["new"] == "val"
    assert sorted(str(parts[raster]) for raster in "xyz") == ["test", "train", "train"]


# --- conflicts --------------------------------------------------------------------------------------------------------


CONFLICT_FEATURES = {"old": ["a1", "a2"], "new": ["a2", "n1"], "newer": ["n1", "b1"]}
ASSIGNED = {"a1": "train", "a2": "train", "b1": "test", "c1": "val"}


def make_conflict_request(**options):
    return make_request(CONFLICT_FEATURES, alone=["c1"], **{"assigned": ASSIGNED} | options)


def test_conflict_names_path_and_remedies():
    with pytest.raises(ConflictError) as rejected:
        plan_split(make_conflict_request())
    assert str(rejected.value) == (
        "the split would leak: raster 'a2' (train) and raster 'b1' (test) are connected by feature 'new', raster "
        "'n1', feature 'newer'. Pass --on-conflict exclude to leave 1 raster unassigned (0 of them assigned now), or "
        "--on-conflict move to move 1 raster to the larger part."
    )


def test_conflict_names_reason_of_link():
    assigned = {"a": "train", "b": "test"}
    with pytest.raises(
        ConflictError, match=r"raster 'a' \(train\) and raster 'b' \(test\) are connected by their buffer\."
    ):
        plan_split(make_request({"f": ["a", "n"], "g": ["n", "b"]}, [("b", "a")], assigned=assigned))


def test_conflict_shortens_long_path():
    shown = {f"f{number:02}": [f"r{number:02}", f"r{number + 1:02}"] for number in range(20)}
    with pytest.raises(ConflictError, match=r"by feature 'f00', raster 'r01', .*, 31 more, .*feature 'f19'\."):
        plan_split(make_request(shown, assigned={"r00": "train", "r20": "test"}))


def test_conflict_lists_first_conflicts():
    shown = {f"f{number}": [f"a{number}", f"b{number}"] for number in range(9)}
    assigned = {f"a{number}": "train" for number in range(9)} | {f"b{number}": "test" for number in range(9)}
    with pytest.raises(ConflictError, match=r"'f0'; .*'f1'; .*'f2'; and 6 more\. .* unassigned \(9 of them"):
        plan_split(make_request(shown, assigned=assigned))


def test_exclude_leaves_connecting_rasters_unassigned():
    request = make_conflict_request(on_conflict="exclude")
    plan = plan_split(request)
    assert map_parts(request, plan) == ASSIGNED | {"n1": None}
    assert plan.unassigned == ["n1"]
    assert plan.excluded == {"n1": None}
    assert plan.parts.count(None) == 1
    assert (
        "1 raster left unassigned, because assigning them would put related rasters in different parts."
        in plan.report.warnings
    )


def test_exclude_unassigns_smaller_side_of_feature():
    assigned = {"a1": "train", "a2": "train", "b1": "test", "b2": "test", "a3": "train"}
    request = make_request(
        {"f": ["a1", "a2", "a3"], "new": ["a2", "b1"], "g": ["b1", "b2"]}, assigned=assigned, on_conflict="exclude"
    )
    plan = plan_split(request)
    assert map_parts(request, plan) == assigned | {"b1": None}
    assert plan.excluded == {"b1": "test"}


def test_exclude_unassigns_smaller_side_of_link():
    assigned = {"a": "train", "b1": "test", "b2": "test"}
    request = make_request({"g": ["b1", "b2"]}, [("a", "b1")], assigned=assigned, on_conflict="exclude")
    assert map_parts(request, plan_split(request)) == assigned | {"a": None}


def test_equal_sides_prefer_larger_fraction():
    request = make_request({"f": ["a", "b"]}, assigned={"a": "test", "b": "train"}, on_conflict="exclude")
    assert map_parts(request, plan_split(request)) == {"a": None, "b": "train"}
    assert map_parts(request, plan_split(replace(request, on_conflict="move"))) == {"a": "train", "b": "train"}


def test_move_takes_component_to_largest_part():
    request = make_conflict_request(on_conflict="move")
    plan = plan_split(request)
    assert map_parts(request, plan) == ASSIGNED | {"n1": "train", "b1": "train"}
    assert plan.moved == {"b1": ("test", "train")}
    assert "1 raster moved to another part, because components are not divided." in plan.report.warnings


def test_conflict_does_not_affect_other_components():
    request = make_conflict_request(on_conflict="exclude")
    more = make_request(
        CONFLICT_FEATURES | {"elsewhere": ["x", "y"]}, alone=["c1"], assigned=ASSIGNED, on_conflict="exclude"
    )
    assert plan_split(more).excluded == plan_split(request).excluded
    assert None not in {map_parts(more, plan_split(more))[raster] for raster in "xy"}


def test_excluded_raster_stays_excluded_during_conflict():
    request = make_conflict_request(excluded={"n1": None})
    plan = plan_split(request)
    assert map_parts(request, plan) == ASSIGNED | {"n1": None}
    assert not plan.unassigned
    assert any(
        warning.startswith("1 raster still unassigned, because assigning them") for warning in plan.report.warnings
    )


def test_excluded_raster_joins_after_conflict():
    request = make_request(
        {"old": ["a1", "a2"], "new": ["a2", "n1"]}, assigned=ASSIGNED, excluded={"n1": None, "removed": "test"}
    )
    plan = plan_split(request)
    assert map_parts(request, plan)["n1"] == "train"
    assert not plan.excluded


def test_excluded_raster_returns_to_previous_part():
    connected = make_request({"new": ["a", "b"]}, assigned={"a": "train"}, excluded={"b": "test"})
    assert map_parts(connected, plan_split(connected)) == {"a": "train", "b": None}
    separate = make_request({}, alone=["a", "b"], assigned={"a": "train"}, excluded={"b": "test"})
    assert map_parts(separate, plan_split(separate)) == {"a": "train", "b": "test"}


def test_raster_linked_to_excluded_is_free():
    request = make_request(
        CONFLICT_FEATURES | {"newest": ["n1", "n2"]}, alone=["c1"], assigned=ASSIGNED, excluded={"n1": None}
    )
    assert map_parts(request, plan_split(request))["n2"] in PARTS


def test_conflict_without_excluded_is_decided_again():
    request = make_conflict_request(on_conflict="move", excluded={})
    assert map_parts(request, plan_split(request))["n1"] == "train"


# --- validation -------------------------------------------------------------------------------------------------------


def test_split_without_rasters_is_rejected():
    with pytest.raises(UsageError, match=r"there are no rasters to split\. Add rasters first"):
        plan_split(make_request({}))


@pytest.mark.parametrize(
    "options",
    [
        {"incidence": (np.array([0]), np.array([2]))},
        {"incidence": (np.array([0, 0]), np.array([0]))},
        {"links": {"buffer": np.array([[0, 2]])}},
        {"links": {"buffer": np.array([[-1, 0]])}},
        {"classes": ["ice"]},
        {"classes": ["ice"], "class_counts": np.ones((3, 1))},
    ],
)
def test_arrays_of_other_rasters_are_rejected(options):
    with pytest.raises((ValueError, IndexError)):
        plan_split(SplitRequest(**({"rasters": ["x", "y"], "parts": PARTS, "feature_ids": ["f"]} | options)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {}}, "a split needs parts. Pass e.g. --parts"),
        ({"parts": {" ": 1.0}}, "a part has no name. Pass e.g. --parts"),
        ({"parts": {"a": 1.0, "a ": 2.0}}, "parts are named more than once: 'a'. Pass e.g. --parts"),
        ({"parts": {"a": 1.0, "b": 0.0}}, "part 'b' has the fraction 0, which is not above 0. Pass e.g. --parts"),
        ({"parts": {"a": -1.0, "b": 3.0}}, "part 'a' has the fraction -1"),
        ({"parts": {"a": float("nan")}}, "part 'a' has the fraction nan"),
        ({"parts": {"a": float("inf")}}, "part 'a' has the fraction inf"),
        ({"parts": "a=0.5,b"}, "invalid part 'b'. Use NAME=FRACTION"),
        ({"parts": "a=0.5,b=many"}, "invalid part 'b=many'"),
        ({"parts": "a=0.5,a=0.5"}, "parts are named more than once: 'a'"),
        ({"parts": "a=0.8,b=0.1,c=0.3"}, "add up to 1.2, but must add up to 1. To keep their proportions, pass"),
        ({"parts": "a=0.8,b=0.1,c=0.3"}, "--parts a=0.666667,b=0.0833333,c=0.25."),
        ({"parts": "a=0.33,b=0.33,c=0.33"}, "add up to 0.99"),
        ({"parts": {"a": 70, "b": 30}}, "add up to 100"),
        ({"parts": PARTS, "on_conflict": "ignore"}, "invalid --on-conflict 'ignore'. Use exclude or move"),
        ({"parts": PARTS, "buffer": -1}, "invalid --buffer -1. Use 0 or more"),
        ({"parts": PARTS, "stratify": "size"}, "invalid --stratify 'size'. Use class"),
    ],
)
def test_invalid_parameter_is_rejected(options, message):
    with pytest.raises(UsageError) as rejected:
        Split("parts", collection="chips", **options)
    assert message in str(rejected.value)


def test_parts_are_parsed_from_text():
    expected = (("train", 0.7), ("val", 0.15), ("test", 0.15))
    for parts in ("train=0.7, val = 0.15,test=0.15", PARTS, expected):
        assert Split("parts", collection="chips", parts=parts).parts == expected


def test_fractions_may_be_rounded():
    for parts in ("a=0.333333,b=0.333333,c=0.333333", "a=0.333,b=0.333,c=0.334", dict.fromkeys("abcdefg", 1 / 7)):
        assert len(parse_parts(Split("parts", collection="chips", parts=parts).parts)) in (3, 7)


def test_recorded_fractions_have_any_sum():
    """Earlier versions divided fractions by their sum: their splits are assigned as before."""
    parameters = {"collection": "chips", "parts": [["train", 3], ["test", 1.5]], "by": "object"}
    split = load_recipe(RecipeRecord("parts", "split", parameters))
    rerun = msgspec.structs.replace(split, on_conflict="exclude")
    assert rerun.list_recorded_parameters()["parts"] == [["train", 3], ["test", 1.5]]
    request = make_request(
        {}, alone=["a", "b"], parts={"x": 30, "y": 10}, assigned={"removed": "z"}, excluded={"lost": "z"}
    )
    assert [part.asked for part in plan_split(request).report.parts.values()] == [0.75, 0.25]


@settings(deadline=None, max_examples=settings().max_examples // 2)
@given(st.integers(0, 10**6))
def test_plan_keeps_remedy_of_leak(seed: int) -> None:
    """After the smallest moves and exclusions, a plan neither conflicts nor changes anything."""
    draw = random.Random(seed)
    count = draw.randint(2, 8)
    part = np.array([draw.randrange(3) for _ in range(count)])
    incidence = [(feature, raster) for feature in range(3) for raster in draw.sample(range(count), draw.randint(1, 2))]
    features, rasters = np.array(incidence, np.int64).T
    links = np.array([draw.sample(range(count), 2) for _ in range(4)], np.int64)
    constraints = GroupingConstraints(count, features, rasters, {"overlap": links})
    repair = repair_leaks(constraints, part)
    before = RasterAssignment(repair.part, np.where(repair.excluded, part, -1), repair.excluded)
    ids = [f"r{number}" for number in range(count)]
    inputs = SplitInputs(ids, ["a", "b", "c"], constraints, before, [], np.zeros((count, 0), np.int64))
    after = planner.plan_split(inputs, {"p0": 0.5, "p1": 0.3, "p2": 0.2}).assignment
    assert after.part.tolist() == repair.part.tolist()
    assert after.excluded.tolist() == repair.excluded.tolist()
