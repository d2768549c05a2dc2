"""cut: chips from rasters."""

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
