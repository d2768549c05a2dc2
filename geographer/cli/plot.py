"""plot: draw maps, contact sheets, class balance, splits and the timeline."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.named_text import NamedText
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.outputs.plots.plot import Plot

_RASTER: Final = NamedText("raster")
_BANDS: options.Decorator = options.make_option(
    "--bands BANDS", "those that the file marks", "One band, or red, green and blue: 4,3,2."
)
_STRETCH: options.Decorator = options.make_option(
    "--stretch 2,98|0:3000|none", "2,98; uint8 stays as it is", "What becomes black and white: percentiles, or values."
)
_SPLIT: options.Decorator = options.make_option("--split NAME", "the only one", "The split whose subsets are shown.")


def _write_plot(command: Callable[..., "Plot"]) -> Callable[..., None]:
    """Add the options of all plots to a function that makes one; write the plot, and print what it shows."""

    @click.option("-o", "--output", "path", metavar="FILE", required=True, help="The file: .png, .svg or .html.")
    @click.option(
        "--dpi",
        metavar="COUNT",
        type=click.IntRange(10, 1200),
        default=150,
        show_default=True,
        help="Pixels per inch of a PNG.",
    )
    @options.at_option
    @options.json_object_option
    @options.pass_dataset
    @wraps(command)
    def run_command(dataset: DatasetReader, path: str, dpi: int, as_json: bool, **values: Any) -> None:
        from geographer.outputs.plots.plot import require_plot_suffix

        require_plot_suffix(path)
        plot = command(dataset, **values)
        plot.write_file(path, dpi=dpi, root=dataset.root)
        if as_json:
            table = {"columns": [*plot.table.columns], "rows": [[*row] for row in plot.table.rows]}
            output.print_json_line({"path": path, "text": plot.alt, "notes": [*plot.notes], **table})
            return
        click.echo(f"'{path}': {plot.alt}")
        for note in plot.notes:
            click.echo(note, err=True)

    return run_command


@click.group(
    "plot", cls=CommandGroup, epilog=format_example("plot map -o map.html", "plot chips --subset test -o test.png")
)
def plot_command() -> None:
    """Draw a map, a contact sheet of chips, classes, splits or the timeline.

    The suffix of the file says the format. HTML is one page without requests, with the numbers as a table; that of a
    map can be moved and zoomed. Equal revisions give equal bytes.
    """


@plot_command.command("map", epilog=format_example("plot map --class lake --split folds -o map.html"))
@options.make_option("--where SQL", "all", "Only features for which this SQL expression is true.")
@options.make_option("--class classes NAME", "all", "Only features of this class. Repeatable.", multiple=True)
@options.make_option("--collection NAME", "all", "Only rasters of this collection.")
@_SPLIT
@options.make_option(
    "--background RASTER", "none", "A raster to draw under the features; the map shows its extent.", type=_RASTER
)
@_BANDS
@_STRETCH
@_write_plot
def map_command(dataset: DatasetReader, classes: tuple[str, ...], **values: Any) -> "Plot":
    """Draw features by class, and footprints of rasters, chips by subset.

    More than 5,000 features are drawn as their number in each cell of a grid. With --background, the map shows the
    extent of a raster and what meets it; with --where or --class, the part where those features are.
    """
    plot: Plot = dataset.plot.map(class_=classes or None, **values)
    return plot


@plot_command.command("chips", epilog=format_example("plot chips --subset test --labels mask -o test.png"))
@click.argument("rasters", metavar="[RASTER]...", nargs=-1)
@_SPLIT
@options.make_option("--subset PART", "all", "Only samples of this subset. Repeatable.", multiple=True)
@options.make_option("--collection NAME", "of the split, or the only one of chips", "Only samples of this one.")
@options.make_option("--class classes NAME", "all", "Only samples that show this class. Repeatable.", multiple=True)
@options.make_option(
    "--labels NAME", "a mask and a label of boxes", "The label to draw; repeatable. 'none': no label.", multiple=True
)
@_BANDS
@_STRETCH
@click.option(
    "--columns",
    metavar="COUNT",
    type=click.IntRange(1, 20),
    default=6,
    show_default=True,
    help="How many pictures are side by side.",
)
@click.option(
    "--limit",
    metavar="COUNT",
    type=click.IntRange(1, 400),
    default=24,
    show_default=True,
    help="How many pictures at most.",
)
@click.option("--no-fetch", is_flag=True, help="Do not fetch files that are not on this machine.")
@_write_plot
def chips_command(
    dataset: DatasetReader,
    rasters: tuple[str, ...],
    classes: tuple[str, ...],
    labels: tuple[str, ...],
    subset: tuple[str, ...],
    no_fetch: bool,
    **values: Any,
) -> "Plot":
    """Draw images with their masks, instances and boxes side by side.

    Samples are shown, or the rasters named as arguments. Of more than --limit samples, a digest of their ids chooses.
    Images without any label have the outlines of their features, with their ids, unless --labels is 'none'.
    """
    drawn: Any = [] if labels == ("none",) else labels or None
    plot: Plot = dataset.plot.chips(
        rasters or None, subset=subset or None, class_=classes or None, labels=drawn, fetch=not no_fetch, **values
    )
    return plot


@plot_command.command("classes", epilog=format_example("plot classes --split folds -o classes.svg"))
@_SPLIT
@options.make_option("--collection NAME", "of the split, or the only one of chips", "Only samples of this one.")
@options.make_option("--labels label NAME", "the only mask, or the first", "The mask whose pixels are counted.")
@click.option("--no-pixels", is_flag=True, help="Count features alone.")
@_write_plot
def classes_command(dataset: DatasetReader, no_pixels: bool, **values: Any) -> "Plot":
    """Draw the features and the pixels of each class by subset."""
    plot: Plot = dataset.plot.classes(pixels=not no_pixels, **values)
    return plot


@plot_command.command("splits", epilog=format_example("plot splits --split folds -o folds.png"))
@_SPLIT
@_write_plot
def splits_command(dataset: DatasetReader, split: str | None, at: str | None) -> "Plot":
    """Draw a split: subsets against the sizes wanted, classes, components, places."""
    plot: Plot = dataset.plot.splits(split, at=at)
    return plot


@plot_command.command("timeline", epilog=format_example("plot timeline -o timeline.svg"))
@click.option(
    "--by",
    type=click.Choice(["event", "time"]),
    default="event",
    show_default=True,
    help="Space events evenly, or by their times.",
)
@_write_plot
def timeline_command(dataset: DatasetReader, by: Any, at: str | None) -> "Plot":
    """Draw events by kind, tags, and the number of objects after each event."""
    plot: Plot = dataset.plot.timeline(by=by, at=at)
    return plot
