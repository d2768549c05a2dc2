"""history: the events of one feature or raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset

_HISTORY_COLUMNS: Final = ("position", "kind", "object", "change", "detail", "author", "message")


@click.command("history", epilog=format_example("history lake-17"))
@click.argument("identity", metavar="ID")
@options.json_option
@options.pass_dataset
def history_command(dataset: Dataset, identity: str, as_json: bool) -> None:
    """List the events that changed one feature or raster."""
    output.print_rows(dataset.history(identity), _HISTORY_COLUMNS, as_json=as_json)
