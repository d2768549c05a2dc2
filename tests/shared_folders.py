"""Folders that all processes of a test run share: what takes long is made once, whichever process needs it first."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def create_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` filled, which is called once even if several processes run the tests."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            temporary_folder = folder.with_suffix(".part")
            temporary_folder.mkdir()
            make(temporary_folder)
            temporary_folder.rename(folder)
    return folder


def copy_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return this process's copy of such a folder, with its links, so that no other process opens the same files."""
    target = factory.mktemp(name) / name
    subprocess.run(["cp", "-a", str(create_once(factory, name, make)), str(target)], check=True)
    return target
