"""download: rasters from an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output
from geographer.cli.help import RenamedOption, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset


def _split_names(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


@click.command("download", epilog=format_example("download s2 --collection S2_MSI_L2A --start 2026-05-01 --plan"))
@click.argument("name", metavar="NAME")
@options.make_option("--provider NAME", "eodag's preferred provider", "Who runs the archive.")
@options.make_option("--collection NAME", "none", "The archive's collection (product type), such as S2_MSI_L2A.")
@options.make_option("--start TIME", "no limit", "Earliest time of acquisition, ISO 8601 in UTC, such as 2026-05-01.")
@options.make_option("--end TIME", "no limit", "Latest time of acquisition; a date includes the whole day.")
@options.make_option("--max-cloud PERCENT", "no limit", "Reject scenes whose stated cloud cover is higher.")
@options.make_option(
    "--near TIME",
    "the middle of --start and --end",
    "Among selections with equally few scenes, prefer scenes near this time.",
)
@options.make_pairs_option("--query KEY=VALUE", "An additional search parameter, as the archive names it.")
@options.make_target_count_option("How many rasters must contain each feature.")
@options.make_flag("--union", "Require instead that rasters cover each feature together.")
@options.features_where_option
@options.rasters_where_option
@options.make_value_option(
    "--to-collection --into into COLLECTION",
    "source",
    "The collection that the rasters join, and whose rasters count as present.",
    cls=RenamedOption,
)
@options.make_flag(
    "--keep-reprocessed --keep-twins keep_reprocessed",
    "Consider all processings of an acquisition, not only the newest.",
    cls=RenamedOption,
)
@options.make_option(
    "--bands NAME,…", "chosen by the reader", "Which bands, in this order, such as B02,B03.", callback=_split_names
)
@options.make_option(
    "--resolution METRES",
    "that of the finest band",
    "Pixel size, in metres or units of the CRS.",
    type=click.FloatRange(0, min_open=True),
)
@options.make_option(
    "--reader NAME",
    "chosen by the files",
    "How to read products: geotiff, bands, safe, an entry point, or module:Class.",
)
@options.make_pairs_option("--reader-option reader_options KEY=VALUE", "An option of the reader.")
@options.make_choice_option(
    "--footprint valid|bounds",
    "valid",
    "A raster's footprint: the outline of its valid pixels, or the bounds of its grid.",
)
@options.make_value_option(
    "--source NAME", "eodag", "How to reach the archive: eodag, alos, an entry point, or module:Class."
)
@options.make_pairs_option(
    "--source-option source_options KEY=VALUE",
    "An option of the source, such as url=https://… for a STAC API that eodag does not know.",
)
@options.make_value_option("--workers COUNT", 4, "How many products to fetch at the same time.")
@options.time_limit_option
@options.make_flag("--plan plan_only", "Search, select and print the scenes; fetch nothing.")
@options.accept_commit_options
@options.pass_dataset
def download_command(
    dataset: Dataset, name: str, plan_only: bool, commit_options: dict[str, Any], as_json: bool, **download_options: Any
) -> None:
    """Search an archive for the rasters that features lack, and fetch the fewest that suffice.

    eodag reads credentials from its own configuration file and environment variables. Products that cannot be fetched
    are listed in the event and tried again by the next run; the exit code is then 6.
    """
    if plan_only:
        del download_options["workers"]
        scenes, summary = dataset.plan_download(name, **download_options)
        output.print_download_plan(name, scenes, summary, as_json=as_json)
        return
    result = dataset.download(name, **download_options, **commit_options)
    output.print_result(result, as_json=as_json, dry_run=commit_options["dry_run"])
    output.exit_if_incomplete([result])
