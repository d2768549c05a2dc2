"""clone, push, pull, fetch and reproduce: share a dataset through Git and a DVC remote."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Final

import click

from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example

_SELECTIONS: Final = "--revisions all|tags|current"
_SELECTION_HELP: Final = (
    "The revisions whose files are sent or fetched: the head with all tags, all, or the head alone."
)
_REMOTE_HELP: Final = "The name of a remote of DVC."
_BRANCH: Final = "--branch NAME"
_selection_option = options.make_choice_option(_SELECTIONS, "tags", _SELECTION_HELP)
_CONDITIONS: Final = (
    options.make_option(
        "--bbox WEST,SOUTH,EAST,NORTH",
        "everywhere",
        "Take rasters that meet this box in degrees, or show features in it.",
    ),
    options.make_option("--where SQL", "all features", "Take rasters that show features for which this is true."),
    options.make_option(
        "--collection collections NAME",
        "all",
        "Take rasters of this collection, and chips of them; repeatable.",
        multiple=True,
    ),
    options.make_option(
        "--subset subsets PART", "all", "Take rasters in this part (PART or SPLIT/PART); repeatable.", multiple=True
    ),
    options.make_option("--raster rasters ID", "all", "Take this raster; repeatable.", multiple=True),
)


def _add_conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which rasters a partial clone takes."""
    return reduce(lambda decorated, option: option(decorated), reversed(_CONDITIONS), command)


_remote_argument = click.argument("remote", required=False, default=None, metavar="[REMOTE]")


