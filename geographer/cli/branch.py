"""branch and switch: list, create, delete and use branches."""

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.cli.named_text import NamedText
from geographer.dataset.changeable import ChangeableDataset

_COLUMNS = ("in_use", "name", "position", "digest")


@click.command("branch", epilog=format_example("branch lakes v1", "branch"))
@click.argument("name", required=False, type=NamedText("branch"))
@click.argument("revision", metavar="[REV]", required=False)
@click.option("-d", "--delete", is_flag=True, help="Delete the branch NAME; its events stay in the log.")
@options.json_option
@click.pass_obj
def branch_command(folder: str, name: str | None, revision: str | None, delete: bool, as_json: bool) -> None:
    """List the branches, or create or delete one.

    Without NAME, list them; the branch in use has a '*'. With NAME, create a branch that ends at REV (by default the
    head); geographer switch uses it.
    """
    if delete and (name is None or revision is not None):
        raise click.UsageError("-d takes the NAME of a branch, and nothing else.")
    dataset = ChangeableDataset.open(folder)
    if name is None:
        branches = dataset.list_branches()
    elif delete:
        dataset.delete_branch(name)
        branches = []
    else:
        branches = [dataset.create_branch(name, revision)]
    if as_json:
        for branch in branches:
            output.print_json_line(branch.to_dict())
        return
    rows = [{**branch.to_dict(), "in_use": "*" if branch.in_use else ""} for branch in branches]
    if rows:
        output.print_rows(rows, _COLUMNS, as_json=False)
    if delete:
        click.echo(f"deleted the branch '{name}'; its events stay in the log")


@click.command("switch", epilog=format_example("switch lakes"))
@click.argument("name", type=NamedText("branch to switch to"))
@options.json_option
@click.pass_obj
def switch_command(folder: str, name: str, as_json: bool) -> None:
    """Use another branch.

    A branch that only a remote has is created from REMOTE/NAME. The lock file, the .dvc files and the workspace are
    then at its head, at the cost of what differs. Git stays where it is; where its commit has the lock file of another
    branch, a message says so.
    """
    dataset = options.open_changeable_dataset(folder)
    known = {branch.name for branch in dataset.list_branches()}
    branch = dataset.switch_branch(name)
    if name not in known and not as_json:
        click.echo(f"created the branch '{name}' at the published head")
    if as_json:
        output.print_json_line(branch.to_dict())
    else:
        click.echo(f"on branch '{branch.name}' at @{branch.position} {branch.digest[:12]}")
    if problem := dataset.describe_git_branch():
        click.echo(problem, err=True)
