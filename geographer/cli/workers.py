"""The options --workers and --scheduler: who does the work of a command that reads or makes many files."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from geographer.base.executors.executor import SCHEDULER_VARIABLE, count_default_workers
from geographer.cli import options

WORKERS_DEFAULT: Final = "as many as cores and memory allow"
_SCHEDULER_DEFAULT: Final = f"{SCHEDULER_VARIABLE}, else processes of this machine"
_SCHEDULER_HELP: Final = "Let the workers of this Dask scheduler do the work, such as tcp://10.0.0.1:8786."


def make_scheduler_option() -> click.Option:
    """Return the option --scheduler."""
    return click.Option(["--scheduler"], metavar="ADDRESS", show_default=_SCHEDULER_DEFAULT, help=_SCHEDULER_HELP)


def add_workers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --workers and --scheduler to a command, whose parameter `workers` gets a number or an address."""

    @wraps(command)
    def run_with_workers(*args: Any, workers: int | None, scheduler: str | None, **values: Any) -> Any:
        return command(*args, workers=choose_workers(workers, scheduler), **values)

    help_text = "How many processes of this machine work at the same time."
    count = options.make_option("--workers COUNT", WORKERS_DEFAULT, help_text, type=click.IntRange(1))
    scheduler = options.make_option("--scheduler ADDRESS", _SCHEDULER_DEFAULT, _SCHEDULER_HELP)
    return count(scheduler(run_with_workers))


def choose_workers(workers: int | None, scheduler: str | None) -> int | str:
    """Return the address of the scheduler, or the number of processes, that the options and the environment name.

    Raises:
        click.UsageError: both options are given.
    """
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers and --scheduler exclude each other. Pass one of them.")
    return workers or scheduler or os.environ.get(SCHEDULER_VARIABLE) or count_default_workers()
