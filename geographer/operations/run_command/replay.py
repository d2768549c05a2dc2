"""Replay a recorded command in a scratch folder: the same commit, and inputs with their recorded bytes."""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

from msgspec import UNSET

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from geographer.base.text import quote_start
from geographer.base.values import Checksums
from geographer.operations.run_command.code_revision import read_diff, run_git
from geographer.operations.run_command.events import CodeRevision, CommandRun
from geographer.operations.run_command.execute import execute_command
from geographer.operations.run_command.files import CommandFile
from geographer.operations.run_command.outputs import OutputTarget, TargetState, make_output_rows, read_target_state
from geographer.operations.run_command.request import make_file_rows
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, PlannedFile, PlannedFiles
from geographer.storage.workspace.partial.absent_files import ensure_objects, reject_missing_rasters
from geographer.storage.workspace.paths import is_recorded_file
from geographer.storage.workspace.source_rasters import ReplacingFile

_FILES: Final = (
    "SELECT role, path, size, md5, sha256, raster_id, label FROM chain_command_file "
    "WHERE position = getvariable('position') ORDER BY ordinal"
)
_FRAME: Final = "frame"
"""The folder in the scratch folder that takes the place of the root of the file system."""


class CommandReplay:
    """A recorded command as a request that a rerun plans and builds again."""

    def __init__(self, payload: CommandRun) -> None:
        self._payload = payload
        request = payload.request if isinstance(payload.request, dict) else {}
        self.command: list[str] = list(request.get("command", ()))
        self.name = payload.name or ""
        self.output_target = OutputTarget(request.get("collection"), request.get("label"), replace=True)
        self.files: list[tuple[str, CommandFile]] = []

    def restore_inputs(self, revision: Revision) -> "CommandReplay":
        """See `Request.restore_inputs`: read the files of the event."""
        for role, path, size, md5, sha256, raster_id, label in revision.fetch_rows(_FILES):
            self.files.append((role, CommandFile(path, Checksums(size, md5, sha256), raster_id, label)))
        return self

    def make_plan(self, revision: Revision, context: PlanContext) -> "CommandReplayPlan":
        """Plan the command at the revision before its event.

        Raises:
            UsageError: It cannot run elsewhere: it failed, holds a hidden credential, or writes to absolute paths.
        """
        if self._payload.exit_code != 0:
            raise UsageError("the command failed, so it has no outputs")
        if any("***" in word for word in self.command):
            raise UsageError("the command had a credential, which the log does not keep")
        absolute = [file.path for role, file in self.files if role == "output" and Path(file.path).is_absolute()]
        if absolute:
            raise UsageError(f"the command writes to an absolute path: '{absolute[0]}'")
        if not context.may_run_commands:
            command = quote_start(" ".join(self.command))
            raise UsageError(f"it comes from the command '{command}', which rerun runs only with --commands")
        state = read_target_state(revision, self.output_target, is_replay=True)
        return CommandReplayPlan(self, self._payload, state)


