"""Palette: the colours, dashes, markers and hatches of classes, subsets and changes; no meaning is by colour alone.

The colours are those of Okabe and Ito (2008, Color Universal Design), which colour-blind readers can distinguish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#000000")
DASHES: Final[Sequence[Sequence[float]]] = ((), (5, 2), (1.5, 1.5), (7, 2, 1.5, 2))
"""Lengths of dashes and gaps in line widths; the first is a solid line."""
MARKERS: Final = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star", "plus")
"""Names of markers, which are those of Bokeh."""
HATCHES: Final = ("", "/", ".", "x", "\\", "o", "-", "+")
"""Patterns of areas, in the letters of matplotlib and Bokeh; the first is plain."""
OTHER_COLOUR: Final = "#767676"
"""What has no colour, such as the rest of many classes, or rasters without a subset."""
TEXT_COLOUR: Final = "#1a1a1a"
LINE_COLOUR: Final = "#595959"
GRID_COLOUR: Final = "#d9d9d9"


class Style(NamedTuple):
    """How to draw one of several kinds of things.

    Attributes:
        colour: `#rrggbb`.
        dash: See `DASHES`.
        marker: See `MARKERS`.
        hatch: See `HATCHES`.
    """

    colour: str
    dash: Sequence[float]
    marker: str
    hatch: str


CHANGE_STYLES: Final[Mapping[str, Style]] = {
    "added": Style("#0072b2", (), "triangle", "+"),
    "removed": Style("#d55e00", (5, 2), "inverted_triangle", "x"),
    "changed": Style("#e69f00", (1.5, 1.5), "diamond", "/"),
}
CHANGE_COLOURS: Final[Mapping[str, str]] = {change: style.colour for change, style in CHANGE_STYLES.items()}
SUBSET_STYLES: Final[Mapping[str, Style]] = {
    "train": Style("#0072b2", (), "circle", ""),
    "val": Style("#e69f00", (5, 2), "square", "/"),
    "test": Style("#d55e00", (1.5, 1.5), "triangle", "x"),
    "other": Style(OTHER_COLOUR, (7, 2, 1.5, 2), "diamond", "."),
}
SUBSET_COLOURS: Final[Mapping[str, str]] = {name: style.colour for name, style in SUBSET_STYLES.items()}
_SUBSET_NAMES: Final = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}


def assign_colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name, by its place in the order; after eight names, colours repeat."""
    return {name: style.colour for name, style in assign_styles(names).items()}


def assign_styles(names: Sequence[str]) -> dict[str, Style]:
    """Return a style for each name, by its place in the order; names of one colour have other dashes and markers."""
    return {name: _make_style(place) for place, name in enumerate(dict.fromkeys(names))}


def assign_subset_styles(names: Sequence[str]) -> dict[str, Style]:
    """Return a style for each subset: train, val and test have their own; of others, the next free ones."""
    known = {name: SUBSET_STYLES[_SUBSET_NAMES.get(name, name)] for name in names if _is_known_subset(name)}
    used = {style.colour for style in known.values()}
    free = [place for place in range(len(names) * len(COLOURS)) if COLOURS[place % len(COLOURS)] not in used]
    others = [name for name in dict.fromkeys(names) if name not in known]
    chosen = {name: _make_style(place) for name, place in zip(others, free, strict=False)}
    return {name: known.get(name) or chosen[name] for name in names}


def _is_known_subset(name: str) -> bool:
    return _SUBSET_NAMES.get(name, name) in SUBSET_STYLES


def _make_style(place: int) -> Style:
    turn = place // len(COLOURS)
    return Style(
        COLOURS[place % len(COLOURS)],
        DASHES[(place + turn) % len(DASHES)] if turn else (),
        MARKERS[(place + turn) % len(MARKERS)],
        HATCHES[(place + turn) % len(HATCHES)],
    )
