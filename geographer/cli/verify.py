"""verify: check the log and all files."""

import click

from geographer.base.errors import CorruptError
from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command("verify", epilog=format_example("verify v1", "verify --expect 600fc16ebd11"))
@click.argument("revision", default=None, required=False, metavar="[REV]")
@options.make_option(
    "--expect DIGEST", "none", "A digest that you kept elsewhere, which the log must contain; detects a truncated log."
)
@click.option(
    "--repair", is_flag=True, help="Delete orphaned files and rebuild the derived state; the log is never changed."
)
@options.json_option
@options.pass_dataset
def verify_command(
    dataset: DatasetReader, revision: str | None, expect: str | None, repair: bool, as_json: bool
) -> None:
    """Check that the log and all files are as recorded, or list what differs.

    Reads the whole log, and every raster and label of the revision (the head, if REV is omitted). The exit code is 5 if
    something differs.
    """
    findings = dataset.verify(revision, expect=expect, repair=repair)
    for finding in findings:
        if as_json:
            output.print_json_line(finding.to_dict())
        else:
            since = f" (since @{finding.position})" if finding.position is not None else ""
            click.echo(f"{finding.kind}: {finding.subject}{since}: {finding.detail}")
    if findings:
        raise CorruptError(
            f"{format_count(len(findings), 'finding')}: the dataset differs from what was recorded. "
            "Run geographer checkout HEAD to restore files from the cache, "
            "or geographer verify --repair to delete orphaned files and rebuild the state."
        )
    if not as_json:
        event = dataset.show(revision)
        revision_text = f"@{event.position} {event.digest}, content {dataset.content_digest(revision)}"
        click.echo(f"verified {revision_text}: the log and all files are as recorded")
