"""split: assign rasters to parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options
from geographer.cli.help import format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult


@click.command("split", epilog=format_example("split split --collection chips --parts train=0.7,val=0.2,test=0.1"))
@click.argument("name", metavar="NAME")
@options.make_required_option("--collection NAME", "The collection of rasters to assign.")
@options.make_required_option(
    "--parts NAME=FRACTION,…", "The parts and their fractions of the rasters, such as train=0.7,val=0.15,test=0.15."
)
@options.by_option
@options.buffer_option
@options.make_choice_option("--stratify class", "none", "Approximate the fractions within each class, too.")
@options.make_where_option("features")
@options.make_value_option("--seed NUMBER", 0, "Seed of the choice among equally good assignments.")
@options.on_conflict_option
@options.print_change
def split_command(dataset: Dataset, name: str, **split_options: Any) -> ChangeResult:
    """Assign rasters to parts without leakage between them."""
    return dataset.split(name, **split_options)
