"""Options that several commands share, and the parsers of their values."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from geographer.cli import output
from geographer.dataset.reader import DatasetReader

if TYPE_CHECKING:
    from geographer.dataset import Dataset
    from geographer.dataset.changeable import ChangeableDataset

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def pass_dataset(command: Command) -> Command:
    """Open the dataset that the command reads, and pass it as the first argument."""

    @click.pass_obj
    @wraps(command)
    def run_with_dataset(folder: str, *args: Any, **kwargs: Any) -> Any:
        dataset = DatasetReader.open(folder, progress=output.show_progress)
        return command(dataset, *args, **kwargs)

    return run_with_dataset  # type: ignore[return-value]


def open_dataset(folder: str) -> "Dataset":
    """Open the dataset that a command changes: in a folder, or in the nearest one above it."""
    from geographer.dataset import Dataset

    return Dataset.open(folder, command=format_command_line(), progress=output.show_progress)


def open_changeable_dataset(folder: str) -> "ChangeableDataset":
    """Open the dataset that a command changes by one request, without importing the others."""
    from geographer.dataset.changeable import ChangeableDataset

    return ChangeableDataset.open(folder, command=format_command_line(), progress=output.show_progress)


def make_option(names: str, shown_default: Any, help_text: str, **settings: Any) -> Decorator:
    """Return an option that is None unless given.

    `names` are the flags, perhaps the name of the parameter, and the metavar: `-n last COUNT`.
    """
    *words, metavar = names.split()
    return click.option(*words, metavar=metavar, show_default=shown_default, help=help_text, **settings)


def make_choice_option(name: str, shown_default: str, help_text: str) -> Decorator:
    """Return an option such as `--relation contains|intersects`, None unless given."""
    name, choices = name.split()
    return click.option(name, type=click.Choice(choices.split("|")), show_default=shown_default, help=help_text)


_KEY_OPTION: Final = "--sign"
JSON_HELP: Final = "Print JSON, one object per line."
JSON_OBJECT_HELP: Final = "Print one JSON object."
json_object_option = click.option("--json", "as_json", is_flag=True, help=JSON_OBJECT_HELP)
json_option = click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
at_option = make_option("--at REV", "the head", "The revision to read: a tag, a digest prefix, @17, HEAD~2 or a date.")


def parse_pairs(texts: Iterable[str], metavar: str) -> dict[str, Any]:
    """Return texts such as `KEY=VALUE` as a dictionary; values that are JSON are decoded if the metavar says VALUE."""
    pairs: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key or not value or key in pairs:
            raise click.BadParameter(f"invalid or repeated value '{text}'. Use {metavar}, each name once.")
        pairs[key] = _decode_json(value) if metavar == "KEY=VALUE" else value
    return pairs


def _decode_json(text: str) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
    except RecursionError as error:
        raise click.BadParameter("the JSON value is nested too deeply. Use fewer levels.") from error


def format_command_line() -> str:
    """Return the command line as the log records it, without credentials and the paths of private keys."""
    from geographer.base.redaction import MASK, redact_argument

    arguments = [f"{_KEY_OPTION}={MASK}" if word.startswith(f"{_KEY_OPTION}=") else word for word in sys.argv[1:]]
    pairs = pairwise(["", *arguments])
    words = [MASK if before == _KEY_OPTION else redact_argument(word) for before, word in pairs]
    return shlex.join(["geographer", *words])
