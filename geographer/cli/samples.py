"""samples: what to train on, as one table."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.cli import options
from geographer.cli.help import format_example
from geographer.cli.query import (
    add_output_options,
    choose_output_format,
    print_lines,
    print_summary,
    report_rest,
    require_output,
)
from geographer.dataset.reader import DatasetReader
from geographer.outputs.table_text import format_rows, write_parquet_rows
from geographer.storage.queries.selection import require_columns

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS: Final = "table|json|csv|tsv|parquet"
_SUMMARY: Final = ("raster_id", "part", "class", "path")
SELECTION_OPTIONS: Final[Sequence[options.Decorator]] = (
    options.make_option("--split NAME", "the only one", "Only rasters that this split assigns."),
    options.make_option("--subset PART", "all", "Only this part of the split. Repeatable.", multiple=True),
    options.make_option("--collection NAME", "of the split, or the only one of chips", "Only rasters of this one."),
    options.make_option("--labels NAME", "all that the rasters have", "Only this label. Repeatable.", multiple=True),
    options.at_option,
)
"""The options that select samples."""


def add_selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select samples; the command gets them as one dictionary, `selection`."""

    @wraps(command)
    def run_command(*args: Any, **values: Any) -> Any:
        names = ("split", "subset", "collection", "labels", "at")
        # Options that can be repeated are an empty tuple unless given.
        selection = {name: None if (value := values.pop(name)) == () else value for name in names}
        return command(*args, selection=selection, **values)

    decorated: Callable[..., Any] = run_command
    for decorator in reversed(SELECTION_OPTIONS):
        decorated = decorator(decorated)
    return decorated


@click.command("samples", epilog=format_example("samples --subset train -o train.parquet"))
@options.pass_dataset
@add_selection_options
@add_output_options(_FORMATS)
def samples_command(
    dataset: DatasetReader,
    selection: dict[str, Any],
    columns: Sequence[str] | None,
    limit: int | None,
    format: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """List what to train on: images with labels, ids, subset, classes and grid.

    Paths are absolute and lead to the bytes of the revision: in the workspace, or in DVC's cache. On a terminal, a few
    columns are shown; --columns chooses others.
    """
    table_format = choose_output_format(output, "json" if as_json else format)
    samples = dataset.samples(**selection).arrow
    rows = _select_rows(samples, columns, limit, is_summary=table_format == "table")
    if table_format == "parquet":
        write_parquet_rows(rows, require_output(output, table_format))
    elif table_format == "table":
        print_summary(rows, output)
    else:
        print_lines(format_rows(rows, table_format), output)
    report_rest(limit, lambda: len(samples))


def _select_rows(
    samples: "pa.Table", columns: Sequence[str] | None, limit: int | None, *, is_summary: bool
) -> "pa.Table":
    if columns is None and is_summary:
        names = samples.column_names
        columns = [*_SUMMARY, *(name for name in names if name.startswith("label_") and not name.endswith("_sha256"))]
    if columns is not None:
        samples = samples.select(require_columns(columns, samples.column_names, "the table of samples"))
    return samples if limit is None else samples.slice(0, limit)
