"""merge, conflicts, resolve and revert: join branches, and undo events."""

import sys
from typing import Any, Final

import click
from click.core import ParameterSource

from geographer.base.errors import ConflictError
from geographer.base.text import format_count, quote_start
from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.requests import make_request_command
from geographer.dataset import Dataset
from geographer.dataset.reader import DatasetReader
from geographer.operations.merge.request import MergeRevision, ResolveConflicts, RevertEvent
from geographer.storage.events import ChangeResult

_COLUMNS: Final = ("conflict", "subject", "object_id", "column", "base", "ours", "theirs")
_MAX_SHOWN: Final = 10
_ABORT = click.Option(
    ["--abort", "is_aborted"],
    is_flag=True,
    help="Take the last merge back, which left conflicts; the branch is as it was before.",
)


def _merge_revision(dataset: Dataset, request: MergeRevision, *, as_json: bool, is_aborted: bool) -> None:
    del is_aborted
    print_merge(dataset, dataset.merge_branch(request.revision, **_list_options(request)), as_json=as_json)


def print_merge(dataset: Dataset, result: ChangeResult, *, as_json: bool) -> None:
    """Print what a merge changed, and exit with the code of conflicts if it left some."""
    summary = result.summary
    if "moved" in summary and not as_json:
        head = f"@{result.position} {result.digest[:12]}"
        if summary["moved"]:
            click.echo(f"moved forward to {summary['revision']}, {head}")
        elif result.would_change:
            click.echo(f"would move forward to {summary['revision']}; nothing was changed")
        else:
            click.echo(f"{summary['revision']} is merged already; the head is still {head}")
        return
    output.print_result(result, as_json=as_json)
    if result.changed and summary["conflicts"]:
        _report_conflicts(dataset, result)


def _list_options(request: MergeRevision) -> dict[str, Any]:
    names = ("on_conflict", "message", "author", "idempotency_key", "expected_head", "dry_run")
    return {name: getattr(request, name) for name in names}


def _report_conflicts(dataset: Dataset, result: ChangeResult) -> None:
    """Name the conflicts on stderr, and exit with the code of conflicts."""
    rows = dataset.list_conflicts().to_pylist()
    for row in rows[:_MAX_SHOWN]:
        column = f", {row['column']}" if row["column"] else ""
        name = f"{row['subject'].replace('_', ' ')} '{quote_start(row['object_id'])}'"
        click.echo(f"conflict {row['conflict']}: {name}{column}", err=True)
    if len(rows) > _MAX_SHOWN:
        click.echo(f"and {len(rows) - _MAX_SHOWN:,} more", err=True)
    click.echo(
        f"{format_count(result.summary['conflicts'], 'conflict')} to resolve, until then with our values: geographer "
        "conflicts, geographer resolve ID --take ours|theirs|base|FILE, or geographer merge --abort.",
        err=True,
    )
    sys.exit(ConflictError.exit_code)


def _reject_merge_options() -> None:
    """Raise if `--abort` is given with an option that it does not have."""
    context = click.get_current_context()
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if is_given and parameter.name not in ("is_aborted", "as_json"):
            raise click.UsageError(f"--abort takes no {parameter.opts[0]}. Leave it out.")


def _abort_merge(as_json: bool) -> None:
    dataset = options.open_dataset(click.get_current_context().obj)
    assert isinstance(dataset, Dataset)
    position = dataset.abort_merge()
    if as_json:
        output.print_json_line({"position": position, "aborted": True})
    else:
        click.echo(f"the merge was taken back; the head is @{position}")


def _make_merge_command() -> click.Command:
    """Return the command, which takes a revision or `--abort`."""
    command = make_request_command("merge", MergeRevision, _ABORT, run=_merge_revision)
    merge = command.callback
    assert merge is not None
    for parameter in command.params:
        if parameter.name == "revision":
            parameter.required, parameter.metavar = False, "[REV]"

    def run_command(**values: Any) -> None:
        if values["is_aborted"] == (values["revision"] is not None):
            raise click.UsageError("name a revision to merge, or pass --abort.")
        if values["is_aborted"]:
            _reject_merge_options()
            _abort_merge(values["as_json"])
        else:
            merge(**values)

    command.callback = run_command
    return command


merge_command = _make_merge_command()
resolve_command = make_request_command("resolve", ResolveConflicts)
revert_command = make_request_command("revert", RevertEvent)


@click.command("conflicts", epilog=format_example("conflicts --json"))
@options.json_option
@options.pass_dataset
def conflicts_command(dataset: DatasetReader, as_json: bool) -> None:
    """List the conflicts of merges that are not resolved, with the values of both sides.

    Until they are resolved, the dataset has our value, and the branch can be neither tagged, pushed nor merged.
    """
    output.print_rows(dataset.list_conflicts().to_pylist(), _COLUMNS, as_json=as_json)
