"""extract: make a new dataset of one collection."""

import os
from pathlib import Path
from typing import Any

import click

from geographer.cli import options, output
from geographer.cli.help import format_example


@click.command("extract", epilog=format_example("extract chips --to ../lake_chips --at v1"))
@click.argument("collection", metavar="COLLECTION")
@click.option("--to", "folder", metavar="DIR", required=True, help="The folder of the new dataset, created if missing.")
@options.at_option
@click.option("--no-scm", "scm", is_flag=True, flag_value=False, default=True, help="Do not use Git.")
@click.option(
    *("-m", "--message"), metavar="TEXT", default="", show_default="none", help="The reason; the new log keeps it."
)
@options.make_option("--author NAME", "Git's or the system's user name", "The author.")
@options.json_option
@click.pass_obj
def extract_command(
    root: str,
    collection: str,
    folder: str,
    at: str | None,
    scm: bool,
    message: str,
    author: str | None,
    as_json: bool,
) -> None:
    """Make a new dataset of one collection, with what its rasters show, in the folder DIR.

    It has the rasters of the collection, the features that they contain or intersect, all classes, the labels of the
    collection that are up to date, the recipes that label and split it with the assignments, and the attributes. Its
    rasters have no parents. Labels with a --width are left out if there are lines or points: run update there. Its
    log records this dataset's id, the revision and its digests. To bring later changes over, import this dataset there
    with --collection.
    """
    command = options.format_command_line()
    dataset: Any = options.open_dataset(root)
    extracted = dataset.extract_collection(
        collection, Path(folder), at=at, scm=scm, message=message, author=author, command=command
    )
    counts = extracted.status()
    imported: Any = extracted.show(2).payload
    for warning in imported["warnings"]:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        output.print_json_line(counts)
        return
    found = ", ".join(f"{counts[name]:,} {name}" for name in ("features", "rasters", "labels"))
    click.echo(f"@{counts['position']} {counts['digest'][:12]} {found} in '{os.path.relpath(extracted.root)}'")
