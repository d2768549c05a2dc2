"""attributes: list, set and remove named values that users keep with the dataset."""

import json

import click

from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.requests import make_request_command
from geographer.dataset.reader import DatasetReader
from geographer.operations.attributes import RemoveAttributes, SetAttributes


@click.group("attributes", cls=CommandGroup, epilog=format_example("attributes set sensor=Sentinel-2 resolution=10"))
def attributes_command() -> None:
    """List, set or remove attributes: named values that users keep with the dataset."""


@attributes_command.command("list", epilog=format_example("attributes list --at v1 --json"))
@options.at_option
@options.json_option
@options.pass_dataset
def list_attributes_command(dataset: DatasetReader, at: str | None, as_json: bool) -> None:
    """List the attributes of a revision.

    With --json, one object has all values by name.
    """
    attributes = dataset.read_attributes(at)
    if as_json:
        output.print_json_line(attributes)
    else:
        output.print_table(("attribute", "value"), [(name, format_value(value)) for name, value in attributes.items()])


def format_value(value: object) -> str:
    """Return a value in one line: a text as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


attributes_command.add_command(make_request_command("set", SetAttributes))
attributes_command.add_command(make_request_command("remove", RemoveAttributes))
