"""What people and pipes see: tables and sentences on stdout, JSON lines when asked, progress on stderr."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from geographer.base.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geographer.storage.events import ChangeResult, Event
    from geographer.storage.queries.table import Table

_WIDEST = 64
_BAR = 24
_FOR_MACHINES = ("largest", "bound", "cost", "deviation")
_last_told = [0.0]

interrupted = threading.Event()
"""Whether a person has pressed Ctrl-C."""


def print_json_line(value: Any) -> None:
    """One JSON object on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_result(result: ChangeResult, *, as_json: bool, dry_run: bool = False) -> None:
    """What a change did, and the new revision."""
    if as_json:
        print_json_line(
            {
                "position": result.position,
                "digest": result.digest,
                "kind": result.kind,
                "changed": result.changed,
                **result.summary,
            }
        )
        return
    told, recipe = _sentence(result.summary), result.summary.get("recipe")
    what = f"{result.kind} '{recipe['name']}'" if recipe else result.kind
    if result.changed:
        click.echo(f"@{result.position} {result.digest[:12]} {what}: {told}")
    elif dry_run:
        click.echo(f"would be {what}: {told or 'nothing new'}; nothing was changed")
    else:
        click.echo(f"nothing new of {what}; the revision is still @{result.position} {result.digest[:12]}")
    _warn(result.summary)


def print_download_plan(name: str, scenes: Table, summary: dict[str, Any], *, as_json: bool) -> None:
    """The scenes that a download would fetch, and what that comes to."""
    rows = scenes.to_pylist()
    if as_json:
        print_json_line({"plan": name, **summary, "scenes": rows})
        return
    if rows:
        print_table(list(rows[0]), [[_rounded(value) for value in row.values()] for row in rows])
    click.echo(f"would be rasters_downloaded '{name}': {_sentence(summary) or 'nothing new'}; nothing was changed")
    _warn(summary)


def _warn(summary: dict[str, Any]) -> None:
    for warning in summary.get("warnings", []):
        click.echo(f"Warning: {warning}", err=True)


def exit_if_incomplete(results: Iterable[ChangeResult]) -> None:
    """End with the exit code of the family 'storage' where products could not be had; the warnings have named them."""
    if any(result.summary.get("failed") or result.summary.get("incomplete") for result in results):
        sys.exit(StorageError.exit_code)


def print_event_line(event: Event) -> None:
    """An event on one line."""
    when = event.recorded_at[:19].replace("T", " ")
    message = f"  {event.message}" if event.message else ""
    click.echo(f"@{event.position:<5} {event.digest[:12]}  {when}  {event.kind:<20} {event.author}{message}")


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns under their names, printed."""
    for line in format_table(names, rows):
        click.echo(line)


def format_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Columns under their names, each as wide as it needs, within reason."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(names)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in ([str(name) for name in names], *texts)
    ]


def show_progress(what: str, done: int, of: int) -> None:
    """How far it is, as a bar on one line of stderr that vanishes; nothing where that is no terminal.

    Raises:
        KeyboardInterrupt: there was one, which got lost on its way.
    """
    if interrupted.is_set():
        raise KeyboardInterrupt
    if not sys.stderr.isatty():
        return
    now = time.monotonic()
    if done >= of:
        sys.stderr.write("\r\033[K")
    elif now - _last_told[0] > 0.1:
        _last_told[0] = now
        filled = round(_BAR * done / of)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (_BAR - filled)}] {what}: {done:,} of {of:,}\033[K")
    sys.stderr.flush()


def _sentence(summary: dict[str, Any]) -> str:
    """What a change did, in words."""
    parts = [_told(name, value) for name, value in summary.items()]
    return ", ".join(part for part in parts if part)


def _told(name: str, value: Any) -> str:
    """One entry of a summary; entries that say nothing, or that are for machines, say nothing here."""
    if name == "tag":
        return f"'{value['tag']}' is @{value['position']} {value['digest']}, content {value['content_digest']}"
    if name == "parts":
        shares = [
            f"{part} {told['rasters']} ({told['got']:.0%} of {told['asked']:.0%})" for part, told in value.items()
        ]
        return "; ".join(shares)
    if name == "cover":
        return _told_of_cover(value)
    if name == "bytes":
        return f"{value / 1e6:,.1f} MB" if value else ""
    if name == "unmet":
        return "; ".join(f"{count:,} not: {reason}" for reason, count in value.items())
    if name == "classes" and isinstance(value, list):
        return f"classes {', '.join(value)}" if value else ""
    if name == "recipes" and isinstance(value, list):
        return f"recipes {', '.join(recipe['name'] for recipe in value)}" if value else ""
    if name in ("crs", "dtype", "collection"):
        return f"{name} {value}" if len(str(value)) < 40 else ""
    if isinstance(value, int) and not isinstance(value, bool) and name not in _FOR_MACHINES:
        counted = (name.removesuffix("s") if value == 1 else name).replace("_", " ")
        return f"{value:,} {counted}" if value else ""
    if name == "deviation":
        return f"off by {value:.0%} at most"
    return ""


def _told_of_cover(cover: dict[str, Any]) -> str:
    """How near the chips, or scenes, of a cover come to the fewest that can be."""
    least = cover["bound"]
    if least is None:
        return ""
    taken = cover["scenes"] if "scenes" in cover else cover["chips"]
    proven = "the fewest that can be" if least == taken else f"at least {least:,} are needed"
    if "scenes" in cover:
        return f"{taken:,} {'scene' if taken == 1 else 'scenes'} chosen, {proven}" if taken else ""
    return f"{taken:,} in all, {proven}"


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _cell(value: Any) -> str:
    text = f"({len(value):,} bytes)" if isinstance(value, bytes) else "" if value is None else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
