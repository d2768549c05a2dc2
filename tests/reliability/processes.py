"""Run `geographer` commands in separate processes, which can be killed at a chosen moment.

A fork server imports everything once, and each process is a fork of it: a command costs what it does, not its imports.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import pkgutil
import re
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

TIMEOUT_S: Final = 240.0
PRELOADED: Final = (
    "pandas psutil configobj dulwich ruamel.yaml flufl.lock dvc.cli dvc.commands.status dvc.commands.data dvc.repo "
    "dvc.repo.status dvc.stage dvc.output dvc.data_cloud dvc_data.hashfile.db scmrepo.git rasterio rasterio.features "
    "scipy.optimize scipy.sparse.csgraph geopandas tests.stac_servers"
)
WRITING_EVENTS: Final = "os.rename os.remove os.rmdir os.mkdir os.link os.symlink os.truncate os.utime".split()  # noqa: SIM905
WRITING_SQL: Final = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|CREATE|DROP|BEGIN|COMMIT|CHECKPOINT|ATTACH|DETACH|COPY)", re.I
)

Command = Sequence[str]
"""The arguments of one `geographer` command; `("dvc", …)` runs DVC, `("call", "module:function", …)` a function."""
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_start_lock = threading.Lock()


class Finished(NamedTuple):
    """A command that ended: its exit code (negative: the signal that ended the process), and what it printed."""

    arguments: Command
    code: int
    out: str
    err: str

    @property
    def is_crash(self) -> bool:
        """Whether the process died of a signal, or hung."""
        return self.code < 0 or (self.code >= 128 and self.code != 130)

    @property
    def is_traceback(self) -> bool:
        """Whether the command ended otherwise than as documented: with 0, or 2 to 6 and a message."""
        return not self.is_crash and (self.code not in (0, 2, 3, 4, 5, 6) or "Traceback (most recent" in self.err)

    def __str__(self) -> str:
        lines = [line for line in (self.err or self.out).splitlines() if re.search(r"\w", line)]
        return f"'{' '.join(self.arguments)[:90]}' exit {self.code}: {lines[-1][:200] if lines else '(silent)'}"


class Running:
    """A process that runs commands one after the other, and is killed when it passes `kill_point`, if that is set."""

    def __init__(self, folder: Path, *commands: Command, kill_point: int | None = None) -> None:
        self.commands, self.points = commands, 0
        self._outputs = Path(tempfile.mkdtemp(prefix="geographer-output-"))
        texts = [[str(argument) for argument in command] for command in commands]
        self._process = _CONTEXT.Process(
            target=_run_child, args=(self._outputs, folder, texts, kill_point), daemon=True
        )
        with _start_lock:
            self._process.start()

    def wait(self, timeout_s: float = TIMEOUT_S) -> list[Finished]:
        """Wait, then kill the process; return the commands that it began, of which the last may have been killed."""
        self._process.join(timeout_s)
        if is_killed := self._process.is_alive():
            self._process.kill()
            self._process.join()
        results = []
        for number, command in enumerate(self.commands):
            out, err, code = (self._outputs / f"{number}.{kind}" for kind in ("out", "err", "code"))
            if out.exists():
                # A process that was killed may have left the file of its exit code empty.
                written = code.read_text() if code.exists() else ""
                exit_code = int(written) if written else self._process.exitcode or -signal.SIGKILL
                texts = [path.read_bytes().decode(errors="replace") for path in (out, err)]
                hung = f"(killed after {timeout_s:.1f} s)" if is_killed and not written else ""
                results.append(Finished(command, exit_code, texts[0], texts[1] + hung))
        points = self._outputs / "points"
        self.points = int(points.read_text() or 0) if points.exists() else 0
        shutil.rmtree(self._outputs)
        return results


def run(folder: Path, *commands: Command) -> list[Finished]:
    """Run commands one after the other in one new process with `folder` as the current one."""
    return Running(folder, *commands).wait()


def isolate_environment(folder: Path) -> None:
    """Give this process and its children an empty home, so that Git and DVC use no files of the user."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "XDG_", "GEOGRAPHER_"))]:
        del os.environ[name]
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        os.environ[name] = str(folder / name.lower())
    os.environ |= {"DVC_NO_ANALYTICS": "1", "GEOGRAPHER_AUTHOR": "Ada"}
    (folder / "home").mkdir(parents=True, exist_ok=True)


def start_fork_server() -> None:
    """Start the fork server; its first process waits until everything is imported."""
    _CONTEXT.set_forkserver_preload(["tests.reliability.preload"])


def preload_modules() -> None:
    """Import what commands import; it creates no threads and no DuckDB database, which a fork would not have."""
    geographer = import_module("geographer")
    names = [module.name for module in pkgutil.walk_packages(geographer.__path__, "geographer.")]
    for name in (*PRELOADED.split(), *names):
        if not name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                import_module(name)


# --- In the child process -----------------------------------------------------------------------------------------


def _run_child(outputs: Path, folder: Path, commands: list[list[str]], kill_point: int | None) -> None:
    """Run the commands, each with its output in files, and end this process without cleaning up."""
    os.chdir(folder)
    points = _watch_points(kill_point) if kill_point is not None else []
    for number, command in enumerate(commands):
        for descriptor, kind in ((1, "out"), (2, "err")):
            target = os.open(outputs / f"{number}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(target, descriptor)
            os.close(target)
        code = _run_command(command)
        sys.stdout.flush()
        sys.stderr.flush()
        (outputs / f"{number}.code").write_text(str(code))
    (outputs / "points").write_text(str(len(points)))
    os._exit(0)


def run_in_process(command: Command) -> Finished:
    """Run a command in this process, a child that runs many."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _run_command(command)
    return Finished(command, code, out.getvalue(), err.getvalue())


def _run_command(command: Command) -> int:
    try:
        if command[0] == "dvc":
            return int(import_module("dvc.cli").main(list(command[1:])))
        if command[0] != "call":
            import_module("geographer.cli").main(list(command))
            return 0
        module, _, function = command[1].partition(":")
        answer = getattr(import_module(module), function)(*command[2:])
        sys.stdout.write("" if answer is None else json.dumps(answer, default=str))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        if command[0] == "call" and isinstance(code := getattr(error, "exit_code", None), int):
            sys.stderr.write(f"Error: {error}\n")
            return code
        traceback.print_exc()
        return 70
    return 0


def _watch_points(kill_point: int) -> list[None]:
    """Count when this process changes a file or runs a statement that does; kill it at this number, unless that is 0."""
    points: list[None] = []

    def pass_point() -> None:
        points.append(None)
        if len(points) == kill_point:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch_event(event: str, arguments: tuple[Any, ...]) -> None:
        flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
        if event in WRITING_EVENTS or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            pass_point()

    sys.addaudithook(watch_event)
    duckdb: Any = import_module("duckdb")
    connect: Callable[..., Any] = duckdb.connect
    duckdb.connect = lambda *arguments, **options: _WatchedConnection(connect(*arguments, **options), pass_point)
    return points


class _WatchedConnection:
    """A DuckDB connection that calls a function before and after each statement that writes."""

    def __init__(self, connection: Any, pass_point: Callable[[], None]) -> None:
        self._connection, self._pass_point = connection, pass_point

    def __enter__(self) -> _WatchedConnection:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def cursor(self) -> _WatchedConnection:
        return _WatchedConnection(self._connection.cursor(), self._pass_point)

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        is_writing = WRITING_SQL.match(query if isinstance(query, str) else query.query)
        if is_writing:
            self._pass_point()
        result = self._connection.execute(query, *arguments, **options)
        if is_writing:
            self._pass_point()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
