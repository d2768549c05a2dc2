"""checkout and verify: going back, and the proof that nothing was altered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geographer.base.errors import CorruptError
from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.command()
@click.argument("revision", metavar="REV")
@click.option("--to", default=None, metavar="DIR", help="Into this folder, with the tables, instead of the workspace.")
@options.as_json
@options.dataset
def checkout(dataset: Dataset, revision: str, to: str | None, as_json: bool) -> None:
    """Bring back the files of a revision, byte for byte, at the cost of what differs."""
    delivered = dataset.checkout(revision, to=to)
    if as_json:
        output.print_json_line(
            {"written": delivered.written, "removed": delivered.removed, "kept": delivered.unchanged}
        )
    else:
        where = f"'{to}'" if to else "the workspace"
        click.echo(
            f"{where} shows {revision}: {delivered.written:,} files written, {delivered.removed:,} removed, "
            f"{delivered.unchanged:,} kept"
        )


@click.command()
@click.argument("revision", default=None, required=False, metavar="[REV]")
@click.option(
    "--expect", default=None, metavar="DIGEST", help="A digest that was kept elsewhere: it shows a lost tail."
)
@click.option(
    "--repair", is_flag=True, help="Remove orphan files and rebuild the projection; the log is never touched."
)
@options.as_json
@options.dataset
def verify(dataset: Dataset, revision: str | None, expect: str | None, repair: bool, as_json: bool) -> None:
    """Prove that nothing was altered, or say what was.

    Re-reads the whole log, and every raster and label of the revision. Ends with code 5 when something is wrong.
    """
    findings = dataset.verify(revision, expect=expect, repair=repair)
    for finding in findings:
        if as_json:
            output.print_json_line(finding.to_dict())
        else:
            since = f" (since @{finding.since})" if finding.since is not None else ""
            click.echo(f"{finding.what}: {finding.which}{since}: {finding.detail}")
    if findings:
        count = "1 finding" if len(findings) == 1 else f"{len(findings):,} findings"
        raise CorruptError(
            f"{count}: this is not what was recorded; geographer checkout HEAD brings files back from the cache, "
            "verify --repair removes orphans and derives the projection anew"
        )
    if not as_json:
        event = dataset.show(revision)
        click.echo(
            f"all is as it was recorded: @{event.position} {event.digest}, content {dataset.content_digest(revision)}"
        )
