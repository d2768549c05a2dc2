"""The command line: one module for each command or a few related ones, which parses, calls `Dataset` and prints."""

import atexit
import codecs
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from geographer import __version__
from geographer.base.errors import GeographerError, NotFoundError, StorageError, UsageError
from geographer.cli.help import CommandGroup, format_example
from geographer.cli.named_text import NamedText

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Final = {
    "init": ("init", "Create a dataset in a folder."),
    "add": ("add", "Add features, rasters, labels, a catalogue of footprints, or classes."),
    "take-in": ("take_in", "Copy rasters that are recorded in place (references) into DVC."),
    "roots": ("roots", "List or set the folders of this machine that references lie in."),
    "remove": ("remove", "Remove features, rasters, labels or a recipe; earlier revisions keep them."),
    "rename": ("rename", "Give a collection, a recipe or a class another name; ids and history stay."),
    "restore": ("restore", "Restore removed features or rasters."),
    "withdraw": ("withdraw", "Delete the bytes of rasters and of their chips in every revision; digests stay."),
    "import": ("import_", "Import annotations in pixels, another dataset, or GeoGrapher 1.0."),
    "classes": (
        "classes",
        "List, combine, rename or drop classes; mark them as context; derive them from probabilities.",
    ),
    "download": (
        "download",
        "Search an archive for the rasters that features lack, and fetch the fewest that suffice.",
    ),
    "cut": ("cut", "Cut chips from rasters."),
    "materialise": ("materialise", "Write the files of virtual chips, which cut --virtual recorded as windows."),
    "label": ("label", "Make labels for the rasters of a collection."),
    "split": ("split", "Assign rasters to parts without leakage between them."),
    "run": ("run", "Run a command, and record it with its inputs, code and outputs."),
    "applicability": (
        "applicability",
        "Map where a model trained on a split's samples is applicable (area of applicability).",
    ),
    "update": ("update", "Run every recipe again for what has changed."),
    "status": ("status", "Show the head, the number of objects, the recipes, and how others' copies relate."),
    "log": ("log", "List the events, newest first."),
    "show": ("log", "Show one event (the head, if REV is omitted) with all its parameters and digests."),
    "history": ("log", "List the events that touched one object, and what it was cut from and for."),
    "why": ("why", "Say where an object comes from, what made it as it is, and what binds it."),
    "blame": ("why", "Say which feature, rule and event gave a pixel of a label its value."),
    "tag": ("tag", "Give a revision (the head, if REV is omitted) a permanent name."),
    "tags": ("tag", "List the tags with their digests, and who set them when and why."),
    "attributes": ("attributes", "List, set or remove attributes: named values that users keep with the dataset."),
    "describe": (
        "describe",
        "Record what no measurement can tell of the dataset: title, creators, licence, intent and ethics.",
    ),
    "branch": ("branch", "List the branches, or create or delete one."),
    "switch": ("branch", "Use another branch."),
    "merge": ("merge", "Merge revision REV of another branch into the branch in use."),
    "conflicts": ("merge", "List the conflicts of merges that are not resolved, with the values of both sides."),
    "resolve": (
        "merge",
        "Resolve conflicts of a merge: keep our value, or take theirs, that of the last common revision, or a file's.",
    ),
    "revert": ("merge", "Undo what the event REV changed, by a new event; what changed since elsewhere stays."),
    "version": ("version", "Say whether the data changed from A to B by PATCH, MINOR or MAJOR, and the next number."),
    "review": ("review", "Record a verdict on what differs between revisions A and B; it is kept as an event."),
    "reviews": ("review", "List the reviews with their verdicts."),
    "diff": ("diff", "Compare revision A (the one before B, if omitted) with B (the head, if omitted)."),
    "impact": (
        "impact",
        "Show what differs in a subset between revisions A and B (the head, if omitted), and what that does to scores.",
    ),
    "apply": ("apply", "Apply PATCH, a file that geographer diff --patch wrote, as one event."),
    "patch": ("patch", "Invert a patch, or join two patches into one."),
    "features": ("query", "List the features of a revision."),
    "rasters": ("query", "List the rasters of a revision."),
    "edges": ("query", "List which raster contains or intersects which feature."),
    "chips": ("query", "List the chips with their parent rasters and windows."),
    "labels": ("query", "List the labels of a revision."),
    "objects": ("query", "List the objects in instance and box labels."),
    "splits": ("query", "List the part of each split that each raster is assigned to."),
    "components": ("split", "List the groups of rasters that must stay together."),
    "samples": ("samples", "List what to train on: images with labels, ids, subset, classes and grid."),
    "stats": ("stats", "Compute statistics of samples: bands, pixels by class, objects, for each subset."),
    "plot": ("plot", "Draw a map, a contact sheet of chips, classes, splits or the timeline."),
    "export": ("export", "Write samples in the format of a training library."),
    "sql": ("query", "Run a read-only SELECT over the tables of a revision."),
    "extract": ("extract", "Make a new dataset of one collection, with what its rasters show, in the folder DIR."),
    "checkout": ("checkout", "Restore the files of a revision, byte for byte; only files that differ are written."),
    "clone": ("share", "Make a copy of a published dataset, with its history, in the new folder DIR."),
    "push": ("share", "Publish the head with its history and files on a remote."),
    "pull": ("share", "Fetch, move the head forward to the published one, and show it in the workspace."),
    "fetch": ("share", "Get what others published; head and workspace stay as they are."),
    "reproduce": ("share", "Write the files and tables of a revision from the log and a remote alone."),
    "certify": ("certify", "State what the subsets of a split share: objects, pixels, distance, near-duplicates."),
    "rerun": ("rerun", "Make the derived files of a revision again in a scratch folder, and compare them."),
    "release": (
        "release",
        "Write the release of a tag to a folder: what a reader needs to check, cite and load the dataset.",
    ),
    "report": ("report", "Write a page that says what a revision is, what was checked, and how to check it."),
    "cite": ("release", "Say how to cite a tag, with its digests."),
    "git-setup": (
        "git_setup",
        "Let Git keep your side of geographer.lock and the .dvc files when it merges two datasets.",
    ),
    "gc": ("gc", "Delete the files that neither the head nor a tag needs, from this machine or a remote."),
    "prove": ("prove", "Prove that an object is in a tag, or that the log of a tag is part of that of a later one."),
    "verify": ("verify", "Check that the log and all files are as recorded, or list what differs."),
    "completion": (
        "completion",
        "Print the script that lets bash, zsh or fish complete commands, options, ids and names.",
    ),
    "audit": (
        "audit",
        "Check anybody's dataset, or a release, for leakage between subsets, damage and contradictions.",
    ),
    "view": ("view", "Show a local page to browse revisions: map, chips with labels, filters, history, differences."),
    "demo": ("demo", "Run the whole workflow on real data, in a new folder."),
}
"""The module of each command, which defines `<command>_command`, and the first line of its help.

So `--help` need not import the modules."""

