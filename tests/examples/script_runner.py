"""Run the script of an example once, with most of its commands in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geographer.base.errors import GeographerError
from geographer.cli import geographer_command


class SubprocessStub:
    """Replaces `subprocess`: runs the first geographer command in a process, and the others in this one, because each
    process takes two CPU seconds to start. Other programs run in processes.
    """

    DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT

    def __init__(self, patch: pytest.MonkeyPatch, *, in_process: bool) -> None:
        self.patch = patch
        self.has_started = in_process

    def run(self, command: list[str], *, cwd: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        is_geographer = command[:3] == [sys.executable, "-m", "geographer"]
        if not (is_geographer and self.has_started):
            self.has_started |= is_geographer
            return subprocess.run(command, cwd=cwd, **kwargs)
        self.patch.chdir(cwd)
        with print_warnings():
            result = CliRunner().invoke(geographer_command, command[3:], env=kwargs.get("env"))
        error = result.exception
        if isinstance(error, GeographerError):
            return subprocess.CompletedProcess(command, error.exit_code, f"{result.output}Error: {error}\n")
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return subprocess.CompletedProcess(command, result.exit_code, result.output)


@contextlib.contextmanager
def print_warnings() -> Iterator[None]:
    """Print logged warnings to the current stderr, as Python does where no logging is configured."""
    logger, handler = logging.getLogger("geographer"), logging.lastResort
    assert handler is not None
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def run_script(example: Path, folder: Path, *, in_process: bool = False) -> str:
    """Run `run.py` of an example with the new folder as argument, and return what it prints.

    With `in_process`, no geographer command runs in a process of its own.
    """
    stdout, loaded = io.StringIO(), {*sys.modules}
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(stdout):
        patch.setenv("PYTHONPATH", str(example.parents[1]))
        patch.syspath_prepend(str(example))
        patch.setattr(sys, "argv", ["run.py", str(folder)])
        script = importlib.import_module("run")
        patch.setattr(script, "subprocess", SubprocessStub(patch, in_process=in_process))
        script.main()
    for path in example.glob("*.py"):
        if path.stem not in loaded:
            sys.modules.pop(path.stem, None)
    return stdout.getvalue()
