"""How near a split comes to what was asked, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.geodesic_distance.arcs import Floats
from geographer.base.errors import quote_names
from geographer.operations.split.assign import Deal, Method

NOTABLE = 0.02
"""A share that is off by more than this is told."""


@dataclass(frozen=True, slots=True)
class PartShare:
    """One part: its `rasters`, the share of the assigned rasters `asked` and `got`, and its share of each class."""

    part: str
    rasters: int
    asked: float
    got: float
    classes: dict[str, float]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How near a split comes to the shares; shares and deviations are fractions of 1.

    Attributes:
        parts: Each part, in the order asked.
        unassigned: How many rasters have no part.
        components: How many components the assigned rasters form.
        largest: The share of the assigned rasters in the largest of them.
        max_deviation: The largest difference between a share of rasters got and asked.
        class_deviation: The largest difference between a share of a class got and asked; None without classes.
        method: How new components were dealt: `milp`, `greedy`, or `none` where there were none.
        cost: What that was to make small: the sum over the parts of the deviation of their shares of rasters, plus the
            mean over the classes of the same sum; what a part lacks below half of its share counts twice.
        bound: No deal of the new components costs less, as far as it is proven.
        proven: Whether no other deal is better by more than 0.0001.
        warnings: Sentences about what a person would not expect.
    """

    parts: tuple[PartShare, ...]
    unassigned: int
    components: int
    largest: float
    max_deviation: float
    class_deviation: float | None
    method: Method
    cost: float
    bound: float
    proven: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a report is about, for n rasters.

    Attributes:
        asked: The share of each part, adding up to 1, in the order in which they are reported.
        parts: The part of each raster, or None.
        labels: The component of each raster, shape (n,).
        weights: 1, and the features of each class, for each raster; shape (n, 1 + classes).
        classes: The names of the classes.
        deal: How the new components were dealt.
        reasons: Why rasters are linked, besides features: `overlap`, `buffer`.
        moved: How many rasters change their part.
        left_out: How many rasters lose their part, or get none, by this plan.
    """

    asked: Mapping[str, float]
    parts: Sequence[str | None]
    labels: Ints
    weights: Floats
    classes: Sequence[str]
    deal: Deal
    reasons: Sequence[str]
    moved: int
    left_out: int

    def held(self) -> Floats:
        """Rasters, and features of each class, in each part; shape (parts, 1 + classes)."""
        names = np.array([part or "" for part in self.parts])
        return np.stack([self.weights[names == name].sum(axis=0) for name in self.asked])

    def component_sizes(self) -> Ints:
        """How many rasters each component has, without those that have no part."""
        assigned = np.array([part is not None for part in self.parts])
        sizes = np.bincount(self.labels[assigned])
        return np.asarray(sizes[sizes > 0])


def report_on(outcome: Outcome) -> SplitReport:
    """The report on `outcome`."""
    held, sizes = outcome.held(), outcome.component_sizes()
    totals = held.sum(axis=0)
    got = held / np.where(totals > 0, totals, 1.0)
    off = np.abs(got - np.array([*outcome.asked.values()])[:, None])[:, totals > 0]
    parts = tuple(
        PartShare(
            name, int(count[0]), asked, float(share[0]), dict(zip(outcome.classes, share[1:].tolist(), strict=True))
        )
        for (name, asked), count, share in zip(outcome.asked.items(), held, got, strict=True)
    )
    return SplitReport(
        parts=parts,
        unassigned=sum(part is None for part in outcome.parts),
        components=len(sizes),
        largest=float(sizes.max(initial=0) / max(1, sizes.sum())),
        max_deviation=float(off[:, :1].max(initial=0.0)),
        class_deviation=float(off[:, 1:].max(initial=0.0)) if outcome.classes else None,
        method=outcome.deal.method,
        cost=outcome.deal.cost,
        bound=outcome.deal.bound,
        proven=outcome.deal.proven,
        warnings=tuple(warnings_on(outcome, parts, sizes)),
    )


def warnings_on(outcome: Outcome, parts: Sequence[PartShare], sizes: Ints) -> Iterator[str]:
    """What a person would not expect of this split."""
    yield from too_large(outcome, parts, sizes)
    yield from empty_parts(outcome, parts, sizes)
    for share in parts:
        unseen = [name for name, got in share.classes.items() if not got]
        if unseen and share.rasters:
            yield f"part '{share.part}' shows no feature of class {quote_names(unseen)}"
    if outcome.moved:
        yield f"{amount(outcome.moved, 'raster')} moved to another part, because components may not be parted"
    if outcome.left_out:
        yield f"{amount(outcome.left_out, 'raster')} left unassigned, because they would weld parts together"
    kept_out = sum(part is None for part in outcome.parts) - outcome.left_out
    if kept_out:
        yield f"{amount(kept_out, 'raster')} unassigned by an earlier decision, and would still weld parts together"


def too_large(outcome: Outcome, parts: Sequence[PartShare], sizes: Ints) -> Iterator[str]:
    """A sentence where a component is larger than any part should be, or else where the shares are missed."""
    count, largest = int(sizes.sum()), int(sizes.max(initial=0))
    asked, got = (
        "/".join(f"{share:.3g}" for share in some) for some in ([p.asked for p in parts], [p.got for p in parts])
    )
    nearest = "the nearest is" if outcome.deal.proven else "the nearest found is"
    if largest >= max(outcome.asked.values()) * count + 1:
        yield (
            f"one component holds {percent(largest / count)} of the rasters: no split of {asked} can be reached, "
            f"{nearest} {got}; {smaller_components(outcome)}"
        )
    elif max(abs(p.got - p.asked) for p in parts) > max(NOTABLE, 1 / max(1, count)):
        yield (
            f"a split of {asked} is not reached, {nearest} {got}: components are not parted, and what is assigned stays"
        )


def empty_parts(outcome: Outcome, parts: Sequence[PartShare], sizes: Ints) -> Iterator[str]:
    """A sentence for the parts that stay empty."""
    empty = [share.part for share in parts if not share.rasters]
    if not empty:
        return
    stay = "part {} stays empty" if len(empty) == 1 else "parts {} stay empty"
    why = "what is assigned stays, and too little is new"
    if len(sizes) < len(parts):
        why = f"no more than {amount(len(sizes), 'component')} to deal out; {smaller_components(outcome)}"
    yield f"{stay.format(quote_names(empty))}: {why}"


def smaller_components(outcome: Outcome) -> str:
    """What makes components smaller, given what links them."""
    ways = []
    if "buffer" in outcome.reasons:
        ways.append("a smaller --buffer")
    if "overlap" in outcome.reasons:
        ways.append("--by object")
    return f"{' or '.join(ways) or 'leaving out features that join rasters'} makes smaller components"


def slashed(shares: Sequence[float]) -> str:
    """`0.7/0.15/0.15`."""
    return "/".join(f"{share:.3g}" for share in shares)


def amount(count: int, thing: str) -> str:
    """`1 raster`, `2,000 rasters`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """`83 %`, `0.4 %`."""
    return f"{100 * share:.3g} %"
