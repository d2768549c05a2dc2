"""The `.geographer` folder of a dataset: find the dataset that a path is in, and make staging folders for new files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from geographer.base.errors import NotFoundError

GEOGRAPHER_FOLDER: Final = ".geographer"
_LOCK_SUFFIX: Final = ".lock"
"""Suffix of the lock file next to a staging folder; held while the folder is in use."""


def find_dataset_root(path: Path) -> Path:
    """Return `path` or the nearest folder above it that has a dataset; `NotFoundError` if there is none."""
    full_path = path.resolve()
    for folder in (full_path, *full_path.parents):
        if (folder / GEOGRAPHER_FOLDER / "log.duckdb").is_file():
            return folder
    raise NotFoundError(f"no dataset in '{path}' or a folder above it. Create one with geographer init.")


@contextmanager
def make_staging_folder(root: Path) -> Iterator[Path]:
    """Create an empty folder on the dataset's file system, and delete it and those that killed processes left."""
    from filelock import FileLock, Timeout

    parent = root / GEOGRAPHER_FOLDER / "staging"
    parent.mkdir(exist_ok=True)
    lock = parent / f"{uuid4().hex}{_LOCK_SUFFIX}"
    with FileLock(lock):
        folder = lock.with_suffix("")
        folder.mkdir()
        for other in parent.glob(f"*{_LOCK_SUFFIX}"):
            with suppress(Timeout), FileLock(other, blocking=False):
                _delete_staging_folder(other)
        try:
            yield folder
        finally:
            _delete_staging_folder(lock)


def _delete_staging_folder(lock: Path) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)
