"""Clone: make a dataset on this machine from a Git repository with a DVC remote, or from a DVC remote alone."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import TEMPORARY_FILES, translate_os_errors, write_atomic
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, StorageError, UsageError, quote_names
from geographer.base.redaction import has_credentials
from geographer.sharing.branches import switch_branch
from geographer.sharing.fetch import fetch_other_branches, list_valid_branches
from geographer.sharing.remote_history import download_segments
from geographer.storage.database.connection import DEFAULT_BRANCH, Database
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, LOCK_FILE, find_dataset_root
from geographer.storage.dvc.dvc_check import read_dvc_file
from geographer.storage.dvc.remote import Remote, open_remote
from geographer.storage.dvc.store import Store
from geographer.storage.history.agreement import create_log_of_segments
from geographer.storage.history.folder import HISTORY_DVC_FILE, HistoryFolder
from geographer.storage.history.ingest import copy_chain
from geographer.storage.history.lock_file import LOCK_FORMAT, Lock, read_lock, write_lock
from geographer.storage.history.published import KnownRemote, PublishedRevision, parse_published, remember_remote
from geographer.storage.unit_of_work import UnitOfWork

DEFAULT_REMOTE: Final = "origin"
"""The name of the remote that a clone of a remote's URL gets."""

_MARKER: Final = f"{GEOGRAPHER_FOLDER}/clone"
"""The file in an unfinished clone that names its source."""
_OBJECT_STORES: Final = re.compile(r"(s3|gs|gcs|azure|oss|hdfs|webhdfs|webdav|webdavs|gdrive)://")
_SCP_LIKE: Final = re.compile(r"[^/:]+@[^/:]+:(?!//)")


def clone_files(source: str, folder: Path, remote_name: str | None, branch: str | None = None) -> Path:
    """Create the dataset's folder from `source` with its log, and return it; a clone that was interrupted goes on.

    `source` is a Git repository (URL or path), or the URL or path of a DVC remote that a dataset was pushed to. Of
    that alone, `branch` is read: `main` if it is None.

    Raises:
        ConflictError: the folder exists and is not an unfinished clone of the same source.
        NotFoundError: there is no dataset, or no remote with its history.
        UsageError: the URL has a password.
        CorruptError: what the remote delivers is not as it should be.
        StorageError: Git or the remote failed.
    """
    if has_credentials(source) and not _has_user_alone(source):
        raise UsageError(
            "the URL has credentials, which .dvc/config would keep. Leave them out, and configure them in DVC or Git, "
            f"e.g. dvc remote modify --global {remote_name or DEFAULT_REMOTE} password SECRET"
        )
    if _read_source(folder) != source:
        _require_empty(folder)
        is_remote = _is_dvc_remote(source)
        with _create_folder(folder) as new_folder:
            if is_remote:
                _create_workspace(new_folder, source, remote_name or DEFAULT_REMOTE)
            else:
                _clone_git(source, new_folder)
            new_root = _find_root(new_folder, is_remote=is_remote)
            if not is_remote:
                _require_no_log(new_root)
            write_atomic(new_root / _MARKER, source.encode())
    root = _find_root(folder, is_remote=not (folder / ".git").exists())
    if not (root / GEOGRAPHER_FOLDER / "log.duckdb").exists():
        with open_remote(root, remote_name) as remote:
            restore_from_remote(root, remote, branch)
    return root


def _read_source(folder: Path) -> str | None:
    """Return the source of an unfinished clone in `folder`, whose dataset may lie below; None if there is none."""
    try:
        root = _find_root(folder, is_remote=not (folder / ".git").exists())
        return (root / _MARKER).read_text(encoding="utf-8")
    except (NotFoundError, OSError, UnicodeDecodeError):
        return None


def _has_user_alone(source: str) -> bool:
    """Return whether a URL has a user name, which SSH needs, and no password; of HTTP, it may be a token."""
    return source.startswith("ssh://") and ":" not in source.removeprefix("ssh://").partition("@")[0]


def name_clone(source: str) -> Path:
    """Return the folder of a clone that was given no name, as Git names it: the last part of the source."""
    name = re.split(r"[/:]", source.rstrip("/"))[-1].removesuffix(".git")
    if name in ("", ".", ".."):
        raise UsageError(f"cannot name a folder after '{source}'. Give the folder as the second argument.")
    return Path(name)


def finish_clone(root: Path) -> None:
    """Note that a clone is complete."""
    (root / _MARKER).unlink(missing_ok=True)


def complete_clone(path: Path, remote_name: str | None) -> None:
    """Build the log of the Git clone that `path` lies in, from its remote, unless the dataset has a log."""
    root = find_dataset_root(path)
    if not (root / GEOGRAPHER_FOLDER / "log.duckdb").exists():
        with open_remote(root, remote_name) as remote:
            restore_from_remote(root, remote)


def fetch_clone_branches(work: UnitOfWork, remote_name: str | None, branch: str | None) -> None:
    """Fetch the events of the other branches into a new clone, and use `branch`, if it is given."""
    with open_remote(work.root, remote_name) as remote:
        fetch_other_branches(work, remote)
    if branch is not None and branch != work.branch_name:
        switch_branch(work, branch)