COMPLETE_VARIABLE: Final = "_GEOGRAPHER_COMPLETE"
"""The environment variable by which a shell's script asks what completes a command line."""
EXIT_UNEXPECTED: Final = 70
EXIT_INTERRUPTED: Final = 130
_FOLDER_HELP: Final = "Work on the dataset in this folder, or in the nearest one above it."
_ESCAPE: Final = "geographer_escape"


class _LazyCommandGroup(CommandGroup):
    """A group that imports a command's module when the command is called."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; for KeyboardInterrupt, unlike for Abort, click would print an empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the commands, or the options, that begin with `incomplete`, without importing any."""
        from click.shell_completion import CompletionItem

        names = [(name, help_text) for name, help_text in self.describe_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=help_text) for name, help_text in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def describe_commands(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, description) for name, (_, description) in COMMANDS.items()]


@click.group(
    "geographer",
    cls=_LazyCommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=format_example("init lakes", "-C lakes add features lakes.gpkg --id lake_id", "-C lakes status"),
)
@click.version_option(__version__, prog_name="geographer")
@click.option(
    "-C",
    "folder",
    default=".",
    metavar="DIR",
    show_default="the current folder",
    help=_FOLDER_HELP,
    type=NamedText("folder"),
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    show_default="70% of what the machine or its cgroup has",
    help="Memory of each process, e.g. 8GB; queries spill the rest to disk.",
)
@click.option(
    "--disk-limit",
    metavar="SIZE",
    show_default="half of the free space",
    help="Disk space for what queries spill, e.g. 100GB.",
)
@click.option(
    "--graph-parts",
    metavar="SIZE",
    show_default="auto",
    help="Features a part of a large graph, for workers; auto or never.",
)
@click.pass_context
def geographer_command(
    ctx: click.Context, folder: str, memory_limit: str | None, disk_limit: str | None, graph_parts: str | None
) -> None:
    """Version object-centric remote-sensing datasets: every change is an event, every version is kept.

    A dataset starts from features, gathers rasters that show them, and becomes chips, labels and a leakage-free split.
    Exit codes of errors: 2 usage, 3 not found, 4 conflict, 5 corrupt, 6 storage, 70 unexpected, 130 interrupted.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise NotFoundError(f"the current folder cannot be read ({error.strerror}). Change to another one.") from error
    ctx.obj = folder
    if any(limit is not None for limit in (memory_limit, disk_limit, graph_parts)):
        ctx.call_on_close(_set_resource_limits(memory_limit, disk_limit, graph_parts))


def _set_resource_limits(memory: str | None, disk: str | None, graph_parts: str | None) -> Callable[[], None]:
    """Set the limits for this process and those that it starts; return what resets them."""
    from geographer.base.resource_limits import (
        DISK_VARIABLE,
        MEMORY_VARIABLE,
        PARTS_VARIABLE,
        parse_byte_count,
        parse_memory_limit,
        parse_part_setting,
    )

    limits = {
        MEMORY_VARIABLE: None if memory is None else parse_memory_limit(memory, "--memory-limit"),
        DISK_VARIABLE: None if disk is None else parse_byte_count(disk, "--disk-limit"),
        PARTS_VARIABLE: None if graph_parts is None else parse_part_setting(graph_parts, "--graph-parts"),
    }
    before = {name: os.environ.pop(name, None) for name, limit in limits.items() if limit is not None}
    os.environ.update({name: str(limits[name]) for name in before})

    def reset_limits() -> None:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    return reset_limits


def load_command(name: str) -> click.Command:
    """Import the command of this name."""
    module = import_module(f"geographer.cli.{COMMANDS[name][0]}")
    command: click.Command = getattr(module, f"{name.replace('-', '_')}_command")
    return command


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line, and end the process with the exit code of the error's class, or 0."""
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from geographer.cli.completion import answer_shell

        sys.exit(answer_shell(instruction))
    sys.excepthook = _exit_unexpected
    sys.unraisablehook = _report_unraisable
    previous = _handle_signals(_raise_interrupt)
    try:
        _run_command(arguments)
    finally:
        # The program that called us, such as a test, handles its signals itself again.
        if not _was_interrupted():
            for number, handler in previous.items():
                signal.signal(number, handler)


