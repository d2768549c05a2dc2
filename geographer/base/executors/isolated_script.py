"""A Python script in a process that may crash, such as one that reads an untrusted file with a C library."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class IsolatedScript:
    """A Python script in a process of its own, which runs one task after another: a crash in C code ends only that.

    The script reads each task as a line of JSON from stdin, and answers with a line of JSON on stdout. The process
    starts with the first task and ends with this process.
    """

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run_task(self, task: Mapping[str, object]) -> Any:
        """Return the script's answer; `ChildProcessError`, with the reason in words, if the process ends before it."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._start_process()
            process = self._process
            assert process.stdin
            assert process.stdout
            try:
                with suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(task).encode() + b"\n")
                    process.stdin.flush()
                if answer := process.stdout.readline():
                    return json.loads(answer)
            except BaseException:
                process.kill()
                self._close()
                raise
            code = self._close()
        raise ChildProcessError(f"signal {-code}" if code < 0 else f"exit code {code}")

    def _start_process(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipe, command = subprocess.PIPE, [sys.executable, "-P", str(self._script)]
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
        atexit.register(self._close)
        return process

    def _close(self) -> int:
        """End the process, if it runs, and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(OSError):
            process.communicate()
        return process.returncode
