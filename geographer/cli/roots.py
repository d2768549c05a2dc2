"""roots: list and set the folders of this machine that references lie in."""

from typing import Any

import click

from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.named_text import NamedText
from geographer.dataset.reader import DatasetReader


@click.group(
    "roots",
    cls=CommandGroup,
    invoke_without_command=True,
    epilog=format_example("roots set sentinel2 /data/sentinel2"),
)
@options.json_option
@click.pass_context
def roots_command(ctx: click.Context, as_json: bool) -> None:
    """List or set the folders of this machine that references lie in.

    The log records a raster outside the dataset's folder that is added with --mode reference as {NAME}/PATH, where NAME
    is a root. Each machine sets the folder of the root; the log does not know it. Without a command, the roots that are
    set or that the log names are listed, with the number of references of the head, and of files that were found.
    """
    if ctx.invoked_subcommand is None:
        dataset = DatasetReader.open(ctx.obj, progress=output.show_progress)
        for row in dataset.list_roots().to_pylist():
            _print_root(row, as_json=as_json)


@roots_command.command("set", epilog=format_example("roots set sentinel2 /data/sentinel2"))
@click.argument("name", metavar="NAME", type=NamedText("root"))
@click.argument("root_folder", metavar="DIR|URL")
@options.json_option
@options.pass_dataset
def set_root_command(dataset: DatasetReader, name: str, root_folder: str, as_json: bool) -> None:
    """Set the folder, or the URL, of a root on this machine.

    Files are not moved, and the log does not change.
    """
    dataset.set_root(name, root_folder)
    (row,) = [row for row in dataset.list_roots().to_pylist() if row["name"] == name]
    _print_root(row, as_json=as_json)


def _print_root(row: dict[str, Any], *, as_json: bool) -> None:
    name, references = row["name"], format_count(row["references"], "referenced file")
    if as_json:
        output.print_json_line(row)
    elif row["folder"] is None:
        click.echo(f"root '{name}' is not set on this machine ({references}): geographer roots set {name} DIR")
    else:
        lacking = "" if row["exists"] else ", which does not exist"
        click.echo(f"root '{name}' is {row['folder']} on this machine{lacking}: {row['found']:,} of {references} found")
