"""Figure: what all plots share: fonts and colours, safe texts, axes without clutter, legends outside of the axes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.outputs.pictures.palette import GRID_COLOUR, LINE_COLOUR, TEXT_COLOUR, Style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    LegendKey = Artist | tuple[Artist, ...]
    """What a legend draws beside a text: one artist, or several above each other."""

MATPLOTLIB_MARKERS: Final = {
    **{"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "inverted_triangle": "v", "hex": "h"},
    **{"star": "*", "plus": "P"},
}
"""matplotlib's name of each marker of the palette."""
MAX_TEXT: Final = 34
"""The largest number of letters of a name in a plot."""
_HEADING: Final = "heading"
_STYLE: Final[dict[str, Any]] = {
    **{"font.family": ["DejaVu Sans"], "font.size": 9, "text.parse_math": False, "text.color": TEXT_COLOUR},
    **{"svg.fonttype": "none", "svg.hashsalt": "geographer", "path.simplify": True, "hatch.linewidth": 0.7},
    **{"axes.edgecolor": LINE_COLOUR, "axes.labelcolor": TEXT_COLOUR, "axes.titlesize": 10, "axes.titleweight": "bold"},
    **{"axes.titlelocation": "left", "axes.axisbelow": True, "axes.grid": False, "grid.color": GRID_COLOUR},
    **{"grid.linewidth": 0.6, "xtick.color": TEXT_COLOUR, "ytick.color": TEXT_COLOUR, "legend.frameon": False},
    **{"legend.fontsize": 8.5, "figure.titlesize": 12, "figure.titleweight": "bold"},
    **{"axes.formatter.useoffset": False, "axes.unicode_minus": True, "image.interpolation": "none"},
}


@contextmanager
def use_plot_style() -> Iterator[None]:
    """Let matplotlib draw in the style of the plots in this block, whatever its user's settings are; they come back."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def make_panels(
    title: str, heights: Sequence[float], *, width: float = 7.5, gap: float = 0.6, title_gap: float = 0.4
) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes one below the other; sizes are in inches. What lies around them is not cut off.

    matplotlib's layout engines are not used: their numbers, and so the bytes of an SVG, differ a little between runs.
    """
    from matplotlib.figure import Figure

    total = sum(heights) + gap * (len(heights) - 1)
    figure = Figure(figsize=(width, total), facecolor="white")
    panels, top = [], total
    for height in heights:
        panels.append(figure.add_axes((0.0, (top - height) / total, 1.0, height / total)))
        top -= height + gap
    figure.text(0.0, 1 + title_gap / total, clean_text(title, 100), fontsize=12, fontweight="bold", va="bottom")
    return figure, panels


def divide_panel(axes: Axes, count: int, gap: float) -> list[Axes]:
    """Return axes side by side in place of one; the gap is a share of its width."""
    figure, box = axes.figure, axes.get_position()
    axes.remove()
    width = (box.width - gap * (count - 1)) / count
    return [figure.add_axes((box.x0 + place * (width + gap), box.y0, width, box.height)) for place in range(count)]


def clean_text(text: object, limit: int = MAX_TEXT) -> str:
    """Return a text of one line with at most `limit` letters, its middle left out, that SVG can have."""
    letters = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    if len(letters) <= limit:
        return letters
    half = (limit - 1) // 2
    return f"{letters[: limit - 1 - half]}…{letters[-half:]}"


def clean_axes(axes: Axes, *, grid: Literal["x", "y", ""] = "") -> None:
    """Leave out the frame at the top and right of axes; draw the grid of an axis, `x` or `y`."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis=grid)


def format_count_axis(axes: Axes, axis: str) -> None:
    """Write the numbers of an axis, which counts things, as whole numbers with commas."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_locator(MaxNLocator(nbins=4, integer=True))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def make_area_key(style: Style, *, alpha: float = 0.35) -> Artist:
    """Return the key of an area in a legend: a patch with fill, outline and hatch."""
    from matplotlib.patches import Patch

    return Patch(**area_options(style, alpha))


def area_options(style: Style, alpha: float = 0.35) -> dict[str, Any]:
    """Return the arguments of patches and collections that draw an area."""
    from matplotlib.colors import to_rgba

    return {
        "facecolor": to_rgba(style.colour, alpha),
        "edgecolor": style.colour,
        "hatch": style.hatch * (1 if style.hatch in ".o" else 2) or None,
    }


def line_options(style: Style, width: float) -> dict[str, Any]:
    """Return the arguments of lines and outlines."""
    return {"linewidth": width, "linestyle": (0, tuple(style.dash)) if style.dash else "-"}


def make_marker_key(style: Style) -> Artist:
    """Return the key of a marker in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **marker_options(style), linestyle="none")


def marker_options(style: Style, size: float = 6) -> dict[str, Any]:
    """Return the arguments of `plot` for markers."""
    edge = {"markeredgecolor": TEXT_COLOUR, "markeredgewidth": 0.5}
    return {
        "marker": MATPLOTLIB_MARKERS[style.marker],
        "markerfacecolor": style.colour,
        "markersize": size,
        **edge,
    }


def make_heading_key() -> Artist:
    """Return the key of a heading in a legend, which is nothing."""
    key = make_blank_key()
    key.set_gid(_HEADING)
    return key


def make_blank_key() -> Artist:
    """Return the key of a line of a legend that has none."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none")


def add_legend(axes: Axes, keys: Sequence[tuple[LegendKey, str]]) -> None:
    """Draw a legend to the right of axes."""
    if keys:
        handles = [handle for handle, _ in keys]
        # matplotlib leaves out labels that begin with an underscore.
        labels = [f" {label}" if label.startswith("_") else label for _, label in keys]
        legend = axes.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, alignment="left"
        )
        for handle, text in zip(handles, legend.get_texts(), strict=True):
            if not isinstance(handle, tuple) and handle.get_gid() == _HEADING:
                text.set_fontweight("bold")
                text.set_x(-20)


def write_message(axes: Axes, text: str) -> None:
    """Write a text in the middle of axes, and leave out their frame."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=LINE_COLOUR, fontsize=11)
