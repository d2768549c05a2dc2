"""download: rasters from an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.dataset import Dataset


def _names(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip()) if text else ()


def _given(flag: str, name: str, help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A repeated option KEY=VALUE, which arrives as a dictionary."""
    return click.option(
        flag,
        name,
        multiple=True,
        type=options.assignment,
        callback=lambda _context, _parameter, given: dict(given),
        metavar="KEY=VALUE",
        help=f"{help_text} Repeat it.",
    )


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--provider", default=None, help="Whose archive; eodag's preferred one when left out.")
@click.option("--collection", default=None, help="The archive's own collection, such as S2_MSI_L2A.")
@click.option("--start", default=None, metavar="TIME", help="The first moment of acquisition, such as 2026-05-01.")
@click.option("--end", default=None, metavar="TIME", help="The last one; a date counts to its end.")
@click.option(
    "--max-cloud",
    default=None,
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="No scene that states more cloud.",
)
@click.option(
    "--near",
    default=None,
    metavar="TIME",
    help="Of equally few scenes, rather those near to it; the middle of start and end when left out.",
)
@_given("--query", "query", "More to ask the archive for, in its own words.")
@options.target_count("How many rasters are to contain each feature.")
@click.option("--union", is_flag=True, help="Rasters are to cover each feature together instead.")
@options.where
@click.option("--rasters-where", default=None, metavar="SQL", help="Only such rasters count; or @SELECTOR.")
@click.option(
    "--into", default="source", show_default=True, metavar="COLLECTION", help="Where the rasters go, and which count."
)
@click.option("--keep-twins", is_flag=True, help="All processings of an acquisition count, not only the newest.")
@click.option(
    "--bands",
    default=None,
    callback=_names,
    metavar="B02,B03,…",
    help="Which bands; the reader's choice if left out.",
)
@click.option(
    "--resolution", default=None, type=click.FloatRange(0, min_open=True), metavar="METRES", help="Of the pixels."
)
@click.option("--reader", default=None, help="geotiff, bands, safe or one's own; by the files when left out.")
@_given("--reader-option", "reader_options", "For the reader.")
@click.option(
    "--footprint",
    type=click.Choice(["valid", "bounds"]),
    default="valid",
    show_default=True,
    help="What a raster shows: its valid pixels, or all within its bounds.",
)
@click.option("--source", default="eodag", show_default=True, help="eodag, alos or one's own.")
@_given(
    "--source-option",
    "source_options",
    "For the source, such as url=https://… for a STAC API that eodag does not know.",
)
@click.option(
    "--workers",
    default=4,
    show_default=True,
    type=click.IntRange(1),
    help="Products at once.",
)
@options.time_limit
@click.option("--plan", "planning", is_flag=True, help="Search and choose; show the scenes, fetch nothing.")
@options.changing
@options.dataset
def download(
    dataset: Dataset,
    name: str,
    planning: bool,
    workers: int,
    signature: dict[str, Any],
    as_json: bool,
    **wanted: Any,
) -> None:
    """Find and fetch the rasters that features still lack.

    The fewest scenes that show them all are chosen. Credentials are eodag's business: its configuration file and
    environment variables. What can't be had is told in the event and tried again by the next run; the exit code is
    then 6.
    """
    if planning:
        scenes, summary = dataset.plan_download(name, **wanted)
        output.print_download_plan(name, scenes, summary, as_json=as_json)
        return
    result = dataset.download(name, workers=workers, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])
    output.exit_if_incomplete([result])
