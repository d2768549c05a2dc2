"""Which part each raster goes to, so that nothing leaks from part to part, and the shares are nearly met.

What hangs together (rasters that show one feature, share pixels or lie within a buffer) is never parted. What
is assigned stays assigned when the dataset grows: new rasters of a component join its part, new components
are dealt so that old and new together come nearest to the shares. A component that would weld two parts is a
conflict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal, get_args

import numpy as np

from geographer.algorithms.connected_components import Bools, Ints, Links, numbered
from geographer.algorithms.geodesic_distance.arcs import Floats
from geographer.algorithms.rng import make_rng
from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.operations.split.assign import Deal, deal
from geographer.operations.split.conflicts import (
    NO_INDICES,
    Assignment,
    ConflictResolver,
    GroupingConstraints,
    leaving_out,
    moving_over,
    resolve_conflicts,
    welds,
)
from geographer.operations.split.report import Outcome, SplitReport, amount, report_on

OnConflict = Literal["exclude", "move"]

TOLD = 3
"""How many conflicts an error explains."""

STEPS = 9
"""How many steps of a chain of rasters and features an error spells out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """What is to be split, and what binds it.

    Attributes:
        rasters: The ids of the n rasters, all different; indices below mean places in this list.
        parts: The share of each part by name; they may add up to anything above 0.
        feature_ids: The ids of the features, by index; they are only named in errors.
        incidence: The feature and the raster, by index, of each pair that shows one another, shape (m,) each.
        links: Pairs of rasters that belong together for other reasons, by the reason, shape (k, 2) each: `overlap` (all
            that share pixels), `buffer` (`close_links`, given the parts and the exclusions that stand here).
        classes: The names of the classes whose shares matter too (`--stratify`).
        class_counts: How many features of each class each raster shows, shape (n, classes); None without classes.
        seed: Decides between what counts alike.
        assigned: The part of each raster that was assigned before. Ids that are no raster any more are ignored.
        excluded: The rasters that an earlier decision left out, with the part that each was in until then, or None:
            `SplitPlan.excluded` of then. They are left alone as long as they would weld parts together, and come back
            by themselves after that, to their former part. To have the decision made anew, leave them out here.
        on_conflict: What becomes of a component that would weld parts: None refuses it; `exclude` leaves its rasters
            without a part unassigned, and takes the part from those that a direct bond joins to a part with more
            rasters in the component; `move` moves the whole component to the part with most of its rasters.
    """

    rasters: Sequence[str]
    parts: Mapping[str, float]
    feature_ids: Sequence[str] = ()
    incidence: tuple[Ints, Ints] = (NO_INDICES, NO_INDICES)
    links: Mapping[str, Links] = field(default_factory=dict)
    classes: Sequence[str] = ()
    class_counts: Ints | None = None
    seed: int = 0
    assigned: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, str | None] = field(default_factory=dict)
    on_conflict: OnConflict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """Where every raster goes.

    Attributes:
        parts: The part of each raster, in the order of the request; None where it stays unassigned.
        components: The component of each raster, shape (n,), numbered by their first members; a raster that stays
            unassigned is alone.
        moved: Rasters whose part changes, with the old and the new one.
        unassigned: Rasters that this plan leaves out and that were not left out before.
        excluded: All that stay unassigned, with the part that each was in before, or None: for the next request.
        report: How near the split comes to what was asked.
    """

    parts: list[str | None]
    components: Ints
    moved: dict[str, tuple[str, str]]
    unassigned: list[str]
    excluded: dict[str, str | None]
    report: SplitReport


def plan_split(request: SplitRequest) -> SplitPlan:
    """The split that `request` asks for; the order of its rasters, features and links does not matter.

    A plan whose parts and exclusions are the `assigned` and `excluded` of an otherwise equal request is
    planned again as it is, and raises nothing.

    Raises:
        UsageError: no rasters, ids or part names given twice or empty, a share that is no positive number, a
            raster assigned to a part that is not among the parts, or arrays that do not fit the rasters.
        ConflictError: rasters of two or more parts hang together, and `on_conflict` is None; names them, what
            welds them, and the ways out.
    """
    check(request)
    order = sorted(range(len(request.rasters)), key=request.rasters.__getitem__)
    rank = np.argsort(order)
    plan = planned(in_order(request, order, rank))
    return replace(plan, parts=[plan.parts[place] for place in rank], components=numbered(plan.components[rank]))


def in_order(request: SplitRequest, order: list[int], rank: Ints) -> SplitRequest:
    """The same request with its rasters in the order of their ids, so that no other order has a say."""
    counts = request.class_counts
    return replace(
        request,
        rasters=[request.rasters[index] for index in order],
        incidence=(np.asarray(request.incidence[0]), rank[request.incidence[1]]),
        links={reason: rank[pairs] for reason, pairs in request.links.items()},
        class_counts=None if counts is None else np.asarray(counts)[order],
    )


