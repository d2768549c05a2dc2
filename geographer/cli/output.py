"""What commands print: tables and sentences on stdout, JSON lines on request, warnings and progress on stderr."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import click

from geographer.base.errors import StorageError
from geographer.base.text import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.table import Table

_MAX_CELL_WIDTH: Final = 64
_BAR_WIDTH: Final = 24
_PROGRESS_INTERVAL_S: Final = 0.1
_last_progress_time = [0.0]

_COUNTED: Final = {
    "features": ("feature", ""),
    "rasters": ("raster", ""),
    "footprints": ("footprint", "without pixels"),
    "chips": ("chip", ""),
    "boxes": ("box", ""),
    "masks": ("mask", ""),
    "labels": ("label", ""),
    "splits": ("split assignment", ""),
    "components": ("component", ""),
    "missing": ("feature", "without enough rasters"),
    "candidates": ("candidate scene", ""),
    "failed": ("product", "failed"),
    "short": ("feature", "not contained by the scenes fetched for them"),
    "assigned": ("raster", "assigned"),
    "left out": ("raster", "left unassigned"),
    "moved": ("raster", "moved to another part"),
    "dropped": ("feature", "removed with their class"),
    "pruned": ("chip", "removed"),
    "equal": ("object", "equal in both datasets"),
    "kept_as_ours": ("object", "kept as ours"),
    "replaced_by_theirs": ("object", "replaced by theirs"),
    "left_out_chips": ("chip", "left out"),
    "left_out_labels": ("label", "left out"),
    "left_out_splits": ("split assignment", "left out"),
    "left_aside_labels": ("label", "not imported"),
    "left_aside_files": ("file", "not imported"),
    "smaller than a pixel": ("feature", "smaller than a pixel"),
    "hidden": ("feature", "hidden by others"),
    "too little of it visible": ("feature", "dropped because too little is visible"),
}
"""For the keys of a summary that count things: the noun, and what is true of the things counted."""
_ADJECTIVES: Final = ("added", "changed", "unchanged", "skipped", "retired")
_CONTEXT: Final = {"crs": "CRS", "dtype": "data type", "collection": "collection"}

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


def print_result(result: ChangeResult, *, as_json: bool, dry_run: bool = False) -> None:
    """Print what a change did, and the new revision."""
    if as_json:
        revision = {name: getattr(result, name) for name in ("position", "digest", "kind", "changed")}
        print_json_line({**revision, **result.summary})
        return
    summary, recipe = _format_summary(result.summary), result.summary.get("recipe")
    change = f"{result.kind} '{recipe['name']}'" if recipe else result.kind
    if result.changed:
        click.echo(f"@{result.position} {result.digest[:12]} {change}: {summary}".rstrip(": "))
    elif dry_run:
        _print_dry_run(change, summary)
    else:
        click.echo(f"{change}: nothing to do; the head is still @{result.position} {result.digest[:12]}")
    _print_warnings(result.summary)


def print_download_plan(name: str, scenes: Table, summary: dict[str, Any], *, as_json: bool) -> None:
    """Print the scenes that a download would fetch, and their number and size."""
    rows = scenes.to_pylist()
    if as_json:
        print_json_line({"plan": name, **summary, "scenes": rows})
        return
    if rows:
        cells = [[round(value, 3) if isinstance(value, float) else value for value in row.values()] for row in rows]
        print_table(list(rows[0]), cells)
    _print_dry_run(f"rasters_downloaded '{name}'", _format_summary(summary))
    _print_warnings(summary)


def exit_if_incomplete(results: Iterable[ChangeResult]) -> None:
    """Exit with the code for storage errors if a product could not be downloaded; warnings have named it."""
    if any(result.summary.get("failed") or result.summary.get("incomplete") for result in results):
        sys.exit(StorageError.exit_code)


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print columns under their names."""
    for line in format_table(names, rows):
        click.echo(line)


def format_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return the lines of a table; columns are as wide as their longest cell, and cells at most 64 characters."""
    lines = [list(map(str, names)), *([_format_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def show_progress(phase: str, done: int, total: int) -> None:
    """Draw a progress bar on one line of stderr and erase it at the end; draw nothing if stderr is not a terminal.

    Raises:
        KeyboardInterrupt: the process was interrupted while a library was running that swallowed the exception.
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
        sys.stderr.write(f"\r[{bar}] {phase}: {done:,} of {total:,}\033[K")
    sys.stderr.flush()


def _print_dry_run(change: str, summary: str) -> None:
    click.echo(f"would record {change}: {summary or 'nothing new'}; nothing was changed")


def _print_warnings(summary: dict[str, Any]) -> None:
    for warning in summary.get("warnings", []):
        click.echo(f"Warning: {warning}", err=True)


def _format_summary(summary: dict[str, Any]) -> str:
    """Return the summary of a change as one line: counts first, then settings such as the CRS."""
    entries = sorted(summary.items(), key=lambda entry: entry[0] in _CONTEXT)
    return ", ".join(filter(None, (_format_entry(key, value) for key, value in entries)))


def _format_entry(key: str, value: Any) -> str:
    """Return one entry of a summary in words, or nothing for entries that only JSON output shows."""
    if key in _COUNTED and isinstance(value, int) and value:
        noun, condition = _COUNTED[key]
        return f"{format_count(value, noun)} {condition}".rstrip()
    if key in _ADJECTIVES and value:
        return f"{value:,} {key}"
    if key in _CONTEXT and len(str(value)) < 40:
        return f"{_CONTEXT[key]} {value}"
    match key:
        case "tag":
            return f"'{value['tag']}' is @{value['position']} {value['digest']}, content {value['content_digest']}"
        case "parts":
            return "; ".join(f"{part} {_format_part(report)}" for part, report in value.items())
        case "cover":
            return _format_cover(value)
        case "bytes":
            return f"{value / 1e6:,.1f} MB" if value else ""
        case "unmet":
            return "; ".join(f"{count:,} skipped: {reason}" for reason, count in value.items())
        case "classes" if isinstance(value, list) and value:
            return f"{'class' if len(value) == 1 else 'classes'} {', '.join(value)}"
        case "recipes" if isinstance(value, list) and value:
            return f"{'recipe' if len(value) == 1 else 'recipes'} {', '.join(recipe['name'] for recipe in value)}"
        case "deviation":
            return f"at most {value:.0%} off target"
    return ""


def _format_part(report: dict[str, Any]) -> str:
    """Return how many rasters a part of a split has, beside the fraction that it should have."""
    return f"{format_count(report['rasters'], 'raster')} ({report['got']:.0%}, target {report['asked']:.0%})"


def _format_cover(cover: dict[str, Any]) -> str:
    """Return how many chips or scenes a cover has in total, beside the proven minimum."""
    bound, thing = cover["bound"], "scenes" if "scenes" in cover else "chips"
    count = cover[thing]
    if bound is None or (thing == "scenes" and not count):
        return ""
    proof = "the proven minimum" if bound == count else f"at least {bound:,} needed"
    return f"{format_count(count, thing[:-1])} {'selected' if thing == 'scenes' else 'in total'} ({proof})"


def _format_cell(value: Any) -> str:
    text = f"({len(value):,} bytes)" if isinstance(value, bytes) else "" if value is None else str(value)
    return text if len(text) <= _MAX_CELL_WIDTH else text[: _MAX_CELL_WIDTH - 1] + "…"
