"""The command line: one module for each command or a few related ones, which parses, calls `Dataset` and prints."""

import errno
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn

import click

from geographer import __version__
from geographer.base.errors import GeographerError, StorageError
from geographer.cli.help import CommandGroup, format_example

COMMANDS: Final = {
    "init": ("init", "Create a dataset in a folder."),
    "add": ("add", "Add features, rasters, a catalogue of footprints, or classes."),
    "remove": ("remove", "Remove features, rasters or a recipe; earlier revisions keep them."),
    "import": ("import_", "Import a directory of GeoGrapher 1.0, or merge another dataset."),
    "classes": ("classes", "List, combine, rename or drop classes; derive them from probabilities."),
    "download": (
        "download",
        "Search an archive for the rasters that features lack, and fetch the fewest that suffice.",
    ),
    "cut": ("cut", "Cut chips from rasters."),
    "label": ("label", "Make labels for the rasters of a collection."),
    "split": ("split", "Assign rasters to parts without leakage between them."),
    "update": ("update", "Run every recipe again for what has changed."),
    "status": ("status", "Show the head, the number of objects, and the recipes."),
    "log": ("log", "List the events, newest first."),
    "show": ("log", "Show one event with all its parameters and digests."),
    "history": ("log", "List the events that changed one feature or raster."),
    "tag": ("tag", "Give a revision (the head, if REV is omitted) a permanent name."),
    "tags": ("tag", "List the tags with their digests."),
    "diff": ("diff", "List the objects that differ between revisions A and B (the head, if omitted)."),
    "features": ("query", "List the features of a revision."),
    "rasters": ("query", "List the rasters of a revision."),
    "edges": ("query", "List which raster contains or intersects which feature."),
    "chips": ("query", "List the chips with their parent rasters and windows."),
    "labels": ("query", "List the labels of a revision."),
    "objects": ("query", "List the objects in instance and box labels."),
    "splits": ("query", "List the part of each split that each raster is assigned to."),
    "components": ("split", "List the groups of rasters that must stay together."),
    "sql": ("query", "Run a read-only SELECT over the tables of a revision."),
    "checkout": ("checkout", "Restore the files of a revision, byte for byte; only files that differ are written."),
    "verify": ("verify", "Check that the log and all files are as recorded, or list what differs."),
    "demo": ("demo", "Run the whole workflow on real data, in a new folder."),
}
"""The module of each command, which defines `<command>_command`, and the first line of its help.

So `--help` need not import the modules."""

EXIT_UNEXPECTED: Final = 70
EXIT_INTERRUPTED: Final = 130
_FOLDER_HELP: Final = "Work on the dataset in this folder, or in the nearest one above it."
_DISK_ERRORS: Final = {*(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)}


class _LazyCommandGroup(CommandGroup):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def describe_commands(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, description) for name, (_, description) in COMMANDS.items()]


@click.group(
    "geographer",
    cls=_LazyCommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=format_example("init lakes", "-C lakes add features lakes.gpkg --id lake_id", "-C lakes status"),
)
@click.version_option(__version__, prog_name="geographer")
@click.option("-C", "folder", default=".", metavar="DIR", show_default="the current folder", help=_FOLDER_HELP)
@click.pass_context
def geographer_command(ctx: click.Context, folder: str) -> None:
    """Version object-centric remote-sensing datasets: every change is an event, every version is kept.

    A dataset starts from features, gathers rasters that show them, and becomes chips, labels and a leakage-free split.
    Exit codes of errors: 2 usage, 3 not found, 4 conflict, 5 corrupt, 6 storage, 70 unexpected, 130 interrupted.
    """
    ctx.obj = folder


def load_command(name: str) -> click.Command:
    """Import the command of this name."""
    command: click.Command = getattr(import_module(f"geographer.cli.{COMMANDS[name][0]}"), f"{name}_command")
    return command


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line, and end the process with the exit code of the error's class, or 0."""
    # Plugins given as module:name may lie in the current folder; it comes last, so that it shadows nothing.
    sys.path.append(str(Path.cwd()))
    sys.excepthook = _exit_unexpected
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _raise_interrupt)
    try:
        sys.exit(geographer_command.main(arguments, prog_name="geographer", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GeographerError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit_interrupted()
    except RuntimeError as error:
        from geographer.storage.database.duckdb_errors import is_interrupt

        if not is_interrupt(error):
            raise
        _exit_interrupted()
    except BrokenPipeError:
        # The reader of our output has closed the pipe: buffered text must not be flushed into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        click.echo(f"Error: {error}. Fix the cause, then run the same command again.", err=True)
        sys.exit(StorageError.exit_code)


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Handle SIGINT and SIGTERM. C libraries can swallow the exception, so `show_progress` raises it again."""
    from geographer.cli import output

    output.interrupted.set()
    raise KeyboardInterrupt


def _exit_unexpected(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print the traceback of an error that nothing handles, then exit with 70."""
    sys.__excepthook__(kind, error, traceback)
    sys.exit(EXIT_UNEXPECTED)


def _exit_interrupted() -> NoReturn:
    click.echo("Interrupted. Nothing incomplete was recorded; run the same command again to continue.", err=True)
    sys.exit(EXIT_INTERRUPTED)
