"""checkout: restore the files of a revision."""

import click

from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader
from geographer.storage.workspace.withdrawn_files import describe_withdrawn_files


@click.command("checkout", epilog=format_example("checkout v1 --to ../v1"))
@click.argument("revision", metavar="[REV]", required=False, default=None)
@options.make_option("--to DIR", "the workspace", "Write the files, and the tables as Parquet, into this folder.")
@options.json_option
@options.pass_dataset
def checkout_command(dataset: DatasetReader, revision: str | None, to: str | None, as_json: bool) -> None:
    """Restore the files of a revision, byte for byte; only files that differ are written.

    If REV is omitted, it is the revision of geographer.lock, which Git may have changed.
    """
    result = dataset.checkout(revision, to=to)
    withdrawn = describe_withdrawn_files(result.withdrawn)
    if as_json:
        output.print_json_line(
            {"written": result.written, "removed": result.removed, "kept": result.unchanged, "withdrawn": withdrawn}
            | ({"absent": result.absent} if result.absent else {})
        )
        return
    place = f"'{to}'" if to else "the workspace"
    name = revision or f"@{result.position}"
    written = format_count(result.written, "file")
    absent = f", {result.absent:,} absent on purpose" if result.absent else ""
    counts = f"{written} written, {result.removed:,} removed, {result.unchanged:,} unchanged{absent}"
    click.echo(f"{place} is at {name}: {counts}")
    for line in withdrawn:
        click.echo(line)
