"""Cache folder: find DVC's cache without importing DVC, which costs half a second, while its settings are as before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

_VARIABLES: Final = (
    *("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"),
    *("DVC_EXP_GIT_REMOTE", "DVC_ROOT"),
)
"""Environment variables that decide which settings DVC reads."""


class KnownCacheFolder(msgspec.Struct, frozen=True):
    """The folder of the objects in DVC's cache, the files of settings that decide it, and their status then."""

    folder: str
    config_files: list[str]
    status: str


def find_cache_folder(root: Path, known: KnownCacheFolder | None) -> KnownCacheFolder:
    """Return the folder of the objects in the cache of the workspace `root`: that of `known` if nothing changed."""
    if known is not None and known.status == _read_status(root, known.config_files):
        return known
    from dvc.dirs import global_config_dir, system_config_dir

    from geographer.storage.dvc.store import Store

    files = [str(Path(folder) / "config") for folder in (global_config_dir(), system_config_dir())]
    with Store(root) as store:
        folder = store.cache_path("00" * 16).parent.parent
    return KnownCacheFolder(str(folder), files, _read_status(root, files))


def _read_status(root: Path, files: list[str]) -> str:
    statuses = [f"{name}={os.environ.get(name, '')}" for name in _VARIABLES] + [str(root)]
    for path in (root / ".dvc" / "config", root / ".dvc" / "config.local", *map(Path, files)):
        try:
            stat = path.stat()
            statuses.append(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}")
        except OSError:
            statuses.append("missing")
    return "\n".join(statuses)
