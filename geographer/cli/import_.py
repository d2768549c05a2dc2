"""import: what others have, a directory of the previous library or another dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, output

if TYPE_CHECKING:
    from geographer.dataset import Dataset

_SHOWN = 20


@click.group("import")
def importing() -> None:
    """Take over a directory of the previous library, or another dataset."""


def __getattr__(name: str) -> click.Group:
    """Commands are looked up by their name, and `import` is a keyword."""
    if name == "import":
        return importing
    raise AttributeError(name)


@importing.command("geographer")
@click.argument("directory", metavar="DIR")
@click.option("--collection", default="source", show_default=True, help="The named set that the raster files join.")
@click.option(
    "--mode", type=click.Choice(["link", "copy", "reference"]), default="copy", show_default=True,
    help="Bytes in DVC and a copy or a read-only link in the workspace; or left where they are.",
)  # fmt: skip
@click.option(
    "--class", "class_", default=None, metavar="COLUMN", help="The column of classes, where it is not 'type'."
)
@click.option("--as-class", default=None, metavar="NAME", help="Give all features this class.")
@click.option(
    "--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True,
    help="Refuse everything when something is not fit; or leave that out and record it.",
)  # fmt: skip
@options.changing
@options.dataset
def geographer_directory(
    dataset: Dataset, directory: str, signature: dict[str, Any], as_json: bool, **wanted: Any
) -> None:
    """Take over DIR, a data directory of GeoGrapher 1.0, and say where its graph differs from ours, and why.

    Classes, features and rasters come; rasters without a file come as footprints. Labels are left aside. With --json,
    each edge that differs is a line of its own after the first.
    """
    result = dataset.import_geographer(directory, **wanted, **signature)
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])
    differing = dataset.compare_geographer(directory).to_pylist() if result.changed else []
    if as_json:
        for row in differing:
            output.print_json_line({"object": "edge", **row})
        return
    counts = result.summary.get("edges")
    if counts and (result.changed or signature["dry_run"]):
        click.echo(
            f"edges: {counts['before']:,} in the old graph, {counts['after']:,} here, {counts['different']:,} differ"
        )
        for why, count in result.summary["differences"].items():
            click.echo(f"  {count:,}: {why}")
    if differing:
        names = ("feature_id", "raster_id", "was", "now")
        output.print_table(names, [[row[name] or "-" for name in names] for row in differing[:_SHOWN]])
    if len(differing) > _SHOWN:
        click.echo(f"… and {len(differing) - _SHOWN:,} more: all of them with --json, or Dataset.compare_geographer")


@importing.command("dataset")
@click.argument("other", metavar="OTHER")
@options.at
@click.option(
    "--on-equal-id", type=click.Choice(["ours", "theirs"]), default=None,
    help="Whose stays where an id has other content in both; refused when left out.",
)  # fmt: skip
@click.option("--prefix", default="", metavar="TEXT", help="Put before all their ids of features and rasters.")
@click.option(
    "--rename", multiple=True, metavar="OLD=NEW", help="Take a recipe or collection of theirs under another name."
)
@options.changing
@options.dataset
def dataset_of_another(
    dataset: Dataset, other: str, at: str | None, on_equal_id: Any, prefix: str, rename: tuple[str, ...],
    signature: dict[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Merge OTHER, the folder of another dataset, as one event that notes its history.

    An id with equal content is one object. Splits are not taken over: run them again.
    """
    result = dataset.import_dataset(
        other, at=at, on_equal_id=on_equal_id, prefix=prefix, rename=dict(map(_pair, rename)), **signature
    )
    output.print_result(result, as_json=as_json, dry_run=signature["dry_run"])


def _pair(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not old or not new:
        raise click.BadParameter(f"'{text}' is no pair of names: give such as chips=their-chips")
    return old, new
