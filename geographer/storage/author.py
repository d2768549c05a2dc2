"""The author of an event, if the user names none: from the environment, Git or the system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_GIT_TIMEOUT_S: Final = 5.0
_USER_VARIABLES: Final = ("LOGNAME", "USER", "LNAME", "USERNAME")


def read_author(folder: Path) -> str:
    """Return GEOGRAPHER_AUTHOR, GIT_AUTHOR_NAME, Git's `user.name` in a folder, or the system's user name."""
    environment = os.environ.get("GEOGRAPHER_AUTHOR") or os.environ.get("GIT_AUTHOR_NAME")
    author = environment or _read_git_user(folder) or _read_system_user()
    return author.encode(errors="surrogateescape").decode(errors="replace")


def complete_environment() -> None:
    """Set LOGNAME and HOME if the system knows neither, as in a container with any user id: DVC needs both."""
    if not any(map(os.environ.get, _USER_VARIABLES)):
        os.environ["LOGNAME"] = _read_system_user()
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


def _read_git_user(folder: Path) -> str:
    import subprocess

    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    command = ["git", "config", "user.name"]
    try:
        run = subprocess.run(command, cwd=existing, capture_output=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.decode(errors="replace").strip()


def _read_system_user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