class CommandReplayPlan:
    """A recorded command that is ready to run again."""

    def __init__(self, request: CommandReplay, payload: CommandRun, state: TargetState) -> None:
        self.event, self.is_empty = payload, False
        self._request, self._state = request, state

    def list_files(self) -> PlannedFiles:
        """See `ReplayablePlan.list_files`: the outputs as recorded."""
        outputs = [file for role, file in self._request.files if role == "output" and file.raster_id]
        return PlannedFiles([PlannedFile(file.label, str(file.raster_id), is_new=False) for file in outputs], [])

    def select_files(self, raster_ids: Collection[str]) -> None:
        """See `ReplayablePlan.select_files`; a command makes all of its outputs."""

    def replace_sources(self, files: Mapping[str, ReplacingFile]) -> None:
        """See `ReplayablePlan.replace_sources`; the inputs of a command stay as recorded."""

    def build_outputs(self, context: BuildContext) -> Change:
        """Run the command in the scratch folder.

        Raises:
            NotFoundError: The commit, an input or an output is missing.
            CorruptError: An input or the code is not as recorded.
            ConflictError: The command fails.
        """
        root = context.replayed_root or context.root
        folder = Path(os.path.normpath(root.resolve() / self.event.folder))
        frame = context.root / _FRAME
        scratch = _enter_frame(frame, folder)
        scratch.mkdir(parents=True, exist_ok=True)
        if isinstance(self.event.code, CodeRevision):
            restore_code(
                self.event.code, folder, _enter_frame(frame, Path(os.path.normpath(folder / self.event.code.root)))
            )
        with Store(root) as store:
            for role, file in self._request.files:
                if role == "input":
                    if not Path(file.path).is_absolute():
                        _require_inside(frame, scratch / file.path)
                    _restore_input(store, folder, scratch, file)
        for role, file in self._request.files:
            if role == "output":
                _require_inside(frame, scratch / file.path)
                (scratch / file.path).parent.mkdir(parents=True, exist_ok=True)
        result = execute_command(self._request.command, scratch, is_quiet=True)
        if result.exit_code != 0:
            raise ConflictError(f"the command failed with exit code {result.exit_code}, which it did not when recorded")
        return self._read_outputs(scratch)

    def _read_outputs(self, scratch: Path) -> Change:
        from geographer.rasters.checksums import compute_checksums

        paths = [
            file.path for role, file in self._request.files if role == "output" and (scratch / file.path).is_file()
        ]
        made = make_output_rows([scratch / path for path in paths], self._request.output_target, self._state)
        nothing = (None, None)
        outputs = [
            CommandFile(path, compute_checksums(scratch / path), *made.objects.get(scratch / path, nothing))
            for path in paths
        ]
        rows = {**made.rows, "command_file": make_file_rows([], outputs)} if outputs else made.rows
        return Change(self.event, rows, made.stored)


def _enter_frame(frame: Path, folder: Path) -> Path:
    """Return where a folder lies in the scratch folder: relative paths between folders stay as they are."""
    return frame / folder.relative_to(folder.anchor)


def _require_inside(frame: Path, path: Path) -> None:
    """Raise `UsageError` if a relative path leads out of the scratch folder."""
    if not Path(os.path.normpath(path)).is_relative_to(frame):
        raise UsageError(f"a path of the command leads out of the scratch folder: '{path}'")


def restore_code(code: CodeRevision, folder: Path, target: Path) -> None:
    """Write the files of a recorded commit, with what was changed since, into the folder `target`.

    `folder` is the working folder in which the command ran; its repository has the commit.
    """
    top = Path(os.path.normpath(folder / code.root))
    archive = run_git(top, "archive", "--format=tar", code.commit) if top.is_dir() else None
    if archive is None:
        raise NotFoundError(f"the repository '{top}' does not have the commit {code.commit[:12]} of the code")
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    if code.diff is not UNSET:
        diff = read_diff(top, code.commit)
        if hashlib.sha256(diff).hexdigest() != code.diff:
            raise CorruptError("the code had changes that no commit has, and the working folder does not have them now")
        if run_git(target, "apply", "--binary", "-", stdin=diff) is None:
            raise CorruptError("the uncommitted changes of the code cannot be applied again")


def _restore_input(store: Store, folder: Path, scratch: Path, file: CommandFile) -> None:
    """Copy an input with its recorded bytes into the scratch folder; one with an absolute path is only compared."""
    source = folder / file.path
    if not is_recorded_file(source, file.checksums):
        if file.raster_id:
            ensure_objects(store, [file.checksums.md5])
        source = store.find_object(file.checksums.md5)
        if Path(file.path).is_absolute() or not is_recorded_file(source, file.checksums):
            if file.raster_id and not source.is_file():
                reject_missing_rasters(store.root, [file.raster_id])
            raise NotFoundError(f"input '{file.path}' is missing, or has other bytes than recorded")
    if not Path(file.path).is_absolute():
        target = scratch / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
