"""The command line: one module for each group of commands. They translate, and decide nothing."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click

from geographer import __version__

_COMMANDS: Final = {
    "init": ("add", "Make a dataset in a folder."),
    "add": ("add", "Add features, rasters, a catalogue or classes."),
    "remove": ("add", "Remove features, rasters or a recipe; earlier revisions keep them."),
    "import": ("import_", "Take over a directory of the previous library, or another dataset."),
    "classes": ("classes", "List, combine, rename or drop classes; make soft ones hard."),
    "download": ("download", "Find and fetch the rasters that features still lack."),
    "cut": ("cut", "Cut chips from rasters."),
    "label": ("label", "Make labels for rasters."),
    "split": ("update", "Assign rasters to parts so that nothing leaks between them."),
    "update": ("update", "Bring what every recipe made up to the dataset."),
    "status": ("log", "Where the dataset stands."),
    "log": ("log", "The events, newest first."),
    "show": ("log", "One event, whole."),
    "history": ("log", "What happened to one feature or raster."),
    "tag": ("log", "Name a revision, for good."),
    "tags": ("log", "The tags, with their digests."),
    "diff": ("log", "What differs between two revisions; B is the head when left out."),
    "features": ("query", "The features at a revision."),
    "rasters": ("query", "The rasters at a revision."),
    "edges": ("query", "Which raster contains or intersects which feature."),
    "chips": ("query", "The chips, with their parents and windows."),
    "labels": ("query", "The labels at a revision."),
    "objects": ("query", "The objects that instance and box labels list."),
    "splits": ("query", "Which part each raster is assigned to."),
    "components": ("query", "The clusters of rasters that must stay together."),
    "sql": ("query", "A read-only SELECT over the tables of a revision."),
    "checkout": ("verify", "Bring back the files of a revision, byte for byte, at the cost of what differs."),
    "verify": ("verify", "Prove that nothing was altered, or say what was."),
    "demo": ("demo", "The whole workflow on real data, in a new folder."),
}
"""Every command: the module that it lives in, and its first line of help, so that --help need not import it."""

INTERRUPTED: Final = 130
_OF_THE_DISK: Final = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
}


class _Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"geographer.cli.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in _COMMANDS.items()])


class _WithoutPandas:
    """DuckDB imports pandas, where it is installed, at the first query with parameters: over a second for nothing."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("the command line does without pandas", name=name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="geographer")
@click.option(
    "-C",
    "folder",
    default=".",
    metavar="DIR",
    help="Work on the dataset in DIR, or in the nearest folder above.",
)
@click.pass_context
def cli(ctx: click.Context, folder: str) -> None:
    """Version object-centric remote-sensing datasets: every change an event, every version kept.

    A dataset starts from features, gathers rasters that show them, and becomes chips, labels and a leakage-free split.
    Errors end with a code of their family: 2 usage, 3 not found, 4 conflict, 5 corrupt, 6 storage.
    """
    ctx.obj = folder


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; ends the process with the exit code of the family of what went wrong."""
    from geographer.base.errors import GeographerError, StorageError

    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())
    # What a person names as module:name may lie where they are; last, so that it hides nothing.
    sys.path.append(str(Path.cwd()))
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, _interrupt)
    try:
        sys.exit(cli.main(arguments, prog_name="geographer", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GeographerError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _end_interrupted()
    except RuntimeError as error:
        # DuckDB's word for Ctrl-C in the middle of a query.
        if str(error) != "Query interrupted":
            raise
        _end_interrupted()
    except BrokenPipeError:
        # Whoever read our output has enough of it; what is still buffered must not be flushed into the broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        click.echo(f"Error: {error}: mend that, then run the same command again", err=True)
        sys.exit(StorageError.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Ctrl-C, or SIGTERM. Libraries in C can swallow the exception: it is noted, and raised at the next progress."""
    from geographer.cli import output

    output.interrupted.set()
    raise KeyboardInterrupt


def _end_interrupted() -> NoReturn:
    click.echo("Interrupted: nothing half-made is recorded; the same command goes on.", err=True)
    sys.exit(INTERRUPTED)
