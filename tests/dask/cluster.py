"""A Dask cluster on loopback: a real `dask scheduler` and `dask worker` processes, which can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from distributed import Client

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"


class DaskCluster:
    """A scheduler and workers with one thread each, whose files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._scheduler_file = folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self._scheduler_file.read_text())["address"])

    def start_scheduler(self, host: str = LOOPBACK, prefix: Sequence[str] = ()) -> None:
        """Start the scheduler, at a free port, and wait until it says where it is."""
        self._scheduler_file.unlink(missing_ok=True)
        options = ("--host", host, "--port", "0", "--scheduler-file", str(self._scheduler_file), "--no-dashboard")
        self.scheduler = self._start("scheduler", "scheduler", *options, prefix=prefix)
        deadline = time.monotonic() + 60
        while not self._scheduler_file.exists() or not self._scheduler_file.read_text().rstrip().endswith("}"):
            assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def start_worker(
        self, name: str, *, host: str = LOOPBACK, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        """Start a worker with a folder of its own."""
        local = ("--local-directory", str(self.folder / name), "--host", host)
        options = (self.address, "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", *local)
        self.workers[name] = self._start(name, "worker", *options, environment=environment, prefix=prefix)

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers have joined."""
        with warnings.catch_warnings(action="ignore"), closing(Client(self.address, set_as_default=False)) as client:
            deadline = time.monotonic() + 60
            while len(client.nthreads()) != count:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def start(self, *names: str) -> None:
        """Start the scheduler and workers, and wait for them."""
        self.start_scheduler()
        for name in names:
            self.start_worker(name)
        self.wait_for_workers(len(names))

    def kill_worker(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.kill()
        worker.wait()

    def read_log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        """End all processes that are left."""
        processes = [*self.workers.values(), *filter(None, [self.scheduler])]
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait()
        self.workers.clear()
        self.scheduler = None

    def _start(
        self, log: str, *arguments: str, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        variables = {**os.environ, **(environment or {})}
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (variables.get("PYTHONPATH"), str(REPOSITORY))))
        with (self.folder / f"{log}.log").open("ab") as file:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=variables,
                cwd=self.folder,
            )
