"""Make folders read-only, also for root, to whom file modes do not apply otherwise."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DROP_CAPABILITY = 24
_FILE_CAPABILITIES = (1, 2, 3)
"""The capabilities of Linux that let root pass file modes: DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER."""


def obey_file_modes() -> None:
    """For `preexec_fn`: let file modes apply to the new process, also if it is root's."""
    if sys.platform == "linux" and os.geteuid() == 0:
        for capability in _FILE_CAPABILITIES:
            ctypes.CDLL(None).prctl(_DROP_CAPABILITY, capability, 0, 0, 0)


@contextmanager
def make_read_only(root: Path) -> Iterator[None]:
    """Take the right to write from all files and folders while the block runs."""
    paths = [root, *root.rglob("*")]
    modes = [path.lstat().st_mode for path in paths]
    try:
        for path in paths:
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            if not path.is_symlink():
                path.chmod(mode)