def planned(request: SplitRequest) -> SplitPlan:
    """The plan for rasters that are in order."""
    names = sorted(request.parts)
    shares = np.array([request.parts[name] for name in names]) / sum(request.parts.values())
    bonds = GroupingConstraints(len(request.rasters), *request.incidence, request.links)
    order = np.argsort(np.argsort(-shares, kind="stable"))
    settled_before = resolve_conflicts(bonds, standing_of(request, names), resolution(request, names, order))
    labels = bonds.among(~settled_before.excluded).components()
    weights = weights_of(request)
    after, dealt = with_new(request, settled_before, labels, weights, shares)
    parts = [names[part] if part >= 0 else None for part in after.part]
    moved, unassigned = changes(request, parts, after)
    outcome = Outcome(
        asked={name: float(shares[names.index(name)]) for name in request.parts},
        parts=parts,
        labels=labels,
        weights=weights,
        classes=request.classes,
        deal=dealt,
        reasons=[*request.links],
        moved=len(moved),
        left_out=len(unassigned),
    )
    return SplitPlan(
        parts=parts,
        components=labels,
        moved=moved,
        unassigned=unassigned,
        excluded=excluded_of(request, names, after),
        report=report_on(outcome),
    )


def standing_of(request: SplitRequest, names: list[str]) -> Assignment:
    """Where the rasters stand before the plan; parts as places in `names`."""
    code = {name: number for number, name in enumerate(names)}
    former = [request.excluded.get(raster) for raster in request.rasters]
    return Assignment(
        np.array([code.get(request.assigned.get(raster, ""), -1) for raster in request.rasters]),
        np.array([-1 if part is None else code.get(part, -1) for part in former]),
        np.array([raster in request.excluded for raster in request.rasters]),
    )


def weights_of(request: SplitRequest) -> Floats:
    """What each raster counts for: 1, and its features of each class; shape (n, 1 + classes)."""
    ones = np.ones((len(request.rasters), 1))
    return ones if request.class_counts is None else np.hstack([ones, request.class_counts])


def with_new(
    request: SplitRequest, standing: Assignment, labels: Ints, weights: Floats, shares: Floats
) -> tuple[Assignment, Deal]:
    """The standing with a part for all that is not excluded, and the deal of the new components."""
    component_part = np.full(labels.max() + 1, -1)
    np.maximum.at(component_part, labels, standing.part)
    totals = np.zeros((len(component_part), weights.shape[1]))
    np.add.at(totals, labels[~standing.excluded], weights[~standing.excluded])
    held = np.stack([totals[component_part == part].sum(axis=0) for part in range(len(shares))])
    new = np.flatnonzero((component_part < 0) & (totals[:, 0] > 0))
    first = np.unique(labels, return_index=True)[1][new]
    draws = np.array([make_rng(request.seed, request.rasters[raster]).random() for raster in first])
    dealt = deal(totals[new], held, shares, draws)
    component_part[new] = dealt.parts
    return replace(standing, part=np.where(standing.excluded, -1, component_part[labels])), dealt


