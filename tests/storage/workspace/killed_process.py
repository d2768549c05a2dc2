"""A process that cuts a grid and is killed when it calls a method: `killed_process FOLDER MODULE CLASS METHOD`."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from geographer import Dataset


def _kill_process(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, module, class_name, method = sys.argv[1:]
    owner = getattr(import_module(module), class_name)
    assert hasattr(owner, method)
    setattr(owner, method, _kill_process)
    Dataset.open(folder).cut_grid("last", size=16)
