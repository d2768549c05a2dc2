"""Figures: the plots of the revision as SVG elements with their text alternatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from geographer.base.errors import NotFoundError, UsageError
from geographer.outputs.plots.classes_plot import plot_classes
from geographer.outputs.plots.map_plot import plot_map
from geographer.outputs.plots.plot import Plot
from geographer.outputs.plots.splits_plot import plot_splits
from geographer.outputs.plots.timeline_plot import plot_timeline
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork


class Figure(NamedTuple):
    """A plot of the page: `svg` is empty if there is nothing to draw, and `alt` then says why."""

    title: str
    svg: str
    alt: str
    notes: Sequence[str] = ()


class Figures(NamedTuple):
    """The plots of a report; of splits one each."""

    map: Figure
    timeline: Figure
    classes: Figure
    splits: list[Figure]


def draw_figures(
    work: UnitOfWork, revision: Revision, splits: Sequence[str], tags: Sequence[tuple[str, int]]
) -> Figures:
    """Draw the map, the timeline with these tags, the classes and the splits of a revision."""
    first = next(iter(splits), None)
    return Figures(
        _draw_figure("Map", lambda: plot_map(revision, split=first)),
        _draw_figure("Timeline", lambda: plot_timeline(revision, tags=tags)),
        _draw_figure("Classes", lambda: plot_classes(revision, work, split=first, with_pixels=False)),
        [_draw_figure(f"Split '{split}'", partial(plot_splits, revision, split)) for split in splits],
    )


def _draw_figure(title: str, plot: Callable[[], Plot]) -> Figure:
    try:
        drawn = plot()
        return Figure(drawn.title, drawn.to_svg(), drawn.alt, drawn.notes)
    except (NotFoundError, UsageError) as error:
        return Figure(title, "", str(error))
