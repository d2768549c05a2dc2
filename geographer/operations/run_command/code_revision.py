"""The code revision: the Git commit of the working folder's repository, and a digest of what was changed since."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

from msgspec import UNSET, UnsetType

from geographer.operations.run_command.events import CodeRevision

_OWN_FILES: Final = (":(exclude,glob)**/*.dvc", ":(exclude,glob)**/geographer.lock", ":(exclude,glob)**/.gitignore")
"""What geographer changes in a repository with every event."""
_TIMEOUT_S: Final = 60


def read_code_revision(folder: Path) -> CodeRevision | UnsetType:
    """Return the commit of the repository that `folder` lies in; UNSET without Git, repository or commit."""
    top, commit = (run_git(folder, "rev-parse", *words) for words in (["--show-toplevel"], ["HEAD"]))
    if not top or not commit:
        return UNSET
    root = Path(os.fsdecode(top.rstrip(b"\n")))
    name = commit.decode().strip()
    diff = read_diff(root, name)
    digest = hashlib.sha256(diff).hexdigest() if diff else UNSET
    return CodeRevision(name, os.path.relpath(root, folder.resolve()), digest)


def read_diff(root: Path, commit: str) -> bytes:
    """Return what tracked files of the repository in `root` have that a commit has not, without geographer's own."""
    return run_git(root, "diff", "--binary", "--no-ext-diff", "--no-color", commit, "--", ".", *_OWN_FILES) or b""


def run_git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes | None:
    """Return what a command of Git prints; None if it fails or Git is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], input=stdin, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
