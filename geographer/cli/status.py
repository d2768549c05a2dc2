"""status: the head, the number of objects, and the recipes."""

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command("status", epilog=format_example("status"))
@options.json_option
@options.pass_dataset
def status_command(dataset: DatasetReader, as_json: bool) -> None:
    """Show the head, the number of objects, and the recipes."""
    report = dataset.status()
    if as_json:
        output.print_json_line(report)
        return
    for name, value in report.items():
        text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
        click.echo(f"{name:<10} {text}")