@click.command("clone", epilog=format_example("clone https://example.org/lakes.git", "clone s3://bucket/lakes lakes"))
@click.argument("source", metavar="URL-or-PATH")
@click.argument("folder", required=False, default=None, metavar="[DIR]")
@options.make_option("--remote NAME", "the default one, or origin", _REMOTE_HELP)
@options.make_option(_BRANCH, "that of geographer.lock, or main", "The branch to use.")
@options.make_option("--at REV", "that of geographer.lock, or the newest", "The revision that the workspace shows.")
@click.option("--no-pixels", is_flag=True, help="Fetch the history alone; checkout fetches files later.")
@_selection_option
@_add_conditions
@options.json_option
@click.pass_obj
def clone_command(
    base: str,
    /,
    source: str,
    folder: str | None,
    remote: str | None,
    branch: str | None,
    at: str | None,
    no_pixels: bool,
    revisions: str | None,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Make a copy of a published dataset, with its history, in the new folder DIR.

    The source is a Git repository, whose DVC remote has the history and the files, or the URL or path of a DVC remote
    alone. The history of all published branches comes along. An interrupted clone goes on when the same command is
    repeated.

    With --bbox, --where, --collection, --subset or --raster it is a partial clone: it takes the files of the rasters
    that meet all of them, of the rasters that their chips are cut from again, and the labels of both. Tables are
    whole. geographer fetch with such options makes it grow.
    """
    from geographer.dataset import Dataset
    from geographer.sharing.clone import name_clone

    path = Path(base) / (folder or name_clone(source))
    if "://" not in source and (Path(base) / source).exists():
        source = str((Path(base) / source).resolve())
    dataset = Dataset.clone(
        source,
        path,
        remote=remote,
        branch=branch,
        at=at,
        pixels=not no_pixels,
        revisions=_read_selection(revisions),
        progress=output.show_progress,
        command=options.format_command_line(),
        **conditions,
    )
    head = dataset.show()
    partial = dataset.sharing_status().partial if any(conditions.values()) else None
    if as_json:
        facts = {"root": str(dataset.root), "position": head.position, "digest": head.digest}
        output.print_json_line({**facts, **({"partial": partial.to_dict()} if partial else {})})
        return
    shown = "history only" if no_pixels else f"the workspace shows {at or f'@{head.position}'}"
    click.echo(
        f"'{dataset.root}' is at @{head.position} {head.digest[:12]} ({format_count(head.position, 'event')}; {shown})"
    )
    if partial:
        click.echo(f"partial clone: {partial}")


@click.command("fetch", epilog=format_example("fetch", "fetch --branch lakes", "fetch --collection scenes"))
@_remote_argument
@options.make_option(_BRANCH, "the one in use, and the events of all others", "The branch to fetch.")
@_selection_option
@_add_conditions
@click.option("--all", "all_files", is_flag=True, help="Make a partial clone take all files.")
@options.json_option
@click.pass_obj
def fetch_command(
    folder: str,
    /,
    remote: str | None,
    branch: str | None,
    revisions: str | None,
    all_files: bool,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Get what others published; head and workspace stay as they are.

    The events come into the log as the branch REMOTE/NAME, and the files into DVC's cache. Files of branches that are
    not in use come when they are shown.

    In a partial clone, --all and the options from --bbox to --raster, as in clone, make it take more from then on:
    the files that it lacks are fetched, and the workspace shows them.
    """
    dataset = _open_dataset(folder)
    selection = _read_selection(revisions)
    result = dataset.fetch(remote, branch=branch, revisions=selection, all_files=all_files, **conditions)
    _print_fetched(result, as_json=as_json)
    if not as_json and (all_files or any(conditions.values())):
        partial = dataset.sharing_status().partial
        scope = f"partial clone: {partial}" if partial else "this clone takes all files"
        click.echo(f"{result.bytes:,} bytes of files fetched; {scope}")


@click.command("pull", epilog=format_example("pull", "pull --branch lakes"))
@_remote_argument
@options.make_option(_BRANCH, "the one in use", "The branch to pull, and to use from then on.")
@_selection_option
@options.json_option
@click.pass_obj
def pull_command(folder: str, remote: str | None, branch: str | None, revisions: str | None, as_json: bool) -> None:
    """Fetch, move the head forward to the published one, and show it in the workspace.

    In a clone of the Git repository that has no history yet, the history is fetched first. Of histories that have
    diverged, both are kept: geographer merge REMOTE/NAME joins them.
    """
    from geographer.sharing.clone import complete_clone

    complete_clone(Path(folder), remote)
    result = _open_dataset(folder).pull(remote, branch=branch, revisions=_read_selection(revisions))
    _print_fetched(result, as_json=as_json)


@click.command("push", epilog=format_example("push", "push --revisions all"))
@_remote_argument
@options.make_option(_BRANCH, "the one in use", "The branch to publish.")
@_selection_option
@click.option("--take-in", is_flag=True, help="First copy the rasters that are recorded in place into DVC.")
@click.option("--dry-run", is_flag=True, help="Report what would be sent, and change nothing.")
@options.json_option
@click.pass_obj
def push_command(
    folder: str,
    remote: str | None,
    branch: str | None,
    revisions: str | None,
    take_in: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the head with its history and files on a remote.

    The head of a branch on a remote only moves forward: pull or merge first what others published. While a conflict of
    a merge is open, nothing is published.
    """
    dataset = _open_dataset(folder)
    if take_in and not dry_run:
        output.print_result(dataset.take_in_rasters(()), as_json=as_json)
    result = dataset.push(remote, branch=branch, revisions=_read_selection(revisions), dry_run=dry_run)
    if as_json:
        output.print_json_line(result._asdict())
        return
    sent = f"{format_count(result.events, 'event')}, {format_count(result.objects, 'object')}, {result.bytes:,} bytes"
    revision = f"@{result.position} {result.digest[:12]}"
    if dry_run:
        click.echo(f"would publish {revision} as {result.branch}: {sent}")
    elif result.changed:
        click.echo(f"{result.branch} is at {revision}: {sent} sent")
    elif result.objects:
        click.echo(f"{result.branch} is at {revision}: {sent} sent, which the remote lacked")
    else:
        click.echo(f"{result.branch} is at {revision}: nothing to send")


@click.command("reproduce", epilog=format_example("reproduce v1 --to ../v1"))
@click.argument("revision", metavar="REV")
@click.option("--to", required=True, metavar="DIR", help="The folder to write.")
@options.make_option("--remote NAME", "the default one", _REMOTE_HELP)
@options.json_option
@options.pass_dataset
def reproduce_command(dataset: Any, revision: str, to: str, remote: str | None, as_json: bool) -> None:
    """Write the files and tables of a revision from the log and a remote alone.

    Every file is hashed. Neither the workspace nor the cache is used if there is a remote. The content digest is
    computed from the log and compared with those of the revision's tags. The folder gets a manifest: geographer verify
    checks it anywhere.
    """
    result = dataset.reproduce(revision, to, remote=remote)
    if as_json:
        output.print_json_line(result._asdict())
        return
    tags = f", as {', '.join(f'tag {tag}' for tag in result.matches)} recorded" if result.matches else ""
    click.echo(
        f"'{to}' is {revision} @{result.position} {result.digest[:12]}: {format_count(result.files, 'file')} from "
        f"{result.source}, each with its recorded SHA-256; content {result.content_digest}{tags}"
    )
    for line in result.withdrawn:
        click.echo(line)
    if result.references:
        count = format_count(len(result.references), "raster")
        click.echo(f"not in it: {count} recorded in place, such as '{result.references[0]}'")


def _open_dataset(folder: str) -> Any:
    return options.open_dataset(folder)


def _read_selection(text: str | None) -> Any:
    return text or "tags"


def _print_fetched(fetched: Any, *, as_json: bool) -> None:
    for result in (fetched, *fetched.others):
        if as_json:
            output.print_json_line({name: value for name, value in result._asdict().items() if name != "others"})
        else:
            _print_branch(result)


def _print_branch(result: Any) -> None:
    if not result.position:
        click.echo(f"{result.branch}: nothing is published there yet")
        return
    got = f"{format_count(result.events, 'event')} and {format_count(result.objects, 'object')} fetched"
    place = "the workspace shows it" if result.updated else _describe_distance(result)
    click.echo(f"{result.branch} is at @{result.position} {result.digest[:12]}: {got}; {place}")


def _describe_distance(result: Any) -> str:
    name = result.branch.partition("/")[2]
    if name != result.compared_branch:
        return f"geographer switch {name} uses it"
    if result.ahead and result.behind:
        return f"diverged: {result.ahead:,} ahead, {result.behind:,} behind"
    if result.ahead or result.behind:
        return f"this dataset is {result.ahead or result.behind:,} {'ahead' if result.ahead else 'behind'}"
    return "this dataset is at the same revision"
