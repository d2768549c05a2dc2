"""version: compute the version number of a revision from the data."""

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader


@click.command("version", epilog=format_example("version", "version v1 HEAD --json"))
@click.argument("a", default=None, required=False, metavar="[A]")
@click.argument("b", default=None, required=False, metavar="[B]")
@options.json_object_option
@options.pass_dataset
def version_command(dataset: DatasetReader, a: str | None, b: str | None, as_json: bool) -> None:
    """Say whether the data changed from A to B by PATCH, MINOR or MAJOR, and the next number.

    PATCH: the data are the same. MINOR: data were only added. MAJOR: data were edited, removed, moved between subsets,
    or withdrawn. B is the head, if omitted; A is the last tag with a version number at or before B. To record the
    number: geographer tag NAME --version auto.
    """
    version = dataset.compute_version(a, b)
    if as_json:
        output.print_json_line(version.to_json())
        return
    for line in version.format_lines():
        click.echo(line)
