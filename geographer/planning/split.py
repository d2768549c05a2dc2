"""Splits: whole components of rasters to parts, as near to the asked shares as the components allow."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from geographer.errors import ConflictError, UsageError, naming
from geographer.planning.components import components, links_through

Ints = NDArray[np.int64]

OnConflict = Literal["exclude", "move"]

_FREE: Final = -1
_LEFT_OUT: Final = -2
_MOST_VARIABLES: Final = 3000
"""Above this many integer variables components are assigned greedily, largest first."""
_NODE_LIMIT: Final = 2000
"""The search is bounded by nodes, never by time, so that it ends the same on every machine."""


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """What is to be split, and what binds it together.

    Attributes:
        rasters: Ids, each once.
        parts: Name and share of each part; shares are positive and are scaled to sum to 1.
        features: Ids of the features that count as objects.
        objects: Shape (n, 2): which feature (its place in `features`) which raster (its place in `rasters`) shows.
        links: Shape (m, 2): pairs of rasters that must not be parted for other reasons (pixels, nearness).
        classes: Names of the classes to be near to the shares in, too; empty: only the rasters count.
        class_of: For each feature, its class's place in `classes`; shape (len(features),).
        seed: Decides among assignments that are equally good.
        assigned: Rasters with the part that an earlier run gave them.
        left_out: Rasters that an earlier run left out: they stay out.
        on_conflict: What to do where assigned rasters of two parts are bound together now.
    """

    rasters: list[str]
    parts: dict[str, float]
    features: list[str]
    objects: Ints
    links: Ints
    classes: list[str] = field(default_factory=list)
    class_of: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    seed: int = 0
    assigned: dict[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    on_conflict: OnConflict | None = None


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The part of each raster (None: left out), the component of each, and how near that is to what was asked.

    `report` is small JSON: `parts` (rasters, asked, got), `classes`, `components`, `largest_component`, `deviation` and
    `bound` (the sum over parts of |got - asked|, and what no assignment can beat; the latter only from the exact
    method), `method`, and `warnings` in sentences.
    """

    parts: list[str | None]
    components: Ints
    moved: int
    report: dict[str, Any]


def plan_split(request: SplitRequest) -> SplitPlan:
    """Assign whole components to parts.

    Rasters that share a feature or a link are one component, and never parted. A component with rasters that are
    assigned already draws its new rasters to their part. Free components are distributed by integer programming
    (HiGHS), all of equal size and classes as one variable for each part; the seed decides which of the equal ones goes
    where. The order of rasters, features and links changes nothing.

    Raises:
        UsageError: no rasters, or shares that can't be.
        ConflictError: assigned rasters of two parts are in one component, and `on_conflict` is None.
    """
    names, shares = _shares(request)
    if not request.rasters:
        raise UsageError("there is no raster to split: cut chips first, or name another --collection")
    part = np.array([_part_number(request, names, raster) for raster in request.rasters])
    kept = part != _LEFT_OUT
    objects = request.objects[kept[request.objects[:, 1]]] if len(request.objects) else _no_pairs()
    links = request.links[kept[request.links].all(axis=1)] if len(request.links) else _no_pairs()
    labels = components(len(part), links_through(objects[:, 0], objects[:, 1]), links)
    before = part.copy()
    for component in _conflicts(labels, part):
        _settle(request, names, part, labels == component, objects, links)
    _join(labels, part)
    weights = _class_weights(request, objects)
    method, bound = _distribute(request, labels, part, shares, weights)
    report = _report(request, names, shares, labels, part, weights)
    report |= {"method": method, "bound": None if bound is None else _share(bound)}
    moved = int(((before >= 0) & (before != part)).sum())
    return SplitPlan([names[p] if p >= 0 else None for p in part], labels, moved, report)


