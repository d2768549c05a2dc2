"""components: group the rasters that no split separates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output
from geographer.cli.help import format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.command("components", epilog=format_example("components --collection chips --buffer 25000"))
@options.make_value_option("--collection NAME", "source", "The collection of rasters to group.")
@options.by_option
@options.buffer_option
@options.make_where_option("features")
@options.at_option
@options.json_option
@options.pass_dataset
def components_command(dataset: Dataset, as_json: bool, **component_options: Any) -> None:
    """List the groups of rasters that must stay together.

    A split with the same options assigns all rasters of a group to the same part.
    """
    rows = dataset.components(**component_options).to_pylist()
    output.print_rows(rows, ("raster_id", "component"), as_json=as_json)
