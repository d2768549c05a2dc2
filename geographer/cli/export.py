"""export: samples in the formats of training libraries."""

import inspect
from pathlib import Path
from typing import Any, Final

import click

from geographer.cli import COMMANDS, options, output
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.requests import list_command_parameters
from geographer.cli.samples import add_selection_options
from geographer.cli.workers import add_workers_options
from geographer.outputs.exports.formats import FORMATS, find_exporter

_OWN: Final = ("folder", "no_record", "message", "author", "workers", "as_json")
_SHARED: Final = (
    click.option("--to", "folder", metavar="DIR", required=True, help="The folder: new, or that of an earlier export."),
    add_selection_options,
    click.option(
        *("-m", "--message"), metavar="TEXT", default="", show_default="none", help="The reason; the log keeps it."
    ),
    options.make_option("--author NAME", "Git's or the system's user name", "The author."),
    click.option("--no-record", is_flag=True, help="Do not record the export as an event."),
    add_workers_options,
    options.json_object_option,
)


class _FormatGroup(CommandGroup):
    """A group with a command for each format, whose module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(FORMATS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _make_command(cmd_name) if cmd_name in FORMATS else None

    def describe_commands(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, description) for name, (_, description) in FORMATS.items()]


@click.group("export", cls=_FormatGroup, help=COMMANDS["export"][1], epilog=format_example("export coco --to ../coco"))
def export_command() -> None:
    """Hold the commands of the formats."""


def _make_command(name: str) -> click.Command:
    exporter = find_exporter(name)

    def run_command(selection: dict[str, Any], **values: Any) -> None:
        own = {key: values.pop(key) for key in _OWN}
        _export_samples(name, selection, values, **own)

    decorated: Any = run_command
    for decorator in reversed(_SHARED):
        decorated = decorator(decorated)
    help_text = inspect.cleandoc(exporter.__doc__ or "")
    epilog, short_help = format_example(exporter.example), FORMATS[name][1]
    command: click.Command = click.command(name, help=help_text, short_help=short_help, epilog=epilog)(decorated)
    if not exporter.takes_all_labels:
        labels = next(option for option in command.params if option.name == "labels")
        labels.show_default = "none"  # type: ignore[attr-defined]
    command.params[1:1] = list_command_parameters(exporter)
    return command


def _export_samples(
    name: str,
    selection: dict[str, Any],
    values: dict[str, Any],
    *,
    folder: str,
    no_record: bool,
    message: str,
    author: str | None,
    workers: int | str,
    as_json: bool,
) -> None:
    dataset: Any = options.open_dataset(click.get_current_context().obj)
    recording = {"record": not no_record, "message": message, "author": author, "workers": workers}
    result = dataset.export_samples(name, Path(folder), **selection, **recording, **values)
    if as_json:
        output.print_json_line(result._asdict())
        return
    unchanged = result.files - result.written
    kept = f", {unchanged:,} of them unchanged" if unchanged else ""
    click.echo(
        f"'{folder}' has {result.samples:,} samples of @{result.position} as {name}: {result.files:,} files{kept}"
    )
    click.echo(f"MANIFEST {result.manifest}{'' if no_record else ', recorded in the log'}")
