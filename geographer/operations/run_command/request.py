"""The request to run a command, and its plan: inputs are hashed first, then it runs, then its outputs are taken in."""

import os
import shlex
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from msgspec import UNSET

from geographer.base.errors import CommandFailedError, ConflictError, UsageError
from geographer.base.parameters import Parameter
from geographer.operations.run_command.code_revision import read_code_revision
from geographer.operations.run_command.events import CommandRun
from geographer.operations.run_command.execute import CommandResult, execute_command
from geographer.operations.run_command.files import (
    CommandFile,
    OutputState,
    inspect_outputs,
    list_written_files,
    read_inputs,
)
from geographer.operations.run_command.outputs import (
    OutputTarget,
    TargetState,
    check_target,
    make_output_rows,
    read_target_state,
)
from geographer.planning.shared_parameters import NAME_SCHEMA, TEXTS, list_values
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, Request
from geographer.storage.workspace.checked_files import read_status

_CHANGED_INPUTS: Final = (
    "SELECT raster_id, sha256 FROM current_raster UNION ALL "
    "SELECT label || ' of ' || raster_id, sha256 FROM current_label"
)


def _parse_command(command: Any) -> tuple[str, ...]:
    """Return the words of a command, given as words or as one text."""
    words = tuple(shlex.split(command)) if isinstance(command, str) else tuple(map(os.fspath, command))
    if not words or not words[0]:
        raise UsageError("no command to run. Write it after --, for example: geographer run -- python segment.py")
    return words


_COMMAND: Final = Parameter(
    "The command and its arguments.",
    *("COMMAND …", "none", "", _parse_command),
    cli="arguments",
    schema={**TEXTS, "minItems": 1},
)
_PATHS: Final = Parameter(
    "A file or folder that the command reads.", "PATH", "none", "--input", list_values, cli="list", schema=TEXTS
)


def redact_command(command: Sequence[str]) -> list[str]:
    """Return the words of a command without credentials, which may be the words after options such as --password."""
    from geographer.base.redaction import MASK, redact_argument, redact_text

    words = [redact_argument(word) for word in command]
    for index, (option, value) in enumerate(pairwise(words), 1):
        if option.startswith("-") and redact_text(f"{option} {value}") != f"{option} {redact_text(value)}":
            words[index] = MASK
    return words


class CommandRequest(Request, frozen=True):
    """A request about a command."""

    command: Annotated[Sequence[str], _COMMAND]


