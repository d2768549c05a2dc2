"""Processings of one acquisition: an archive keeps several, of which the newest counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def acquisition_of(properties: Mapping[str, Any]) -> str | None:
    """What two processings of one acquisition have in common: datatake, tile and level; None where that is not told.

    `properties` are those of a product: `datatake` and `tile`, and `processing_level`, which sets L1C and L2A apart.
    """
    datatake, tile = properties.get("datatake"), properties.get("tile")
    if not datatake or not tile:
        return None
    level = properties.get("processing_level")
    return "/".join(str(part) for part in (_without_baseline(str(datatake)), tile, level) if part)


def older_twins(products: Iterable[tuple[str, Mapping[str, Any]]]) -> set[int]:
    """Which products, by their place, are processings that a newer one replaces.

    The newest is the one with the highest processing baseline, then the latest time of processing, then the last id.

    Args:
        products: Of each, its id and its properties.
    """
    newest: dict[str, tuple[tuple[str, str, str], int]] = {}
    older: set[int] = set()
    for place, (product_id, properties) in enumerate(products):
        acquisition = acquisition_of(properties)
        if acquisition is None:
            continue
        rank = (_baseline(properties.get("processing_baseline")), str(properties.get("processed") or ""), product_id)
        standing = newest.get(acquisition)
        if standing is None or rank > standing[0]:
            newest[acquisition] = (rank, place)
            older |= {standing[1]} if standing else set()
        else:
            older.add(place)
    return older


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
