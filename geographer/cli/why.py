"""why and blame: where an object comes from, and what gave a pixel of a label its value."""

import re

import click

from geographer.cli import options, output
from geographer.cli.help import format_example
from geographer.dataset.reader import DatasetReader

_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the facts and the sentences as one JSON object."
)


@click.command("why", epilog=format_example("why chips/a_p1", "why lake-17 --at v1"))
@click.argument("identity", metavar="OBJECT")
@options.at_option
@_json_option
@options.pass_dataset
def why_command(dataset: DatasetReader, identity: str, at: str | None, as_json: bool) -> None:
    """Say where an object comes from, what made it as it is, and what binds it.

    OBJECT is the id of a feature or raster (chips are rasters), or feature:ID, raster:ID, label:NAME/RASTER_ID,
    class:NAME, recipe:NAME or split:NAME.
    """
    _print_facts(dataset.explain_object(identity, at), as_json=as_json)


class _PixelCommand(click.Command):
    """A command that takes a word such as `-1` for a number, not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        ctx.ignore_unknown_options = any(re.match("-[0-9]", word) for word in args)
        return super().parse_args(ctx, args)


@click.command("blame", cls=_PixelCommand, epilog=format_example("blame mask chips/a_p1 120 64"))
@click.argument("label", metavar="LABEL")
@click.argument("raster_id", metavar="CHIP")
@click.argument("column", metavar="X", type=int)
@click.argument("row", metavar="Y", type=int)
@options.at_option
@_json_option
@options.pass_dataset
def blame_command(
    dataset: DatasetReader, label: str, raster_id: str, column: int, row: int, at: str | None, as_json: bool
) -> None:
    """Say which feature, rule and event gave a pixel of a label its value.

    LABEL is a label recipe and CHIP the raster that the label is of. X is the column and Y the row of the pixel, from 0
    at the upper left. Features that cover the pixel below another are listed, too, from top to bottom.
    """
    _print_facts(dataset.blame_pixel(label, raster_id, column, row, at), as_json=as_json)


def _print_facts(facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        output.print_json_line(facts)
        return
    for sentence in facts["sentences"]:  # type: ignore[attr-defined]
        click.echo(sentence)
