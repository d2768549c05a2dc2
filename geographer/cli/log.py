"""log, show and history: the events, one event, and those of one feature or raster."""

import json
from typing import Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader

_JSON_FIELDS: Final = ("position", "kind", "recorded_at", "author", "message", "digest")
_HISTORY_COLUMNS: Final = ("position", "kind", "object", "change", "detail", "author", "message")


@click.command("log", epilog=format_example("log -n 5"))
@options.make_option("-n last COUNT", "all", "How many events to list.", type=click.IntRange(1))
@options.json_option
@options.pass_dataset
def log_command(dataset: DatasetReader, last: int | None, as_json: bool) -> None:
    """List the events, newest first."""
    for event in reversed(dataset.log(last)):
        if as_json:
            output.print_json_line({field: getattr(event, field) for field in _JSON_FIELDS})
            continue
        recorded_at, message = event.recorded_at[:19].replace("T", " "), f"  {event.message}" if event.message else ""
        click.echo(f"@{event.position:<5} {event.digest[:12]}  {recorded_at}  {event.kind:<20} {event.author}{message}")


@click.command("show", epilog=format_example("show HEAD~2"))
@click.argument("revision", metavar="REV")
@options.json_option
@options.pass_dataset
def show_command(dataset: DatasetReader, revision: str, as_json: bool) -> None:
    """Show one event with all its parameters and digests."""
    event = dataset.show(revision)
    if as_json:
        output.print_json_line(event.to_dict())
        return
    for name, value in event.to_dict().items():
        text = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else value
        click.echo(f"{name:<16} {text if text is not None else ''}")


@click.command("history", epilog=format_example("history lake-17"))
@click.argument("identity", metavar="ID")
@options.json_option
@options.pass_dataset
def history_command(dataset: DatasetReader, identity: str, as_json: bool) -> None:
    """List the events that changed one feature or raster."""
    output.print_rows(dataset.history(identity), _HISTORY_COLUMNS, as_json=as_json)
