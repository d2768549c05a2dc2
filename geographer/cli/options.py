"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, TypeVar

import click

from geographer.cli import output
from geographer.cli.help import format_example

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
CommandDecorator = Callable[[Callable[..., Any]], click.Command]

_MAX_WEIGHT: Final = 1e9


def pass_dataset(command: Command) -> Command:
    """Open the dataset that the command works on, and pass it as the first argument."""

    @click.pass_obj
    @wraps(command)
    def run_with_dataset(folder: str, *args: Any, **kwargs: Any) -> Any:
        from geographer.dataset import Dataset

        dataset = Dataset.open(folder, command=format_command_line(), progress=output.show_progress)
        return command(dataset, *args, **kwargs)

    return run_with_dataset  # type: ignore[return-value]


def parse_size(text: str) -> str:
    """Check a size such as `512` or `640x480` (pixels) or `2560m` (metres on the ground), and return it as it is."""
    from geographer.base.errors import UsageError
    from geographer.base.values import Size

    try:
        Size.from_value(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    return text


def parse_bands(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the pattern of raster ids and the band numbers in `1,2,3` or `*-dem=1`."""
    pattern, _, numbers = text.rpartition("=")
    parts = numbers.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"invalid band numbers '{numbers}'. Use whole numbers from 1, e.g. 1,2,3 or *-dem=1.")
    return pattern or "*", tuple(int(part) for part in parts)


def parse_parts(text: str) -> dict[str, float]:
    """Return the parts and their fractions in `train=0.7,val=0.15,test=0.15`."""
    parts: dict[str, float] = {}
    for item in text.split(","):
        name, _, fraction = (piece.strip() for piece in item.partition("="))
        try:
            weight = float(fraction)
        except ValueError:
            weight = 0.0
        if not name or name in parts or not 0 < weight < _MAX_WEIGHT:
            raise click.BadParameter(
                f"invalid part '{item}'. Use NAME=FRACTION, each name once, e.g. train=0.7,val=0.15,test=0.15."
            )
        parts[name] = weight
    return parts


_TYPES: Final = {
    **dict.fromkeys(("METRES", "SECONDS"), click.FloatRange(0)),
    "COUNT": click.IntRange(1),
    "FACTOR": click.FloatRange(0, min_open=True),
    "FRACTION": click.FloatRange(0, 1),
    "PROBABILITY": float,
    "PERCENT": click.FloatRange(0, 100),
    "SIZE": parse_size,
    "NAME=FRACTION,…": parse_parts,
    "[PATTERN=]1,2,3": parse_bands,
}
"""What a metavar accepts; the type of other options is that of their default, or text."""


def make_option(names: str, shown_default: Any, help_text: str, **settings: Any) -> Decorator:
    """Return an option that is None unless given.

    `names` are the flags, perhaps the name of the parameter, and the metavar, which implies the type: `-n last COUNT`.
    """
    *words, metavar = names.split()
    settings.setdefault("type", _TYPES.get(metavar))
    return click.option(*words, metavar=metavar, show_default=shown_default, help=help_text, **settings)


def make_list_option(names: str, shown_default: str, help_text: str, **settings: Any) -> Decorator:
    """Return an option that can be repeated; its values arrive as a tuple."""
    return make_option(names, shown_default, f"{help_text} Repeatable.", multiple=True, **settings)


def make_pairs_option(names: str, help_text: str, shown_default: str = "none") -> Decorator:
    """Return a repeatable option such as KEY=VALUE; its values arrive as a dictionary."""
    return make_list_option(names, shown_default, help_text, callback=_parse_pairs)


def make_value_option(names: str, default: Any, help_text: str, **settings: Any) -> Decorator:
    """Return an option with a default value, which help shows."""
    return make_option(names, True, help_text, default=default, **settings)


def make_required_option(names: str, help_text: str, **settings: Any) -> Decorator:
    """Return an option that must be given."""
    return make_option(names, False, help_text, required=True, **settings)


def make_choice_option(name: str, shown_default: str, help_text: str) -> Decorator:
    """Return an option such as `--by object|overlap`; a default that is not among the choices means None."""
    name, choices = name.split()
    values = choices.split("|")
    default = shown_default if shown_default in values else None
    shown = default is not None or shown_default
    return click.option(name, type=click.Choice(values), default=default, show_default=shown, help=help_text)


def make_flag(names: str, help_text: str, **settings: Any) -> Decorator:
    """Return an option without a value; it is off unless given."""
    return click.option(*names.split(), is_flag=True, help=help_text, **settings)


def make_where_option(rows: str) -> Decorator:
    """Return the option `--where` for `rows`, such as 'features'; it takes SQL, but no selectors."""
    help_text = f"Use only {rows} for which this SQL expression over their columns is true."
    return make_option("--where SQL", f"all {rows}", help_text)


def make_target_count_option(help_text: str) -> Decorator:
    """Return the option `--target-count`, the number of times that each feature is to be shown."""
    return make_value_option("--target-count COUNT", 1, help_text)


def add_recipe_command(group: click.Group, name: str, example: str, *options: Decorator) -> CommandDecorator:
    """Return a decorator that adds the command `name` to a group, with the argument NAME of a recipe and `options`."""
    return combine_options(  # type: ignore[return-value]
        group.command(name, epilog=format_example(example)), click.argument("name", metavar="NAME"), *options
    )


def combine_options(*options: Decorator) -> Decorator:
    """Return a decorator that adds all these options, in this order."""

    def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add_options


json_option = make_flag("--json as_json", "Print JSON, one object per line.")
at_option = make_option("--at REV", "the head", "The revision to read: a tag, a digest prefix, @17, HEAD~2 or a date.")
workers_option = make_option(
    "--workers COUNT", "all cores", "How many processes work at the same time.", default=os.cpu_count() or 1
)
by_option = make_choice_option(
    "--by object|overlap",
    "overlap",
    "Keep rasters together that contain or intersect the same object; 'overlap': also those that share pixels.",
)
buffer_option = make_value_option(
    "--buffer METRES", 0.0, "Also keep rasters together that lie within this distance of each other."
)
time_limit_option = make_value_option(
    "--time-limit SECONDS", 60.0, "How long to search for a proof that fewer are impossible."
)
on_conflict_option = make_choice_option(
    "--on-conflict exclude|move",
    "refuse to assign",
    "If new features connect rasters of two parts: leave their chips unassigned, or move the smaller side.",
)
crs_option = make_option(
    "--crs CRS", "the CRS that the data states", "Use this CRS instead of the one that the data states: EPSG:… or WKT."
)
as_class_option = make_option("--as-class NAME", "the class column", "Give all features this class.")
on_error_option = make_choice_option(
    "--on-error fail|skip",
    "fail",
    "For invalid input: refuse everything, or skip it and record what was skipped and why.",
)
collection_option = make_value_option(
    "--collection NAME", "source", "The collection (named set of rasters) that the files join."
)
mode_option = make_choice_option(
    "--mode link|copy|reference",
    "copy",
    "Store the bytes in DVC and put a copy or a read-only link into the workspace; or leave the files in place.",
)
features_where_option = make_option(
    "--where SQL",
    "all features",
    "Use only features for which this SQL expression is true, or which @SELECTOR returns.",
)
rasters_where_option = make_option(
    "--rasters-where SQL",
    "all of the collection",
    "Use only rasters for which this SQL expression is true, or which @SELECTOR returns.",
)
_commit_options = combine_options(
    make_value_option("-m --message TEXT", "", "Why you make this change; logged."),
    make_option("--author NAME", "Git's or the system's user name", "Who makes this change; logged."),
    make_option(
        "--idempotency-key KEY",
        "none",
        "Name this request: repeating it with the same key changes nothing a second time.",
    ),
    make_option(
        "--expect-head expected_head DIGEST",
        "any head",
        "Refuse the change unless the head's digest begins with these characters.",
    ),
    make_flag("--dry-run", "Print what would be done; change nothing."),
    json_option,
)


def accept_commit_options(command: Command) -> Command:
    """Add the options of every command that changes the dataset.

    They arrive as the dictionary `commit_options`, the keyword arguments of every change; `as_json` arrives beside it.
    """

    @_commit_options
    @wraps(command)
    def run_with_commit_options(*args: Any, **kwargs: Any) -> Any:
        names = ("message", "author", "idempotency_key", "expected_head", "dry_run")
        commit_options = {name: kwargs.pop(name) for name in names}
        commit_options["author"] = commit_options["author"] or _read_git_author()
        return command(*args, commit_options=commit_options, **kwargs)

    return run_with_commit_options  # type: ignore[return-value]


def print_change(command: Command) -> Command:
    """Pass the dataset and the commit options as arguments, and print the `ChangeResult` that the command returns."""

    @accept_commit_options
    @pass_dataset
    @wraps(command)
    def run_and_print(*args: Any, commit_options: dict[str, Any], as_json: bool, **kwargs: Any) -> None:
        result = command(*args, **kwargs, **commit_options)
        output.print_result(result, as_json=as_json, dry_run=commit_options["dry_run"])

    return run_and_print  # type: ignore[return-value]


def _parse_pairs(_context: click.Context, parameter: click.Parameter, texts: Iterable[str]) -> dict[str, Any]:
    """Return texts such as `KEY=VALUE` as a dictionary; values that are JSON are decoded if the metavar says VALUE."""
    pairs: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key or not value or key in pairs:
            raise click.BadParameter(f"invalid or repeated value '{text}'. Use {parameter.metavar}, each name once.")
        pairs[key] = _decode_json(value) if parameter.metavar == "KEY=VALUE" else value
    return pairs


def _decode_json(text: str) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def format_command_line() -> str:
    """Return the command line as the log records it."""
    return shlex.join(["geographer", *sys.argv[1:]])


def _read_git_author() -> str | None:
    """Return Git's user name, or None if there is none or the environment names the author."""
    import subprocess

    if os.environ.get("GEOGRAPHER_AUTHOR"):
        return None
    try:
        run = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return run.stdout.strip() or None
