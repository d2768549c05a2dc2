"""diff: compare two revisions."""

from typing import Any, Final

import click

from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


@click.command("diff", epilog=format_example("diff v1 v2"))
@click.argument("a", metavar="A")
@click.argument("b", default=None, required=False, metavar="[B]")
@options.json_option
@options.pass_dataset
def diff_command(dataset: DatasetReader, a: str, b: str | None, as_json: bool) -> None:
    """List the objects that differ between revisions A and B (the head, if omitted)."""
    difference = dataset.diff(a, b)
    rows = difference.table.to_pylist()
    if as_json:
        for row in rows:
            output.print_json_line(row)
        return
    if not rows:
        click.echo("no differences")
        return
    for row in rows:
        click.echo(f"{_SIGNS[row['change']]} {row['object']:<8} {row['id']}{_format_values(row)}")
    counts = difference.counts.items()
    click.echo(", ".join(f"{format_count(count, noun)} {change}" for (noun, change), count in counts))


def _format_values(row: dict[str, Any]) -> str:
    """Return the old and the new value of a changed column, or the value of what was added or removed."""
    if not row["what"]:
        return ""
    if row["change"] == "changed":
        return f"  {row['what']}: {row['from']} → {row['to']}"
    return f"  ({row['to'] or row['from']})"
