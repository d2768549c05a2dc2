"""Processings of one acquisition: an archive keeps several, of which the newest counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import shapely

_SHARED: Final = 0.5


class Processing(NamedTuple):
    """A product: its id, its properties, and where it has pixels (WKB, longitude/latitude), as far as that is known."""

    product_id: str
    properties: Mapping[str, Any]
    footprint: bytes | None = None


def acquisition_of(properties: Mapping[str, Any]) -> str | None:
    """What two processings of one acquisition have in common: datatake, tile and level; None where that is not told.

    `properties` are those of a product: `datatake` and `tile`, and `processing_level`, which sets L1C and L2A apart.
    """
    datatake, tile = properties.get("datatake"), properties.get("tile")
    if not datatake or not tile:
        return None
    level = properties.get("processing_level")
    return "/".join(str(part) for part in (_without_baseline(str(datatake)), tile, level) if part)


def twins_to_leave(products: Sequence[Processing], standing: Sequence[Processing] = ()) -> set[int]:
    """Which products, by their place, another processing stands in for: a newer one of them, or any that is here.

    The newest is the one with the highest processing baseline, then the latest time of processing, then the last id.
    Two parts of one acquisition (an archive cuts it where the satellite began a new strip) are no twins: they hardly
    overlap.
    """
    of_acquisition: dict[str, list[Processing]] = {}
    for one in standing:
        acquisition = acquisition_of(one.properties)
        if acquisition is not None:
            of_acquisition.setdefault(acquisition, []).append(one)
    left: set[int] = set()
    for place in sorted(range(len(products)), key=lambda place: _rank(products[place]), reverse=True):
        one = products[place]
        acquisition = acquisition_of(one.properties)
        if acquisition is None:
            continue
        others = of_acquisition.setdefault(acquisition, [])
        if any(_overlap(one, other) for other in others):
            left.add(place)
        else:
            others.append(one)
    return left


def _rank(one: Processing) -> tuple[str, str, str]:
    baseline = _baseline(one.properties.get("processing_baseline"))
    return baseline, str(one.properties.get("processed") or ""), one.product_id


def _overlap(one: Processing, other: Processing) -> bool:
    """Whether two footprints share at least half of the smaller one; a footprint that is not known shares all."""
    if one.footprint is None or other.footprint is None:
        return True
    both = [shapely.make_valid(shapely.from_wkb(each.footprint)) for each in (one, other)]
    return bool(shapely.intersection(*both).area >= _SHARED * min(both[0].area, both[1].area))


def _without_baseline(datatake: str) -> str:
    """A Sentinel-2 datatake, as GS2A_20230101T101011_039000_N05.09, without the baseline, in which twins differ."""
    head, underscore, tail = datatake.rpartition("_")
    return head if underscore and tail[:1] == "N" and tail[1:].replace(".", "").isdecimal() else datatake


def _baseline(given: Any) -> str:
    """A processing baseline such as 05.09, N0509 or 5.09, so that the newer one sorts last."""
    digits = str(given if given is not None else "").removeprefix("N")
    if digits.isdecimal() and len(digits) == 4:
        digits = f"{digits[:2]}.{digits[2:]}"
    major, _, minor = digits.partition(".")
    return f"{major:0>4}.{minor:0<4}" if major.isdecimal() else ""
