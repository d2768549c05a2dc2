"""review and reviews: record a verdict on what differs between two revisions, list the verdicts."""

from typing import Final

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.requests import make_request_command
from geographer.dataset.reader import DatasetReader
from geographer.operations.review import ReviewRevisions

_COLUMNS: Final = ("position", "recorded_at", "author", "verdict", "from", "to", "message")

review_command = make_request_command("review", ReviewRevisions)


@click.command("reviews", epilog=format_example("reviews"))
@options.json_option
@options.pass_dataset
def reviews_command(dataset: DatasetReader, as_json: bool) -> None:
    """List the reviews with their verdicts."""
    output.print_rows(dataset.list_reviews().to_pylist(), _COLUMNS, as_json=as_json)
