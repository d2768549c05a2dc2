"""init: create a dataset."""

import os
from pathlib import Path

import click

from geographer.cli import options, output
from geographer.cli.requests import make_request_command
from geographer.operations.create import CreateDataset
from geographer.storage.database.dataset_folder import require_new_dataset_folder

_NO_SCM_HELP = "Do not use Git, even inside a Git repository."


def _create_dataset(root: str, request: CreateDataset, *, as_json: bool, folder: str, scm: bool) -> None:
    from geographer.dataset import Dataset

    path = Path(root) / folder
    if request.dry_run:
        request.make_change()
        path = Path(os.path.realpath(path))
        require_new_dataset_folder(path)
        click.echo(f"would create a dataset in '{path}'; nothing was changed")
        return
    dataset = Dataset.create_dataset(path, request, scm=scm, command=options.format_command_line())
    event = dataset.show()
    if as_json:
        revision = {"position": event.position, "digest": event.digest, "kind": event.kind, "changed": True}
        output.print_json_line({**revision, "root": str(dataset.root)})
    else:
        click.echo(f"@{event.position} {event.digest[:12]} {event.kind}: '{dataset.root}'")


init_command = make_request_command(
    "init",
    CreateDataset,
    click.Argument(["folder"], default=".", metavar="[DIR]"),
    click.Option(["--no-scm", "scm"], is_flag=True, flag_value=False, default=True, help=_NO_SCM_HELP),
    run=_create_dataset,
    open_dataset=str,
)
