"""Scratch folders: folders outside the dataset, with the files that a revision recorded, to make files again in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from geographer.base.errors import GeographerError, NotFoundError, StorageError
from geographer.base.values import Checksums
from geographer.planning.label_files import LABEL_FILES
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles
from geographer.storage.workspace.partial.absent_files import describe_partial_clone
from geographer.storage.workspace.partial.selection import PARTIAL_FILE
from geographer.storage.workspace.paths import find_path_fault, is_recorded_file
from geographer.storage.workspace.source_rasters import SourceRaster, read_source_rasters
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_SOURCES: Final = (
    "SELECT path, storage, md5 FROM current_raster WHERE list_contains($collections::VARCHAR[], collection) "
    "AND storage <> 'catalogue' UNION ALL "
    "SELECT path, storage, md5 FROM current_raster WHERE raster_id IN (SELECT parent_id FROM current_raster "
    "WHERE list_contains($collections::VARCHAR[], collection) AND storage = 'virtual') UNION ALL "
    "SELECT label.path, 'dvc', label.md5 FROM current_label AS label JOIN current_raster AS raster USING (raster_id) "
    "WHERE list_contains($collections::VARCHAR[], collection) "
    "AND label IN (SELECT name FROM recipes WHERE kind = $label_files)"
)
_MD5S: Final = "SELECT raster_id, md5 FROM current_raster WHERE list_contains($ids::VARCHAR[], raster_id)"
_ROOTS_FILE: Final = "roots.json"


class ScratchFolder:
    """A folder in which events are replayed, each in a folder of its own that looks like the dataset's.

    The recorded bytes of rasters are links to DVC's cache. The folders share the memory of checked files, so that each
    file is hashed once.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        """Use the new folder `folder` for events of the dataset that `store` has the files of."""
        self._store, self._folder = store, folder
        self._shared = folder / "shared"
        self._shared.mkdir()
        for name in (_ROOTS_FILE, PARTIAL_FILE):
            path = store.root / GEOGRAPHER_FOLDER / name
            if path.is_file():
                (self._shared / name).write_bytes(path.read_bytes())

    def make_event_folder(self, digest: str) -> Path:
        """Return a new folder for an event."""
        folder = self._folder / digest[:16]
        folder.mkdir()
        (folder / GEOGRAPHER_FOLDER).symlink_to(self._shared)
        return folder

    def delete_event_folder(self, digest: str) -> None:
        """Delete the folder of an event, if there is one, with the files that were made in it."""
        shutil.rmtree(self._folder / digest[:16], ignore_errors=True)

    def link_rasters(self, revision: Revision, folder: Path, collections: Collection[str]) -> None:
        """Let `folder` have the rasters of these collections, and labels that users added to them, at recorded paths.

        What the cache lacks is fetched from the remote. A file that neither has, or that was withdrawn, is missing.
        """
        rows = revision.fetch_rows(_SOURCES, {"collections": [*collections], "label_files": LABEL_FILES})
        withdrawn = list_withdrawn_files(revision.connection)
        stored = {path: md5 for path, storage, md5 in rows if storage == "dvc" and md5 not in withdrawn}
        with suppress(StorageError, NotFoundError):
            self._store.fetch_files([*stored.values()])
        for path, md5 in stored.items():
            self._link_file(folder, path, self._find_bytes(path, md5))
        for path, storage, _ in rows:
            if storage == "reference":
                self._link_reference(folder, path)

    def _find_bytes(self, path: str, md5: str) -> Path:
        """Return the object in the cache, or else the workspace's file, whose bytes are compared later."""
        cached = self._store.find_object(md5)
        return cached if cached.is_file() else self._store.root / path

    def _link_file(self, folder: Path, path: str, target: Path) -> None:
        if find_path_fault(path) is None and not os.path.lexists(folder / path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(target)

    def _link_reference(self, folder: Path, path: str) -> None:
        """Link the folder in which a reference inside the dataset's folder lies: GDAL may read files beside it."""
        first = Path(path).parts[0]
        if not Path(path).is_absolute() and first not in ("..", GEOGRAPHER_FOLDER) and not (folder / first).exists():
            with suppress(OSError):
                (folder / first).symlink_to(self._store.root / first)


@contextmanager
def open_scratch_folder(store: Store) -> Iterator[ScratchFolder]:
    """Create a scratch folder in the system's folder for temporary files (`TMPDIR`), and delete it afterwards."""
    with tempfile.TemporaryDirectory(prefix="geographer-rerun-", ignore_cleanup_errors=True) as name:
        yield ScratchFolder(store, Path(name).resolve())


def find_source_problems(revision: Revision, folder: Path, raster_ids: Iterable[str]) -> dict[str, str]:
    """Hash the files of rasters in an event's folder; return why rasters cannot be read, by id."""
    ids = sorted(set(raster_ids))
    withdrawn = list_withdrawn_files(revision.connection)
    md5s = dict(revision.fetch_rows(_MD5S, {"ids": ids}))
    problems: dict[str, str] = {}
    with CheckedFiles(folder) as checked:
        for raster_id, raster in read_source_rasters(revision, folder, ids).items():
            if file := withdrawn.get(md5s[raster_id]):
                problems[raster_id] = f"its source '{raster_id}' was {file.format_reason()}"
            elif problem := _find_problem(raster_id, raster, checked, folder):
                problems[raster_id] = f"its source '{raster_id}' {problem}"
    return problems


def _find_problem(raster_id: str, raster: SourceRaster, checked: CheckedFiles, folder: Path) -> str | None:
    if raster.unset_root:
        return f"lies in the root '{raster.unset_root}', which is not set on this machine (geographer roots)"
    if raster.remote:
        try:
            raster.read_status()
        except GeographerError as error:
            return f"cannot be read: {error}"
    damage = raster.find_damage(checked)
    if damage is None:
        return None
    if raster.is_referenced:
        return f"is recorded in place, and its file is {damage}"
    if damage == "missing" and (partial := describe_partial_clone(folder)):
        return f"is absent on purpose: {partial}. Get it with geographer fetch --raster {raster_id}"
    where = "on this machine nor on the remote" if damage == "missing" else "as recorded: they are altered"
    return f"cannot be read: its bytes are {'neither ' if damage == 'missing' else 'not '}{where}"


def find_recorded_bytes(store: Store, path: str, checksums: Checksums) -> Path | None:
    """Return a file with the recorded bytes: in the workspace, in the cache, or fetched from the remote."""
    if is_recorded_file(store.root / path, checksums):
        return store.root / path
    with suppress(StorageError, NotFoundError):
        store.fetch_files([checksums.md5])
    cached = store.find_object(checksums.md5)
    return cached if is_recorded_file(cached, checksums) else None
