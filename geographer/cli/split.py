"""split and components: assign rasters to parts, and list the groups that no split separates."""

from typing import Any

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.requests import list_command_parameters, make_request_command
from geographer.dataset.reader import DatasetReader
from geographer.operations.split.recipe import Split

split_command = make_request_command("split", Split)


@click.command(
    "components",
    params=list_command_parameters(Split, "by", "buffer", "where", "near_duplicates"),
    epilog=format_example("components --collection chips --buffer 25000"),
)
@options.make_option("--collection NAME", True, "The collection of rasters to group.", default="source")
@options.at_option
@options.json_option
@options.pass_dataset
def components_command(dataset: DatasetReader, as_json: bool, **component_options: Any) -> None:
    """List the groups of rasters that must stay together.

    A split with the same options assigns all rasters of a group to the same part.
    """
    rows = dataset.components(**component_options).to_pylist()
    output.print_rows(rows, ("raster_id", "component"), as_json=as_json)
