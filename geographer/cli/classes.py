"""classes: list, remap, mark as context, or derive from probabilities."""

import click

from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.requests import make_request_command
from geographer.dataset.reader import DatasetReader
from geographer.operations.classes.context import SetContextClasses
from geographer.operations.classes.probabilities import SetClassesFromProbabilities
from geographer.operations.classes.remap import RemapClasses


@click.group("classes", cls=CommandGroup, epilog=format_example("classes remap football,baseball=ball"))
def classes_command() -> None:
    """List, combine, rename or drop classes; mark them as context; derive them from probabilities."""


@classes_command.command("list", epilog=format_example("classes list --at v1"))
@options.at_option
@options.json_option
@options.pass_dataset
def list_classes_command(dataset: DatasetReader, at: str | None, as_json: bool) -> None:
    """List the classes with their values and their numbers of features.

    If there are context classes, which labels do not draw, is_context says which.
    """
    rows = dataset.classes(at).to_pylist()
    names = ["class", "value", "features"]
    if any(row["is_context"] for row in rows):
        names.append("is_context")
    output.print_rows([{name: row[name] for name in names} for row in rows], names, as_json=as_json)


classes_command.add_command(make_request_command("remap", RemapClasses))
classes_command.add_command(make_request_command("context", SetContextClasses))
classes_command.add_command(make_request_command("from-probabilities", SetClassesFromProbabilities), old_name="harden")
