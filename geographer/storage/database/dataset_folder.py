"""The `.geographer` folder of a dataset: find the dataset of a path, create one's folder, make staging folders."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from geographer.base.atomic_files import TEMPORARY_FILES, translate_os_errors
from geographer.base.errors import ConflictError, NotFoundError, StorageError, quote_names

GEOGRAPHER_FOLDER: Final = ".geographer"
LOCK_FILE: Final = "geographer.lock"
"""The name of the lock file, which Git keeps beside the `.dvc` files."""
_INTERNAL_FOLDERS: Final = (GEOGRAPHER_FOLDER, ".dvc", ".git")
_FILE_FOLDERS: Final = ("rasters", "labels")
_CREATED_NAMES: Final = (
    *(*_FILE_FOLDERS, GEOGRAPHER_FOLDER, LOCK_FILE, "history", "history.dvc"),
    *(".dvc", ".dvcignore", ".gitignore"),
)
"""What a dataset has at the top of its folder."""
_MAX_LISTED: Final = 10
_GARBAGE_LOCK: Final = "garbage.lock"
"""The lock file in the `.geographer` folder that is held while unused objects are deleted."""
_LOCK_SUFFIX: Final = ".lock"
"""Suffix of the lock file next to a staging folder; held while the folder is in use."""


def find_dataset_root(path: Path) -> Path:
    """Return `path`, an existing folder, or the nearest folder above it that has a dataset; else `NotFoundError`."""
    if not os.path.isdir(path):  # noqa: PTH112 (of a name that no file system takes, Path.is_dir raises an OSError)
        raise NotFoundError(f"'{path}' is not an existing folder. Name the dataset's folder, or a folder inside it.")
    full_path = path.resolve()
    for folder in (full_path, *full_path.parents):
        if any(os.path.lexists(folder / name) for name in (f"{GEOGRAPHER_FOLDER}/log.duckdb", LOCK_FILE)):
            _reject_links(folder / GEOGRAPHER_FOLDER)
            return folder
    raise NotFoundError(
        f"no dataset in '{path}' or a folder above it. Name its folder with -C, or create it with geographer init."
    )


def require_real_folder(folder: Path) -> None:
    """Raise `ConflictError` if something else than a folder is there; a symbolic link would lead elsewhere."""
    try:
        mode = folder.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"cannot read '{folder}': {error.strerror}. Change its permissions.") from error
    if stat.S_ISLNK(mode):
        raise ConflictError(
            f"'{folder}' is a symbolic link, and neither DVC nor geographer writes through it. Replace it with a "
            "folder; to use another disk, mount it there, or move the whole dataset."
        )
    if not stat.S_ISDIR(mode):
        raise ConflictError(f"'{folder}' is a file in the place of a folder. Move it away.")


def _reject_links(folder: Path) -> None:
    """Raise `ConflictError` if a folder, or something in it, is a symbolic link."""
    require_real_folder(folder)
    if not folder.exists():
        return
    try:
        links = [path for path in folder.iterdir() if path.is_symlink()]
    except OSError as error:
        raise StorageError(f"cannot read '{folder}': {error.strerror}. Change its permissions.") from error
    if links:
        raise ConflictError(
            f"'{links[0]}' is a symbolic link, and geographer does not write through it. Replace it with a copy."
        )


def require_writable(path: Path) -> None:
    """Raise `StorageError` if an existing file or folder cannot be written."""
    if not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
        raise StorageError(f"cannot write '{path}'. Make it writable, then run the command again.")


def require_new_dataset_folder(root: Path) -> None:
    """Raise `ConflictError` if no dataset can be created in a folder: it belongs to one, or holds files of one.

    A folder elsewhere in a dataset can have a dataset of its own, as a Git repository can hold another.
    """
    require_real_folder(root)
    if (root / GEOGRAPHER_FOLDER / "log.duckdb").exists():
        raise ConflictError(f"'{root}' contains a dataset already. Open it, or choose another folder.")
    for folder in root.parents:
        name = root.relative_to(folder).parts[0]
        if name in _INTERNAL_FOLDERS or (name in _FILE_FOLDERS and _list_dataset_files(folder)):
            raise ConflictError(f"'{folder / name}' holds files of a dataset, of DVC or of Git. Choose another folder.")
    for name in _FILE_FOLDERS:
        require_real_folder(root / name)
    if (root / LOCK_FILE).exists():
        raise ConflictError(
            f"'{root}' is a clone of a dataset: it has a {LOCK_FILE}. Get its history with geographer pull, or dvc "
            "pull. To begin a new dataset, choose another folder."
        )
    if found := _list_dataset_files(root) or _list_other_files(root):
        raise ConflictError(
            f"'{root}' has files of a dataset ({quote_names(found)}), but not its log, {GEOGRAPHER_FOLDER}/log.duckdb. "
            "Get the log from a backup, or from the dataset's author. To begin a new dataset, choose another folder, "
            "or move these files away."
        )


def _list_dataset_files(root: Path) -> list[str]:
    """Return files that geographer and DVC wrote into the folder of a dataset."""
    patterns = (f"{GEOGRAPHER_FOLDER}/*.duckdb*", *(f"{name}/*.dvc" for name in _FILE_FOLDERS), "labels/*/*.dvc")
    found = (path for pattern in patterns for path in sorted(root.glob(pattern)))
    return [path.relative_to(root).as_posix() for path in found]


def _list_other_files(root: Path) -> list[str]:
    """Return the first files in the folders of rasters and labels, which a dataset would regard as its own."""
    found = (path for name in _FILE_FOLDERS for path in (root / name).rglob("*") if not path.is_dir())
    return [path.relative_to(root).as_posix() for path in islice(found, _MAX_LISTED) if path.name != ".gitignore"]


@contextmanager
def create_dataset_folder(root: Path) -> Iterator[Path]:
    """Yield a folder inside `root`, which is created; its `.geographer` becomes that of `root` when the block ends.

    A block that raises leaves `root` as it was: what it created for DVC is removed.
    """
    new_folders = [folder for folder in (root, *root.parents) if not folder.exists()]
    dvc_files = [root / name for name in (".dvc", ".dvcignore", ".gitignore") if not (root / name).exists()]
    try:
        with translate_os_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            staging = TemporaryDirectory(prefix=TEMPORARY_FILES.removesuffix("*"), dir=root)
        with staging as name:
            yield Path(name)
            with translate_os_errors(root):
                (Path(name) / GEOGRAPHER_FOLDER).rename(root / GEOGRAPHER_FOLDER)
    except BaseException:
        # If another process has created a dataset meanwhile, DVC's files are its own.
        _delete_paths([] if (root / GEOGRAPHER_FOLDER).exists() else dvc_files, new_folders)
        raise


class FolderBefore:
    """What a folder has before a dataset is created in it, to take back a creation that is not completed."""

    def __init__(self, root: Path) -> None:
        """Look at the folder `root`, which need not exist."""
        self._root = root
        self._new_folders = [folder for folder in (root, *root.parents) if not folder.exists()]
        # What DVC had stays as it is: its cache may be that of other folders.
        self._names = [name for name in _CREATED_NAMES if name != ".dvc" or not (root / ".dvc").exists()]
        self._paths = {*self._iter_paths()}
        ignored = [path for path in self._paths if path.name in (".gitignore", ".dvcignore") and path.is_file()]
        self._contents = {path: path.read_bytes() for path in ignored}

    def restore_folder(self) -> None:
        """Delete what a dataset has added to the folder since, with the folders that are new."""
        _delete_paths(sorted({*self._iter_paths()} - self._paths), self._new_folders)
        for path, content in self._contents.items():
            path.write_bytes(content)

    def _iter_paths(self) -> Iterator[Path]:
        for path in (self._root / name for name in self._names):
            if os.path.lexists(path):
                yield path
            yield from path.rglob("*")


def _delete_paths(paths: Iterable[Path], empty_folders: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()
    for folder in empty_folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def make_staging_folder(root: Path) -> Iterator[Path]:
    """Create an empty folder on the dataset's file system, and delete it and those that killed processes left."""
    from filelock import FileLock, Timeout

    parent = root / GEOGRAPHER_FOLDER / "staging"
    require_real_folder(parent)
    require_writable(parent.parent)
    parent.mkdir(exist_ok=True)
    require_writable(parent)
    lock = parent / f"{uuid4().hex}{_LOCK_SUFFIX}"
    with FileLock(lock):
        _wait_for_garbage_collection(root)
        folder = lock.with_suffix("")
        folder.mkdir()
        for other in parent.glob(f"*{_LOCK_SUFFIX}"):
            with suppress(Timeout, OSError), FileLock(other, blocking=False):
                _delete_staging_folder(other)
        try:
            yield folder
        finally:
            _delete_staging_folder(lock)


