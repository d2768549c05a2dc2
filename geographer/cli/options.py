"""Options that many commands share: each has one name and one meaning everywhere."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from geographer.cli import output

Command = TypeVar("Command", bound=Callable[..., Any])


def dataset(command: Command) -> Command:
    """Pass the dataset that the command works on as its first argument."""

    @click.pass_obj
    @wraps(command)
    def opened(folder: str, *args: Any, **kwargs: Any) -> Any:
        from geographer.dataset import Dataset

        return command(Dataset.open(folder, command=command_line(), progress=output.show_progress), *args, **kwargs)

    return opened  # type: ignore[return-value]


def changing(command: Command) -> Command:
    """The options of every command that changes the dataset; they arrive in `signature`, and `as_json` beside it."""

    @click.option("-m", "--message", default="", help="Why; kept in the log.")
    @click.option("--author", default=None, help="Who; Git's or the system's user name when left out.")
    @click.option(
        "--idempotency-key",
        default=None,
        metavar="KEY",
        help="Repeated with the same key, nothing happens twice.",
    )
    @click.option("--expect-head", default=None, metavar="DIGEST", help="Refuse unless the head's digest begins so.")
    @click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
    @as_json
    @wraps(command)
    def with_signature(*args: Any, **kwargs: Any) -> Any:
        signature = {
            "message": kwargs.pop("message"),
            "author": kwargs.pop("author") or _git_author(),
            "idempotency_key": kwargs.pop("idempotency_key"),
            "expected_head": kwargs.pop("expect_head"),
            "dry_run": kwargs.pop("dry_run"),
        }
        return command(*args, signature=signature, **kwargs)

    return with_signature  # type: ignore[return-value]


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
at = click.option(
    "--at",
    default=None,
    metavar="REV",
    help="A tag, digest prefix, @17, HEAD~2 or date; the head when left out.",
)
where = click.option(
    "--where", default=None, metavar="SQL", help="Only the rows for which this expression over their columns is true."
)
workers = click.option(
    "--workers",
    default=os.cpu_count() or 1,
    show_default="all cores",
    type=click.IntRange(1),
    help="Processes at once.",
)
bound_by = click.option(
    "--by",
    type=click.Choice(["object", "overlap"]),
    default="overlap",
    show_default=True,
    help="Never part rasters that share an object, or also those that share pixels.",
)
buffer = click.option(
    "--buffer",
    default=0.0,
    show_default=True,
    metavar="METRES",
    type=click.FloatRange(0),
    help="Nor those within so many metres of each other.",
)


def target_count(help_text: str) -> Callable[[Command], Command]:
    """How many times each feature is to be shown."""
    return click.option("--target-count", default=1, show_default=True, type=click.IntRange(1), help=help_text)


time_limit = click.option(
    "--time-limit",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long the proof that fewer would not do may take.",
)
on_conflict = click.option(
    "--on-conflict",
    type=click.Choice(["exclude", "move"]),
    default=None,
    help="Where new features weld two parts: leave their chips unassigned, or move the smaller side.",
)


_MOST = 1e9


def size(text: str) -> str:
    """`512`, `640x480`, `2560m`: width and height in pixels, or in metres on the ground."""
    from geographer.base.errors import UsageError
    from geographer.base.values import Size

    try:
        Size.parse(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    return text


def bands(text: str) -> tuple[str, tuple[int, ...]]:
    """`1,2,3` or `*-dem=1`: a pattern of raster ids, and which of their bands."""
    pattern, _, wanted = text.rpartition("=")
    return pattern or "*", numbers(wanted)


def assignment(text: str) -> tuple[str, Any]:
    """`key=value`, where the value is JSON, or text as it stands."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"'{text}' is no assignment: give such as stride=128")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def numbers(text: str) -> tuple[int, ...]:
    """`1,2,3`: whole numbers."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"'{text}' are no band numbers: give such as 1,2,3")
    return tuple(int(part) for part in parts)


def shares(text: str) -> dict[str, float]:
    """`train=0.7,val=0.15,test=0.15`: parts and their shares."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        number = _share(share)
        if not name or name in found or not 0 < number < _MOST:
            raise click.BadParameter(f"'{part}' is no part: give such as train=0.7,val=0.15,test=0.15, each name once")
        found[name] = number
    return found


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def command_line() -> str:
    """The command line as the log records it."""
    return shlex.join(["geographer", *sys.argv[1:]])


def _git_author() -> str | None:
    """Git's user, as it would stand in a commit."""
    import subprocess

    if os.environ.get("GEOGRAPHER_AUTHOR"):
        return None
    try:
        name = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return None
    return name or None
