"""log, show and history: the events, one event, and those of one object."""

import json
import re
from typing import Any, Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader
from geographer.storage.events import Event

_JSON_FIELDS: Final = ("position", "kind", "recorded_at", "author", "message", "digest")
_HISTORY_COLUMNS: Final = ("position", "date", "kind", "object", "change", "detail", "parent", "author", "message")
_SHOWN_DIGEST: Final = 12


class _LogCommand(click.Command):
    """A command that reads an option such as `-5` as `-n 5`, as Git does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        words = [["-n", word[1:]] if re.fullmatch("-[0-9]+", word) else [word] for word in args]
        return super().parse_args(ctx, [part for word in words for part in word])


@click.command("log", cls=_LogCommand, epilog=format_example("log -5", "log --oneline"))
@options.make_option("-n last COUNT", "all", "How many events to list; -5 is -n 5.", type=click.IntRange(1))
@click.option("--oneline", is_flag=True, help="Print digest, kind and message only.")
@options.make_option("--at REV", "the head", "The last event to list; also of another branch, such as origin/main.")
@options.json_option
@options.pass_dataset
def log_command(dataset: DatasetReader, last: int | None, oneline: bool, at: str | None, as_json: bool) -> None:
    """List the events, newest first."""
    for event in reversed(dataset.log(last, at)):
        if as_json:
            output.print_json_line({field: getattr(event, field) for field in _JSON_FIELDS})
        else:
            click.echo(output.fit_line(_format_short(event) if oneline else _format_event(event)))


def _format_event(event: Event) -> str:
    recorded_at, message = event.recorded_at[:19].replace("T", " "), f"  {event.message}" if event.message else ""
    digest = event.digest[:_SHOWN_DIGEST]
    merged = f"  (merges {event.parents[1][:_SHOWN_DIGEST]})" if len(event.parents) > 1 else ""
    return f"@{event.position:<5} {digest}  {recorded_at}  {event.kind:<20} {event.author}{message}{merged}"


def _format_short(event: Event) -> str:
    message = f": {event.message.partition(chr(10))[0]}" if event.message else ""
    return f"{event.digest[:_SHOWN_DIGEST]} {event.kind}{message}"


@click.command("show", epilog=format_example("show HEAD~2"))
@click.argument("revision", metavar="[REV]", required=False)
@options.json_option
@options.pass_dataset
def show_command(dataset: DatasetReader, revision: str | None, as_json: bool) -> None:
    """Show one event (the head, if REV is omitted) with all its parameters and digests."""
    event = dataset.show(revision)
    tags = [tag["tag"] for tag in dataset.tags().to_pylist() if tag["position"] == event.position]
    if as_json:
        output.print_json_line({**event.to_dict(), "tags": tags})
        return
    for name, value in _shorten_time_stamp(event.to_dict()).items():
        text = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else value
        click.echo(f"{name:<16} {text if text is not None else ''}")
    if tags:
        click.echo(f"{'tags':<16} {', '.join(tags)}")


def _shorten_time_stamp(fields: dict[str, Any]) -> dict[str, Any]:
    """Return an event's fields with the response of a time-stamping authority, if there is one, as its length."""
    stamp = fields["payload"].get("time_stamp")
    if not isinstance(stamp, dict):
        return fields
    shown = {**stamp, "response": f"{len(stamp['response']):,} characters, which --json prints"}
    return {**fields, "payload": {**fields["payload"], "time_stamp": shown}}


@click.command(
    "history",
    epilog=format_example("history lake-17", "history label:mask/chips/a_p1", "history recipe:chips"),
)
@click.argument("identity", metavar="OBJECT")
@options.json_option
@options.pass_dataset
def history_command(dataset: DatasetReader, identity: str, as_json: bool) -> None:
    """List the events that touched one object, and what it was cut from and for.

    OBJECT is the id of a feature or raster (chips are rasters), or feature:ID, raster:ID, label:NAME/RASTER_ID,
    class:NAME, recipe:NAME or split:NAME. An event may concern an object through its source raster or the feature that
    it was cut for: the column parent names that.
    """
    rows = dataset.history(identity)
    output.print_rows(rows if as_json else map(_make_text_row, rows), _HISTORY_COLUMNS, as_json=as_json)


def _make_text_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a history with its date, and the history that a merge imported."""
    origin = f"from history {row['history'][:_SHOWN_DIGEST]}" if row["history"] else None
    detail = " ".join(filter(None, [row["detail"], origin]))
    return {**row, "date": output.format_time(row["recorded_at"]), "detail": detail}
