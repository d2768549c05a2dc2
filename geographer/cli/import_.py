"""import: a directory of GeoGrapher 1.0, or another dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from geographer.cli import options, output
from geographer.cli.help import CommandGroup, format_example

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.storage.events import ChangeResult

_MAX_PRINTED_EDGES: Final = 20


@click.group("import", cls=CommandGroup, epilog=format_example("import dataset ../lakes --at v2"))
def import_command() -> None:
    """Import a directory of GeoGrapher 1.0, or merge another dataset."""


@import_command.command("geographer", epilog=format_example("import geographer ../old_data_dir --collection s2"))
@click.argument("directory", metavar="DIR")
@options.collection_option
@options.mode_option
@options.make_option("--class class_ COLUMN", "type", "The column of the features' classes.")
@options.as_class_option
@options.on_error_option
@options.accept_commit_options
@options.pass_dataset
def import_geographer_command(
    dataset: Dataset, directory: str, commit_options: dict[str, Any], as_json: bool, **import_options: Any
) -> None:
    """Import DIR, a data directory of GeoGrapher 1.0, and compare its graph with the new one.

    Classes, features and rasters are imported; rasters without a file become footprints. Labels are not imported.
    With --json, the lines after the first are the edges that differ, each with the reason.
    """
    result = dataset.import_geographer(directory, **import_options, **commit_options)
    output.print_result(result, as_json=as_json, dry_run=commit_options["dry_run"])
    differences = dataset.compare_geographer(directory).to_pylist() if result.changed else []
    if as_json:
        for row in differences:
            output.print_json_line({"object": "edge", **row})
        return
    counts = result.summary.get("edges")
    if counts and (result.changed or commit_options["dry_run"]):
        click.echo(
            f"edges: {counts['before']:,} in the old graph, {counts['after']:,} here, {counts['different']:,} differ"
        )
        for reason, count in result.summary["differences"].items():
            click.echo(f"  {count:,}: {reason}")
    if differences:
        columns = ("feature_id", "raster_id", "was", "now")
        rows = [[row[name] or "-" for name in columns] for row in differences[:_MAX_PRINTED_EDGES]]
        output.print_table(columns, rows)
    omitted = len(differences) - _MAX_PRINTED_EDGES
    if omitted > 0:
        click.echo(f"… and {omitted:,} more; --json or Dataset.compare_geographer lists all")


@import_command.command("dataset", epilog=format_example("import dataset ../lakes --at v2 --rename chips=lake_chips"))
@click.argument("path", metavar="OTHER")
@options.at_option
@options.make_choice_option(
    "--on-equal-id ours|theirs",
    "refuse to import",
    "Which object to keep if an id has different content in the two datasets.",
)
@options.make_value_option("--prefix TEXT", "", "Put this text before the ids of all imported features and rasters.")
@options.make_pairs_option(
    "--rename OLD=NEW", "Import a recipe or collection under another name.", shown_default="their names"
)
@options.print_change
def import_dataset_command(dataset: Dataset, path: str, **import_options: Any) -> ChangeResult:
    """Merge OTHER, the folder of another dataset, as one event that records its history.

    Objects with the same id and the same content become one object. Splits are not imported: run them again.
    """
    return dataset.import_dataset(path, **import_options)
