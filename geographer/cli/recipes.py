"""cut, label, split and update: the recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.dataset import Dataset


def _cutting(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both cuts share."""
    for option in reversed(_CUTTING):
        command = option(command)
    return command


_CUTTING = (
    click.option(
        "--size",
        required=True,
        type=options.size,
        metavar="PIXELS",
        help="Width and height of a chip, such as 512 or 640x480.",
    ),
    click.option(
        "--bands", default=None, type=options.numbers, metavar="1,2,3", help="Which bands, from 1; all when left out."
    ),
    click.option(
        "--from", "source", default="source", show_default=True, metavar="COLLECTION", help="The rasters to cut."
    ),
    click.option(
        "--at-border",
        type=click.Choice(["shift", "pad", "skip"]),
        default="shift",
        show_default=True,
        help="Shift a chip inside the raster, pad it with nodata, or skip it.",
    ),
    click.option("--pad-value", default=None, type=float, help="What to pad with, instead of nodata."),
    options.workers,
)


@click.group()
def cut() -> None:
    """Cut chips from rasters: around features, or in a grid."""


@cut.command()
@click.argument("name", metavar="NAME")
@_cutting
@click.option(
    "--mode",
    type=click.Choice(["centered", "random"]),
    default="centered",
    show_default=True,
    help="Where the feature lies in its chip.",
)
@click.option("--seed", default=0, show_default=True, help="Of the random places.")
@click.option(
    "--target-count",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How many chips, from different rasters, are to contain each feature.",
)
@options.where
@options.changing
@options.dataset
def around(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut chips around features: the recipe NAME, whose chips become the collection NAME.

    A feature that enough chips of the recipe contain already gets none, so clusters are not over-represented.
    """
    result = dataset.cut_around_features(name, **cutting, **signature)
    render.recorded(result, as_json=as_json, dry_run=signature["dry_run"])


@cut.command()
@click.argument("name", metavar="NAME")
@_cutting
@options.changing
@options.dataset
def grid(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **cutting: Any) -> None:
    """Cut rasters into a grid of chips: the recipe NAME, whose chips become the collection NAME."""
    render.recorded(dataset.cut_grid(name, **cutting, **signature), as_json=as_json, dry_run=signature["dry_run"])


@click.group()
def label() -> None:
    """Make labels for rasters."""


@label.command()
@click.argument("name", metavar="NAME")
@click.option("--collection", required=True, help="The rasters to label.")
@options.workers
@options.changing
@options.dataset
def mask(dataset: Dataset, name: str, collection: str, workers: int, signature: dict[str, Any], as_json: bool) -> None:
    """Burn a class mask for each raster of a collection: one class value a pixel, 0 is background."""
    result = dataset.label_masks(name, collection=collection, workers=workers, **signature)
    render.recorded(result, as_json=as_json, dry_run=signature["dry_run"])


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--collection", required=True, help="The rasters to assign.")
@click.option(
    "--parts",
    required=True,
    type=options.shares,
    metavar="NAME=SHARE,…",
    help="The parts and their shares, such as train=0.7,val=0.15,test=0.15.",
)
@click.option(
    "--by",
    type=click.Choice(["object", "overlap"]),
    default="overlap",
    show_default=True,
    help="Never part rasters that share an object, or also those that share pixels.",
)
@click.option(
    "--buffer",
    default=0.0,
    show_default=True,
    metavar="METRES",
    type=click.FloatRange(0),
    help="Nor those within so many metres of each other.",
)
@click.option(
    "--stratify",
    type=click.Choice(["class"]),
    default=None,
    help="Keep near to the shares in every class, too.",
)
@click.option("--seed", default=0, show_default=True, help="Decides among assignments that are equally good.")
@options.on_conflict
@options.changing
@options.dataset
def split(dataset: Dataset, name: str, signature: dict[str, Any], as_json: bool, **wanted: Any) -> None:
    """Assign rasters to parts so that nothing leaks between them."""
    render.recorded(dataset.split(name, **wanted, **signature), as_json=as_json, dry_run=signature["dry_run"])


@click.command()
@options.workers
@options.on_conflict
@options.changing
@options.dataset
def update(dataset: Dataset, workers: int, on_conflict: Any, signature: dict[str, Any], as_json: bool) -> None:
    """Run every recipe for what is new.

    Each recipe that has something to do appends one event; what they made before stays as it is.
    """
    results = dataset.update(workers=workers, on_conflict=on_conflict, **signature)
    for result in results:
        render.recorded(result, as_json=as_json, dry_run=signature["dry_run"])
    if not results and not as_json:
        click.echo("no recipe yet: see geographer cut, label and split")
