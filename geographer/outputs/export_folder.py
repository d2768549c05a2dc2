"""TODO."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError
from geographer.outputs.export import write_parquet
from geographer.storage.queries.tables import TableFilter
from geographer.storage.workspace.checkout import CheckoutResult, list_files, restore_files

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision

_TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes")


def export_folder(revision: Revision, store: Store, folder: Path) -> CheckoutResult:
    """The files and tables of `revision` in `folder`, byte for byte. What an earlier export left there is reused.

    The tables are written as Parquet (GeoParquet where there is a geometry) under `tables/`.

    Raises:
        ConflictError: the folder holds something else.
        CorruptError: a file can't be restored.
    """
    mark = _mark_of(store.root, folder)
    known = _known_export(folder, mark)
    wanted = {file.path: file for file in list_files(revision, revision.position)}
    missing = [
        file for path, file in wanted.items() if known.get(path) != [file.checksums.sha256, *_stat(folder / path)]
    ]
    gone = [path for path in known if path not in wanted]
    folder.mkdir(parents=True, exist_ok=True)
    # Whatever interrupts this, the next checkout knows which files may be there, and that these are to be written.
    _note(mark, known | {file.path: [] for file in missing})
    restore_files(revision, store, folder, missing, (), ())
    for path in gone:
        (folder / path).unlink(missing_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for table in _TABLES:
        _write_table(revision, table, folder / "tables" / f"{table}.parquet")
    _note(mark, {path: [file.checksums.sha256, *_stat(folder / path)] for path, file in wanted.items()})
    return CheckoutResult(len(missing), len(gone), len(wanted) - len(missing))


def _write_table(revision: Revision, table: str, path: Path) -> None:
    """Write a table, unless the file holds it already."""
    aside = path.with_suffix(".new")
    write_parquet(revision, table, TableFilter(), aside)
    if path.is_file() and path.read_bytes() == aside.read_bytes():
        aside.unlink()
    else:
        aside.replace(path)


def _mark_of(root: Path, folder: Path) -> Path:
    """Where it is noted what an export left in `folder`: beside the log, for the folder holds the revision alone."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return root / ".geographer" / "checkouts" / f"{name}.json"


def _known_export(folder: Path, mark: Path) -> dict[str, list[Any]]:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    if not mark.exists():
        raise ConflictError(f"'{folder}' is not empty, and no earlier checkout: give another folder to --to")
    files: dict[str, list[Any]] = json.loads(mark.read_text())
    return files


def _note(mark: Path, files: dict[str, list[Any]]) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    aside = mark.with_suffix(".part")
    aside.write_text(json.dumps(files, indent=0, sort_keys=True))
    aside.replace(mark)


def _stat(path: Path) -> list[int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]
