"""Timeline: the events of a history by kind, its tags, and the numbers of features, rasters and chips after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from geographer.base.errors import UsageError
from geographer.base.text import format_count
from geographer.outputs.pictures.palette import COLOURS, LINE_COLOUR, MARKERS, TEXT_COLOUR
from geographer.outputs.plots.plot import Plot, PlotTable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from geographer.storage.queries.revision import Revision

TimelineAxis = Literal["event", "time"]
_COUNTS: Final = Path(__file__).with_name("object_counts.sql")
_EVENTS: Final = "SELECT position, kind, epoch_us(recorded_at) AS recorded_us FROM events ORDER BY position"
_TAGS: Final = "SELECT tag, position FROM tags ORDER BY position, tag"
_OBJECTS: Final = ("features", "rasters", "chips")
_MAX_KINDS: Final = 12
_BINS: Final = 400
"""The number of times that are distinguished; events and counts in between are one."""
_MAX_TICKS: Final = 7
_MAX_TABLE: Final = 500
_TAG_DISTANCE: Final = 0.022
"""How far apart the names of tags are, as a share of the width."""


class _Timeline(NamedTuple):
    """What is drawn.

    Attributes:
        by: Whether events are as far apart as their times, or evenly.
        places: Where the events are: seconds since 1970, or positions.
        times: The times of the events in seconds since 1970; one before its predecessor's counts as equal to it.
        positions: The positions of the events.
        kinds: For each kind, the places and numbers of its events, by bins.
        counts: For each kind of object, the places and the numbers since then.
        tags: The names and the places of tags.
    """

    by: TimelineAxis
    places: NDArray[np.float64]
    times: NDArray[np.float64]
    positions: NDArray[np.int64]
    kinds: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]]
    counts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]]
    tags: Sequence[tuple[str, float]]


def plot_timeline(
    revision: Revision, *, by: TimelineAxis = "event", tags: Sequence[tuple[str, int]] | None = None
) -> Plot:
    """Return the plot of the events up to a revision.

    Args:
        revision: The revision.
        by: `event`: events are evenly spaced; `time`: as far apart as their times.
        tags: Names and positions of the tags to show, ascending. None: those that were set up to the revision, which
            its own tag is not.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        UsageError: another value of `by`.
    """
    import numpy as np

    if by not in get_args(TimelineAxis):
        raise UsageError(f"invalid axis {by!r}. Use event or time.")
    events = revision.fetch_arrow(_EVENTS)
    positions = events["position"].to_numpy()
    recorded = events["recorded_us"].to_numpy() / 1e6
    times = np.maximum.accumulate(recorded)
    places = positions.astype(np.float64) if by == "event" else times
    numbers = _accumulate_counts(revision, positions)
    named = revision.fetch_rows(_TAGS) if tags is None else tags
    shown = [(tag, float(places[np.searchsorted(positions, position)])) for tag, position in named]
    timeline = _Timeline(
        by,
        places,
        times,
        positions,
        _bin_kinds(np.array(events["kind"].to_pylist(), object), places),
        {name: _bin_counts(places, values) for name, values in numbers.items()},
        shown,
    )
    table = PlotTable(("position", "kind", "recorded at (UTC)", *_OBJECTS), _list_rows(events, numbers))
    return Plot(
        f"Timeline to @{revision.position}",
        _describe_timeline(timeline, numbers),
        table,
        lambda: _draw_figure(timeline),
        notes=_list_notes(timeline, recorded),
    )


def _describe_timeline(timeline: _Timeline, numbers: Mapping[str, NDArray[np.int64]]) -> str:
    last = ", ".join(f"{int(values[-1]):,} {name}" for name, values in numbers.items())
    times = timeline.times
    return (
        f"Timeline of {format_count(len(times), 'event')} of {format_count(len(timeline.kinds), 'kind')} from "
        f"{_format_time(times[0])[:10]} to {_format_time(times[-1])[:10]} (UTC), with "
        f"{format_count(len(timeline.tags), 'tag')}. After the last event, there are {last}."
    )


def _list_notes(timeline: _Timeline, recorded: NDArray[np.float64]) -> list[str]:
    import numpy as np

    notes = []
    if (back := int((np.diff(recorded) < 0).sum())) and timeline.by == "time":
        verb = "events have" if back > 1 else "event has"
        notes.append(f"{back:,} {verb} an earlier time than the event before, and is drawn at its time.")
    if rest := len(timeline.tags) - len(_choose_tag_names(timeline)):
        notes.append(f"{format_count(rest, 'name')} of tags left out, too close to others.")
    if len(timeline.places) > _BINS:
        notes.append(f"Events are combined to at most {_BINS} places; larger markers are more events.")
    if len(timeline.places) > _MAX_TABLE:
        notes.append(f"The table has the last {_MAX_TABLE} events.")
    return notes


def _accumulate_counts(revision: Revision, positions: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of objects after each event, shape (events,), by kind of object."""
    import numpy as np

    changes = {name: np.zeros(len(positions), np.int64) for name in _OBJECTS}
    rows = revision.fetch_arrow(_COUNTS.read_text())
    names = np.array(rows["objects"].to_pylist(), object)
    places = np.searchsorted(positions, rows["position"].to_numpy())
    steps = rows["change"].to_numpy()
    for name, values in changes.items():
        chosen = (names == name) & (places < len(positions))
        np.add.at(values, places[chosen], steps[chosen])
    return {name: np.cumsum(values) for name, values in changes.items()}


