"""Map selection: what the map and the lists show, from the parameters of an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from geographer.base.errors import UsageError

Parameters: TypeAlias = Mapping[str, Sequence[str]]
"""The values of each parameter of an address."""
Subject = Literal["features", "rasters"]
_MAX_POSITION: Final = 2**53
SUBJECTS: Final[Mapping[str, Subject]] = {"features": "features", "rasters": "rasters"}


class MapSelection(NamedTuple):
    """Which objects of a revision to show.

    Attributes:
        subject: Features or rasters.
        at: The position of the revision.
        where: An SQL expression over their columns that is true; None: all.
        kinds: Their classes or collections; none: all.
        split: The split whose subsets rasters show; empty: none.
        subsets: The subsets of the split; none: all.
        component: The component of rasters that a split keeps together; None: all.
        colour: What the kind of a raster is on the map: its collection, subset or component.
        since: The position of the older revision, if what differs is shown instead.
    """

    subject: Subject
    at: int
    where: str | None = None
    kinds: tuple[str, ...] = ()
    split: str = ""
    subsets: tuple[str, ...] = ()
    component: int | None = None
    colour: str = "collection"
    since: int | None = None


def parse_selection(subject: str, parameters: Parameters) -> MapSelection:
    """Return the selection that the parameters of an address describe; `UsageError` for an invalid one."""
    if subject not in SUBJECTS:
        raise UsageError(f"unknown objects {subject!r}. Use features or rasters.")
    component, since = read_text(parameters, "component"), read_text(parameters, "since")
    return MapSelection(
        SUBJECTS[subject],
        read_number(parameters, "at", 1, _MAX_POSITION),
        read_text(parameters, "where") or None,
        tuple(parameters.get("kind", ())),
        read_text(parameters, "split"),
        tuple(parameters.get("subset", ())),
        read_number(parameters, "component", 0, _MAX_POSITION) if component else None,
        read_text(parameters, "colour") or "collection",
        read_number(parameters, "since", 1, _MAX_POSITION) if since else None,
    )


def read_text(parameters: Parameters, name: str) -> str:
    """Return the only value of a parameter, or an empty text; `UsageError` for several."""
    values = parameters.get(name, ())
    if len(values) > 1:
        raise UsageError(f"several values of '{name}'. Use one.")
    return values[0].strip() if values else ""


def read_number(parameters: Parameters, name: str, lowest: int, highest: int, default: int | None = None) -> int:
    """Return the value of a parameter as a whole number; `UsageError` if it is none or beyond the limits."""
    text = read_text(parameters, name)
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(highest)) and lowest <= int(text) <= highest):
        raise UsageError(f"invalid {name} '{text[:40]}'. Use a whole number from {lowest} to {highest}.")
    return int(text)


def read_box(parameters: Parameters) -> tuple[float, float, float, float] | None:
    """Return the box `west,south,east,north` in degrees of the parameter `box`; None without it.

    West exceeds east if the box crosses the antimeridian.
    """
    text = read_text(parameters, "box")
    if not text:
        return None
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"invalid box '{text[:80]}'. Use west,south,east,north in degrees.") from None
    if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= north <= 90):
        raise UsageError(f"invalid box '{text[:80]}'. Use west,south,east,north in degrees.")
    return west, south, east, north
