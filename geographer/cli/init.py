"""init: create a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geographer.cli import options, output
from geographer.cli.help import format_example


@click.command("init", epilog=format_example("init glaciers --class glacier -m 'glaciers of the Front Range'"))
@click.argument("folder", default=".", metavar="[DIR]")
@options.make_list_option(
    "--class classes NAME", "the classes of the features", "A class; values are 1, 2, 3 … in this order."
)
@options.make_option("--background NAME", "none", "A class with value 0, whose features erase others in masks.")
@options.make_flag("--no-scm", "Do not use Git, even inside a Git repository.")
@options.accept_commit_options
@click.pass_obj
def init_command(
    root: str, /, folder: str, commit_options: dict[str, Any], no_scm: bool, as_json: bool, **dataset_options: Any
) -> None:
    """Create a dataset in a folder.

    The folder becomes a DVC repository, which uses Git if the folder lies in a Git repository.
    """
    from geographer.dataset import Dataset

    path = Path(root) / folder
    if commit_options["dry_run"]:
        click.echo(f"would create a dataset in '{path.resolve()}'; nothing was changed")
        return
    who = {name: commit_options[name] for name in ("message", "author")}
    dataset = Dataset.init(path, scm=not no_scm, command=options.format_command_line(), **dataset_options, **who)
    event = dataset.show()
    if as_json:
        revision = {"position": 1, "digest": event.digest, "kind": event.kind, "changed": True}
        output.print_json_line({**revision, "root": str(dataset.root)})
    else:
        click.echo(f"@1 {event.digest[:12]} {event.kind}: '{dataset.root}'")
