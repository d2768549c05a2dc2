"""status: the head, the number of objects, the recipes, and how the dataset relates to what others have."""

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader
from geographer.sharing.status import format_tag_usage


@click.command("status", epilog=format_example("status"))
@options.json_option
@options.pass_dataset
def status_command(dataset: DatasetReader, as_json: bool) -> None:
    """Show the head, the number of objects, the recipes, and how others' copies relate.

    Remotes are not asked: their branches are as they were when they were last fetched or pushed. Of the files of each
    tag it says how much only that tag needs, and which ones dvc gc would lose.
    """
    report, sharing = dataset.status(), dataset.sharing_status()
    if as_json:
        output.print_json_line({**report, **sharing.to_dict()})
        return
    for name, value in report.items():
        text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
        click.echo(f"{name:<10} {text}")
    click.echo(f"lock       {sharing.lock}")
    if sharing.partial is not None:
        click.echo(f"partial    {sharing.partial}")
    for path in sharing.dvc_files:
        click.echo(f"dvc file   {path} is not that of any revision of the log")
    for remote in sharing.remotes:
        click.echo(f"remote     {remote}")
    for usage in sharing.tags:
        click.echo(f"tag files  {format_tag_usage(usage)}")