class RunCommand(CommandRequest, kw_only=True, frozen=True):
    """Run a command, and record it with its inputs, code and outputs.

    COMMAND runs in the current folder, without a shell: use `bash -c "…"` for pipes. The log keeps the command, the Git
    commit of the folder's repository, the digests of inputs and outputs, the exit code and the names of environment
    variables, no values. GeoTIFFs among the outputs become rasters of --collection, or with --label labels of the
    rasters that have their names; other outputs are recorded by digest. A command that fails records nothing, and its
    exit code is that of this command. Rerun replays it.
    """

    event: ClassVar[type[CommandRun]] = CommandRun
    example: ClassVar[str] = "run --output out --collection slope -- python slope.py dem out"

    inputs: Annotated[Sequence[str], _PATHS] = ()
    outputs: Annotated[
        Sequence[str], _PATHS._replace(help="A file or folder that the command writes.", flags="--output")
    ] = ()
    collection: Annotated[
        str | None,
        Parameter(
            "The collection that outputs join; with --label, that of the labelled rasters.",
            "NAME",
            schema={"anyOf": [NAME_SCHEMA, {"type": "null"}]},
        ),
    ] = None
    label: Annotated[
        str | None,
        Parameter(
            "The name of the labels that outputs are.", "NAME", schema={"anyOf": [NAME_SCHEMA, {"type": "null"}]}
        ),
    ] = None
    keep_failed: Annotated[
        bool, Parameter("Record a command that fails, too, without its outputs.", records_default=False)
    ] = False
    replace: Annotated[
        bool,
        Parameter("Replace output files, rasters and labels that exist already.", records_default=False),
    ] = False
    folder: Annotated[
        str, Parameter("The folder in which the command runs.", default="the current one", cli="none", key=None)
    ] = "."

    prints_to_stderr: Annotated[
        bool, Parameter("Send what the command prints to stderr, too.", cli="none", key=None)
    ] = False

    @property
    def output_target(self) -> OutputTarget:
        """What the outputs become."""
        return OutputTarget(self.collection, self.label, self.replace)

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`: without credentials, also those that are words after an option."""
        return {**super().list_recorded_parameters(), "command": redact_command(self.command)}

    def check_revision(self, revision: Revision, /) -> bool:
        """Return True; see `check_target` for errors."""
        check_target(revision, self.output_target)
        return True

    def make_plan(self, revision: Revision, context: PlanContext, /) -> "CommandPlan":
        """Hash the inputs and look at the outputs; see `read_inputs` and `inspect_outputs` for errors.

        Raises:
            UsageError: A path is both input and output, or nothing is to become a raster or label.
        """
        folder = Path(self.folder).absolute()
        if self.output_target.name is not None and not self.outputs:
            option = "--label" if self.label else "--collection"
            raise UsageError(f"{option} has no effect without --output. Say what the command writes.")
        if both := {os.path.normpath(path) for path in self.inputs} & {os.path.normpath(path) for path in self.outputs}:
            raise UsageError(f"'{min(both)}' is both input and output. Write the output to another path.")
        inputs = read_inputs(revision, context.root, folder, self.inputs)
        before = inspect_outputs(context.root, folder, self.outputs, replace=self.replace)
        return CommandPlan(self, folder, context.root, inputs, before, read_target_state(revision, self.output_target))


class CommandPlan(NamedTuple):
    """A command that is ready to run."""

    request: RunCommand
    folder: Path
    root: Path
    inputs: list[CommandFile]
    before: OutputState
    state: TargetState

    @property
    def is_empty(self) -> bool:
        """A command is never nothing to do."""
        return False

    @property
    def event(self) -> CommandRun:
        """The payload, as far as it is known before the command runs."""
        return self._make_event(CommandResult(0, 0.0))

    def _make_event(self, result: CommandResult) -> CommandRun:
        return CommandRun(
            rasters=0,
            labels=0,
            inputs=len(self.inputs),
            outputs=0,
            exit_code=result.exit_code,
            seconds=round(result.seconds, 1),
            folder=os.path.relpath(self.folder.resolve(), self.root.resolve()),
            environment=sorted(os.environ),
            name=self.request.output_target.name or UNSET,
            code=read_code_revision(self.folder),
        )

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Run the command, and read its outputs.

        Raises:
            CommandFailedError: It failed, and is not to be kept.
            NotFoundError: It did not write an output.
            ConflictError: An input changed while it ran.
        """
        del context
        event_before = self._make_event(CommandResult(0, 0.0))
        status = {file.path: read_status([self.folder / file.path]) for file in self.inputs}
        result = execute_command(self.request.command, self.folder, prints_to_stderr=self.request.prints_to_stderr)
        event = _replace_fields(event_before, exit_code=result.exit_code, seconds=round(result.seconds, 1))
        if result.exit_code != 0:
            if not self.request.keep_failed:
                raise make_failure(self.request.command, result.exit_code)
            return Change(event, {"command_file": make_file_rows(self.inputs, [])} if self.inputs else {})
        for path, known in status.items():
            if not (self.folder / path).exists() or read_status([self.folder / path]) != known:
                raise ConflictError(
                    f"input '{path}' changed while the command ran. Nothing was recorded; run it again."
                )
        return self._take_outputs(event)

    def _take_outputs(self, event: CommandRun) -> Change:
        from geographer.rasters.checksums import compute_checksums

        written = list_written_files(self.folder, self.before)
        made = make_output_rows([self.folder / path for path in written], self.request.output_target, self.state)
        outputs = [
            CommandFile(
                path, compute_checksums(self.folder / path), *made.objects.get(self.folder / path, (None, None))
            )
            for path in written
        ]
        counts = {"rasters": len(made.rows.get("raster_change", ())), "labels": len(made.rows.get("label_change", ()))}
        event = _replace_fields(event, outputs=len(outputs), **counts)
        rows = {**made.rows, **_make_tables(self.inputs, outputs)}
        objects = [*made.objects.values()]
        return Change(event, rows, made.stored, check_still_valid=partial(self._check_still_valid, objects))

    def _check_still_valid(self, objects: Sequence[tuple[str, str | None]], revision: Revision) -> None:
        """Raise `ConflictError` if inputs or what outputs replace changed in the dataset while the command ran."""
        now = dict(revision.fetch_rows(_CHANGED_INPUTS))
        for file in self.inputs:
            name = f"{file.label} of {file.raster_id}" if file.label else file.raster_id
            if name is not None and now.get(name) != file.checksums.sha256:
                raise ConflictError(f"input '{file.path}' was changed meanwhile by another command. Run it again.")
        now_there = read_target_state(revision, self.request.output_target)
        if any(self.state.find_object(*item) != now_there.find_object(*item) for item in objects):
            raise ConflictError(f"'{self.request.output_target.name}' was changed while the command ran. Run it again.")


def _replace_fields(event: CommandRun, **values: Any) -> CommandRun:
    import msgspec

    return msgspec.structs.replace(event, **values)


def make_failure(command: Sequence[str], exit_code: int) -> CommandFailedError:
    """Return the error for a command that failed."""
    return CommandFailedError(
        f"'{command[0]}' failed with exit code {exit_code}. Nothing was recorded; --keep-failed records it.", exit_code
    )


def _make_tables(inputs: Sequence[CommandFile], outputs: Sequence[CommandFile]) -> dict[str, Any]:
    return {"command_file": make_file_rows(inputs, outputs)} if inputs or outputs else {}


def make_file_rows(inputs: Sequence[CommandFile], outputs: Sequence[CommandFile]) -> Any:
    """Return the rows of the files of a command, as an Arrow table."""
    files = [("input", file) for file in inputs] + [("output", file) for file in outputs]
    return make_row_table(
        "command_file",
        {
            "role": [role for role, _ in files],
            "path": [Path(file.path).as_posix() for _, file in files],
            "size": [file.checksums.size for _, file in files],
            "md5": [file.checksums.md5 for _, file in files],
            "sha256": [file.checksums.sha256 for _, file in files],
            "raster_id": [file.raster_id for _, file in files],
            "label": [file.label for _, file in files],
        },
    )
