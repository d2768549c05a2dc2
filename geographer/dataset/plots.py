"""Plots of a dataset: `dataset.plot.map()`, `.chips()`, `.classes()`, `.splits()` and `.timeline()`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geographer.base.errors import GeographerError, UsageError
from geographer.base.html import render_fields
from geographer.dataset.filters import Ids, RevisionSpec
from geographer.dataset.ids import read_ids
from geographer.dataset.training import TrainingReader
from geographer.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from geographer.outputs.plots.map_background import MapBackground
    from geographer.outputs.plots.plot import Plot
    from geographer.outputs.plots.timeline_plot import TimelineAxis


class DatasetPlots:
    """Plots of a dataset, which notebooks show, and which have `save(path)`: .png, .svg or .html.

    They need matplotlib, their pages jinja2, and the page of a map Bokeh: `pip install 'geographer-datasets[plot]'`.
    """

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work

    def draw_map(
        self,
        *,
        where: str | None = None,
        class_: str | Sequence[str] | None = None,
        collection: str | None = None,
        split: str | None = None,
        background: str | None = None,
        bands: str | Sequence[int | str] | None = None,
        stretch: str | tuple[float, float] | None = None,
        at: RevisionSpec = None,
    ) -> "Plot":
        """Return a map of the features by class, and of the footprints of rasters, chips by subset; in degrees.

        More than 5,000 features are drawn as their number in each cell of a grid.

        Args:
            where: An SQL expression over features: those to show.
            class_: Only features of this class, or these.
            collection: Only rasters of this collection.
            split: The split whose subsets the chips have. Default: the only one, if there is only one.
            background: The raster whose picture lies under the features; its file is fetched if it is not on this
                machine. The map then shows what meets its box; with `where` or `class_`, where those features are.
            bands: The bands of the background; see `draw_chips`.
            stretch: What becomes black and white in it; see `draw_chips`.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such revision, class, collection, split, raster or column.
            UsageError: `where` is not one SQL expression; the background has no pixels or no such band, or cannot be
                drawn in degrees; `bands` or `stretch` without `background`.
            StorageError: the file of the background was withdrawn, or cannot be fetched.
            CorruptError: the file of the background is damaged.
            MissingLibraryError: matplotlib is not installed.
        """
        from geographer.outputs.plots.map_plot import plot_map

        classes = _read_names("class_", class_)
        _require_texts(where=where, collection=collection, split=split, background=background)
        picture = self._choose_background(background, bands, stretch)
        chosen: dict[str, Any] = {"where": where, "classes": classes, "collection": collection, "split": split}
        with self._work.open_revision(at) as revision:
            return plot_map(revision, **chosen, background=picture)

    def _choose_background(self, raster_id: str | None, bands: Any, stretch: Any) -> "MapBackground | None":
        from geographer.outputs.pictures.settings import parse_picture_bands, parse_stretch
        from geographer.outputs.plots.map_background import MapBackground

        look = parse_picture_bands(bands), parse_stretch(stretch)
        if raster_id is not None:
            return MapBackground(self._work, raster_id, *look)
        if look != (None, None):
            raise UsageError("bands and stretch are those of the background. Name a raster with --background.")
        return None

    map = draw_map

    def draw_chips(
        self,
        raster: Ids | None = None,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        class_: str | Sequence[str] | None = None,
        labels: str | Sequence[str] | None = None,
        bands: str | Sequence[int | str] | None = None,
        stretch: str | tuple[float, float] | None = None,
        columns: int = 6,
        limit: int = 24,
        fetch: bool = True,
        at: RevisionSpec = None,
    ) -> "Plot":
        """Return a contact sheet of images with masks, instances and boxes, each with its id, subset and class.

        Of more samples than `limit`, those are shown that a digest of their ids chooses: the same ones every time.

        Args:
            raster: These rasters, in this order. Default: samples; see `Dataset.samples`.
            split: The split. Default: the only one, if there is only one.
            subset: Only samples of this subset, or these.
            collection: Only samples of this collection. Default: that of the split, or the only one of chips.
            class_: Only samples that show this class, or one of these.
            labels: The labels to draw; an empty list: none. Default: one mask (or the like), and one label of boxes; if
                these images have no label, the outlines of the features that they contain or intersect, with their ids.
            bands: One band, or red, green and blue, by number from 1 or by name, such as `4,3,2`. Default: those that
                the file marks, else the first three, or the first.
            stretch: What becomes black and white: two percentiles `2,98` of each band's valid pixels, two values
                `0:3000`, or `none`. Default: 2,98; uint8 stays as it is.
            columns: How many pictures are side by side, up to 20.
            limit: How many pictures there are at most, up to 400.
            fetch: Fetch files that are not on this machine; else a text takes their place.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such revision, raster, split, subset, collection, class or label.
            UsageError: several splits or collections fit, a raster has no such band, or an argument is invalid.
            StorageError: the remote cannot be reached.
            MissingLibraryError: matplotlib is not installed.
        """
        from geographer.outputs.pictures.settings import parse_picture_bands, parse_stretch
        from geographer.outputs.plots.chips_plot import ChipSelection, plot_chips

        _require_texts(split=split, collection=collection)
        chosen = ChipSelection(
            None if raster is None else read_ids(raster),
            split,
            _read_names("subset", subset),
            collection,
            _read_names("class_", class_),
            _read_names("labels", labels),
            limit,
        )
        look = {"bands": parse_picture_bands(bands), "stretch": parse_stretch(stretch)}
        with self._work.open_revision(at) as revision:
            return plot_chips(revision, self._work, chosen, **look, columns=columns, fetch=fetch)

    chips = draw_chips

    def draw_classes(
        self,
        *,
        split: str | None = None,
        collection: str | None = None,
        label: str | None = None,
        pixels: bool = True,
        at: RevisionSpec = None,
    ) -> "Plot":
        """Return bars of the features of each class, and of its pixels in a mask, by subset.

        Files are not fetched; what was counted in them is kept.

        Args:
            split: The split. Default: the only one, if there is only one.
            collection: The rasters that count. Default: that of the split, or the only one of chips, or of rasters.
            label: The mask whose pixels are counted. Default: the only one, or the first by name.
            pixels: Whether to count pixels.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such revision, split, collection or label.
            UsageError: several splits or collections fit.
            CorruptError: a mask cannot be read.
            MissingLibraryError: matplotlib is not installed.
        """
        from geographer.outputs.plots.classes_plot import plot_classes

        _require_texts(split=split, collection=collection, label=label)
        with self._work.open_revision(at) as revision:
            return plot_classes(
                revision, self._work, split=split, collection=collection, label=label, with_pixels=pixels
            )

    classes = draw_classes

    def draw_splits(self, split: str | None = None, *, at: RevisionSpec = None) -> "Plot":
        """Return the sizes of a split's subsets against those wanted, their classes, components and places.

        Args:
            split: The split. Default: the only one.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such revision or split, or no split at all.
            UsageError: there are several splits: name one.
            MissingLibraryError: matplotlib is not installed.
        """
        from geographer.outputs.plots.splits_plot import plot_splits

        _require_texts(split=split)
        with self._work.open_revision(at) as revision:
            return plot_splits(revision, split)

    splits = draw_splits

    def draw_timeline(self, *, by: "TimelineAxis" = "event", at: RevisionSpec = None) -> "Plot":
        """Return the events by kind, the tags, and the numbers of features, rasters and chips after each event.

        Args:
            by: 'event': events are evenly spaced; 'time': as far apart as their times.
            at: The revision up to which events count. Default: the head.

        Raises:
            NotFoundError: there is no such revision.
            UsageError: `by` is neither.
            MissingLibraryError: matplotlib is not installed.
        """
        from geographer.outputs.plots.timeline_plot import plot_timeline

        with self._work.open_revision(at) as revision:
            return plot_timeline(revision, by=by)

    timeline = draw_timeline

    def __repr__(self) -> str:
        return f"Plots of '{self._work.root}': .map(), .chips(), .classes(), .splits(), .timeline()"


class PlotReader(TrainingReader):
    """What can be plotted of a dataset."""

    def _make_plots(self) -> DatasetPlots:
        return DatasetPlots(self._unit_of_work)

    plot = property(_make_plots, doc=DatasetPlots.__doc__)

    def _render_overview(self, read_status: Callable[[], Mapping[str, Any]]) -> str:
        """Return a small map, if there is anything to show, and the table of the status, for notebooks."""
        from geographer.outputs.plots.small_map import draw_small_map

        try:
            table = render_fields("Dataset", read_status())
            with self._unit_of_work.open_revision(None) as revision:
                return draw_small_map(revision) + table
        except GeographerError as error:
            return render_fields("Dataset", {"root": self._unit_of_work.root, "error": error})


def _read_names(argument: str, value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    names = [value] if isinstance(value, str) else [*value]
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"invalid {argument} {value!r}. Use a name, or a list of names.")
    return names


def _require_texts(**arguments: str | None) -> None:
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"invalid {name} {value!r}. Use a text.")
