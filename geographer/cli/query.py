"""features, rasters, edges, chips, labels, objects, splits and sql: the tables of a revision."""

import csv
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from geographer.base.errors import StorageError, UsageError
from geographer.base.input_paths import require_input_path
from geographer.base.text import format_count
from geographer.cli import COMMANDS, options, output
from geographer.cli.help import format_example
from geographer.cli.options import Command
from geographer.dataset.reader import DatasetReader
from geographer.outputs.table_files import choose_format, format_query_lines, write_lines
from geographer.outputs.table_text import SummaryRows, read_query_summary, write_parquet_rows
from geographer.storage.database.query_limits import DEFAULT_TIMEOUT_S, make_timeout_error
from geographer.storage.queries.read_tables import count_query_rows, run_user_query

if TYPE_CHECKING:
    import pyarrow as pa

_WHERE_HELP: Final = "Use only rows for which this SQL expression over their columns is true."
_TEXT_SUFFIXES: Final = ("", ".txt")
_TABLE_FORMATS: Final = "table|json|csv|tsv|geojson|gpkg|parquet"
_QUERY_FORMATS: Final = "table|json|csv|tsv|parquet"
_STOP_PERIOD_S: Final = 5.0
Result = TypeVar("Result")


def add_output_options(formats: str) -> options.Decorator:
    """Return a decorator that adds the options for columns, rows, format and file."""
    decorators: list[options.Decorator] = [
        options.make_option(
            "--columns NAMES", "all", "The columns, in this order, separated by commas.", callback=_split_names
        ),
        options.make_option(
            "--limit COUNT",
            "none",
            "List at most this many rows, and say how many more there are.",
            type=click.IntRange(0),
        ),
        options.make_choice_option(
            f"--format {formats}", "by the suffix of --output, else table", "How to write the rows."
        ),
        options.make_option("-o --output FILE", "the terminal", "Write to this file, which is replaced."),
        options.json_option,
    ]

    def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add_options


def _split_names(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    """Return names that are separated by commas; one with a comma is in double quotes, as in CSV."""
    del context, parameter
    return None if text is None else next(csv.reader([text], skipinitialspace=True), [])


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
    @add_output_options(_TABLE_FORMATS)
    @options.pass_dataset
    def table_command(
        dataset: DatasetReader,
        at: str | None,
        format: str | None,
        output: str | None,
        as_json: bool,
        **table_filter: Any,
    ) -> None:
        table_format = choose_output_format(output, "json" if as_json else format)
        if table_format == "table":
            rows = dataset.read_summary(name, at, **table_filter)
            print_summary(rows, output)
        elif output is not None:
            dataset.write_table(name, output, table_format, at, **table_filter)
        else:
            print_lines(dataset.format_lines(name, table_format, at, **table_filter), None)
        report_rest(table_filter["limit"], partial(dataset.count_rows, name, at, **table_filter))
        if table_filter["where"] is not None and (text := dataset.describe_empty_table(name, at, **table_filter)):
            click.echo(text, err=True)

    return table_command


def choose_output_format(path: str | None, requested: str | None) -> str:
    """Return the requested format, or that of the suffix of a file."""
    if requested is None and (path is None or Path(path).suffix.lower() in _TEXT_SUFFIXES):
        return "table"
    return requested or choose_format(Path(path or ""), None)


def print_summary(rows: "pa.Table | SummaryRows", path: str | None) -> None:
    """Print rows as a table that fits the terminal, or write it to a file as wide as it is."""
    if isinstance(rows, SummaryRows):
        names, values = rows
    else:
        names, values = rows.column_names, [*zip(*map(output.list_values, rows.columns), strict=True)]
    if path is None:
        output.print_table(names, values, "Select columns with --columns.")
    else:
        write_lines(Path(path), output.format_table(names, values))


def print_lines(lines: Iterable[str], path: str | None) -> None:
    """Print lines, or write them to a file."""
    if path is not None:
        write_lines(Path(path), lines)
        return
    for line in lines:
        click.echo(line)


def report_rest(limit: int | None, count_rows: Callable[[], int]) -> None:
    """Say on stderr how many rows are not listed."""
    if limit is not None and (rest := count_rows() - limit) > 0:
        click.echo(f"{format_count(rest, 'more row')}; --limit {limit}", err=True)


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
@options.make_option(
    "--param parameters NAME=VALUE",
    "none",
    "The value of $NAME in the query, as text that DuckDB casts: $n::INT is a number. Repeatable.",
    multiple=True,
)
@add_output_options(_QUERY_FORMATS)
@options.pass_dataset
def sql_command(
    dataset: DatasetReader,
    query: str,
    at: str | None,
    timeout_s: float,
    parameters: tuple[str, ...],
    format: str | None,
    output: str | None,
    as_json: bool,
    columns: list[str] | None,
    limit: int | None,
) -> None:
    """Run a read-only SELECT over the tables of a revision.

    The tables are features, rasters, edges, chips, labels, objects, splits, events, tags and classes.
    """
    table_format = choose_output_format(output, "json" if as_json else format)
    values = _parse_parameters(parameters)

    prepared = dataset.prepare_query(query, at, parameters=values, timeout_s=timeout_s, columns=columns, limit=limit)
    if table_format == "table":
        print_summary(_run_limited(partial(read_query_summary, prepared), timeout_s), output)
    elif table_format == "parquet":
        path = require_output(output, table_format)
        write_parquet_rows(_run_limited(partial(run_user_query, prepared), timeout_s), path)
    else:
        lines = _run_limited(partial(format_query_lines, prepared, table_format), timeout_s)
        print_lines(lines, output)
    report_rest(limit, partial(_run_limited, partial(count_query_rows, prepared), timeout_s))


def require_output(path: str | None, table_format: str) -> Path:
    """Return the path of the file to write; `UsageError` without one."""
    if path is None:
        raise UsageError(f"--format {table_format} cannot be printed. Pass --output FILE.")
    return Path(path)


def _parse_parameters(texts: Iterable[str]) -> dict[str, str] | None:
    """Return the values of parameters by name; None without any, as `?` takes none."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in values:
            raise click.BadParameter(f"invalid or repeated value '{text}'. Use --param NAME=VALUE, each name once.")
        values[name.removeprefix("$")] = value
    return values or None


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