def leaks(parts: list[str | None], objects: Ints, links: Ints) -> list[tuple[int, int]]:
    """Every pair of rasters (their places) in different parts that share a feature or a link; none in a sound split."""
    found = {(int(a), int(b)) for a, b in links if None not in (parts[a], parts[b]) and parts[a] != parts[b]}
    first: dict[tuple[int, str], int] = {}
    for feature, raster in objects.tolist():
        if parts[raster] is not None:
            first.setdefault((feature, str(parts[raster])), raster)
    shown: dict[int, list[int]] = {}
    for (feature, _), raster in first.items():
        shown.setdefault(feature, []).append(raster)
    return sorted(found | {(group[0], other) for group in shown.values() for other in group[1:]})


def _shares(request: SplitRequest) -> tuple[list[str], NDArray[np.float64]]:
    wrong = [name for name, share in request.parts.items() if not (name and np.isfinite(share) and share > 0)]
    if wrong or len(request.parts) < 1:
        raise UsageError(f"part {naming(wrong)} has no share above 0: give such as train=0.7,val=0.15,test=0.15")
    shares = np.array(list(request.parts.values()), float)
    return list(request.parts), shares / shares.sum()


def _part_number(request: SplitRequest, names: list[str], raster: str) -> int:
    if raster in request.left_out:
        return _LEFT_OUT
    name = request.assigned.get(raster)
    return names.index(name) if name is not None else _FREE


def _no_pairs() -> Ints:
    return np.empty((0, 2), np.int64)


def _conflicts(labels: Ints, part: Ints) -> list[int]:
    """The components with assigned rasters of more than one part."""
    pairs = np.unique(np.column_stack([labels, part])[part >= 0], axis=0)
    numbers, counts = np.unique(pairs[:, 0], return_counts=True)
    return [int(number) for number in numbers[counts > 1]]


def _settle(
    request: SplitRequest,
    names: list[str],
    part: Ints,
    members: NDArray[np.bool_],
    objects: Ints,
    links: Ints,
) -> None:
    """Settle one conflict in place, as `on_conflict` says."""
    sides = np.bincount(part[members & (part >= 0)], minlength=len(names))
    if request.on_conflict is None:
        raise ConflictError(_conflict_told(request, names, part, members, objects, links))
    if request.on_conflict == "move":
        part[members] = int(sides.argmax())
        return
    part[members & (part == _FREE)] = _LEFT_OUT
    # Where assigned rasters are bound directly, the side that holds fewer of the component gives way.
    rank = sides * len(names) + np.arange(len(names))[::-1]
    heaviest: dict[int, int] = {}
    inside = objects[members[objects[:, 1]]]
    for feature, raster in inside.tolist():
        if part[raster] >= 0:
            heaviest[feature] = max(heaviest.get(feature, -1), int(rank[part[raster]]))
    for feature, raster in inside.tolist():
        if part[raster] >= 0 and rank[part[raster]] < heaviest[feature]:
            part[raster] = _LEFT_OUT
    for a, b in sorted(tuple(sorted(pair)) for pair in links[members[links[:, 0]]].tolist()):
        if part[a] >= 0 and part[b] >= 0 and part[a] != part[b]:
            part[a if rank[part[a]] < rank[part[b]] else b] = _LEFT_OUT


def _conflict_told(
    request: SplitRequest,
    names: list[str],
    part: Ints,
    members: NDArray[np.bool_],
    objects: Ints,
    links: Ints,
) -> str:
    """Which features and rasters weld which parts, and the ways out."""
    sides = sorted({names[p] for p in part[members] if p >= 0})
    fresh = sorted(request.rasters[i] for i in np.flatnonzero(members & (part == _FREE)))
    inside = objects[members[objects[:, 1]]]
    seen: dict[int, set[int]] = {}
    for feature, raster in inside.tolist():
        seen.setdefault(feature, set()).add(int(part[raster]))
    welding = sorted(request.features[f] for f, found in seen.items() if len(found) > 1)
    rasters = fresh or sorted(request.rasters[i] for i in np.flatnonzero(members))
    through = f"the features {naming(welding)}" if welding else "shared pixels or nearness"
    return (
        f"{through} weld the parts {naming(sides)} together (raster {naming(rasters)}): pass --on-conflict exclude to "
        "leave their rasters unassigned, or --on-conflict move to move the smaller side; nothing was assigned"
    )