@contextmanager
def exclude_staging(root: Path) -> Iterator[None]:
    """Keep commands that store files waiting while the block deletes objects that no event names.

    `ConflictError` if one is storing files now: their event is not recorded yet.
    """
    from filelock import FileLock

    require_writable(root / GEOGRAPHER_FOLDER)
    staging = root / GEOGRAPHER_FOLDER / "staging"
    with FileLock(root / GEOGRAPHER_FOLDER / _GARBAGE_LOCK):
        if any(_is_locked(lock) for lock in staging.glob(f"*{_LOCK_SUFFIX}")):
            raise ConflictError(f"another command is changing '{root}'. Run this one when it has ended.")
        yield


def _wait_for_garbage_collection(root: Path) -> None:
    """Wait while another process deletes unused objects: it sees the locks that were held before."""
    from filelock import FileLock

    lock = root / GEOGRAPHER_FOLDER / _GARBAGE_LOCK
    if lock.exists():
        with FileLock(lock):
            pass


def list_abandoned_staging(root: Path) -> list[Path]:
    """List the staging folders and lock files that killed processes left; those of running processes are locked."""
    folder = root / GEOGRAPHER_FOLDER / "staging"
    require_real_folder(folder)
    paths = sorted(folder.glob("*"))
    return [path for path in paths if not _is_locked(path.with_suffix(_LOCK_SUFFIX))]


def _is_locked(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        if lock.exists():
            with FileLock(lock, blocking=False):
                pass
    except Timeout:
        return True
    except OSError:
        # Nothing can run in a folder that cannot be written.
        return False
    return False


def _delete_staging_folder(lock: Path) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)
