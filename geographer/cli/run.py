"""run: run a command, and record it with its inputs, code and outputs."""

import sys

import msgspec

from geographer.cli import options, output
from geographer.cli.requests import make_request_command
from geographer.dataset.changeable import ChangeableDataset
from geographer.operations.run_command.events import CommandRun
from geographer.operations.run_command.request import RunCommand


def _run_recorded(dataset: ChangeableDataset, request: RunCommand, *, as_json: bool) -> None:
    result = dataset.run(msgspec.structs.replace(request, prints_to_stderr=as_json))
    output.print_result(result, as_json=as_json)
    if isinstance(result.payload, CommandRun) and result.payload.exit_code:
        sys.exit(result.payload.exit_code)


run_command = make_request_command("run", RunCommand, run=_run_recorded, open_dataset=options.open_changeable_dataset)
run_command.allow_interspersed_args = False
