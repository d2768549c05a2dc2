"""download: rasters from an archive."""

import click

from geographer.cli import output
from geographer.cli.requests import make_request_command
from geographer.dataset import Dataset
from geographer.operations.download.recipe import Download


def _run_download(dataset: Dataset, request: Download, *, as_json: bool, plan_only: bool) -> None:
    if plan_only:
        output.print_download_plan(request.name, *dataset.plan_request(request), as_json=as_json)
        return
    result = dataset.run(request)
    output.print_result(result, as_json=as_json)
    output.exit_if_incomplete([result])


download_command = make_request_command(
    "download",
    Download,
    click.Option(["--plan", "plan_only"], is_flag=True, help="Search, select and print the scenes; fetch nothing."),
    run=_run_download,
)
