"""features, rasters, edges, chips, labels, objects, splits and sql: what there is, at any revision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geographer.cli import options, render
from geographer.errors import StorageError, UsageError

if TYPE_CHECKING:
    from geographer.dataset import Dataset

_GEOMETRIES = ("geometry", "footprint")


def _table_command(name: str, help_text: str) -> click.Command:
    """The command that reads one table."""

    @click.command(name, help=help_text)
    @options.at
    @options.where
    @click.option("--feature", default=None, metavar="ID", help="Only what concerns this feature.")
    @click.option("--raster", default=None, metavar="ID", help="Only what concerns this raster.")
    @click.option(
        "--relation",
        type=click.Choice(["contains", "intersects"]),
        default=None,
        help="Only through this relation.",
    )
    @click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "geojson", "parquet"]),
        default="table",
        show_default=True,
    )
    @click.option("-o", "--output", default=None, metavar="FILE", help="Write there instead of to the terminal.")
    @options.as_json
    @options.dataset
    def command(dataset: Dataset, at: str | None, form: str, output: str | None, as_json: bool, **wanted: Any) -> None:
        form = "json" if as_json else form
        if form == "parquet":
            if output is None:
                raise UsageError("--format parquet is no text: pass --output FILE")
            dataset.write_parquet(name, output, at=at, **wanted)
            return
        text = "\n".join(_lines(dataset, name, form, at, wanted))
        text += "\n" if text else ""
        if output is not None:
            _write(Path(output), text)
        else:
            click.echo(text, nl=False)

    return command


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"can't write '{path}': {error.strerror}; choose another --output") from error


def _lines(dataset: Dataset, name: str, form: str, at: str | None, wanted: dict[str, Any]) -> list[str]:
    if form == "json":
        return dataset.json_lines(name, at=at, **wanted)
    if form == "geojson":
        features = dataset.geojson_features(name, at=at, **wanted)
        return ['{"type": "FeatureCollection", "features": [', ",\n".join(features), "]}"]
    table = dataset.table(name, at=at, **wanted)
    shown = [column for column in table.column_names if column not in _GEOMETRIES]
    return render.table_lines(shown, zip(*(table[column].to_pylist() for column in shown), strict=True))


features = _table_command("features", "The features at a revision.")
rasters = _table_command("rasters", "The rasters at a revision.")
edges = _table_command("edges", "Which raster contains or intersects which feature.")
chips = _table_command("chips", "The chips, with their parents and windows.")
labels = _table_command("labels", "The labels at a revision.")
objects = _table_command("objects", "The objects that instance and box labels list.")
splits = _table_command("splits", "Which part each raster is assigned to.")


@click.command()
@click.argument("query", metavar="QUERY")
@options.at
@options.as_json
@options.dataset
def sql(dataset: Dataset, query: str, at: str | None, as_json: bool) -> None:
    """A read-only SELECT over the tables of a revision.

    The tables are features, rasters, edges, chips, labels, objects, splits, events, tags and classes.
    """
    if as_json:
        for line in dataset.sql_json_lines(query, at=at):
            click.echo(line)
        return
    table = dataset.sql(query, at=at)
    render.table(table.column_names, zip(*(column.to_pylist() for column in table.columns), strict=True))
