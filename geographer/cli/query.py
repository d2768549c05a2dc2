"""features, rasters, edges, chips, labels, objects, splits and sql: the tables of a revision."""

import os
import threading
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from geographer.base.errors import StorageError, UsageError
from geographer.base.input_paths import require_input_path
from geographer.cli import COMMANDS, options, output
from geographer.cli.help import format_example
from geographer.cli.options import Command
from geographer.dataset.reader import DatasetReader
from geographer.storage.database.query_limits import DEFAULT_TIMEOUT_S, make_timeout_error

_FORMATS: Final = {
    **dict.fromkeys(("", ".txt"), "table"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".parquet", ".geoparquet"), "parquet"),
    ".geojson": "geojson",
}
_WHERE_HELP: Final = "Use only rows for which this SQL expression over their columns is true."
_GEOMETRY_COLUMNS: Final = ("geometry", "footprint")
_STOP_PERIOD_S: Final = 5.0
Result = TypeVar("Result")


def _make_table_command(name: str, example: str) -> click.Command:
    """Return the command that prints or writes one table."""

    @click.command(name, help=COMMANDS[name][1], epilog=format_example(example))
    @options.at_option
    @options.make_option("--where SQL", "all rows", _WHERE_HELP)
    @_add_id_options("feature")
    @_add_id_options("raster")
    @options.make_choice_option(
        "--relation contains|intersects", "both", "Consider only pairs of features and rasters with this relation."
    )
    @options.make_choice_option(
        "--format table|json|geojson|parquet", "by the suffix of --output, else table", "How to write the rows."
    )
    @options.make_option("-o --output FILE", "the terminal", "Write to this file.")
    @options.json_option
    @options.pass_dataset
    def table_command(
        dataset: DatasetReader,
        at: str | None,
        format: str | None,
        output: str | None,
        as_json: bool,
        **table_filter: Any,
    ) -> None:
        table_format = "json" if as_json else format or _choose_format(output)
        if table_format == "parquet":
            if output is None:
                raise UsageError("--format parquet cannot be printed. Pass --output FILE.")
            dataset.write_parquet(name, output, at=at, **table_filter)
            return
        text = "\n".join(_format_lines(dataset, name, table_format, at, table_filter))
        text += "\n" if text else ""
        if output is None:
            click.echo(text, nl=False)
            return
        try:
            Path(output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"cannot write '{output}': {error.strerror}. Choose another --output.") from error

    return table_command


def _choose_format(path: str | None) -> str:
    """Return the format that the suffix of a file names."""
    suffix = Path(path).suffix.lower() if path else ""
    if suffix not in _FORMATS:
        raise UsageError(f"unknown suffix '{suffix}' of '{path}'. Pass --format.")
    return _FORMATS[suffix]


def _add_id_options(subject: str) -> Callable[[Command], Command]:
    """Return a decorator that adds `--<subject>` and `--<subject>s-from`, and passes their ids together."""

    def add_options(command: Command) -> Command:
        @options.make_option(
            f"--{subject} {subject}_ids ID",
            f"all {subject}s",
            f"Only rows that concern this {subject}. Repeatable.",
            multiple=True,
        )
        @options.make_option(
            f"--{subject}s-from {subject}s_file FILE",
            "none",
            f"Only rows that concern the {subject}s in this file, one id per line; - is stdin.",
        )
        @wraps(command)
        def run_with_ids(*args: Any, **kwargs: Any) -> Any:
            ids, file = list(kwargs.pop(f"{subject}_ids")), kwargs.pop(f"{subject}s_file")
            if file is not None:
                ids += _read_ids(file)
            return command(*args, **kwargs, **{subject: ids if ids or file is not None else None})

        return run_with_ids  # type: ignore[return-value]

    return add_options


def _read_ids(file: str) -> list[str]:
    """Return the ids in a file, one per line; empty lines are skipped."""
    try:
        with click.open_file("-" if file == "-" else str(require_input_path(file)), encoding="utf-8") as lines:
            return [line for line in lines.read().splitlines() if line]
    except UnicodeDecodeError as error:
        raise UsageError(f"'{file}' is not UTF-8 ({error.reason}). Save it as UTF-8, with one id per line.") from error
    except OSError as error:
        raise StorageError(f"cannot read '{file}': {error.strerror}. Name a file with one id per line.") from error


def _format_lines(
    dataset: DatasetReader, name: str, table_format: str, at: str | None, table_filter: dict[str, Any]
) -> list[str]:
    """Return the rows of a table as lines of text; the text table omits geometries."""
    if table_format == "json":
        return dataset.format_json_lines(name, at=at, **table_filter)
    if table_format == "geojson":
        features = dataset.format_geojson_features(name, at=at, **table_filter)
        return ['{"type": "FeatureCollection", "features": [', ",\n".join(features), "]}"]
    table = dataset.read_table(name, at=at, **table_filter)
    columns = [column for column in table.column_names if column not in _GEOMETRY_COLUMNS]
    return output.format_table(columns, zip(*(output.list_values(table[column]) for column in columns), strict=True))


features_command = _make_table_command("features", "features --where \"class = 'lake'\" -o lakes.geojson")
rasters_command = _make_table_command("rasters", "rasters --feature lake-17 --json")
edges_command = _make_table_command("edges", "edges --relation contains --at v1")
chips_command = _make_table_command("chips", "chips --where 'width > 512'")
labels_command = _make_table_command("labels", "labels --at v1")
objects_command = _make_table_command("objects", "objects --where 'visible < 0.5'")
splits_command = _make_table_command("splits", "splits --where \"part = 'test'\"")


@click.command("sql", epilog=format_example("sql 'SELECT part, count(*) AS chips FROM splits GROUP BY part'"))
@click.argument("query", metavar="QUERY")
@options.at_option
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FLOAT,
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Stop the query after this time: while it runs, nothing can be recorded.",
)
@options.json_option
@options.pass_dataset
def sql_command(dataset: DatasetReader, query: str, at: str | None, timeout_s: float, as_json: bool) -> None:
    """Run a read-only SELECT over the tables of a revision.

    The tables are features, rasters, edges, chips, labels, objects, splits, events, tags and classes.
    """
    if as_json:
        for line in _run_limited(partial(dataset.sql_json_lines, query, at=at, timeout_s=timeout_s), timeout_s):
            click.echo(line)
        return
    table = _run_limited(partial(dataset.sql, query, at=at, timeout_s=timeout_s), timeout_s)
    output.print_table(table.column_names, zip(*map(output.list_values, table.columns), strict=True))


def _run_limited(run_query: Callable[[], Result], timeout_s: float) -> Result:
    """Run a query; end this process, which changes nothing, if DuckDB does not heed that the time is over."""
    is_done = threading.Event()

    def end_process() -> None:
        if not is_done.wait(min(timeout_s + _STOP_PERIOD_S, threading.TIMEOUT_MAX)):
            click.echo(f"Error: {make_timeout_error(timeout_s)}", err=True)
            os._exit(UsageError.exit_code)

    if timeout_s > 0:  # Not a number, or none above 0, is refused when the query runs.
        threading.Thread(target=end_process, daemon=True).start()
    try:
        return run_query()
    finally:
        is_done.set()
