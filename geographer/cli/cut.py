"""cut: chips from rasters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.dataset import Dataset


def _cutting(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all cuts share."""
    for option in reversed(_CUTTING):
        command = option(command)
    return command


_size = click.option(
    "--size",
    required=True,
    type=options.size,
    metavar="SIZE",
    help="Of a chip: pixels, as 512 or 640x480, or metres on the ground, as 2560m.",
)
_target_count = options.target_count("How many chips are to contain each, from different rasters.")

_CUTTING = (
    click.option(
        "--from", "source", default="source", show_default=True, metavar="COLLECTION", help="The rasters to cut."
    ),
    click.option("--rasters-where", default=None, metavar="SQL", help="Only such rasters; or @SELECTOR."),
    click.option(
        "--order-by",
        default=None,
        metavar="SQL",
        help="Which rasters come first, such as 'cloud_cover, acquired DESC', or random; as added when left out.",
    ),
    click.option(
        "--bands",
        multiple=True,
        type=options.bands,
        metavar="[PATTERN=]1,2,3",
        help="Which bands, from 1, of the rasters whose id fits a pattern, such as '*-dem=1'. Repeat it.",
    ),
    click.option(
        "--max-nodata", default=None, type=click.FloatRange(0, 1), metavar="SHARE", help="No chip with more nodata."
    ),
    click.option("--pad-value", default=None, type=float, help="What to pad with where a raster has no nodata."),
    click.option("--seed", default=0, show_default=True, help="Of what is random."),
    options.workers,
)


@click.group()
def cut() -> None:
    """Cut chips from rasters. The recipe NAME makes the collection NAME, and update keeps it up to date."""


@cut.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--size",
    default=None,
    type=options.size,
    metavar="SIZE",
    help="Of a chip: pixels, as 512 or 640x480, or metres on the ground, as 2560m.",
)
@click.option(
    "--mode",
    type=click.Choice(["centered", "random", "variable"]),
    default="centered",
    show_default=True,
    help="Where the feature lies in its chip; or a chip of variable size around it.",
)
@click.option(
    "--scale",
    default=1.2,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="A variable chip's size, times the feature's bounds.",
)
@click.option(
    "--min-size",
    default="32",
    show_default=True,
    type=options.size,
    metavar="SIZE",
    help="Its least size.",
)
@_target_count
@options.where
@click.option(
    "--at-border",
    type=click.Choice(["shift", "pad", "skip"]),
    default="shift",
    show_default=True,
    help="Shift a chip inside the raster, pad it with nodata, or skip it.",
)
@_cutting
@options.changing
@options.dataset
def around(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut chips around features.

    A feature that enough chips of the recipe contain already gets none, so clusters are not over-represented. One that
    is larger than a chip gets the smallest grid of chips that holds it.
    """
    result = dataset.cut_around_features(name, **_given(cutting), **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@cut.command()
@click.argument("name", metavar="NAME")
@_size
@click.option("--overlap", default=0, show_default=True, metavar="PIXELS", help="What neighbours share.")
@click.option(
    "--edge",
    type=click.Choice(["drop", "pad", "shift"]),
    default="shift",
    show_default=True,
    help="Drop the last column and row where they reach over the edge, pad them, or shift them inside.",
)
@click.option(
    "--cells",
    type=click.Choice(["all", "with-features"]),
    default="all",
    show_default=True,
    help="All, or those in which a feature lies.",
)
@options.where
@_cutting
@options.changing
@options.dataset
def grid(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut rasters into a grid of chips."""
    result = dataset.cut_grid(name, **_given(cutting), **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@cut.command()
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE")
@click.option("--id", "id", default=None, metavar="COLUMN", help="Of ids; 'box_id', 'id' or the row's number.")
@click.option("--crs", default=None, metavar="CRS", help="The CRS of the boxes, where the file does not say.")
@_target_count
@click.option(
    "--at-border",
    type=click.Choice(["pad", "skip"]),
    default="skip",
    show_default=True,
    help="Skip rasters that do not hold the whole box, or pad what they lack.",
)
@_cutting
@options.changing
@options.dataset
def boxes(dataset: Dataset, name: str, file: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut the boxes in FILE: for each the smallest window of whole pixels that holds it."""
    result = dataset.cut_boxes(name, file, **_given(cutting), **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@cut.command()
@click.argument("name", metavar="NAME")
@_size
@options.target_count(
    "How many different chips are to contain each; of several rasters where their windows contain the same."
)
@options.where
@click.option(
    "--at-border",
    type=click.Choice(["shift", "pad"]),
    default="shift",
    show_default=True,
    help="Chips lie inside their rasters, or are padded with nodata.",
)
@options.time_limit
@_cutting
@options.changing
@options.dataset
def cover(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut the fewest chips that contain all features, and record how few are proven to be possible."""
    result = dataset.cut_cover(name, **_given(cutting), **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@cut.command()
@click.argument("name", metavar="NAME")
@click.option("--cutter", required=True, metavar="CUTTER", help="An entry point, or module:Class.")
@click.option(
    "--size", default="512", show_default=True, type=options.size, metavar="SIZE", help="Handed to the cutter."
)
@click.option(
    "-O",
    "--option",
    "given",
    multiple=True,
    type=options.assignment,
    metavar="KEY=JSON",
    help="For the cutter.",
)
@options.where
@_cutting
@options.changing
@options.dataset
def own(
    dataset: Dataset,
    name: str,
    given: tuple[tuple[str, Any], ...],
    signature: dict[str, Any],
    as_json: bool,
    **cutting: Any,
) -> None:
    """Cut the windows that a cutter of your own chooses: a subclass of geographer.Cutter."""
    result = dataset.cut_own(name, options=dict(given), **_given(cutting), **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


def _given(cutting: dict[str, Any]) -> dict[str, Any]:
    """The options as `Dataset` takes them."""
    return {**cutting, "bands": dict(cutting["bands"])}
