"""tag and tags: name a revision, list the names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult

_TAG_COLUMNS: Final = ("tag", "position", "digest", "content_digest")


@click.command("tag", epilog=format_example("tag v1 -m 'as in the paper'"))
@click.argument("name", metavar="NAME")
@click.argument("revision", default=None, required=False, metavar="[REV]")
@options.print_change
def tag_command(dataset: Dataset, name: str, revision: str | None, **commit_options: Any) -> ChangeResult:
    """Give a revision (the head, if REV is omitted) a permanent name."""
    return dataset.tag(name, revision, **commit_options)


@click.command("tags", epilog=format_example("tags"))
@options.json_option
@options.pass_dataset
def tags_command(dataset: Dataset, as_json: bool) -> None:
    """List the tags with their digests."""
    output.print_rows(dataset.tags().to_pylist(), _TAG_COLUMNS, as_json=as_json)
