"""Export a revision to a folder: its files, byte for byte, and its tables as Parquet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from geographer.base.atomic_files import temporary_sibling, write_atomic
from geographer.base.errors import ConflictError
from geographer.outputs.export import write_parquet
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.dvc.store import Store
from geographer.storage.queries.read_tables import TableFilter
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checkout import CheckoutResult, TrackedFile, list_files, restore_files

_TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes")


def export_folder(revision: Revision, store: Store, folder: Path) -> CheckoutResult:
    """Write the files and tables of `revision` to a folder; correct files of an earlier export are kept.

    `ConflictError` if the folder has other content, `CorruptError` if a file cannot be restored.
    """
    # The manifest is in the dataset, because the folder has only the revision.
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    manifest_path = store.root / GEOGRAPHER_FOLDER / "checkouts" / f"{name}.json"
    exported = _read_manifest(folder, manifest_path)
    files = {file.path: file for file in list_files(revision, revision.position)}
    to_write = [file for path, file in files.items() if exported.get(path) != _make_entry(file, folder)]
    obsolete_paths = [path for path in exported if path not in files]
    folder.mkdir(parents=True, exist_ok=True)
    # If this is interrupted, the manifest lists all files that may exist, and marks those that must be written again.
    _write_manifest(manifest_path, exported | {file.path: [] for file in to_write})
    restore_files(revision, store, folder, to_write, (), ())
    for path in obsolete_paths:
        (folder / path).unlink(missing_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for table in _TABLES:
        _write_table(revision, table, folder / "tables" / f"{table}.parquet")
    _write_manifest(manifest_path, {path: _make_entry(file, folder) for path, file in files.items()})
    return CheckoutResult(len(to_write), len(obsolete_paths), len(files) - len(to_write))


def _write_table(revision: Revision, table: str, path: Path) -> None:
    with temporary_sibling(path) as temporary:
        write_parquet(revision, table, TableFilter(), temporary)
        if not path.is_file() or path.read_bytes() != temporary.read_bytes():
            temporary.replace(path)


def _read_manifest(folder: Path, manifest_path: Path) -> dict[str, list[Any]]:
    """Read the files of an earlier export: path, then SHA-256, size, modification time and inode."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    if not manifest_path.exists():
        raise ConflictError(f"'{folder}' is not empty, and not an earlier checkout. Choose another folder for --to.")
    return dict(json.loads(manifest_path.read_text()))


def _write_manifest(manifest_path: Path, files: dict[str, list[Any]]) -> None:
    write_atomic(manifest_path, json.dumps(files, indent=0, sort_keys=True).encode())


def _make_entry(file: TrackedFile, folder: Path) -> list[Any]:
    try:
        status = (folder / file.path).stat()
    except FileNotFoundError:
        return [file.checksums.sha256]
    return [file.checksums.sha256, status.st_size, status.st_mtime_ns, status.st_ino]
