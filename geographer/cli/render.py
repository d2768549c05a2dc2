"""What people and pipes see: tables and sentences on stdout, JSON lines when asked, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geographer.events import Event, Recorded

_WIDEST = 48
_last_told = [0.0]


def json_line(value: Any) -> None:  # noqa: ANN401
    """One JSON object on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def recorded(result: Recorded, *, as_json: bool, dry_run: bool = False) -> None:
    """What a change did, and the new revision."""
    if as_json:
        json_line(
            {
                "position": result.position,
                "digest": result.digest,
                "kind": result.kind,
                "changed": result.changed,
                **result.summary,
            }
        )
        return
    told = _sentence(result.summary)
    if result.changed:
        click.echo(f"@{result.position} {result.digest[:12]} {result.kind}: {told}")
    elif dry_run:
        click.echo(f"would be {result.kind}: {told}; nothing was changed")
    else:
        click.echo(f"nothing new; the revision is still @{result.position} {result.digest[:12]}")
    for warning in result.summary.get("warnings", []):
        click.echo(f"Warning: {warning}", err=True)


def event_line(event: Event) -> None:
    """An event on one line."""
    when = event.recorded_at[:19].replace("T", " ")
    message = f"  {event.message}" if event.message else ""
    click.echo(f"@{event.position:<5} {event.digest[:12]}  {when}  {event.kind:<20} {event.author}{message}")


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns under their names, printed."""
    for line in table_lines(names, rows):
        click.echo(line)


def table_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Columns under their names, each as wide as it needs, within reason."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(names)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in ([str(name) for name in names], *texts)
    ]


def progress(what: str, done: int, of: int) -> None:
    """How far it is, on one line of stderr that vanishes; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        return
    now = time.monotonic()
    if done >= of:
        sys.stderr.write("\r\033[K")
    elif now - _last_told[0] > 0.1:
        _last_told[0] = now
        sys.stderr.write(f"\r{what}: {done:,} of {of:,}\033[K")
    sys.stderr.flush()


def _sentence(summary: dict[str, Any]) -> str:
    """The numbers and names of a summary."""
    parts = []
    for name, value in summary.items():
        if name == "recipe":
            parts.append(f"recipe '{value['name']}' ({value['kind']})")
        elif isinstance(value, dict):
            parts += [f"{inner}: {_plain(number)}" for inner, number in value.items()]
        elif isinstance(value, list):
            parts += [f"{name} {', '.join(map(str, value))}"] if value and name != "warnings" else []
        elif isinstance(value, int) and not isinstance(value, bool):
            parts += [f"{value:,} {name}"] if value or name not in ("skipped",) else []
        elif value is not None:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:  # noqa: ANN401
    text = "" if value is None else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
