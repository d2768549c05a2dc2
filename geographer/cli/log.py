"""status, log, show, history, tag, tags and diff: what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.command()
@options.as_json
@options.dataset
def status(dataset: Dataset, as_json: bool) -> None:
    """Where the dataset stands."""
    report = dataset.status()
    if as_json:
        output.print_json_line(report)
        return
    for name, value in report.items():
        text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
        click.echo(f"{name:<10} {text}")


@click.command()
@click.option("-n", "last", default=None, type=click.IntRange(1), metavar="N", help="Only the last N.")
@options.as_json
@options.dataset
def log(dataset: Dataset, last: int | None, as_json: bool) -> None:
    """The events, newest first."""
    for event in reversed(dataset.log(last)):
        if as_json:
            output.print_json_line(
                {key: getattr(event, key) for key in ("position", "kind", "recorded_at", "author", "message", "digest")}
            )
        else:
            output.print_event_line(event)


@click.command()
@click.argument("revision", metavar="REV")
@options.as_json
@options.dataset
def show(dataset: Dataset, revision: str, as_json: bool) -> None:
    """One event, whole."""
    import json

    event = dataset.show(revision)
    if as_json:
        output.print_json_line(event.to_dict())
        return
    for name, value in event.to_dict().items():
        text = json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else value
        click.echo(f"{name:<16} {text if text is not None else ''}")


@click.command()
@click.argument("identity", metavar="OBJECT")
@options.as_json
@options.dataset
def history(dataset: Dataset, identity: str, as_json: bool) -> None:
    """What happened to one feature or raster."""
    rows = dataset.history(identity)
    if as_json:
        for row in rows:
            output.print_json_line(row)
        return
    shown = ("position", "kind", "object", "change", "detail", "author", "message")
    output.print_table(shown, [[row[name] for name in shown] for row in rows])


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("revision", default=None, required=False, metavar="[REV]")
@options.changing
@options.dataset
def tag(dataset: Dataset, name: str, revision: str | None, signature: dict[str, Any], as_json: bool) -> None:
    """Name a revision, for good."""
    result = dataset.tag(name, revision, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


@click.command()
@options.as_json
@options.dataset
def tags(dataset: Dataset, as_json: bool) -> None:
    """The tags, with their digests."""
    rows = dataset.tags().to_pylist()
    if as_json:
        for row in rows:
            output.print_json_line(row)
    else:
        output.print_table(("tag", "position", "digest", "content_digest"), [list(row.values()) for row in rows])


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", default=None, required=False, metavar="[B]")
@options.as_json
@options.dataset
def diff(dataset: Dataset, a: str, b: str | None, as_json: bool) -> None:
    """What differs between two revisions; B is the head when left out."""
    difference = dataset.diff(a, b)
    rows = difference.table.to_pylist()
    if as_json:
        for row in rows:
            output.print_json_line(row)
        return
    if not rows:
        click.echo("nothing differs")
        return
    signs = {"added": "+", "removed": "-", "changed": "~"}
    for row in rows:
        moved = f"  {row['what']}: {row['from']} → {row['to']}" if row["what"] and row["change"] == "changed" else ""
        told = f"  ({row['to'] or row['from']})" if row["what"] and not moved else ""
        click.echo(f"{signs[row['change']]} {row['object']:<8} {row['id']}{moved}{told}")
    counts = [f"{count:,} {thing}s {change}" for (thing, change), count in difference.counts.items()]
    click.echo(", ".join(counts).replace("classs", "classes"))
