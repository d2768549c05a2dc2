"""Splits: the sizes of subsets against those wanted, the classes in them, their components, and where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.text import format_count
from geographer.outputs.pictures.palette import OTHER_COLOUR, TEXT_COLOUR, Style, assign_subset_styles
from geographer.outputs.plots.plot import Plot, PlotTable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SPLITS: Final = "SELECT DISTINCT split FROM current_split ORDER BY split"
_MAX_CLASSES: Final = 12
_MAX_COMPONENTS: Final = 60
_MAX_MAPS: Final = 6
_MAPS_ACROSS: Final = 3
_MAX_POINTS: Final = 20_000
_NO_PART: Final = "no subset"
_NO_STYLE: Final = Style(OTHER_COLOUR, (), "diamond", ".")
_BACK_COLOUR: Final = "#b4b4b4"
_SUBSET_ORDER: Final = ("train", "val", "test")


class _Split(NamedTuple):
    """What is drawn.

    Attributes:
        name: The name of the split.
        parts: The names of its subsets.
        sizes: The number of rasters of each subset.
        wanted: The fraction wanted of each subset; empty if the split has no recipe.
        unassigned: How many rasters have no subset.
        classes: The number of features of each class by subset.
        components: The subset and the size of each component, the largest first.
        places: Longitudes and latitudes of the rasters of each subset, shape (n, 2).
    """

    name: str
    parts: Sequence[str]
    sizes: Mapping[str, int]
    wanted: Mapping[str, float]
    unassigned: int
    classes: Mapping[str, Mapping[str, int]]
    components: Sequence[tuple[str, int]]
    places: Mapping[str, NDArray[np.float64]]

    @property
    def subset_styles(self) -> dict[str, Style]:
        """How the subsets are drawn."""
        return assign_subset_styles(self.parts)


def plot_splits(revision: Revision, split: str | None = None) -> Plot:
    """Return the plot of a split; None: the only one.

    Raises:
        MissingLibraryError: matplotlib is not installed.
        NotFoundError: there is no such split, or none at all.
        UsageError: there are several, and none is named.
    """
    found = _read_split(revision, choose_split(revision, split))
    total = sum(found.sizes.values())
    rows: list[Sequence[Any]] = []
    for part in found.parts:
        share = found.sizes[part] / total if total else 0.0
        rows.append(("rasters", part, found.sizes[part], share, found.wanted.get(part)))
    if found.unassigned:
        rows.append(("rasters", _NO_PART, found.unassigned, None, None))
    for name, counts in found.classes.items():
        amount = sum(counts.values())
        rows += [
            (f"features of {name}", part, counts.get(part, 0), counts.get(part, 0) / amount, found.wanted.get(part))
            for part in found.parts
        ]
    notes = []
    if len(found.parts) > _MAX_MAPS:
        notes.append(f"Maps of {len(found.parts) - _MAX_MAPS} subsets are left out.")
    if not found.components:
        notes.append("The split has no recipe, so its components are not known.")
    sizes = ", ".join(f"{part} {found.sizes[part]:,}" for part in found.parts)
    components = f", in {format_count(len(found.components), 'component')}" if found.components else ""
    alt = f"Split '{found.name}' of {format_count(total, 'raster')}{components}: {sizes or 'no subset'}."
    columns = ("of", "subset", "number", "share", "wanted share")
    title = f"Split '{found.name}' at @{revision.position}"
    return Plot(title, alt, PlotTable(columns, rows), lambda: _draw_figure(found), notes=notes)


def choose_split(revision: Revision, split: str | None) -> str:
    """Return the split of a name, or the only one; errors as for `plot_splits`."""
    names = [name for (name,) in revision.fetch_rows(_SPLITS)]
    if not names:
        raise NotFoundError(f"no split at @{revision.position}. Make one with geographer split.")
    if split is None and len(names) > 1:
        raise UsageError(f"there are several splits: {quote_names(names)}. Name one with --split.")
    if split is not None and split not in names:
        raise NotFoundError(f"no split '{split}' at @{revision.position}. The splits are: {', '.join(names)}.")
    return names[0] if split is None else split


def sort_subsets(names: Sequence[str]) -> list[str]:
    """Return the names of subsets, train, val and test first."""
    return sorted(names, key=lambda name: (_SUBSET_ORDER.index(name) if name in _SUBSET_ORDER else 9, name))


def _read_split(revision: Revision, split: str) -> _Split:
    import numpy as np

    from geographer.planning.recipe import list_recipe_records

    members = revision.fetch_rows((_FOLDER / "split_members.sql").read_text(), {"split": split})
    part_of = {raster_id: part for raster_id, part, *_ in members}
    recipes = [record for record in list_recipe_records(revision) if record.kind == "split" and record.name == split]
    parameters = recipes[0].parameters if recipes else {}
    wanted = {part: float(fraction) for part, fraction in parameters.get("parts") or ()}
    parts = sort_subsets([*{part for part in part_of.values() if part is not None} | {*wanted}])
    classes: dict[str, dict[str, int]] = {}
    for name, part, features in revision.fetch_rows((_FOLDER / "split_classes.sql").read_text(), {"split": split}):
        classes.setdefault(name, {})[part] = features
    sizes = Counter(part_of.values())
    places = {
        part: np.array([place for _, own, *place in members if own == part], np.float64).reshape(-1, 2)
        for part in parts
    }
    return _Split(
        split,
        parts,
        {part: sizes.get(part, 0) for part in parts},
        wanted,
        sizes.get(None, 0),
        classes,
        _measure_components(revision, parameters, part_of),
        {part: points[np.isfinite(points).all(axis=1)] for part, points in places.items()},
    )


def _measure_components(
    revision: Revision, parameters: Mapping[str, Any], part_of: Mapping[str, str | None]
) -> list[tuple[str, int]]:
    """Return the subset and the size of each component, the largest first."""
    if "collection" not in parameters:
        return []
    from geographer.planning.split_constraints.groups import list_components

    found = list_components(revision, parameters["collection"], parameters)
    sizes = Counter((component, part_of.get(raster_id) or _NO_PART) for raster_id, component in found.items())
    return sorted(((part, size) for (_, part), size in sizes.items()), key=lambda item: (-item[1], item[0]))


def _draw_figure(split: _Split) -> Figure:
    from geographer.outputs.plots.figure import add_legend, clean_text, make_area_key, make_panels

    shown = min(len(split.classes), _MAX_CLASSES)
    rows = max(1, -(-min(len(split.parts), _MAX_MAPS) // _MAPS_ACROSS))
    heights = [0.1 + 0.3 * max(len(split.parts), 1), 0.1 + 0.27 * max(shown, 1), 1.1, *[1.8] * rows]
    figure, (upper, middle, lower, *maps) = make_panels(f"Split '{split.name}'", heights)
    _draw_sizes(upper, split)
    _draw_classes(middle, split)
    _draw_components(lower, split)
    _draw_maps(maps, split)
    styles: dict[str, Style] = {**split.subset_styles, _NO_PART: _NO_STYLE} if split.unassigned else split.subset_styles
    keys = [(make_area_key(style, alpha=0.75), clean_text(part)) for part, style in styles.items()]
    add_legend(upper, keys)
    return figure


def _draw_sizes(axes: Axes, split: _Split) -> None:
    """Draw the shares of the subsets as bars, and those wanted as lines across."""
    from geographer.outputs.plots.figure import area_options, clean_axes, clean_text

    total = max(sum(split.sizes.values()), 1)
    for row, part in enumerate(split.parts):
        share = 100 * split.sizes[part] / total
        axes.barh(row, share, 0.66, **area_options(split.subset_styles[part], 0.75))
        wanted = f", wanted {100 * split.wanted[part]:.3g} %" if part in split.wanted else ""
        axes.text(
            max(share, 100 * split.wanted.get(part, 0)) + 1,
            row,
            f"{split.sizes[part]:,} ({share:.3g} %{wanted})",
            va="center",
        )
        if part in split.wanted:
            axes.plot([100 * split.wanted[part]] * 2, [row - 0.43, row + 0.43], color=TEXT_COLOUR, linewidth=2.2)
    axes.set_yticks(range(len(split.parts)), [clean_text(part) for part in split.parts])
    axes.set_ylim(max(len(split.parts), 1) - 0.4, -0.6)
    axes.set_xlim(0, 135)
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    rest = f", {split.unassigned:,} more without subset" if split.unassigned else ""
    axes.set_title(f"{format_count(sum(split.sizes.values()), 'raster')} by subset in %{rest}; lines: as wanted")
    clean_axes(axes, grid="x")


def _draw_classes(axes: Axes, split: _Split) -> None:
    """Draw the shares of the subsets in the features of each class, one beside the other."""
    from geographer.outputs.plots.figure import area_options, clean_axes, clean_text, write_message

    if not split.classes:
        write_message(axes, "no features on the rasters of the split")
        return
    ranked = sorted(split.classes.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    for row, (_, counts) in enumerate(ranked[:_MAX_CLASSES]):
        total, left = sum(counts.values()), 0.0
        for part in split.parts:
            width = 100 * counts.get(part, 0) / total
            axes.barh(row, width, 0.7, left, **area_options(split.subset_styles[part], 0.75), linewidth=0.6)
            if width > 7:
                axes.text(
                    left + width / 2,
                    row,
                    f"{counts[part]:,}",
                    va="center",
                    ha="center",
                    bbox=_LABEL_BOX,
                    fontsize=8,
                    zorder=6,
                )
            left += width
    reached = 0.0
    for part in split.parts[:-1] if split.wanted else ():
        reached += 100 * split.wanted.get(part, 0.0)
        axes.axvline(reached, color=TEXT_COLOUR, linewidth=1.4, linestyle=(0, (4, 2)), zorder=4)
    labels = [f"{clean_text(name, 24)} ({sum(counts.values()):,})" for name, counts in ranked[:_MAX_CLASSES]]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    rest = f"; {len(ranked) - _MAX_CLASSES} more classes are in the table" if len(ranked) > _MAX_CLASSES else ""
    axes.set_title(f"features by class in %, a feature in each subset that shows it{rest}")
    clean_axes(axes)


_LABEL_BOX: Final = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.2}


def _draw_components(axes: Axes, split: _Split) -> None:
    """Draw the sizes of the components, which no subset divides."""
    from geographer.outputs.plots.figure import area_options, clean_axes, format_count_axis, write_message

    if not split.components:
        write_message(axes, "components: not known")
        return
    for place, (part, size) in enumerate(split.components[:_MAX_COMPONENTS]):
        axes.bar(place, size, 0.8, **area_options(split.subset_styles.get(part, _NO_STYLE), 0.75), linewidth=0.6)
    rest = split.components[_MAX_COMPONENTS:]
    more = f"; {len(rest):,} more, of at most {format_count(rest[0][1], 'raster')}, are not drawn" if rest else ""
    axes.set_title(f"rasters in each of {format_count(len(split.components), 'component')}{more}")
    axes.set_xticks([])
    axes.set_xlim(-0.8, max(min(len(split.components), _MAX_COMPONENTS), 12) - 0.2)
    format_count_axis(axes, "y")
    clean_axes(axes, grid="y")


def _draw_maps(rows: Sequence[Axes], split: _Split) -> None:
    """Draw a small map for each subset, with the rasters of all in grey."""
    import numpy as np

    from geographer.outputs.plots.figure import MATPLOTLIB_MARKERS, clean_text, divide_panel, write_message
    from geographer.outputs.plots.geo_axes import find_map_extent, prepare_map_axes, wrap_longitudes

    parts = split.parts[:_MAX_MAPS]
    everything = np.concatenate([split.places[part] for part in split.parts]) if split.parts else np.empty((0, 2))
    if not len(everything):
        write_message(rows[0], "no raster has a place on the globe")
        return
    extent = find_map_extent(np.concatenate([everything, everything], axis=1), max_ratio=1.6)
    panels = [panel for axes in rows for panel in divide_panel(axes, _MAPS_ACROSS, 0.1)]
    for panel, part in zip(panels, parts, strict=False):
        for points, colour, size in (
            (everything, _BACK_COLOUR, 5.0),
            (split.places[part], split.subset_styles[part].colour, 11.0),
        ):
            step = max(1, len(points) // _MAX_POINTS)
            x = wrap_longitudes(points[::step, 0], extent.cut)
            is_front = colour != _BACK_COLOUR
            panel.scatter(
                x,
                points[::step, 1],
                s=size,
                marker=MATPLOTLIB_MARKERS[split.subset_styles[part].marker] if is_front else "o",
                facecolor=colour,
                edgecolor=TEXT_COLOUR if is_front else "none",
                linewidth=0.3,
                rasterized=len(x) > 1000,
            )
        prepare_map_axes(panel, extent, ticks=2, has_scale=False)
        panel.set_title(f"{clean_text(part, 16)}: {split.sizes[part]:,}")
    for panel in panels[len(parts) :]:
        panel.set_axis_off()
