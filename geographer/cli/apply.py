"""apply: take the changes of a patch over."""

import click

from geographer.cli import options, output
from geographer.cli.requests import make_request_command
from geographer.dataset.changeable import ChangeableDataset
from geographer.operations.apply.conflicts import PatchConflictError
from geographer.operations.apply.request import ApplyPatch


def _apply_patch(dataset: ChangeableDataset, request: ApplyPatch, *, as_json: bool) -> None:
    try:
        result = dataset.run(request)
    except PatchConflictError as error:
        if as_json:
            output.print_json_line({"conflicts": [conflict._asdict() for conflict in error.conflicts]})
        raise
    if not (as_json or result.changed or result.would_change):
        click.echo(f"the patch is already applied; the head is still @{result.position} {result.digest[:12]}")
        return
    output.print_result(result, as_json=as_json)


apply_command = make_request_command(
    "apply", ApplyPatch, run=_apply_patch, open_dataset=options.open_changeable_dataset
)