def _run_command(arguments: list[str] | None) -> NoReturn:
    """Run a command, print its error in one line, and exit."""
    codecs.register_error(_ESCAPE, _escape_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPE)
    # Plugins given as module:name may lie in the current folder; it comes last, so that it shadows nothing.
    with suppress(OSError):
        sys.path.append(str(Path.cwd()))
    try:
        _require_utf8(sys.argv[1:] if arguments is None else arguments)
        result = geographer_command.main(arguments, prog_name="geographer", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
        sys.exit(result or 0)
    except click.ClickException as error:
        with io.StringIO() as text:
            error.show(text)
            click.echo(_redact_message(text.getvalue()), err=True, nl=False)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit_interrupted()
    except GeographerError as error:
        _exit_with_error(str(error), error.exit_code)
    except SystemExit:
        if type(sys.stdout).__module__ != "click.utils":
            raise
        # The reader of our output has closed the pipe: click has replaced stdout, and exits with 1.
        sys.exit(0)
    except BrokenPipeError:
        _discard_output()
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        _discard_output()
        _exit_with_error(f"{error}. Fix the cause, then run the same command again.", StorageError.exit_code)
    except MemoryError:
        _exit_with_error("not enough memory. End other programs, or use smaller input.", StorageError.exit_code)


def _require_utf8(arguments: list[str]) -> None:
    """Raise `UsageError` for an argument that neither the log nor JSON can hold, such as a file name in Latin-1."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the argument {argument!r} is not UTF-8. Rename the file or correct the text.") from error


def _escape_characters(error: UnicodeError) -> tuple[str, int]:
    """Write characters that the output's encoding lacks as in JSON, so that JSON stays valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)), error.end


def _discard_output() -> None:
    """Discard buffered text that cannot be written, which Python would write again at its end."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _handle_signals(handler: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> dict[int, Any]:
    """Set what SIGINT (Ctrl-C) and SIGTERM do, and return what they did; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Handle SIGINT and SIGTERM. C libraries can swallow the exception, so `show_progress` raises it again.

    A second signal ends the process at once: what it leaves, the next command removes, as after a crash.
    """
    from geographer.cli import output

    if output.interrupted.is_set():
        os._exit(EXIT_INTERRUPTED)
    output.interrupted.set()
    if connection := sys.modules.get("geographer.storage.database.connection"):
        connection.interrupt_queries()
    raise KeyboardInterrupt


def _was_interrupted() -> bool:
    from geographer.cli import output

    return output.interrupted.is_set()


def _exit_unexpected(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print the traceback of an error that nothing handles, then exit with 70."""
    if _was_interrupted():
        # A library raised an error of its own for the interrupt.
        _exit_interrupted()
    sys.__excepthook__(kind, error, traceback)
    sys.exit(EXIT_UNEXPECTED)


def _exit_with_error(message: str, exit_code: int) -> NoReturn:
    if _was_interrupted():
        _exit_interrupted()
    click.echo(_redact_message(f"Error: {message}"), err=True)
    sys.exit(exit_code)


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Report an error that no code can handle, but not that of rasterio when a message of GDAL is not UTF-8."""
    if not isinstance(unraisable.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(unraisable)


def _redact_message(message: str) -> str:
    """Return a message that may quote the command line without credentials."""
    from geographer.base.redaction import redact_text

    return redact_text(message)


def _exit_interrupted() -> NoReturn:
    """Print one line, run the exit functions, which delete temporary folders, and end the process.

    Python's finalization is left out: threads of C libraries that the signal stopped could crash there.
    """
    if sys.stderr and sys.stderr.isatty():
        # End the line in which a terminal shows ^C.
        click.echo(err=True)
    click.echo("Interrupted. Nothing incomplete was recorded; run the same command again to continue.", err=True)
    atexit._run_exitfuncs()
    os._exit(EXIT_INTERRUPTED)
