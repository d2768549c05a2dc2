"""tag and tags: name a revision, list the names."""

from typing import Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.requests import make_request_command
from geographer.dataset.reader import DatasetReader
from geographer.operations.tag import TagRevision

_TAG_COLUMNS: Final = ("tag", "version", "position", "digest", "content_digest", "date", "author", "message")

tag_command = make_request_command("tag", TagRevision)


@click.command("tags", epilog=format_example("tags"))
@options.json_option
@options.pass_dataset
def tags_command(dataset: DatasetReader, as_json: bool) -> None:
    """List the tags with their digests, and who set them when and why."""
    rows = dataset.tags().to_pylist()
    if as_json:
        output.print_rows(rows, _TAG_COLUMNS, as_json=True)
        return
    output.print_rows(
        [{**row, "date": output.format_time(row["recorded_at"])} for row in rows], _TAG_COLUMNS, as_json=False
    )
