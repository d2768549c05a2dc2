"""What commands print: tables and sentences on stdout, JSON lines on request, warnings and progress on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.base.errors import GeographerError, StorageError
from geographer.base.progress import SpeedGauge, read_activity
from geographer.cli import table_text

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.events import ChangeResult, EventPayload
    from geographer.storage.queries.table import Table

_BAR_WIDTH: Final = 24
_PROGRESS_INTERVAL_S: Final = 0.1
_last_progress_time = [0.0]
_gauge = SpeedGauge()

interrupted = threading.Event()
"""Set when the process has received SIGINT (Ctrl-C) or SIGTERM."""


def print_json_line(value: Any) -> None:
    """Print one JSON object as one line."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print all of each row as a JSON line, or these columns as a table."""
    if as_json:
        for row in rows:
            print_json_line(row)
    else:
        print_table(columns, [[row[column] for column in columns] for row in rows])


def print_result(result: ChangeResult, *, as_json: bool) -> None:
    """Print what a change did, or would do, and the revision."""
    if as_json:
        revision = {name: getattr(result, name) for name in ("position", "digest", "kind", "changed")}
        preview = {} if result.preview is None else {"changes": result.preview.to_pylist()}
        warnings = [*result.summary.get("warnings", ()), *result.logged_warnings]
        noted = {"warnings": warnings} if warnings else {}
        # The summary of a replacement counts changed objects under the key `changed`.
        recorded = {"recorded": result.changed} if "changed" in result.summary else {}
        print_json_line({**revision, **result.summary, **recorded, **preview, **noted})
        return
    if result.preview is not None and len(result.preview):
        print_table(result.preview.column_names, zip(*map(list_values, result.preview.columns), strict=True))
    payload = result.payload
    summary, recipe = payload.format_summary() if payload else "", result.summary.get("recipe")
    change = f"{result.kind} '{recipe['name']}'" if recipe else result.kind
    if result.changed:
        click.echo(f"@{result.position} {result.digest[:12]} {change}: {summary}".rstrip(": "))
    elif result.would_change:
        _print_dry_run(change, summary)
    else:
        from geographer.planning.recipe_events import format_reasons

        reasons = ["nothing to do", format_reasons(result.summary.get("unmet", {}))]
        outcome = "skipped" if result.error else ", ".join(filter(None, reasons))
        click.echo(f"{change}: {outcome}; the head is still @{result.position} {result.digest[:12]}")
    _print_warnings(result.summary)


def print_download_plan(name: str, scenes: Table, payload: EventPayload, *, as_json: bool) -> None:
    """Print the scenes that a download would fetch, and their number and size."""
    rows, summary = scenes.to_pylist(), payload.list_summary()
    if as_json:
        print_json_line({"plan": name, **summary, "scenes": rows})
        return
    if rows:
        cells = [[round(value, 3) if isinstance(value, float) else value for value in row.values()] for row in rows]
        print_table(list(rows[0]), cells)
    _print_dry_run(f"{payload.kind} '{name}'", payload.format_summary())
    _print_warnings(summary)


def exit_if_incomplete(results: Iterable[ChangeResult]) -> None:
    """Exit with the code of the error that skipped a recipe, or of storage errors if a product failed."""
    results = list(results)
    errors: list[GeographerError] = [result.error for result in results if result.error is not None]
    if any(result.payload is not None and result.payload.is_incomplete for result in results):
        errors.append(StorageError())
    if errors:
        # A failure that a retry cannot cure matters more than one that it can.
        errors.sort(key=lambda error: isinstance(error, StorageError))
        sys.exit(errors[0].exit_code)


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]], advice: str = "--json has them.") -> None:
    """Print columns under their names; in a terminal those that fit its width, and say on stderr which do not."""
    table = table_text.format_table(names, rows, _find_width())
    for line in table.lines:
        click.echo(line)
    if table.left_out:
        click.echo(f"Columns that do not fit the terminal: {', '.join(table.left_out)}. {advice}", err=True)


def format_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return the lines of a table, as wide as it is."""
    return table_text.format_table(names, rows).lines


def fit_line(line: str) -> str:
    """Return a line on which a terminal shows its start; unchanged if stdout is not a terminal."""
    width = _find_width()
    return line if width is None else table_text.shorten_text(table_text.format_cell(line), width)


def _find_width() -> int | None:
    """Return the width of the terminal that stdout is; None if it is something else."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def list_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column for a table; those that Python lacks, such as the year 10000, as text."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        import pyarrow as pa

        values = column.cast(pa.string()).to_pylist()
    return values


def show_progress(phase: str, done: int, total: int) -> None:
    """Draw a progress bar on one line of stderr and erase it at the end; draw nothing if stderr is not a terminal.

    Raise KeyboardInterrupt if the process was interrupted while a library ran that swallowed the exception.
    """
    if interrupted.is_set():
        raise KeyboardInterrupt
    if not sys.stderr.isatty():
        return
    now = time.monotonic()
    if done >= total:
        sys.stderr.write("\r\033[K")
    elif now - _last_progress_time[0] > _PROGRESS_INTERVAL_S:
        _last_progress_time[0] = now
        filled = round(_BAR_WIDTH * done / total)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        notes = (f"{phase}: {done:,} of {total:,}", _gauge.describe_speed(phase, done, total, now), read_activity())
        line = f"[{bar}] {', '.join(filter(None, notes))}"
        sys.stderr.write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\033[K")
    sys.stderr.flush()


def _print_dry_run(change: str, summary: str) -> None:
    click.echo(f"would record {change}: {summary or 'nothing new'}; nothing was changed")


def _print_warnings(summary: Mapping[str, Any]) -> None:
    for warning in summary.get("warnings", []):
        click.echo(f"Warning: {warning}", err=True)


def format_time(time: datetime | None) -> str:
    """Return a time in UTC to the second."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
