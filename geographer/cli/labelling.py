"""label: what rasters show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, render

if TYPE_CHECKING:
    from geographer.dataset import Dataset


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
