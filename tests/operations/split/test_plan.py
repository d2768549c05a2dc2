"""Splits: nothing leaks, what is assigned stays, and what is decided stays decided."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.base.errors import ConflictError, UsageError
from geographer.operations.split import assign as balance
from geographer.operations.split.conflicts import leaks
from geographer.operations.split.plan import SplitRequest, plan_split

PARTS = {"train": 0.7, "val": 0.15, "test": 0.15}


def request(shown, links=(), **options):
    """A request in terms of ids: `shown` has the rasters that show each feature, `links` pairs of rasters.

    `alone` names rasters that show nothing.
    """
    alone = options.pop("alone", ())
    ids = list(
        dict.fromkeys([*(r for some in shown.values() for r in some), *(r for pair in links for r in pair), *alone])
    )
    place = {raster: index for index, raster in enumerate(ids)}
    incidence = [(number, place[raster]) for number, some in enumerate(shown.values()) for raster in some]
    pairs = [(place[one], place[other]) for one, other in links]
    return SplitRequest(
        rasters=ids,
        feature_ids=list(shown),
        incidence=tuple(np.array(incidence, dtype=np.int64).reshape(-1, 2).T),
        links={"buffer": np.array(pairs, dtype=np.int64).reshape(-1, 2)} if pairs else {},
        **{"parts": PARTS} | options,
    )


def part_of(asked, plan):
    return dict(zip(asked.rasters, plan.parts, strict=True))


def bound_sets(shown, links):
    return [*map(set, shown.values()), *map(set, links)]


def leaking(shown, links, parts):
    """What is bound directly and lies in two parts, found the slow way."""
    return [some for some in bound_sets(shown, links) if len({parts[raster] for raster in some} - {None}) > 1]


def hang_together(rasters, shown, links):
    """The components, the slow way."""
    found = [{raster} for raster in rasters]
    for some in bound_sets(shown, links):
        touched = [component for component in found if component & some]
        found = [component for component in found if not component & some] + [set().union(*touched)] * bool(touched)
    return found


def following(asked, plan, **options):
    """The request that follows a plan: what it assigned and left out is so."""
    assigned = {raster: part for raster, part in part_of(asked, plan).items() if part is not None}
    return replace(asked, assigned=assigned, excluded=plan.excluded, **options)


names = [f"r{number}" for number in range(14)]


@st.composite
def webs(draw, rasters=names):
    """Features with the rasters that show them, and links."""
    some = st.lists(st.sampled_from(rasters), min_size=1, max_size=3, unique=True)
    shown = draw(st.lists(some, max_size=7))
    links = draw(st.lists(st.lists(st.sampled_from(rasters), min_size=2, max_size=2, unique=True), max_size=3))
    return {f"f{number}": rasters for number, rasters in enumerate(shown)}, links


# nothing is parted


@given(webs(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_component_is_never_parted_and_everything_is_assigned(web, seed):
    asked = request(*web, alone=names, seed=seed)
    plan = plan_split(asked)
    parts, labels = part_of(asked, plan), dict(zip(asked.rasters, plan.components.tolist(), strict=True))
    components = hang_together(asked.rasters, *web)
    assert all(len({parts[raster] for raster in some}) == 1 for some in components)
    assert len({labels[raster] for raster in names}) == len(components)
    assert all(len({labels[raster] for raster in some}) == 1 for some in components)
    assert {*parts.values()} <= {*PARTS}
    assert (plan.moved, plan.unassigned, plan.excluded) == ({}, [], {})


@given(webs(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_rasters_features_links_and_parts_does_not_matter(web, random):
    shown, links = web
    asked = request(shown, links, alone=names, seed=5)
    mixed = {
        feature: random.sample(shown[feature], len(shown[feature])) for feature in random.sample([*shown], len(shown))
    }
    again = request(
        mixed,
        [pair[::-1] for pair in random.sample(links, len(links))],
        alone=random.sample(names, len(names)),
        seed=5,
        parts={name: 20 * PARTS[name] for name in random.sample([*PARTS], 3)},
    )
    assert part_of(asked, plan_split(asked)) == part_of(again, plan_split(again))


def test_components_are_numbered_by_their_first_rasters():
    asked = request({"lake": ["b", "z"], "hill": ["a", "c"]}, alone=["d"])
    assert asked.rasters == ["b", "z", "a", "c", "d"]
    assert plan_split(asked).components.tolist() == [0, 0, 1, 1, 2]


# near to the shares


def test_shares_are_met_exactly_where_rasters_are_free():
    plan = plan_split(request({}, alone=[f"r{number}" for number in range(200)]))
    assert Counter(plan.parts) == {"train": 140, "val": 30, "test": 30}
    assert plan.report.max_deviation == pytest.approx(0)
    assert [(part.part, part.rasters, part.asked) for part in plan.report.parts] == [
        ("train", 140, 0.7),
        ("val", 30, 0.15),
        ("test", 30, 0.15),
    ]
    assert not plan.report.warnings


def test_the_seed_decides_who_goes_where_and_the_same_seed_decides_alike():
    asked = request({}, alone=[f"r{number}" for number in range(40)])
    first, again, other = (plan_split(replace(asked, seed=seed)).parts for seed in (1, 1, 2))
    assert first == again != other


def test_one_more_raster_elsewhere_moves_no_component_of_the_same_draw():
    few = request({}, alone=[f"r{number}" for number in range(20)], parts={"a": 1, "b": 1})
    more = request({}, alone=[f"r{number}" for number in range(21)], parts={"a": 1, "b": 1})
    before, after = part_of(few, plan_split(few)), part_of(more, plan_split(more))
    assert sum(before[raster] != after[raster] for raster in before) <= 1


def test_classes_are_spread_like_the_shares():
    rng = np.random.default_rng(2)
    counts = np.eye(3, dtype=np.int64)[rng.integers(0, 3, 300)] * rng.integers(1, 4, (300, 1))
    asked = request(
        {}, alone=[f"r{number}" for number in range(300)], classes=["ice", "rock", "lake"], class_counts=counts
    )
    plan = plan_split(asked)
    parts = np.array(plan.parts)
    for share in plan.report.parts:
        for number, name in enumerate(asked.classes):
            got = counts[parts == share.part, number].sum() / counts[:, number].sum()
            assert share.classes[name] == pytest.approx(got)
            assert got == pytest.approx(PARTS[share.part], abs=0.01)
    assert plan.report.class_deviation < 0.01
    assert plan_split(replace(asked, classes=[], class_counts=None)).report.class_deviation is None


def test_every_part_gets_a_raster_where_there_are_components_enough():
    plan = plan_split(request({}, alone=list("abcd"), parts={"train": 0.98, "val": 0.01, "test": 0.01}))
    assert Counter(plan.parts) == {"train": 2, "val": 1, "test": 1}


# what the report says


def test_a_component_too_large_for_the_shares_is_said():
    web = {"glacier": [f"big{number}" for number in range(83)], "pond": [f"small{number}" for number in range(10)]}
    plan = plan_split(request(web, [("big0", "big1")], alone=[f"r{number}" for number in range(7)]))
    assert plan.report.largest == 0.83
    assert plan.report.max_deviation == pytest.approx(0.13)
    others = "/".join(f"{share.got:.3g}" for share in plan.report.parts[1:])
    assert others in {"0.07/0.1", "0.1/0.07", "0.08/0.09", "0.09/0.08"}
    assert plan.report.warnings == (
        "one component holds 83 % of the rasters: no split of 0.7/0.15/0.15 can be reached, "
        f"the nearest is 0.83/{others}; a smaller --buffer makes smaller components",
    )


def test_a_part_that_stays_empty_is_said():
    plan = plan_split(request({"a": ["r1", "r2", "r3"], "b": ["r4", "r5"]}))
    assert plan.parts.count(None) == 0
    assert plan.report.warnings[1].endswith(
        "stays empty: no more than 2 components to deal out; "
        "leaving out features that join rasters makes smaller components"
    )


def test_a_part_that_is_new_after_all_is_assigned_stays_empty_and_is_said():
    asked = request({}, alone=["r1", "r2", "r3"], assigned={"r1": "train", "r2": "train", "r3": "val"})
    assert plan_split(asked).report.warnings == (
        "part 'test' stays empty: what is assigned stays, and too little is new",
    )


def test_shares_that_what_is_assigned_keeps_away_are_said():
    assigned = {f"r{number}": "train" if number < 9 else "val" for number in range(10)}
    plan = plan_split(request({}, alone=[*assigned, "new"], assigned=assigned))
    assert part_of(request({}, alone=[*assigned, "new"]), plan)["new"] == "test"
    assert plan.report.warnings == (
        "a split of 0.7/0.15/0.15 is not reached, the nearest is 0.818/0.0909/0.0909: components are not parted, and "
        "what is assigned stays",
    )


def test_a_class_that_a_part_does_not_show_is_said():
    counts = np.array([[1, 0]] * 9 + [[0, 1]])
    asked = request(
        {},
        alone=[f"r{number}" for number in range(10)],
        parts={"a": 1, "b": 1},
        classes=["ice", "lake"],
        class_counts=counts,
    )
    without = {share.part for share in plan_split(asked).report.parts if not share.classes["lake"]}
    assert [f"part '{part}' shows no feature of class 'lake'" for part in without] == [
        *plan_split(asked).report.warnings
    ]


def test_the_report_says_how_the_components_were_dealt_and_what_is_proven(monkeypatch):
    sizes = [4, 2, 4, 1, 1, 5, 2, 3]
    shown = {f"f{size}": [f"r{number}-{copy}" for copy in range(size)] for number, size in enumerate(sizes)}
    shown = {f"f{number}": [f"r{number}-{copy}" for copy in range(size)] for number, size in enumerate(sizes)}
    report = plan_split(request(shown, parts={"a": 0.5, "b": 0.32, "c": 0.18})).report
    assert (report.method, report.proven) in {("milp", True), ("greedy", True)}
    assert report.bound <= report.cost == pytest.approx(sum(abs(part.got - part.asked) for part in report.parts))
    monkeypatch.setattr(balance, "UNKNOWNS", 0)
    assert plan_split(request(shown)).report.method == "greedy"


# growing


@st.composite
def growing(draw):
    """A web, and the larger webs that it grows to: rasters, features and links come, and features go."""
    stages = []
    shown, links = {}, []
    for stage in range(3):
        rasters = names[: 6 + 4 * stage]
        new_shown, new_links = draw(webs(rasters))
        gone = draw(st.sets(st.sampled_from([*shown]), max_size=1)) if shown else set()
        shown = {feature: some for feature, some in shown.items() if feature not in gone}
        shown |= {f"{stage}{feature}": some for feature, some in new_shown.items() if draw(st.booleans())}
        links = [*links, *new_links[:1]]
        stages.append((shown, links, rasters))
    return stages


@given(growing(), st.sampled_from(["exclude", "move"]))
@settings(max_examples=80, deadline=None)
def test_a_growing_split_never_leaks_keeps_what_is_assigned_and_settles_at_once(stages, way):
    assigned, excluded = {}, {}
    for shown, links, rasters in stages:
        asked = request(
            shown, links, alone=rasters, assigned=assigned, excluded=excluded, on_conflict=way, seed=len(rasters)
        )
        plan = plan_split(asked)
        parts = part_of(asked, plan)
        assert not leaking(shown, links, parts)
        changed = {raster for raster, part in assigned.items() if parts[raster] != part}
        if way == "exclude":
            assert {raster for raster in changed if parts[raster] is not None} == {*plan.moved} == set()
        assert {raster for raster, part in parts.items() if part is None} == {*plan.excluded}
        assert {*plan.excluded} - {*excluded} == {*plan.unassigned}
        assert {raster: (assigned[raster], parts[raster]) for raster in changed if parts[raster]} == plan.moved
        if way == "move":
            assert not plan.excluded
        again = following(asked, plan, on_conflict=None, seed=99)
        repeated = plan_split(again)
        assert (repeated.parts, repeated.excluded) == (plan.parts, plan.excluded)
        assert (repeated.moved, repeated.unassigned) == ({}, [])
        assigned, excluded = dict(again.assigned), dict(again.excluded)


@given(growing())
@settings(max_examples=60, deadline=None)
def test_a_split_that_grows_without_a_conflict_keeps_every_assignment(stages):
    assigned = {}
    for shown, links, rasters in stages:
        asked = request(shown, links, alone=rasters, assigned=assigned)
        torn = [
            some
            for some in hang_together(rasters, shown, links)
            if len({assigned[raster] for raster in some if raster in assigned}) > 1
        ]
        if torn:
            with pytest.raises(ConflictError):
                plan_split(asked)
            return
        parts = part_of(asked, plan_split(asked))
        assert assigned.items() <= parts.items()
        assert not leaking(shown, links, parts)
        assigned = parts


def test_new_rasters_of_a_component_join_its_part_and_new_components_even_out_the_shares():
    before = {f"r{number}": "train" for number in range(6)} | {"r6": "val"}
    asked = request({"lake": ["r6", "new"]}, alone=[*before, "x", "y", "z"], assigned=before)
    parts = part_of(asked, plan_split(asked))
    assert parts["new"] == "val"
    assert sorted(parts[raster] for raster in "xyz") == ["test", "train", "train"]


# conflicts


WELD = {"old": ["a1", "a2"], "new": ["a2", "n1"], "newer": ["n1", "b1"]}
ASSIGNED = {"a1": "train", "a2": "train", "b1": "test", "c1": "val"}


def weld(**options):
    return request(WELD, alone=["c1"], **{"assigned": ASSIGNED} | options)


def test_a_conflict_is_refused_with_what_welds_and_the_ways_out():
    with pytest.raises(ConflictError) as refused:
        plan_split(weld())
    assert str(refused.value) == (
        "the split would leak: raster 'a2' (train) and raster 'b1' (test) hang together by feature 'new', raster 'n1', "
        "feature 'newer'. Pass --on-conflict exclude to leave 1 raster unassigned (0 of them in a part until now), or "
        "--on-conflict move to move 1 raster to the larger side; nothing was written"
    )


def test_a_conflict_by_closeness_names_the_link_and_the_shortest_way():
    assigned = {"a": "train", "b": "test"}
    with pytest.raises(
        ConflictError, match=r"raster 'a' \(train\) and raster 'b' \(test\) hang together by their buffer\."
    ):
        plan_split(request({"f": ["a", "n"], "g": ["n", "b"]}, [("b", "a")], assigned=assigned))


def test_a_long_chain_is_told_by_its_ends():
    shown = {f"f{number:02}": [f"r{number:02}", f"r{number + 1:02}"] for number in range(20)}
    with pytest.raises(ConflictError, match=r"by feature 'f00', raster 'r01', .*, 31 more, .*feature 'f19'\."):
        plan_split(request(shown, assigned={"r00": "train", "r20": "test"}))


def test_of_many_conflicts_the_first_are_told_and_the_others_counted():
    shown = {f"f{number}": [f"a{number}", f"b{number}"] for number in range(9)}
    assigned = {f"a{number}": "train" for number in range(9)} | {f"b{number}": "test" for number in range(9)}
    with pytest.raises(ConflictError, match=r"'f0'; .*'f1'; .*'f2'; and 6 more\. .* unassigned \(9 of them"):
        plan_split(request(shown, assigned=assigned))


def test_exclude_leaves_the_rasters_that_weld_unassigned():
    asked = weld(on_conflict="exclude")
    plan = plan_split(asked)
    assert part_of(asked, plan) == ASSIGNED | {"n1": None}
    assert plan.unassigned == ["n1"]
    assert plan.excluded == {"n1": None}
    assert plan.report.unassigned == 1
    assert "1 raster left unassigned, because they would weld parts together" in plan.report.warnings


def test_exclude_takes_the_part_from_the_smaller_side_of_a_direct_bond_only():
    assigned = {"a1": "train", "a2": "train", "b1": "test", "b2": "test", "a3": "train"}
    asked = request(
        {"f": ["a1", "a2", "a3"], "new": ["a2", "b1"], "g": ["b1", "b2"]}, assigned=assigned, on_conflict="exclude"
    )
    plan = plan_split(asked)
    assert part_of(asked, plan) == assigned | {"b1": None}
    assert plan.excluded == {"b1": "test"}


def test_exclude_takes_the_part_from_the_smaller_side_of_a_link():
    assigned = {"a": "train", "b1": "test", "b2": "test"}
    asked = request({"g": ["b1", "b2"]}, [("a", "b1")], assigned=assigned, on_conflict="exclude")
    assert part_of(asked, plan_split(asked)) == assigned | {"a": None}


def test_sides_of_one_size_are_told_apart_by_the_larger_share():
    asked = request({"f": ["a", "b"]}, assigned={"a": "test", "b": "train"}, on_conflict="exclude")
    assert part_of(asked, plan_split(asked)) == {"a": None, "b": "train"}
    assert part_of(asked, plan_split(replace(asked, on_conflict="move"))) == {"a": "train", "b": "train"}


def test_move_takes_the_whole_component_to_the_part_with_most_of_it():
    asked = weld(on_conflict="move")
    plan = plan_split(asked)
    assert part_of(asked, plan) == ASSIGNED | {"n1": "train", "b1": "train"}
    assert plan.moved == {"b1": ("test", "train")}
    assert "1 raster moved to another part, because components may not be parted" in plan.report.warnings


def test_a_conflict_elsewhere_leaves_other_new_rasters_alone():
    asked = weld(on_conflict="exclude")
    more = request(WELD | {"far": ["x", "y"]}, alone=["c1"], assigned=ASSIGNED, on_conflict="exclude")
    assert plan_split(more).excluded == plan_split(asked).excluded
    assert None not in {part_of(more, plan_split(more))[raster] for raster in "xy"}


def test_what_was_left_out_stays_out_as_long_as_it_would_weld_and_raises_nothing():
    asked = weld(excluded={"n1": None})
    plan = plan_split(asked)
    assert part_of(asked, plan) == ASSIGNED | {"n1": None}
    assert not plan.unassigned
    assert any(
        "1 raster unassigned by an earlier decision, and would still weld" in text for text in plan.report.warnings
    )


def test_what_was_left_out_joins_once_the_other_side_is_gone():
    asked = request(
        {"old": ["a1", "a2"], "new": ["a2", "n1"]}, assigned=ASSIGNED, excluded={"n1": None, "gone": "test"}
    )
    plan = plan_split(asked)
    assert part_of(asked, plan)["n1"] == "train"
    assert not plan.excluded


def test_what_lost_its_part_counts_for_it_and_gets_it_back_once_nothing_welds():
    still = request({"new": ["a", "b"]}, assigned={"a": "train"}, excluded={"b": "test"})
    assert part_of(still, plan_split(still)) == {"a": "train", "b": None}
    apart = request({}, alone=["a", "b"], assigned={"a": "train"}, excluded={"b": "test"})
    assert part_of(apart, plan_split(apart)) == {"a": "train", "b": "test"}


def test_what_hangs_on_something_left_out_is_free():
    asked = request(WELD | {"newest": ["n1", "n2"]}, alone=["c1"], assigned=ASSIGNED, excluded={"n1": None})
    assert part_of(asked, plan_split(asked))["n2"] in PARTS


def test_a_decision_is_made_anew_for_what_is_not_passed_as_excluded():
    asked = weld(on_conflict="move", excluded={})
    assert part_of(asked, plan_split(asked))["n1"] == "train"


# leaks


@given(webs(), st.lists(st.sampled_from(["train", "test", None]), min_size=14, max_size=14))
def test_leaks_lists_every_feature_and_pair_that_crosses(web, chosen):
    shown, links = web
    asked = request(shown, links, alone=names)
    parts = dict(zip(asked.rasters, chosen, strict=True))
    pairs = asked.links.get("buffer", np.empty((0, 2), dtype=np.int64))
    found = leaks(chosen, asked.incidence, pairs)
    crossing = [feature for feature, some in shown.items() if leaking({feature: some}, [], parts)]
    assert [asked.feature_ids[feature] for feature, _, _ in found if feature >= 0] == crossing
    assert sorted([asked.rasters[i], asked.rasters[j]] for f, i, j in found if f < 0) == sorted(
        pair for pair in links if leaking({}, [pair], parts)
    )
    assert all(parts[asked.rasters[i]] != parts[asked.rasters[j]] for _, i, j in found)
    assert all({asked.rasters[i], asked.rasters[j]} <= {*shown[asked.feature_ids[f]]} for f, i, j in found if f >= 0)


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {}}, "no parts are named: pass --parts"),
        ({"parts": {" ": 1.0}}, "a part has no name: pass --parts"),
        ({"parts": {"a": 1.0, "a ": 2.0}}, "parts are named more than once: 'a': pass --parts"),
        ({"parts": {"a": 1.0, "b": 0.0}}, "part 'b' has the share 0, which is not above 0: pass --parts"),
        ({"parts": {"a": -1.0, "b": 3.0}}, "part 'a' has the share -1"),
        ({"parts": {"a": float("nan")}}, "part 'a' has the share nan"),
        ({"parts": {"a": float("inf")}}, "part 'a' has the share inf"),
        ({"rasters": []}, "there are no rasters to split: add some first"),
        ({"rasters": ["x", "y", "x"]}, "rasters are listed more than once: 'x': list each once"),
        ({"on_conflict": "ignore"}, "--on-conflict 'ignore' is unknown: pass exclude or move"),
        ({"assigned": {"x": "dev"}}, "raster 'x' is assigned to part 'dev', which --parts does not name: name it"),
        ({"assigned": {"x": "val"}, "excluded": {"x": None}}, "raster 'x' is both assigned and excluded"),
        ({"incidence": (np.array([0]), np.array([2]))}, "incidence do not fit its 2 rasters"),
        ({"incidence": (np.array([1]), np.array([0]))}, "incidence do not fit"),
        ({"incidence": (np.array([0, 0]), np.array([0]))}, "incidence do not fit"),
        ({"links": {"buffer": np.array([[0, 2]])}}, "links do not fit"),
        ({"links": {"buffer": np.array([[-1, 0]])}}, "links do not fit"),
        ({"classes": ["ice"]}, "class_counts do not fit"),
        ({"classes": ["ice"], "class_counts": np.ones((3, 1))}, "class_counts do not fit"),
        ({"classes": ["ice"], "class_counts": -np.ones((2, 1))}, "class_counts do not fit"),
    ],
)
def test_what_can_not_be_planned_is_refused(options, message):
    asked = SplitRequest(**{"rasters": ["x", "y"], "parts": PARTS, "feature_ids": ["f"]} | options)
    with pytest.raises(UsageError) as refused:
        plan_split(asked)
    assert message in str(refused.value)


def test_shares_may_add_up_to_anything_and_ids_of_the_past_are_ignored():
    asked = request({}, alone=["a", "b"], parts={"x": 30, "y": 10}, assigned={"gone": "z"}, excluded={"lost": "z"})
    assert [share.asked for share in plan_split(asked).report.parts] == [0.75, 0.25]
