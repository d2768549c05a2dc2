"""Draw curves of growth beside a peer's, and work out from their slopes what larger datasets need."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmarks.measure import Cost

TARGETS: Final = (
    ("SatlasPretrain", "features", 300_000_000),
    ("GlobalBuildingAtlas", "features", 2_750_000_000),
    ("TerraMesh", "chips", 9_000_000),
)
"""Published datasets, what they count, and how many they have."""
_TITLE_WIDTH: Final = 30
_OURS, _PEER = "#0072b2", "#d55e00"


class Curve(NamedTuple):
    """The cost of one operation at several sizes.

    Attributes:
        subject: What is counted, such as `features`.
        operation: What is measured.
        sizes: The numbers of objects, ascending.
        ours: Our cost at each size.
        peer_name: What the peer is.
        peer: The peer's cost at each size.
        disk: The bytes on disk at each size: of log and state, or of the chips.
    """

    subject: str
    operation: str
    sizes: Sequence[int]
    ours: Sequence[Cost]
    peer_name: str
    peer: Sequence[Cost]
    disk: Sequence[int]

    def find_exponent(self, costs: Sequence[Cost]) -> float:
        """Return the slope of log CPU seconds over log size between the two largest sizes."""
        return _find_slope(self.sizes, [cost.cpu for cost in costs])

    def predict_cpu(self, size: int) -> float:
        """Return the CPU seconds at a larger size by the slope of the last decade, which is at least linear."""
        exponent = max(self.find_exponent(self.ours), 1.0)
        return self.ours[-1].cpu * (size / self.sizes[-1]) ** exponent

    def predict_disk(self, size: int) -> float:
        """Return the bytes on disk at a larger size: linear in the size between the two largest ones."""
        per_object = (self.disk[-1] - self.disk[-2]) / (self.sizes[-1] - self.sizes[-2])
        return self.disk[-1] + per_object * (size - self.sizes[-1])


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw CPU seconds and peak memory over the size, a column for each curve, into a PNG."""
    from matplotlib.figure import Figure

    from geographer.outputs.plots.figure import use_plot_style

    with use_plot_style():
        figure = Figure(figsize=(3.0 * len(curves), 5.6), layout="constrained")
        panels = figure.subplots(2, len(curves), sharex="col", squeeze=False)
        for column, curve in enumerate(curves):
            for row, (field, title) in enumerate((("cpu", "CPU seconds"), ("peak", "peak memory, MB"))):
                axes = panels[row][column]
                for costs, colour, marker, name in (
                    (curve.ours, _OURS, "o", "geographer"),
                    (curve.peer, _PEER, "s", curve.peer_name),
                ):
                    axes.plot(
                        curve.sizes, [getattr(cost, field) for cost in costs], color=colour, marker=marker, label=name
                    )
                axes.set(
                    xscale="log", yscale="log" if field == "cpu" else "linear", ylabel=title if column == 0 else None
                )
                if field == "peak":
                    axes.set_ylim(bottom=0)
                _label_decades(axes, ("x", "y") if field == "cpu" else ("x",))
                axes.grid(visible=True, which="major")
            title = textwrap.fill(f"{curve.subject}: {curve.operation}", _TITLE_WIDTH)
            panels[0][column].set_title(title, fontsize=9)
            panels[1][column].set_xlabel(f"number of {curve.subject}")
            panels[0][column].legend(fontsize=7, loc="center left" if curve.subject == "events" else "upper left")
        figure.savefig(path, dpi=120, metadata={"Software": None})


def _label_decades(axes: Any, names: Sequence[str]) -> None:
    """Label the powers of ten as plain numbers: the style of our plots shows no formulas."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for name in names:
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def format_curves(curves: Sequence[Curve]) -> str:
    """Return a Markdown table: size, CPU seconds and peak memory of ours and the peer's, and the exponents."""
    lines = [
        "| what grows | operation | size | CPU s | peer's CPU s | MB | peer's MB | exponent, peer's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for curve in curves:
        exponents = f"{curve.find_exponent(curve.ours):.2f}, {curve.find_exponent(curve.peer):.2f}"
        for index, (size, ours, peer) in enumerate(zip(curve.sizes, curve.ours, curve.peer, strict=True)):
            is_last = index == len(curve.sizes) - 1
            name = (curve.subject, f"{curve.operation}; {curve.peer_name}") if index == 0 else ("", "")
            cells = (*name, f"{size:,}", f"{ours.cpu:.2f}", f"{peer.cpu:.2f}", f"{ours.peak:,.0f}", f"{peer.peak:,.0f}")
            lines.append(f"| {' | '.join(cells)} | {exponents if is_last else ''} |")
    return "\n".join(lines)


def format_needs(curves: Sequence[Curve]) -> str:
    """Return a Markdown table of what the published datasets need by the slopes of the last decade."""
    by_subject = {curve.subject: curve for curve in curves}
    lines = [
        "| dataset | objects | CPU hours | disk, GB | hours on 2 cores | on 64 cores |",
        "|---|---|---|---|---|---|",
    ]
    for name, subject, size in TARGETS:
        curve = by_subject[subject]
        hours, gigabytes = curve.predict_cpu(size) / 3600, curve.predict_disk(size) / 1e9
        cells = (
            name,
            f"{size:,} {subject}",
            f"{hours:,.1f}",
            f"{gigabytes:,.0f}",
            f"{hours / 2:,.1f}",
            f"{hours / 64:,.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _find_slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])