def _make_bins(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each event the number of its bin; few events have one each."""
    import numpy as np

    if len(times) <= _BINS:
        return np.arange(len(times))
    span = max(float(times[-1] - times[0]), 1e-6)
    return np.asarray(np.minimum(((times - times[0]) / span * _BINS).astype(np.int64), _BINS - 1), np.int64)


def _bin_kinds(
    kinds: NDArray[np.object_], times: NDArray[np.float64]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return the kinds, the most frequent first; the rest of many are one."""
    import numpy as np

    names, owners, counts = np.unique(kinds.astype(str), return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda index: (-counts[index], names[index]))
    groups = [(str(names[index]), owners == index) for index in order[:_MAX_KINDS]]
    if rest := order[_MAX_KINDS:]:
        groups.append((f"{len(rest)} other kinds", np.isin(owners, rest)))
    bins = _make_bins(times)
    binned = {}
    for name, chosen in groups:
        _, first, number = np.unique(bins[chosen], return_index=True, return_counts=True)
        binned[name] = times[chosen][first], number
    return binned


def _bin_counts(times: NDArray[np.float64], values: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the times and the last value of each bin."""
    import numpy as np

    bins = _make_bins(times)
    last = np.flatnonzero(np.diff(bins, append=bins[-1] + 1))
    return times[last], values[last]


def _list_rows(events: Any, numbers: Mapping[str, NDArray[np.int64]]) -> list[tuple[Any, ...]]:
    """Return the rows of the table, of many events the last ones."""
    start = max(0, len(events) - _MAX_TABLE)
    shown = events.slice(start).to_pylist()
    columns = [numbers[name][start:].tolist() for name in _OBJECTS]
    return [
        (f"@{row['position']}", row["kind"], _format_time(row["recorded_us"] / 1e6), *counts)
        for row, *counts in zip(shown, *columns, strict=True)
    ]


def _choose_tag_names(timeline: _Timeline) -> list[tuple[str, float]]:
    """Return the tags whose names have room."""
    width = max(timeline.places[-1] - timeline.places[0], 1.0) * _TAG_DISTANCE
    chosen: list[tuple[str, float]] = []
    for tag, place in timeline.tags:
        if not chosen or place - chosen[-1][1] >= width:
            chosen.append((tag, place))
    return chosen


def _draw_figure(timeline: _Timeline) -> Figure:
    from geographer.outputs.plots.figure import clean_axes, format_count_axis, make_panels

    lanes = len(timeline.kinds)
    heights = [0.4 if timeline.tags else 0.01, *[0.85] * len(_OBJECTS), 0.25 + 0.24 * lanes]
    figure, axes = make_panels("Timeline", heights, gap=0.45)
    for panel in axes[:-1]:
        panel.sharex(axes[-1])
        panel.tick_params(axis="x", labelbottom=False)
    for name, colour, panel in zip(_OBJECTS, COLOURS, axes[1:], strict=False):
        places, values = timeline.counts[name]
        # A step needs a width: the last value goes on to the end.
        x = _to_axis(timeline, [*places, timeline.places[-1] + _find_margin(timeline)])
        y = [*values, values[-1]]
        panel.step(x, y, where="post", color=colour, linewidth=1.6)
        panel.fill_between(x, y, step="post", color=colour, alpha=0.15, linewidth=0)
        panel.set_title(f"{name}: {values[-1]:,}")
        panel.set_ylim(0, max(float(values.max()), 1.0) * 1.08)
        format_count_axis(panel, "y")
        clean_axes(panel, grid="y")
    _draw_lanes(axes[-1], timeline)
    _draw_tags(axes, timeline)
    _set_axis(axes[-1], timeline)
    return figure


def _draw_lanes(axes: Axes, timeline: _Timeline) -> None:
    """Draw a lane for each kind of event, with a marker for each bin, larger for more events."""
    import numpy as np

    from geographer.outputs.plots.figure import MATPLOTLIB_MARKERS, clean_axes, clean_text

    labels = []
    for lane, (kind, (places, counts)) in enumerate(timeline.kinds.items()):
        axes.scatter(
            _to_axis(timeline, places),
            np.full(len(places), lane),
            s=24 + 24 * np.log10(counts),
            marker=MATPLOTLIB_MARKERS[MARKERS[lane % len(MARKERS)]],
            facecolor=COLOURS[lane % len(COLOURS)],
            edgecolor=TEXT_COLOUR,
            linewidth=0.4,
            clip_on=False,
            zorder=3,
        )
        labels.append(f"{clean_text(kind)} ({counts.sum():,})")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_title("events by kind")
    axes.tick_params(axis="y", length=0)
    clean_axes(axes, grid="y")


def _draw_tags(axes: Sequence[Axes], timeline: _Timeline) -> None:
    """Draw a dashed line for each tag through all panels, and the names above."""
    from geographer.outputs.plots.figure import clean_text

    top, *panels = axes
    top.set_axis_off()
    top.set_ylim(0, 1)
    for _, place in timeline.tags:
        for panel in panels:
            panel.axvline(_to_axis(timeline, [place])[0], color=LINE_COLOUR, linewidth=0.9, linestyle=(0, (4, 2)))
    for tag, place in _choose_tag_names(timeline):
        x = _to_axis(timeline, [place])[0]
        top.text(x, 0, clean_text(tag, 18), rotation=40, rotation_mode="anchor", va="bottom", fontsize=8.5)


def _set_axis(axes: Axes, timeline: _Timeline) -> None:
    import matplotlib.dates as dates
    from matplotlib.ticker import FixedLocator, FuncFormatter

    margin = _find_margin(timeline)
    start, end = _to_axis(timeline, [timeline.places[0] - margin, timeline.places[-1] + margin])
    axes.set_xlim(start, end)
    if timeline.by == "time":
        make_locator: Any = dates.AutoDateLocator
        make_formatter: Any = dates.ConciseDateFormatter
        locator = make_locator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(make_formatter(locator))
        axes.set_xlabel("time of recording (UTC); dashed lines are tags")
    else:
        axes.xaxis.set_major_locator(FixedLocator(_choose_ticks(timeline)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _name_position(timeline, value)))
        axes.set_xlabel("event, and time of its recording (UTC); dashed lines are tags")


def _choose_ticks(timeline: _Timeline) -> list[float]:
    """Return the positions of a few events, evenly among all."""
    import numpy as np

    indices = np.unique(np.linspace(0, len(timeline.positions) - 1, _MAX_TICKS).round().astype(np.int64))
    return [float(position) for position in timeline.positions[indices]]


def _name_position(timeline: _Timeline, value: float) -> str:
    import numpy as np

    index = int(np.searchsorted(timeline.positions, value))
    if index >= len(timeline.positions) or timeline.positions[index] != value:
        return ""
    day, time = _format_time(timeline.times[index]).split(" ")
    return f"@{value:.0f}\n{day}\n{time}"


def _find_margin(timeline: _Timeline) -> float:
    return float(max((timeline.places[-1] - timeline.places[0]) * 0.02, 0.5))


def _to_axis(timeline: _Timeline, places: Any) -> Any:
    """Return places as matplotlib draws them."""
    import numpy as np

    if timeline.by == "event":
        return np.asarray(places, np.float64)
    return np.round(np.asarray(places, np.float64) * 1e6).astype("datetime64[us]")


def _format_time(seconds: float) -> str:
    import numpy as np

    return str(np.datetime_as_string(np.datetime64(round(seconds * 1e6), "us"), unit="s")).replace("T", " ")