def changes(
    request: SplitRequest, parts: list[str | None], after: Assignment
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The rasters that change their part, and those that are left out from now on."""
    moved = {
        raster: (request.assigned[raster], part)
        for raster, part in zip(request.rasters, parts, strict=True)
        if part is not None and request.assigned.get(raster, part) != part
    }
    excluded = [raster for raster, out in zip(request.rasters, after.excluded, strict=True) if out]
    return moved, [raster for raster in excluded if raster not in request.excluded]


def excluded_of(request: SplitRequest, names: list[str], after: Assignment) -> dict[str, str | None]:
    """What stays unassigned, with the part that it was in."""
    former = [names[part] if part >= 0 else None for part in after.former]
    return {request.rasters[raster]: former[raster] for raster in np.flatnonzero(after.excluded).tolist()}


def resolution(request: SplitRequest, names: list[str], order: Ints) -> ConflictResolver:
    """What is done about torn components; `order` is the place of each part where their sizes do not decide."""
    if request.on_conflict == "exclude":
        return leaving_out(order)
    if request.on_conflict == "move":
        return moving_over(order)

    def refuse(bonds: GroupingConstraints, standing: Assignment, labels: Ints, torn: Bools) -> Assignment:
        chains = welds(bonds, standing.part, labels, torn, TOLD)
        told = [in_words(request, names, standing, chain) for chain in chains]
        if torn.sum() > TOLD:
            told.append(f"and {torn.sum() - TOLD} more")
        left_out = leaving_out(order)(bonds, standing, labels, torn)
        moved = moving_over(order)(bonds, standing, labels, torn)
        raise ConflictError(f"the split would leak: {'; '.join(told)}. {ways_out(standing, left_out, moved)}")

    return refuse


def in_words(request: SplitRequest, names: list[str], standing: Assignment, chain: list[tuple[str, int]]) -> str:
    """How two rasters of two parts hang together."""
    ends = [
        f"raster '{request.rasters[raster]}' ({names[standing.part[raster]]})" for _, raster in chain[:: len(chain) - 1]
    ]
    ids = {"raster": request.rasters, "feature": request.feature_ids}
    between = [f"{what} '{ids[what][index]}'" if index >= 0 else f"their {what}" for what, index in chain[1:-1]]
    if len(between) > STEPS:
        half = STEPS // 2
        between[half:-half] = [f"{len(between) - 2 * half} more"]
    return f"{' and '.join(ends)} hang together by {', '.join(between)}"


def ways_out(before: Assignment, left_out: Assignment, moved: Assignment) -> str:
    """What to do about a conflict, and what that does to how many rasters."""
    unassigned = int((left_out.excluded & ~before.excluded).sum())
    losing = int(((before.part >= 0) & (left_out.part < 0)).sum())
    moving = int(((before.part >= 0) & (moved.part != before.part)).sum())
    return (
        f"Pass --on-conflict exclude to leave {amount(unassigned, 'raster')} unassigned ({losing} of them in a part "
        f"until now), or --on-conflict move to move {amount(moving, 'raster')} to the larger side; nothing was written"
    )


def check(request: SplitRequest) -> None:
    """Refuse what can't be planned; see `plan_split`."""
    check_parts(request.parts)
    if not request.rasters:
        raise UsageError("there are no rasters to split: add some first, or name another --collection")
    repeated = [raster for raster, times in Counter(request.rasters).items() if times > 1]
    if repeated:
        raise UsageError(f"rasters are listed more than once: {quote_names(repeated)}: list each once")
    if request.on_conflict not in (None, *get_args(OnConflict)):
        raise UsageError(f"--on-conflict '{request.on_conflict}' is unknown: pass exclude or move, or leave it out")
    check_decisions(request)
    check_arrays(request)


def check_parts(parts: Mapping[str, float]) -> None:
    """Refuse parts without a name or a share, and names given twice."""
    example = "pass --parts train=0.7,val=0.15,test=0.15"
    if not parts:
        raise UsageError(f"no parts are named: {example}")
    names = Counter(name.strip() for name in parts)
    if not all(names):
        raise UsageError(f"a part has no name: {example}")
    repeated = [name for name, times in names.items() if times > 1]
    if repeated:
        raise UsageError(f"parts are named more than once: {quote_names(repeated)}: {example}")
    for name, share in parts.items():
        if not (isfinite(share) and share > 0):
            raise UsageError(f"part '{name}' has the share {share:g}, which is not above 0: {example}")


def check_decisions(request: SplitRequest) -> None:
    """Refuse earlier assignments that contradict the parts or the exclusions."""
    for raster in request.rasters:
        part = request.assigned.get(raster)
        if part is not None and part not in request.parts:
            raise UsageError(
                f"raster '{raster}' is assigned to part '{part}', which --parts does not name: "
                "name it, or split under another name"
            )
        if part is not None and raster in request.excluded:
            raise UsageError(f"raster '{raster}' is both assigned and excluded: pass it as one of them")


def check_arrays(request: SplitRequest) -> None:
    """Refuse arrays that do not fit the rasters, the features or the classes."""
    count = len(request.rasters)
    features, rasters = (np.asarray(indices) for indices in request.incidence)
    fits = {
        "incidence": features.shape == rasters.shape
        and within(features, len(request.feature_ids))
        and within(rasters, count),
        "links": all(pairs.shape[1:] == (2,) and within(pairs, count) for pairs in request.links.values()),
        "class_counts": counts_fit(request),
    }
    for name, fit in fits.items():
        if not fit:
            raise UsageError(f"the split's {name} do not fit its {count} rasters: pass indices into them")


def counts_fit(request: SplitRequest) -> bool:
    """Whether there are counts for each raster and class, none negative; or neither counts nor classes."""
    if request.class_counts is None:
        return not request.classes
    shape = (len(request.rasters), len(request.classes))
    return request.class_counts.shape == shape and bool((request.class_counts >= 0).all())


def within(indices: Ints, count: int) -> bool:
    """Whether all `indices` are at least 0 and below `count`."""
    return bool(np.all((indices >= 0) & (indices < count)))
