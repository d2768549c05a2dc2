"""The result of one level of a certificate: whether it holds, counts, and the pairs of rasters that leak."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from geographer.outputs.certificate.rasters import CertifiedRasters

MAX_LEAKS: Final = 10_000
"""How many leaking pairs a level lists; their total is stated."""


class Level(NamedTuple):
    """One level of a certificate.

    Attributes:
        name: Its name in the JSON document.
        holds: Whether the subsets share nothing; None: not checked.
        reason: Why it was not checked, or not all of it.
        counts: Numbers by name, of which `pairs` is the number of leaking pairs.
        leaks: The first leaking pairs, each with `a`, `b`, `subset_a`, `subset_b` and what they share.
        facts: Other members of the JSON object.
    """

    name: str
    holds: bool | None
    reason: str | None = None
    counts: Mapping[str, int] = {}
    leaks: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the level as JSON values."""
        return {
            "holds": self.holds,
            "reason": self.reason,
            **self.counts,
            "leaks": [*map(dict, self.leaks)],
            **self.facts,
        }


def make_leaks(
    rasters: CertifiedRasters, pairs: Iterable[tuple[int, int]], details: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the first pairs of indices of rasters with their ids and subsets, and what they share."""
    leaks = []
    for (a, b), detail in zip(pairs, details, strict=True):
        subsets = (rasters.parts[rasters.part[index]] for index in (a, b))
        names = dict(zip(("subset_a", "subset_b"), subsets, strict=True))
        leaks.append({"a": rasters.ids[a], "b": rasters.ids[b], **names, **detail})
        if len(leaks) == MAX_LEAKS:
            break
    return leaks
