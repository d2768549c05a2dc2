"""Paths of input files: they exist, they are files or folders, and their names can be recorded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from geographer.base.errors import NotFoundError, StorageError, UsageError


def require_input_path(path: str | Path) -> Path:
    """Return the path of a file or folder that is to be read.

    Raises:
        NotFoundError: There is none.
        UsageError: It is a pipe, a socket or a device, or its name is not UTF-8, which the log requires.
        StorageError: It cannot be reached.
    """
    text = os.fspath(path)
    require_utf8_name(text)
    try:
        mode = os.stat(text).st_mode  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFoundError(f"no such file: '{text}'") from error
    except OSError as error:
        raise StorageError(f"cannot read '{text}': {error.strerror}. Check the path and its permissions.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"'{text}' is a pipe, a socket or a device, not a file. Copy it to a file.")
    return Path(path)


def require_utf8_name(text: str) -> None:
    """Raise `UsageError` if a path, as Python decodes it, has bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the file name '{text}' is not UTF-8. Rename the file.") from error
