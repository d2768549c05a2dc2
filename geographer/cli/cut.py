"""cut: chips from rasters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult

_SIZE_HELP = "Width and height of a chip, in pixels (512, 640x480) or metres on the ground (2560m)."
_size_option = options.make_required_option("--size SIZE", _SIZE_HELP)
_shared_options = options.combine_options(
    options.make_value_option("--from source COLLECTION", "source", "The collection of rasters to cut."),
    options.rasters_where_option,
    options.make_option(
        "--order-by SQL",
        "the order of addition",
        "Which rasters to use first, such as 'cloud_cover, acquired DESC', or random.",
    ),
    options.make_list_option(
        "--bands [PATTERN=]1,2,3",
        "all bands",
        "Band numbers, from 1; with a pattern of raster ids, only for those, such as '*-dem=1'.",
        callback=lambda _context, _parameter, bands: dict(bands),
    ),
    options.make_option("--max-nodata FRACTION", "no limit", "Skip chips with a larger fraction of nodata pixels."),
    options.make_option(
        "--pad-value VALUE",
        "the raster's nodata value",
        "The pixel value of padding, for rasters without a nodata value.",
        type=float,
    ),
    options.make_value_option("--seed NUMBER", 0, "Seed of all random choices."),
    options.workers_option,
    options.print_change,
)


@click.group("cut", cls=CommandGroup, epilog=format_example("cut around chips --size 512"))
def cut_command() -> None:
    """Cut chips from rasters.

    The recipe NAME makes the collection NAME, and 'geographer update' keeps it up to date.
    """


_add_command = partial(options.add_recipe_command, cut_command)


@_add_command("around", "cut around chips --size 512 --where \"class = 'lake'\"")
@options.make_option("--size SIZE", "required, except with --mode variable", _SIZE_HELP)
@options.make_choice_option(
    "--mode centered|random|variable",
    "centered",
    "Where the feature lies in its chip; 'variable' chips have the size of their feature, times --scale.",
)
@options.make_value_option("--scale FACTOR", 1.2, "Size of a variable chip, as a multiple of the feature's bounds.")
@options.make_value_option("--min-size SIZE", "32", "Smallest size of a variable chip, in pixels or metres.")
@options.make_target_count_option("How many chips, of different rasters, must contain each feature.")
@options.features_where_option
@options.make_choice_option(
    "--at-border shift|pad|skip",
    "shift",
    "At the raster's border: shift the chip inside, pad it with nodata, or skip it.",
)
@_shared_options
def cut_around_command(dataset: Dataset, name: str, **cut_options: Any) -> ChangeResult:
    """Cut chips around features.

    A feature that enough chips of the recipe contain already gets none, so clusters are not over-represented. A feature
    larger than a chip gets the smallest grid of chips that contains it.
    """
    return dataset.cut_around_features(name, **cut_options)


@_add_command("grid", "cut grid tiles --size 256 --overlap 32 --cells with-features")
@_size_option
@options.make_value_option("--overlap PIXELS", 0, "How many pixels neighbouring chips share.")
@options.make_choice_option(
    "--edge drop|pad|shift",
    "shift",
    "For a last column and row that exceed the raster: drop them, pad them, or shift them inside.",
)
@options.make_choice_option(
    "--cells all|with-features", "all", "Cut all cells of the grid, or those that intersect a feature."
)
@options.features_where_option
@_shared_options
def cut_grid_command(dataset: Dataset, name: str, **cut_options: Any) -> ChangeResult:
    """Cut rasters into a grid of chips."""
    return dataset.cut_grid(name, **cut_options)


@_add_command("boxes", "cut boxes drawn boxes.geojson --id box_id")
@click.argument("boxes", metavar="FILE")
@options.make_option("--id COLUMN", "box_id, else id, else the row number", "The column of the boxes' ids.")
@options.crs_option
@options.make_target_count_option("From how many rasters to cut each box.")
@options.make_choice_option(
    "--at-border pad|skip",
    "skip",
    "For rasters that do not contain the whole box: skip them, or pad the chip with nodata.",
)
@_shared_options
def cut_boxes_command(dataset: Dataset, name: str, boxes: str, **cut_options: Any) -> ChangeResult:
    """Cut the boxes in FILE, each as the smallest window of whole pixels that contains it."""
    return dataset.cut_boxes(name, boxes, **cut_options)


@_add_command("cover", "cut cover chips --size 512")
@_size_option
@options.make_target_count_option(
    "How many different chips must contain each feature; of different rasters where their windows are equivalent."
)
@options.features_where_option
@options.make_choice_option(
    "--at-border shift|pad",
    "shift",
    "Keep chips inside their rasters, or let them exceed the border, padded with nodata.",
)
@options.time_limit_option
@_shared_options
def cut_cover_command(dataset: Dataset, name: str, **cut_options: Any) -> ChangeResult:
    """Cut the fewest chips that contain all features, and record the proven minimum."""
    return dataset.cut_cover(name, **cut_options)


@_add_command("custom", "cut custom corners --cutter my_module:Corners -O inset=2")
@options.make_required_option("--cutter NAME", "An entry point of geographer.cutters, or module:Class.")
@options.make_value_option("--size SIZE", "512", "Size passed to the cutter, in pixels or metres.")
@options.make_pairs_option("-O --option options KEY=VALUE", "An option of the cutter; the value is JSON or text.")
@options.features_where_option
@_shared_options
def cut_custom_command(dataset: Dataset, name: str, **cut_options: Any) -> ChangeResult:
    """Cut the windows that your subclass of geographer.Cutter chooses."""
    return dataset.cut_custom(name, **cut_options)


cut_command.add_old_name("own", cut_custom_command)
