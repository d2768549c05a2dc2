"""Classes: the features of each class, and its pixels in a mask, by subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.text import format_count
from geographer.outputs.pictures.palette import Style, assign_subset_styles
from geographer.outputs.plots.plot import Plot, PlotTable
from geographer.outputs.plots.splits_plot import sort_subsets
from geographer.outputs.samples.selection import SampleSelection, stage_samples
from geographer.outputs.statistics.class_features import count_class_features

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from geographer.outputs.samples.training_rows import TrainingLabel
    from geographer.rasters.pixel_counts import RasterPath
    from geographer.storage.queries.revision import Revision
    from geographer.storage.unit_of_work import UnitOfWork

_MAX_CLASSES: Final = 25
_ALL: Final = "all"
_HAS_PIXELS: Final = "SELECT true FROM current_raster WHERE storage <> 'catalogue' LIMIT 1"
_FEATURES: Final = (
    "SELECT class, count(feature_key) FROM classes LEFT JOIN current_feature USING (class) "
    "GROUP BY class, value ORDER BY value"
)
_LABEL_FILES: Final = (
    "SELECT part, raster_id, sha256 FROM current_label JOIN (SELECT raster_id, part FROM sample) USING (raster_id) "
    "WHERE label = $label ORDER BY part, raster_id"
)
_PIXEL_KINDS: Final = ("mask", "multilabel")

Counts = dict[str, dict[str, int]]
"""Numbers by class, then by subset."""


class _Panel(NamedTuple):
    """A group of bars: what is counted, and the numbers."""

    title: str
    counts: Counts


class _Balance(NamedTuple):
    """What is drawn.

    Attributes:
        subsets: The subsets, or `all` alone.
        features: The number of features of each class, also those on no sample.
        panels: What is counted by class and subset.
        notes: What is left out.
    """

    subsets: Sequence[str]
    features: Mapping[str, int]
    panels: Sequence[_Panel]
    notes: Sequence[str]
    background: str = "background"


def plot_classes(
    revision: Revision,
    work: UnitOfWork,
    *,
    split: str | None = None,
    collection: str | None = None,
    label: str | None = None,
    with_pixels: bool = True,
) -> Plot:
    """Return the plot of the class balance of samples by subset.

    Args:
        revision: The revision.
        work: The dataset, whose files are read; what was counted in them is kept, and nothing is fetched.
        split: The split; None: the only one of the samples, if there is one.
        collection: The rasters that are samples; see `SampleSelection`.
        label: The mask whose pixels are counted; None: the only one, or the first.
        with_pixels: Whether to count pixels.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        NotFoundError: there is no such split, collection or label.
        UsageError: several splits or collections fit, or the label is no mask.
        CorruptError: a mask cannot be read.
    """
    features = dict(revision.fetch_rows(_FEATURES))
    if revision.fetch_value(_HAS_PIXELS) is None:
        counts = {name: {_ALL: number} for name, number in features.items() if number}
        balance = _Balance([_ALL], features, [_Panel("features", counts)], ["There are no rasters with pixels."])
    else:
        selection = SampleSelection(split, None, collection, None if label is None else [label])
        balance = _read_balance(revision, work, stage_samples(revision, selection), features, with_pixels=with_pixels)
    total = sum(features.values())
    shown = ", ".join(f"{name} {number:,}" for name, number in _rank_classes(balance)[:5])
    alt = (
        f"Bars of the number of features{' and pixels' * (len(balance.panels) > 1)} by class and subset. There are "
        f"{format_count(total, 'feature')} of {len(features):,} classes"
        f"{f'; the most frequent on the samples are {shown}' if shown else ''}."
    )
    table = PlotTable(*_make_rows(balance))
    title = f"Classes at @{revision.position}"
    return Plot(title, alt, table, lambda: _draw_figure(balance), notes=balance.notes)


def _read_balance(
    revision: Revision, work: UnitOfWork, chosen: SampleSelection, features: Mapping[str, int], *, with_pixels: bool
) -> _Balance:
    found = count_class_features(revision)
    subsets = sort_subsets([*{part for part, _ in found if part is not None}])
    if chosen.split is not None:
        subsets = sort_subsets([*{*subsets, *_list_parts(revision)}])
    counts: Counts = {}
    for (part, name), (_, number) in found.items():
        if (part is not None) == bool(subsets):
            counts.setdefault(name, {})[part or _ALL] = number
    where = f" of split '{chosen.split}'" if chosen.split else ""
    panels = [_Panel(f"features on the samples{where}", counts)]
    notes = []
    label, problem = _choose_label(revision, chosen) if with_pixels else (None, None)
    if label is not None:
        pixels, problem = _count_pixels(revision, work, label, has_subsets=bool(subsets))
        # Without any mask on this machine, the numbers are not known: bars of no length would say that there are none.
        if pixels or problem is None:
            panels.append(_Panel(f"pixels in label '{label.name}'{', as far as known' * bool(problem)}", pixels))
    if problem:
        notes.append(problem)
    background = revision.fetch_value("SELECT class FROM classes WHERE value = 0") or "background"
    if left_out := sum(sum(panel.counts.get(background, {}).values()) for panel in panels[1:]):
        notes.append(f"The {left_out:,} pixels of class '{background}' have no bar.")
    return _Balance(subsets or [_ALL], features, panels, notes, background)


def _list_parts(revision: Revision) -> list[str]:
    return [part for (part,) in revision.fetch_rows("SELECT DISTINCT part FROM sample WHERE part IS NOT NULL")]


def _choose_label(revision: Revision, chosen: SampleSelection) -> tuple[TrainingLabel | None, str | None]:
    """Return the label whose pixels are counted, and what to say about others."""
    from geographer.outputs.samples.training_rows import list_training_labels

    labels = list_training_labels(revision, chosen.labels or ())
    masks = [label for label in labels if label.kind in _PIXEL_KINDS]
    if not masks:
        return None, "The samples have no mask." if labels else None
    if len(masks) == 1:
        return masks[0], None
    others = ", ".join(label.name for label in masks[1:])
    return masks[0], f"Pixels are those of the first mask; --labels chooses another: {others}."


def _count_pixels(
    revision: Revision, work: UnitOfWork, label: TrainingLabel, *, has_subsets: bool
) -> tuple[Counts, str | None]:
    """Return the pixels of a mask by class and subset, and how many files are not on this machine."""
    from geographer.outputs.pictures.files import locate_files
    from geographer.rasters.pixel_counts import RasterPath

    rows = revision.fetch_rows(_LABEL_FILES, {"label": label.name})
    files = locate_files(revision, work.root, work.file_store, [row[1] for row in rows], [label.name], fetch=False)
    names = {0: "background"} | {v: name for name, v in revision.fetch_rows("SELECT class, value FROM classes")}
    counts: Counts = {}
    missing = 0
    for part in dict.fromkeys(row[0] for row in rows):
        own = [(raster_id, sha256) for row_part, raster_id, sha256 in rows if row_part == part]
        paths = [files.labels[label.name, raster_id].path for raster_id, _ in own]
        missing += sum(path is None for path in paths)
        found = _count_files(work, label, [RasterPath(str(path)) for path in paths if path], [item[1] for item in own])
        for value, number in found.items():
            name = value if isinstance(value, str) else names.get(value, f"value {value}")
            key = part if has_subsets and part is not None else _ALL
            counts.setdefault(name, {})[key] = counts.get(name, {}).get(key, 0) + number
    if label.ignore is not None:
        counts.pop(names.get(label.ignore, f"value {label.ignore}"), None)
    return counts, f"The pixels of {format_count(missing, 'mask')} are not on this machine." if missing else None


def _count_files(
    work: UnitOfWork, label: TrainingLabel, paths: Sequence[RasterPath], contents: Sequence[str]
) -> dict[int | str, int]:
    """Return the pixels of masks by value, or of multilabels by class; see `StatisticsCache` for what is kept."""
    from geographer.outputs.statistics.cache import StatisticsCache, make_key
    from geographer.rasters.pixel_counts import ClassCounts, count_class_pixels

    cache, key = StatisticsCache(work.folder), make_key([label.kind, label.ignore], contents)
    counts = cache.load_counts(key, ClassCounts.from_record)
    is_multilabel = label.kind == "multilabel"
    if counts is None:
        counts = count_class_pixels(paths, is_multilabel=is_multilabel, ignore=label.ignore)
        if len(paths) == len(contents):
            cache.save_counts(key, counts.to_record())
    if is_multilabel:
        return {name: pixels[1] for name, pixels in counts.pixels.items() if pixels[1]}
    return {value: number for pixels in counts.pixels.values() for value, number in pixels.items()}


def _rank_classes(balance: _Balance) -> list[tuple[str, int]]:
    """Return the classes on the samples with their numbers in the first panel, the largest first."""
    names = dict.fromkeys(name for panel in balance.panels for name in panel.counts)
    first = balance.panels[0].counts
    totals = [(name, sum(first.get(name, {}).values())) for name in names]
    return sorted(totals, key=lambda item: (-item[1], item[0]))


def _make_rows(balance: _Balance) -> tuple[list[str], list[Sequence[Any]]]:
    columns = ["class", "all features"]
    columns += [f"{panel.title}: {subset}" for panel in balance.panels for subset in balance.subsets]
    names = [*dict.fromkeys([*balance.features, *(name for name, _ in _rank_classes(balance))])]
    rows: list[Sequence[Any]] = [
        (
            name,
            balance.features.get(name),
            *(panel.counts.get(name, {}).get(subset, 0) for panel in balance.panels for subset in balance.subsets),
        )
        for name in names
    ]
    return columns, rows


def _draw_figure(balance: _Balance) -> Figure:
    from geographer.outputs.plots.figure import add_legend, clean_text, divide_panel, make_area_key, make_panels

    # The background has most pixels: beside it, other bars would be too short, and it has no features.
    ranked = [name for name, _ in _rank_classes(balance) if name != balance.background]
    shown, rest = ranked[:_MAX_CLASSES], ranked[_MAX_CLASSES:]
    rows = len(shown) + bool(rest)
    height = max(1.0, rows * (0.12 + 0.17 * len(balance.subsets)))
    width = 3.1 * len(balance.panels) + 1.2
    figure, (axes,) = make_panels("Classes", [height], width=width)
    styles = assign_subset_styles(balance.subsets)
    if balance.subsets == [_ALL]:
        styles = {_ALL: Style("#0072b2", (), "circle", "")}
    panels = divide_panel(axes, len(balance.panels), 0.12)
    for place, (axes, panel) in enumerate(zip(panels, balance.panels, strict=True)):
        _draw_panel(axes, panel, shown, rest, styles)
        axes.tick_params(labelleft=place == 0)
    if len(balance.subsets) > 1:
        keys = [(make_area_key(style, alpha=0.75), clean_text(name)) for name, style in styles.items()]
        add_legend(panels[-1], keys)
    return figure


def _draw_panel(
    axes: Axes, panel: _Panel, shown: Sequence[str], rest: Sequence[str], styles: Mapping[str, Style]
) -> None:
    """Draw a group of bars for each class, a bar for each subset, with the numbers at their ends."""
    from geographer.outputs.plots.figure import area_options, clean_axes, clean_text, format_count_axis, write_message

    groups = [(clean_text(name, 26), panel.counts.get(name, {})) for name in shown]
    if rest:
        summed = {subset: sum(panel.counts.get(name, {}).get(subset, 0) for name in rest) for subset in styles}
        groups.append((f"{len(rest)} other classes", summed))
    if not groups:
        write_message(axes, "none")
        return
    thickness = 0.82 / len(styles)
    largest = max([1, *(number for _, counts in groups for number in counts.values())])
    for row, (_, counts) in enumerate(groups):
        for place, (subset, style) in enumerate(styles.items()):
            y = row - 0.41 + thickness * (place + 0.5)
            number = counts.get(subset, 0)
            axes.barh(y, number, thickness * 0.9, **area_options(style, 0.75), linewidth=0.5)
            axes.text(number + largest * 0.015, y, f"{number:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(groups)), [name for name, _ in groups])
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.set_xlim(0, largest * 1.18)
    axes.set_title(clean_text(panel.title, 44))
    axes.tick_params(axis="y", length=0)
    format_count_axis(axes, "x")
    clean_axes(axes, grid="x")
