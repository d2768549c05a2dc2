"""A process that cuts a grid and is killed on the way: `… -m tests.storage.workspace.killed_process FOLDER MODULE CLASS METHOD`."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from geographer import Dataset


def _killed(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, module, owner, method = sys.argv[1:]
    setattr(getattr(import_module(module), owner), method, _killed)
    Dataset.open(folder).cut_grid("last", size=16)
