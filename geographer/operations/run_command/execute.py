"""Execute a command in a folder, with its output where geographer's own goes; end it if geographer is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import NotFoundError, StorageError

_GRACE_S: Final = 5
"""How long an interrupted command may take to end."""
_SIGNAL_BASE: Final = 128


class CommandResult(NamedTuple):
    """The exit code of a command, or 128 + the signal that ended it, as in shells; and how long it took, in seconds."""

    exit_code: int
    seconds: float


def execute_command(
    command: Sequence[str], folder: Path, *, is_quiet: bool = False, prints_to_stderr: bool = False
) -> CommandResult:
    """Run a command without a shell, in `folder`, and wait for it.

    It has a session of its own: if geographer is interrupted, it and what it started get SIGTERM, then SIGKILL. If
    `is_quiet`, it reads nothing and its output is discarded.

    Raises:
        NotFoundError: there is no such program.
        StorageError: it cannot be started.
    """
    streams: dict[str, Any] = {"stdout": sys.__stderr__.fileno()} if prints_to_stderr and sys.__stderr__ else {}
    if is_quiet:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    start = time.monotonic()
    try:
        process = subprocess.Popen([*command], cwd=folder, start_new_session=True, **streams)
    except FileNotFoundError as error:
        raise NotFoundError(f"no program '{command[0]}'. Check the name, or pass its path.") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot start '{command[0]}': {error}. Check the program and its permissions.") from error
    try:
        code = process.wait()
    except BaseException:
        _end_process(process)
        raise
    return CommandResult(code if code >= 0 else _SIGNAL_BASE - code, time.monotonic() - start)


def _end_process(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
