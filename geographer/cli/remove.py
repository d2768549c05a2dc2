"""remove: features, rasters or a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult


@click.group("remove", cls=CommandGroup, epilog=format_example("remove features lake-17 lake-18"))
def remove_command() -> None:
    """Remove features, rasters or a recipe; earlier revisions keep them."""


@remove_command.command("features", epilog=format_example("remove features lake-17 lake-18 -m 'drained'"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@options.print_change
def remove_features_command(dataset: Dataset, ids: tuple[str, ...], **commit_options: Any) -> ChangeResult:
    """Remove features."""
    return dataset.remove_features(ids, **commit_options)


@remove_command.command("rasters", epilog=format_example("remove rasters S2A_21S018E308N -m 'clouds'"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@options.print_change
def remove_rasters_command(dataset: Dataset, ids: tuple[str, ...], **commit_options: Any) -> ChangeResult:
    """Remove rasters with their labels and split assignments; DVC's cache keeps the bytes."""
    return dataset.remove_rasters(ids, **commit_options)


@remove_command.command("recipe", epilog=format_example("remove recipe s2 --keep"))
@click.argument("name", metavar="NAME")
@options.make_flag("--keep", "Keep what the recipe made, such as downloaded rasters.")
@options.print_change
def remove_recipe_command(dataset: Dataset, name: str, **remove_options: Any) -> ChangeResult:
    """Remove a recipe and all that it made; its name can be used again."""
    return dataset.remove_recipe(name, **remove_options)