def restore_from_remote(root: Path, remote: Remote, branch: str | None = None) -> None:
    """Build the log of a dataset that has none: up to its lock file, or without one, to the newest published head.

    `branch` is the branch that is read without a lock file.

    Raises:
        NotFoundError: nothing was published, or not what the lock file names.
        CorruptError, ConflictError: what the remote delivers is not as it should be.
    """
    lock = read_lock(root)
    with Store(root) as store:
        name = lock.branch if lock else branch or DEFAULT_BRANCH
        published = _read_published(remote, name)
        if lock is None and published is None:
            raise _make_unpublished_error(remote, name)
        if lock is None:
            assert published
            paths = download_segments(store, remote, published.published.history)
            content = published.published
            lock = Lock(LOCK_FORMAT, content.dataset, content.branch, content.head, content.content_digest)
        else:
            paths = _download_for_lock(store, remote, root, lock, published)
        folder = HistoryFolder(root)
        for name, path in paths.items():
            folder.add_file(path, name)
        is_newest = published is not None and published.published.head == lock.head
        position = published.published.position if published and is_newest else None
        segments = [folder.folder / name for name in paths]
        create_log_of_segments(root / GEOGRAPHER_FOLDER, segments, lock, position=position)
        if not (root / HISTORY_DVC_FILE).exists():
            folder.track_files(store.cache_path("00" * 16).parent.parent)
    if published and is_newest:
        tracked = f"{remote.name}/{lock.branch}"
        remember_remote(root, tracked, published)
        _track_branch(root, lock, tracked)
    write_lock(root, lock)
    folder.adopt_files(lock.head)


def _download_for_lock(
    store: Store, remote: Remote, root: Path, lock: Lock, published: KnownRemote | None
) -> dict[str, Path]:
    """Download the segments that the `.dvc` file beside a lock file names, or else the newest published ones."""
    addresses = [published.published.history] if published else []
    if (root / HISTORY_DVC_FILE).is_file():
        addresses.insert(0, read_dvc_file(root / HISTORY_DVC_FILE).address)
    error: CorruptError | None = None
    for address in dict.fromkeys(addresses):
        try:
            return download_segments(store, remote, address)
        except CorruptError as failure:
            error = error or failure
    raise NotFoundError(
        f"the remote '{remote.name}' lacks the history of {LOCK_FILE} ({lock.head[:12]}). Run geographer push, or dvc "
        "push, where the dataset is."
    ) from error


def _make_unpublished_error(remote: Remote, branch: str) -> NotFoundError:
    place = f"on the remote '{remote.name}' ({remote.url})"
    if others := list_valid_branches(remote):
        return NotFoundError(f"no branch '{branch}' was published {place}, only {quote_names(others)}. Pass --branch.")
    return NotFoundError(f"nothing was published {place}. Push there first.")


def _track_branch(root: Path, lock: Lock, tracked: str) -> None:
    """Let the log have the published branch under its name, which is at the head of the lock file."""
    database = Database(root / GEOGRAPHER_FOLDER)
    database.change_branch(lock.branch)
    copy_chain(database, tracked, lock.head)


def _read_published(remote: Remote, branch: str) -> KnownRemote | None:
    head = remote.read_head(branch)
    if head is None or not head.content:
        return None
    published: PublishedRevision = parse_published(head.content, remote.name, branch)
    return KnownRemote(head.number, published, remote.url)


def _require_empty(folder: Path) -> None:
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConflictError(f"'{folder}' exists and is not empty. Choose another folder for the clone.")


@contextmanager
def _create_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, and rename it to that when the block ends without an error."""
    with translate_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{TEMPORARY_FILES.removesuffix('*')}{secrets.token_hex(8)}")
    try:
        yield temporary
        with translate_os_errors(folder):
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _create_workspace(folder: Path, url: str, name: str) -> None:
    with Store.init_repository(folder, scm=False) as store:
        store.add_remote(name, str(Path(url).resolve()) if "://" not in url else url)
        store.add_to_gitignore(GEOGRAPHER_FOLDER)


def _clone_git(source: str, folder: Path) -> None:
    """Clone a Git repository with Git itself, which knows the user's keys."""
    command = ["git", "clone", "--quiet", "--", source, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise NotFoundError("Git is not installed. Install it, or clone the DVC remote's URL.") from error
    if done.returncode:
        reason = " ".join(done.stderr.split()).rstrip(".") or "no message"
        raise StorageError(f"Git cannot clone '{source}': {reason}. Check the URL or the path.")


def _find_root(folder: Path, *, is_remote: bool) -> Path:
    """Return the folder of the dataset in a clone: that of its lock file."""
    if is_remote:
        return folder
    found = sorted(folder.rglob(LOCK_FILE), key=lambda path: len(path.parts))
    if not found:
        raise NotFoundError(
            f"the Git repository has no {LOCK_FILE}. Run a command that changes the dataset there, commit "
            f"{LOCK_FILE} and the .dvc files, and push."
        )
    return found[0].parent


def _require_no_log(root: Path) -> None:
    """Reject a Git repository with a folder `.geographer`: nothing has checked the log in it, or where a link leads."""
    if os.path.lexists(root / GEOGRAPHER_FOLDER):
        raise ConflictError(
            f"the Git repository tracks '{GEOGRAPHER_FOLDER}', which belongs to one machine. Remove it there: git rm "
            f"-r --cached {GEOGRAPHER_FOLDER}, and commit."
        )


def _is_dvc_remote(source: str) -> bool:
    """Return whether a URL or path is that of a DVC remote; one that is neither is left to Git."""
    if _OBJECT_STORES.match(source):
        return True
    if source.endswith(".git") or source.startswith("git://") or _SCP_LIKE.match(source):
        return False
    path = Path(source.removeprefix("file://"))
    if "://" not in source or source.startswith("file://"):
        is_git = any((path / name).exists() for name in (".git", "HEAD"))
        return not is_git and any((path / name).is_dir() for name in ("heads", "files"))
    return not _answers_git(source)


def _answers_git(url: str) -> bool:
    """Return whether a server answers Git at a URL that may be one of DVC, too, such as ssh:// or https://."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    try:
        command = ["git", "ls-remote", "--quiet", "--", url, "HEAD"]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
