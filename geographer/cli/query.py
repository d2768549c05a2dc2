"""features, rasters, edges, chips, labels, objects, splits, components and sql: what there is, at any revision."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.cli import options, output
from geographer.cli.options import Command

if TYPE_CHECKING:
    from geographer.dataset import Dataset

_SUFFIXES = {
    "": "table",
    ".txt": "table",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".geojson": "geojson",
    ".parquet": "parquet",
    ".geoparquet": "parquet",
}
_GEOMETRIES = ("geometry", "footprint")


def _table_command(name: str, help_text: str) -> click.Command:
    """The command that reads one table."""

    @click.command(name, help=help_text)
    @options.at
    @options.where
    @_naming("feature")
    @_naming("raster")
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
        default=None,
        help="That of the output's suffix, or a table, when left out.",
    )
    @click.option("-o", "--output", default=None, metavar="FILE", help="Write there instead of to the terminal.")
    @options.as_json
    @options.dataset
    def command(
        dataset: Dataset, at: str | None, form: str | None, output: str | None, as_json: bool, **wanted: Any
    ) -> None:
        form = "json" if as_json else form or _form_of(output)
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


def _form_of(output: str | None) -> str:
    """The format that a file's suffix asks for."""
    suffix = Path(output).suffix.lower() if output else ""
    if suffix not in _SUFFIXES:
        raise UsageError(f"'{output}': no format has the suffix '{suffix}': pass --format")
    return _SUFFIXES[suffix]


def _naming(subject: str) -> Callable[[Command], Command]:
    """The options that name features or rasters: some on the command line, or many in a file."""

    def with_options(command: Command) -> Command:
        @click.option(
            f"--{subject}",
            f"{subject}s_named",
            multiple=True,
            metavar="ID",
            help=f"Only what concerns this {subject}. Repeat it.",
        )
        @click.option(
            f"--{subject}s-from",
            f"{subject}s_from",
            default=None,
            metavar="FILE",
            help=f"The same for many {subject}s, in one query: one id a line; - is stdin.",
        )
        @wraps(command)
        def with_ids(*args: Any, **kwargs: Any) -> Any:
            named, file = list(kwargs.pop(f"{subject}s_named")), kwargs.pop(f"{subject}s_from")
            ids = named + (_lines_of(file) if file is not None else [])
            return command(*args, **kwargs, **{subject: ids if named or file is not None else None})

        return with_ids  # type: ignore[return-value]

    return with_options


def _lines_of(file: str) -> list[str]:
    """The ids in a file, one a line; empty lines are none."""
    try:
        with click.open_file(file, encoding="utf-8") as lines:
            return [line for line in lines.read().splitlines() if line]
    except FileNotFoundError as error:
        raise NotFoundError(f"no such file: '{file}'") from error


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
    return output.format_table(shown, zip(*(table[column].to_pylist() for column in shown), strict=True))


features = _table_command("features", "The features at a revision.")
rasters = _table_command("rasters", "The rasters at a revision.")
edges = _table_command("edges", "Which raster contains or intersects which feature.")
chips = _table_command("chips", "The chips, with their parents and windows.")
labels = _table_command("labels", "The labels at a revision.")
objects = _table_command("objects", "The objects that instance and box labels list.")
splits = _table_command("splits", "Which part each raster is assigned to.")


@click.command()
@click.option("--collection", default="source", show_default=True, help="Whose rasters.")
@options.bound_by
@options.buffer
@click.option(
    "--where", default=None, metavar="SQL", help="Only the features for which this expression is true count as objects."
)
@options.at
@options.as_json
@options.dataset
def components(dataset: Dataset, as_json: bool, **wanted: Any) -> None:
    """The clusters of rasters that must stay together.

    They are those that a split with the same options never parts.
    """
    rows = dataset.components(**wanted).to_pylist()
    if as_json:
        for row in rows:
            output.print_json_line(row)
    else:
        output.print_table(("raster_id", "component"), [list(row.values()) for row in rows])


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
    output.print_table(table.column_names, zip(*(column.to_pylist() for column in table.columns), strict=True))
