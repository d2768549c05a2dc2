"""update: run every recipe again."""

import click

from geographer.cli import output
from geographer.cli.requests import make_request_command
from geographer.dataset import Dataset
from geographer.dataset.update import Update


def _run_update(dataset: Dataset, request: Update, *, as_json: bool) -> None:
    results = []
    for result in dataset.run_update(request):
        output.print_result(result, as_json=as_json)
        results.append(result)
    if any(result.would_change for result in results) and not as_json:
        click.echo("Each recipe was planned on the head: those that use what others would make may have more to do.")
    if not results and not as_json:
        click.echo("no recipes to run. Create one with geographer download, cut, label or split.")
    output.exit_if_incomplete(results)


update_command = make_request_command("update", Update, run=_run_update)
