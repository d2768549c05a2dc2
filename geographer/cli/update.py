"""update: run every recipe again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output
from geographer.cli.help import RenamedOption, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset


@click.command("update", epilog=format_example("update --on-conflict exclude"))
@options.workers_option
@options.on_conflict_option
@options.make_flag("--no-downloads downloads", "Run no downloads.", default=True, flag_value=False)
@options.make_flag(
    "--rebuild-covers --afresh rebuild_covers",
    "Replace the chips of covers by the fewest possible, instead of adding the fewest that are missing.",
    cls=RenamedOption,
)
@options.accept_commit_options
@options.pass_dataset
def update_command(dataset: Dataset, commit_options: dict[str, Any], as_json: bool, **update_options: Any) -> None:
    """Run every recipe again for what has changed.

    Each recipe that has something to do appends one event. It makes again only what the changes affect, and retires
    what is no longer wanted; history keeps it. Downloads run first; the exit code is 6 if a product could not be
    fetched.
    """
    results = []
    for result in dataset.iter_updates(**update_options, **commit_options):
        output.print_result(result, as_json=as_json, dry_run=commit_options["dry_run"])
        results.append(result)
    if not results and not as_json:
        click.echo("no recipes to run. Create one with geographer download, cut, label or split.")
    output.exit_if_incomplete(results)
