"""label: label rasters and box files on the grids of rasters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from geographer.cli import options
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult

_WIDTH_HELP: Final = "Width of lines and points, in pixels or metres."
_OVERLAP_HELP: Final = "Which of several overlapping objects is on top"
_shared_options = options.combine_options(
    options.make_option("--width 3px|5m", "the pixels that lines and points lie in", _WIDTH_HELP),
    options.workers_option,
    options.print_change,
)


@click.group("label", cls=CommandGroup, epilog=format_example("label mask mask --collection chips"))
def label_command() -> None:
    """Make labels for the rasters of a collection.

    'geographer update' keeps them up to date.
    """


def _add_command(name: str, example: str) -> options.CommandDecorator:
    collection_option = options.make_required_option("--collection NAME", "The collection of rasters to label.")
    return options.add_recipe_command(label_command, name, example, collection_option)


@_add_command("mask", "label mask mask --collection chips --ignore 255")
@options.make_choice_option(
    "--overlap class-order|smallest-on-top|newest",
    "class-order",
    f"{_OVERLAP_HELP}; class-order: the one whose class has the larger value.",
)
@options.make_flag("--all-touched", "Burn every pixel that an object touches, not only those whose centre it covers.")
@options.make_option(
    "--ignore VALUE", "none", "The value of pixels without valid data, which training is to ignore.", type=int
)
@options.make_option(
    "--ignore-where SQL",
    "no features",
    "Also burn the --ignore value over features for which this SQL expression is true.",
)
@_shared_options
def label_mask_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make a class mask for each raster: one class value per pixel, 0 for background."""
    return dataset.label_masks(name, **label_options)


@_add_command("probabilities", "label probabilities soft --collection chips")
@options.make_pairs_option(
    "--probability columns CLASS=COLUMN",
    "The column that holds the probability of a class.",
    shown_default="prob_of_class_CLASS",
)
@options.make_flag("--background-band", "Add a first band: 1 minus the sum of the classes.")
@options.make_choice_option("--combine mean|max", "mean", "How to combine the probabilities of overlapping objects.")
@_shared_options
def label_probabilities_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make a raster with one band of probabilities per class, from columns of the features."""
    return dataset.label_probabilities(name, **label_options)


@_add_command("instances", "label instances instances --collection chips")
@options.make_choice_option("--overlap smallest-on-top|newest", "smallest-on-top", f"{_OVERLAP_HELP}.")
@_shared_options
def label_instances_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make a raster with a number per object; 'geographer objects' lists the objects."""
    return dataset.label_instances(name, **label_options)


@_add_command("multilabel", "label multilabel classes --collection chips")
@_shared_options
def label_multilabel_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make a raster with one band of 0 and 1 per class, so that classes may overlap."""
    return dataset.label_multilabel(name, **label_options)


@_add_command("boxes", "label boxes boxes --collection chips --min-visible 0.5")
@options.make_value_option(
    "--min-visible FRACTION", 0.0, "Drop objects of which a smaller fraction lies on the raster."
)
@options.make_value_option("--width 3px|5m", "1px", _WIDTH_HELP)
@options.workers_option
@options.print_change
def label_boxes_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make a JSON file of axis-aligned and oriented boxes in pixel coordinates; 'geographer objects' lists them."""
    return dataset.label_boxes(name, **label_options)


@_add_command("custom", "label custom depth --collection chips --maker my_module:Depths")
@options.make_required_option("--maker NAME", "A label maker: an entry point of geographer.labels, or module:Class.")
@options.make_pairs_option("--option options KEY=VALUE", "An option of the label maker; the value is JSON or text.")
@_shared_options
def label_custom_command(dataset: Dataset, name: str, **label_options: Any) -> ChangeResult:
    """Make labels with your own label maker, a class as geographer.LabelMaker describes."""
    return dataset.label_custom(name, **label_options)


label_command.add_old_name("soft", label_probabilities_command)
label_command.add_old_name("own", label_custom_command)