def _join(labels: Ints, part: Ints) -> None:
    """Free rasters go where the assigned rasters of their component are."""
    home = {int(label): int(p) for label, p in zip(labels, part, strict=True) if p >= 0}
    for place in np.flatnonzero(part == _FREE):
        part[place] = home.get(int(labels[place]), _FREE)


def _class_weights(request: SplitRequest, objects: Ints) -> NDArray[np.float64]:
    """How many features of each class each raster shows; shape (rasters, classes)."""
    weights = np.zeros((len(request.rasters), len(request.classes)))
    if request.classes and len(objects):
        np.add.at(weights, (objects[:, 1], request.class_of[objects[:, 0]]), 1.0)
    return weights


def _distribute(
    request: SplitRequest, labels: Ints, part: Ints, shares: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[str, float | None]:
    """Give every free component its part, in place; return the method, and its proven bound if it has one."""
    free = np.flatnonzero(part == _FREE)
    if not len(free):
        return "none was free", None
    measures = np.column_stack([np.ones(len(part)), weights])
    groups: dict[int, list[int]] = {}
    for place in free.tolist():
        groups.setdefault(int(labels[place]), []).append(place)
    # What is measured of a component; those that measure alike are one type.
    sizes = {label: tuple(measures[places].sum(axis=0)) for label, places in groups.items()}
    types = sorted(set(sizes.values()), reverse=True)
    of_type: dict[tuple[float, ...], list[int]] = {kind: [] for kind in types}
    for label in sorted(groups, key=lambda label: _lot(request, [request.rasters[i] for i in groups[label]])):
        of_type[sizes[label]].append(label)
    counts = np.array([len(of_type[kind]) for kind in types])
    base = np.array([measures[part == p].sum(axis=0) for p in range(len(shares))])
    if len(types) * len(shares) <= _MOST_VARIABLES:
        method, (numbers, bound) = "exact (HiGHS)", _solved(np.array(types), counts, base, shares)
    else:
        method, (numbers, bound) = (
            "greedy, largest first",
            (_greedy(np.array(types), counts, base, shares), None),
        )
    for kind, row in zip(types, numbers, strict=True):
        waiting = iter(of_type[kind])
        for p, number in enumerate(row):
            for _ in range(int(number)):
                part[groups[next(waiting)]] = p
    return method, bound


def _lot(request: SplitRequest, rasters: list[str]) -> bytes:
    """A component's place in the draw: of its own name and the seed, so that no other component moves it."""
    return hashlib.sha256(f"{request.seed}:{min(rasters)}".encode()).digest()


def _scale(types: NDArray[np.float64], counts: Ints, base: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of a deviation in each measure: all rasters weigh 1, all classes together 1."""
    totals = base.sum(axis=0) + (types * counts[:, None]).sum(axis=0)
    many = max(1, types.shape[1] - 1)
    spread = np.array([1.0] + [1.0 / many] * (types.shape[1] - 1))
    weight: NDArray[np.float64] = np.where(totals > 0, spread / np.where(totals > 0, totals, 1), 0.0)
    return weight


def _solved(
    types: NDArray[np.float64], counts: Ints, base: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[Ints, float | None]:
    """How many components of each type go to each part: least sum of weighted deviations, by HiGHS."""
    kinds, parts, measures = len(types), len(shares), types.shape[1]
    weight = _scale(types, counts, base)
    totals = base.sum(axis=0) + (types * counts[:, None]).sum(axis=0)
    numbers, deviations = kinds * parts, parts * measures
    rows: list[int] = []
    cols: list[int] = []
    values: list[float] = []
    low: list[float] = []
    high: list[float] = []

    def constrain(entries: list[tuple[int, float]], at_least: float, at_most: float) -> None:
        for column, value in entries:
            rows.append(len(low))
            cols.append(column)
            values.append(value)
        low.append(at_least)
        high.append(at_most)

    for kind in range(kinds):
        constrain([(kind * parts + p, 1.0) for p in range(parts)], counts[kind], counts[kind])
    for p in range(parts):
        for m in range(measures):
            gap, target = numbers + p * measures + m, shares[p] * totals[m] - base[p, m]
            held = [(kind * parts + p, types[kind, m]) for kind in range(kinds) if types[kind, m]]
            constrain([*held, (gap, -1.0)], -np.inf, target)
            constrain([*held, (gap, 1.0)], target, np.inf)
    empty = [p for p in range(parts) if not base[p, 0]]
    if len(empty) <= counts.sum():
        for p in empty:
            constrain([(kind * parts + p, 1.0) for kind in range(kinds)], 1.0, np.inf)
    cost = np.concatenate([np.zeros(numbers), np.tile(weight, parts)])
    upper = np.concatenate([np.repeat(counts, parts).astype(float), np.full(deviations, np.inf)])
    matrix = coo_array((values, (rows, cols)), shape=(len(low), numbers + deviations)).tocsr()
    solution = milp(
        cost,
        integrality=np.concatenate([np.ones(numbers), np.zeros(deviations)]),
        bounds=Bounds(0, upper),
        constraints=LinearConstraint(matrix, np.array(low, float), np.array(high, float)),
        options={"node_limit": _NODE_LIMIT, "mip_rel_gap": 1e-6},
    )
    if solution.x is None:
        return _greedy(types, counts, base, shares), None
    found: Ints = np.rint(solution.x[:numbers]).astype(np.int64).reshape(kinds, parts)
    return found, None if solution.mip_dual_bound is None else max(0.0, float(solution.mip_dual_bound))


def _greedy(types: NDArray[np.float64], counts: Ints, base: NDArray[np.float64], shares: NDArray[np.float64]) -> Ints:
    """The same, one component at a time, the largest first, each to where it mends the most."""
    weight = _scale(types, counts, base)
    target = np.outer(shares, base.sum(axis=0) + (types * counts[:, None]).sum(axis=0))
    held, numbers = base.copy(), np.zeros((len(types), len(shares)), np.int64)
    for kind in np.lexsort((np.arange(len(types)), -types[:, 0])):
        for _ in range(int(counts[kind])):
            gain = (np.abs(target - held - types[kind]) - np.abs(target - held)) @ weight
            p = int(gain.argmin())
            held[p] += types[kind]
            numbers[kind, p] += 1
    return numbers


def _report(
    request: SplitRequest,
    names: list[str],
    shares: NDArray[np.float64],
    labels: Ints,
    part: Ints,
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    placed = part >= 0
    total = max(1, int(placed.sum()))
    sizes = Counter(labels[placed].tolist())
    largest = max(sizes.values(), default=0)
    parts = {
        name: {
            "rasters": int((part == p).sum()),
            "asked": _share(shares[p]),
            "got": _share((part == p).sum() / total),
        }
        for p, name in enumerate(names)
    }
    classes = {
        name: {
            part_name: _share(weights[part == p, c].sum() / max(1.0, weights[placed, c].sum()))
            for p, part_name in enumerate(names)
        }
        for c, name in enumerate(request.classes)
    }
    warnings = [
        f"part '{name}' is empty: there are too few components ({len(sizes)})"
        for name, got in parts.items()
        if not got["rasters"]
    ]
    if largest / total > float(shares.max()) + 1e-9 and len(names) > 1:
        warnings.append(
            f"one component holds {largest / total:.0%} of the rasters, more than the largest share: the shares "
            "can't be reached; a smaller --buffer, --by object or --where makes smaller components"
        )
    return {
        "parts": parts,
        "classes": classes,
        "components": len(sizes),
        "largest_component": largest,
        "deviation": _share(sum(abs(got["got"] - got["asked"]) for got in parts.values())),
        "warnings": warnings,
    }


def _share(value: float) -> float:
    """A share to six digits: what a reader needs, and the same on every machine."""
    return round(float(value), 6)
