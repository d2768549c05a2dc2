"""Git merges: a driver that keeps one side of lock and `.dvc` files, because their lines cannot be merged.

Git calls a merge driver for each file that both sides changed. The driver decides from the lock files of both commits,
so that all files of the dataset are from one side: ours, unless the log has the other head as one that ours leads to.
For the lock file it then reports a conflict, so that Git does not commit before the datasets are merged.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.atomic_files import add_line, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, StorageError, UnsupportedVersionError
from geographer.storage.database.connection import Database
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE
from geographer.storage.history.folder import HISTORY_DVC_FILE
from geographer.storage.history.lock_file import Lock, parse_lock
from geographer.storage.log.ancestry import read_ancestry

_DRIVER: Final = "geographer"
_SECTION: Final = f"merge.{_DRIVER}"
_ATTRIBUTES: Final = ".gitattributes"
_PATTERNS: Final = (LOCK_FILE, HISTORY_DVC_FILE, "rasters/*.dvc", "labels/*/*.dvc")
_LINES: Final = tuple(f"/{pattern} merge={_DRIVER}" for pattern in _PATTERNS)
_MERGED_COMMIT: Final = "GITHEAD_"
"""The prefix of the environment variables by which `git merge` names the commits that it merges."""


class MergedFile(NamedTuple):
    """What the driver did with a file: whether Git may take it as merged, and what to tell the user."""

    is_merged: bool
    message: str = ""


def set_up_git(root: Path) -> list[str]:
    """Let Git use the merge driver for lock and `.dvc` files of the dataset in `root`; return the lines of attributes.

    The driver is set in the repository's own configuration, which Git does not share, and the attributes in
    `.gitattributes` beside the lock file, which it does; where the driver is missing, Git merges as it did.

    Raises:
        NotFoundError: the dataset does not lie in a Git repository, or Git is not installed.
        StorageError: Git cannot write its configuration, or the disk cannot be written.
    """
    command = " ".join(map(shlex.quote, (sys.executable, "-m", "geographer")))
    _run_git(root, "config", "--local", f"{_SECTION}.name", "keep one side of a geographer dataset")
    _run_git(root, "config", "--local", f"{_SECTION}.driver", f"{command} git-setup --merge-file %A %B %P")
    for line in _LINES:
        with translate_os_errors(root / _ATTRIBUTES):
            add_line(root / _ATTRIBUTES, line)
    return [*_LINES]


def undo_git_setup(root: Path) -> None:
    """Remove what `set_up_git` wrote; errors are the same."""
    _run_git(root, "rev-parse", "--git-dir")
    with suppress(StorageError):
        _run_git(root, "config", "--local", "--remove-section", _SECTION)
    path = root / _ATTRIBUTES
    with translate_os_errors(path):
        if not path.is_file():
            return
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line not in _LINES]
        if lines:
            write_atomic(path, ("\n".join(lines) + "\n").encode())
        else:
            path.unlink()


def merge_git_file(ours: Path, theirs: Path, path: Path) -> MergedFile:
    """Merge a file as Git's driver does: leave our version in `ours`, or copy that of `theirs` to it.

    `path` is the file's path in the work tree, which is the current folder.

    Raises:
        NotFoundError: no folder above the file has a lock file.
    """
    root = _find_root(path)
    is_lock = path.name == LOCK_FILE
    our_lock = _parse_lock(ours) if is_lock else _read_committed_lock(root, "HEAD")
    their_lock = _parse_lock(theirs) if is_lock else _read_committed_lock(root, _find_merged_commit())
    if our_lock is None or their_lock is None:
        return MergedFile(is_merged=not is_lock, message=_describe_merge(None) if is_lock else "")
    if our_lock.branch == their_lock.branch and _leads_to(root, our_lock.head, their_lock.head):
        shutil.copyfile(theirs, ours)
        return MergedFile(is_merged=True)
    if _leads_to(root, their_lock.head, our_lock.head):
        return MergedFile(is_merged=True)
    return MergedFile(is_merged=not is_lock, message=_describe_merge(their_lock) if is_lock else "")


def _describe_merge(lock: Lock | None) -> str:
    other = f"branch '{lock.branch}' at {lock.head[:12]}" if lock else "the other side"
    revision = lock.head[:12] if lock else "REV"
    return (
        f"geographer: both sides changed the dataset; Git keeps yours. To merge {other}, run: geographer checkout HEAD "
        f"&& geographer fetch && geographer merge {revision}; then git add and commit {LOCK_FILE} and the .dvc files."
    )


def _leads_to(root: Path, first: str, last: str) -> bool:
    """Return whether the log knows that an event is an ancestor of another one, or that one."""
    database = Database(root / GEOGRAPHER_FOLDER)
    if first == last or not database.file_path("log").exists():
        return first == last
    with database.open_connection(log="r") as connection:
        ancestry = read_ancestry(connection)
    return {first, last} <= ancestry.nodes.keys() and ancestry.is_ancestor(first, last)


def _find_root(path: Path) -> Path:
    for folder in path.absolute().parents:
        if (folder / LOCK_FILE).exists() or path.name == LOCK_FILE:
            return folder
    raise NotFoundError(
        f"no folder above '{path}' has a {LOCK_FILE}. Run geographer git-setup in the dataset's folder."
    )


def _find_merged_commit() -> str | None:
    commits = [name.removeprefix(_MERGED_COMMIT) for name in os.environ if name.startswith(_MERGED_COMMIT)]
    return commits[0] if len(commits) == 1 else None


def _read_committed_lock(root: Path, commit: str | None) -> Lock | None:
    if commit is None:
        return None
    shown = subprocess.run(
        ["git", "-C", str(root), "show", f"{commit}:./{LOCK_FILE}"], capture_output=True, check=False
    )
    return _parse_content(shown.stdout) if shown.returncode == 0 else None


def _parse_lock(path: Path) -> Lock | None:
    return _parse_content(path.read_bytes())


def _parse_content(content: bytes) -> Lock | None:
    try:
        return parse_lock(content, LOCK_FILE)
    except (ConflictError, CorruptError, UnsupportedVersionError):
        return None


def _run_git(root: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotFoundError("Git is not installed. Install it first.") from error
    if done.returncode == 0:
        return
    reason = " ".join(done.stderr.split()).rstrip(".") or "no message"
    if "git repository" in reason:
        raise NotFoundError(f"'{root}' does not lie in a Git repository. Run git init first.")
    raise StorageError(f"Git cannot change its configuration: {reason}. See git config --local --list.")
