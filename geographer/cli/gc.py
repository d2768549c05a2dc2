"""gc: delete the objects that no retained revision needs."""

from typing import TYPE_CHECKING

import click

from geographer.base.text import format_count
from geographer.cli import options, output
from geographer.cli.help import format_example

if TYPE_CHECKING:
    from geographer.sharing.collect_garbage import RetainedRevisions


@click.command("gc", epilog=format_example("gc --dry-run", "gc --remote origin"))
@options.make_option("--remote NAME", "this machine", "Delete from this remote of DVC instead.")
@options.make_choice_option(
    "--revisions tags|all", "tags", "Keep what the head and the tags need, or what every revision needs."
)
@click.option("--dry-run", is_flag=True, help="Count the files, and delete nothing.")
@options.json_option
@click.pass_obj
def gc_command(
    folder: str, remote: str | None, revisions: "RetainedRevisions | None", dry_run: bool, as_json: bool
) -> None:
    """Delete the files that neither the head nor a tag needs, from this machine or a remote.

    What the workspace shows, the history, and what other .dvc files and Git commits use is kept, too. A remote, and a
    cache outside the dataset's folder, may be shared: files that this dataset does not know stay there.
    """
    from geographer.dataset import Dataset

    dataset = Dataset.open(folder, progress=output.show_progress)
    report = dataset.collect_garbage(remote=remote, revisions=revisions or "tags", dry_run=dry_run)
    counts = report._asdict()
    if as_json:
        values = {f"{name}_{unit}": value for name, count in counts.items() for unit, value in count._asdict().items()}
        output.print_json_line({"remote": remote, "dry_run": dry_run, **values})
        return
    texts = {
        name: f"{format_count(count.objects, 'object')} ({count.bytes / 1e6:,.1f} MB)" for name, count in counts.items()
    }
    click.echo(f"{texts['deleted']} {'would be ' if dry_run else ''}deleted, {texts['kept']} kept")
    if report.unknown.objects:
        click.echo(f"{texts['unknown']} stay that this dataset does not know")
