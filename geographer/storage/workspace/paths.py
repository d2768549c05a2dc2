"""Paths: which ones stored files may have, and whether files can be written there without harm to others.

Stored files lie at `rasters/COLLECTION/FILE` and `labels/NAME/COLLECTION/FILE`, each folder beside its `.dvc` file.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.atomic_files import check_file, temporary_sibling, translate_os_errors
from geographer.base.errors import ConflictError, StorageError, UsageError, quote_names, quote_objects
from geographer.base.values import MAX_FILE_NAME_BYTES, MAX_FOLDER_NAME_BYTES, Checksums
from geographer.storage.database.connection import run_script
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, require_real_folder, require_writable
from geographer.storage.log.pending import register_rows

if TYPE_CHECKING:
    from geographer.storage.dvc.store import Store
    from geographer.storage.events.plain_rows import PlannedRows
    from geographer.storage.queries.revision import Revision

FILES_SQL: Final = Path(__file__).with_name("files.sql")
_NEW_PATHS_SQL: Final = Path(__file__).with_name("new_paths.sql")
_CHECKOUT_PATHS_SQL: Final = Path(__file__).with_name("checkout_paths.sql")
_MERGED_PATHS_SQL: Final = Path(__file__).with_name("merged_paths.sql")
_OWNERS: Final = (
    "SELECT DISTINCT raster_id FROM files_at($to) WHERE path IN ($path, $other) OR starts_with(path, $path || '/') "
    "OR starts_with(path, $other || '/') ORDER BY ALL"
)
_FOLDER_COUNTS: Final = {"rasters": 2, "labels": 3}
"""The number of folders in the path of a stored file, by the first of them."""
_OWN_FOLDERS: Final = (*_FOLDER_COUNTS, GEOGRAPHER_FOLDER, ".dvc", ".git")
_METADATA_FILES: Final = (".gitignore", ".dvcignore")
_RESERVED_NAME: Final = "a part of the path is a name that Git, DVC or geographer uses"
_TEMPORARY_PREFIX: Final = ".geographer-"
_ASCII_CONTROL_CHARACTERS: Final = frozenset(map(chr, (*range(0x20), 0x7F)))
_CONTROL_CHARACTERS: Final = _ASCII_CONTROL_CHARACTERS | {*map(chr, range(0x80, 0xA0))}
_PLANNED_COLUMNS: Final = {
    "raster_change": "raster_id, NULL AS label, storage = 'dvc' AS is_stored",
    "label_change": "raster_id, label, true AS is_stored",
}
"""What the columns of `planned_file` that tell the object are, by log table."""


def find_path_fault(path: str | None) -> str | None:
    """Return why a path cannot be that of a stored file, as the macro in `path_fault.sql` does; None if it can.

    The rule accepts every path that a released version recorded for a file in DVC. It is for these only: referenced
    rasters lie anywhere. For new files, `find_new_path_fault` is stricter.
    """
    if not path:
        return "the path is missing"
    if path.startswith("/"):
        return "the path is absolute"
    parts = path.split("/")
    folders = parts[:-1]
    if not {"\\", "\0"}.isdisjoint(path) or not _ASCII_CONTROL_CHARACTERS.isdisjoint("".join(folders)):
        return "the path has a backslash, a NUL or a control character"
    if not {"", ".", ".."}.isdisjoint(parts):
        return "a part of the path is empty, '.' or '..'"
    if len(folders) != _FOLDER_COUNTS.get(parts[0]):
        return "the path is not rasters/COLLECTION/FILE or labels/NAME/COLLECTION/FILE"
    if _has_reserved_name(parts):
        return _RESERVED_NAME
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "the path is not UTF-8"
    if sizes.pop() > MAX_FILE_NAME_BYTES or max(sizes) > MAX_FOLDER_NAME_BYTES:
        return "a part of the path has more than 255 bytes"
    return None


def find_new_path_fault(path: str) -> str | None:
    """Return why a new file cannot be stored at a path: that of `find_path_fault`, or what only new names must not be.

    These are names with control characters, and names of Git, DVC or geographer in capital letters.
    """
    if fault := find_path_fault(path):
        return fault
    if not _CONTROL_CHARACTERS.isdisjoint(path):
        return "the path has a control character"
    return _RESERVED_NAME if _has_reserved_name(path.lower().split("/")) else None


def require_new_path(path: str) -> None:
    """Raise `UsageError` if a new file cannot be stored at a path."""
    if fault := find_new_path_fault(path):
        longest = max(path.split("/"), key=_count_bytes)
        size = _count_bytes(longest)
        length = f" ('{longest}' has {size})" if size > MAX_FOLDER_NAME_BYTES else ""
        raise UsageError(
            f"cannot store a file at {path!r}: {fault}{length}. Give the raster, collection or label another name."
        )


class SafeFolder:
    """A folder in which stored files are written and deleted: that of the dataset, or of an export.

    Each folder between it and a file is checked once: use a new instance for each operation.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: set[str] = set()

    def require_inside(self, path: str | None) -> Path:
        """Return the full path of a stored file.

        `ConflictError` if the path cannot be that of a stored file, or if an existing folder between the root and the
        file is a symbolic link or not a folder.
        """
        fault = find_path_fault(path)
        if path is None or fault:
            raise ConflictError(f"cannot use the path {path!r} in '{self.root}': {fault}. Run geographer verify.")
        self.require_folder(path.rpartition("/")[0])
        return self.root / path

    def require_folder(self, folder: str) -> None:
        """Raise `ConflictError` if a folder, or one between it and the root, is a symbolic link or not a folder."""
        if folder not in self._checked:
            for path in (*reversed(Path(folder).parents[:-1]), Path(folder)):
                require_real_folder(self.root / path)
            self._checked.add(folder)

    def require_tracked_folder(self, folder: str) -> None:
        """Raise `ConflictError` as `require_folder` does, or if its `.dvc` file or `.gitignore` is not a plain file."""
        self.require_folder(folder)
        for path in _list_tracking_files(self.root / folder):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                raise ConflictError(f"'{path}' is not a file of DVC or Git, and in its place. Move it away.")


def require_inside(root: Path, path: str) -> Path:
    """Return the full path of one stored file; see `SafeFolder.require_inside`, which is faster for many."""
    return SafeFolder(root).require_inside(path)


def is_recorded_file(path: Path, checksums: Checksums) -> bool:
    """Return whether a file has the content that was recorded; one that cannot be read has not."""
    try:
        return check_file(path, checksums) is None
    except StorageError:
        return False


def reject_blocking_files(root: Path, files: Iterable[tuple[str, Checksums]]) -> None:
    """Raise `ConflictError` if something else than the file to write is at the path of a new file of the workspace."""
    existing = [(path, checksums) for path, checksums in files if os.path.lexists(root / path)]
    if blocking := [path for path, checksums in existing if not is_recorded_file(root / path, checksums)]:
        raise ConflictError(
            f"{quote_names(blocking)} would be overwritten, but the log does not know what is there now. Move it "
            "away; geographer verify lists such files."
        )


def prepare_export_folder(root: Path, folder: Path) -> Path:
    """Create the folder that a revision of the dataset in `root` is exported to, and return its path without links.

    Raises:
        UsageError: it has the dataset in it, or is one of the dataset's own folders.
        ConflictError, StorageError: a file is in its place; it cannot be created or written.
    """
    require_free_of_dataset(root, folder)
    target = Path(os.path.realpath(folder))
    existing = next(path for path in (target, *target.parents) if os.path.lexists(path))
    require_real_folder(existing)
    with translate_os_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    require_writable(target)
    require_real_folder(target / "tables")
    return target


def require_free_of_dataset(root: Path, folder: Path) -> None:
    """Raise `UsageError` if a folder to write to has the dataset in `root` in it, or is one of its own folders."""
    target, full_root = Path(os.path.realpath(folder)), root.resolve()
    own_folders = [full_root / name for name in _OWN_FOLDERS]
    if full_root.is_relative_to(target) or any(map(target.is_relative_to, own_folders)):
        raise UsageError(f"cannot write to '{folder}': the dataset is there. Choose another folder for --to.")


def check_new_paths(revision: Revision, store: Store, rows: Mapping[str, PlannedRows]) -> None:
    """Refuse an event whose files cannot be written to the workspace, which is at `revision`, the head.

    Call it before anything is stored or recorded. `rows` are the event's rows by log table: an Arrow table, or the name
    of a relation in the connection.

    Raises:
        UsageError: a new path is too long, or no file may be stored there.
        ConflictError: two paths collide; a file of the user or a symbolic link is at a path.
        StorageError: a folder, DVC's cache or a file of DVC or Git cannot be written.
    """
    planned = {table: rows[table] for table in _PLANNED_COLUMNS if table in rows}
    if not planned:
        return
    with ExitStack() as staged:
        _stage_planned_files(revision, planned, staged)
        for script in (FILES_SQL, _NEW_PATHS_SQL):
            run_script(revision.connection, script.read_text(), {"head": revision.position})
    new_files = revision.fetch_rows("FROM new_file ORDER BY path")
    for path, *_ in new_files:
        require_new_path(path)
    if new_files:
        _require_short_path(store.root / max((path for path, *_ in new_files), key=_count_bytes))
    for path, other_path in revision.fetch_rows("FROM colliding_path LIMIT 1"):
        _raise_collision(path, other_path)
    if folders := revision.fetch_rows("FROM changed_folder ORDER BY path"):
        _require_writable_folders(store.root, folders)
        _require_writable_parent(store.cache_path("0" * 32).parent)
    reject_blocking_files(store.root, [(path, Checksums(*sums)) for path, *sums in new_files])


def check_checkout_paths(revision: Revision, store: Store, from_position: int | None) -> None:
    """Refuse a checkout of `revision` that cannot write its files; the workspace is at `from_position`, if known.

    Call it before anything is changed.

    Raises:
        ConflictError: a file of the user is at the path of a file that the workspace lacks, or a folder is a symbolic
            link.
        StorageError: a folder, DVC's cache or a file of DVC or Git cannot be written.
    """
    positions = {"to": revision.position, "from": from_position or 0}
    for script in (FILES_SQL, _CHECKOUT_PATHS_SQL):
        run_script(revision.connection, script.read_text(), positions)
    _require_distinct_names(revision, store.root)
    _require_writable_folders(store.root, revision.fetch_rows("FROM folder_to_change ORDER BY path"))
    if from_position is not None:
        new_files = revision.fetch_rows("FROM file_to_add ORDER BY path")
        reject_blocking_files(store.root, [(path, Checksums(*checksums)) for path, *checksums in new_files])


def check_merged_paths(revision: Revision, store: Store, from_position: int | None) -> None:
    """Refuse a merge whose files cannot all be written to the workspace, which is at `from_position`, if known.

    `revision` is the merged one. Call it before the merge is recorded; see `check_checkout_paths` for further errors.

    Raises:
        ConflictError: files of both sides have one path, or paths that differ only by case; names the rasters.
    """
    positions = {"to": revision.position, "from": from_position or 0}
    for script in (FILES_SQL, _MERGED_PATHS_SQL):
        run_script(revision.connection, script.read_text(), positions)
    for path, other in revision.fetch_rows("FROM merged_collision LIMIT 1"):
        values = {"to": revision.position, "path": path, "other": other}
        owners = [raster for (raster,) in revision.fetch_rows(_OWNERS, values)]
        raise ConflictError(
            f"cannot merge: {quote_objects('raster', owners)} of both branches would have the same file or folder, "
            f"'{path}'{'' if path == other else f' and {other!r}, which some file systems take for one'}. Remove one "
            "on its branch, and add it again under another name or collection."
        )
    check_checkout_paths(revision, store, from_position)


def require_distinct_paths(revision: Revision, folder: Path) -> None:
    """Raise `ConflictError` if two files of a revision would be one on the file system of a folder."""
    for script in (FILES_SQL, _CHECKOUT_PATHS_SQL):
        run_script(revision.connection, script.read_text(), {"to": revision.position, "from": revision.position})
    _require_distinct_names(revision, folder)


def _require_distinct_names(revision: Revision, folder: Path) -> None:
    """Raise `ConflictError` if two files of the table `equal_name` would be one on the file system of a folder."""
    for path, other_path in revision.fetch_rows("FROM equal_name LIMIT 1"):
        if ignores_case(folder):
            raise ConflictError(
                f"'{path}' and '{other_path}' have the same name on the file system of '{folder}', which ignores case "
                "or the form of accents. Nothing was written. Use another disk, or rename one of them where the "
                "dataset was made."
            )


def ignores_case(folder: Path) -> bool:
    """Return whether the file system of a folder takes names that differ only by case for one."""
    name = secrets.token_hex(8)
    try:
        with temporary_sibling(folder / name) as temporary:
            temporary.touch()
            return temporary.with_name(temporary.name.upper()).exists()
    except OSError as error:
        raise StorageError(f"cannot write in '{folder}' ({error.strerror}). Make it writable.") from error


def _has_reserved_name(parts: Sequence[str]) -> bool:
    """Return whether a folder is hidden, or a part has a name that Git, DVC or geographer uses."""
    *folders, name = parts
    is_reserved = name in _METADATA_FILES or name.startswith(_TEMPORARY_PREFIX)
    return is_reserved or any(part.startswith(".") for part in folders) or any(part.endswith(".dvc") for part in parts)


def _count_bytes(text: str) -> int:
    return len(os.fsencode(text))


def _stage_planned_files(revision: Revision, planned: Mapping[str, PlannedRows], stack: ExitStack) -> None:
    """Create the temporary table `planned_file` with the rows of files that DVC stores, and of removed objects."""
    queries = []
    for table, rows in planned.items():
        relation = stack.enter_context(register_rows(revision.connection, f"planned_{table}", rows))
        columns = f"{_PLANNED_COLUMNS[table]}, path, size, md5, sha256, change"
        queries.append(f"SELECT {columns} FROM {relation} WHERE is_stored OR change <> 'added'")  # noqa: S608
    revision.connection.execute(
        "CREATE OR REPLACE TEMP TABLE planned_file AS SELECT raster_id, label::VARCHAR AS label, "  # noqa: S608
        "if(change <> 'removed' AND is_stored, path, NULL) AS path, size, md5, sha256 "
        f"FROM ({' UNION ALL '.join(queries)})"
    )


def _require_short_path(path: Path) -> None:
    """Raise `UsageError` if the file system cannot have the path, with a temporary file beside it."""
    limit, size = os.pathconf("/", "PC_PATH_MAX"), _count_bytes(str(path)) + len(_TEMPORARY_PREFIX) + 16
    if size >= limit:
        raise UsageError(
            f"the path '{path}' has {_count_bytes(str(path))} bytes, too many for this system, where at most {limit} "
            "fit. Use shorter names, or move the dataset to a folder with a shorter path."
        )


def _raise_collision(path: str, other_path: str) -> None:
    if path == other_path:
        raise ConflictError(f"two objects would have the file '{path}'. Give one of them another name or collection.")
    raise ConflictError(
        f"'{path}' and '{other_path}' differ only by case or by the form of an accent; some file systems take them "
        "for the same name. Use another name for the new one."
    )


def _require_writable_folders(root: Path, folders: Iterable[tuple[str]]) -> None:
    """Raise unless files can be written to tracked folders, and their `.dvc` files beside them."""
    safe_folder = SafeFolder(root)
    for (folder,) in folders:
        safe_folder.require_tracked_folder(folder)
        _require_writable_folder(root / folder)
        _require_writable_parent(root / ".dvc/tmp/lock")


def _require_writable_parent(path: Path) -> None:
    """Raise `StorageError` unless DVC can write a file, and create the folders above it."""
    existing = next(parent for parent in path.parents if os.path.lexists(parent))
    if not existing.is_dir():
        raise StorageError(f"'{existing}' is not a folder, so DVC cannot write there. Move it away.")
    require_writable(existing)


def _list_tracking_files(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the `.dvc` file of a folder, and of the `.gitignore` that names the folder."""
    return Path(f"{folder}.dvc"), folder.parent / ".gitignore"


def _require_writable_folder(folder: Path) -> None:
    """Raise unless files can be written in a folder, and its `.dvc` file and `.gitignore` beside it."""
    existing = [path for path in (folder, *folder.parents) if os.path.isdir(path)]  # noqa: PTH112 (never raises)
    for path in existing[: 2 if existing[0] == folder else 1]:
        require_writable(path)
    for path in _list_tracking_files(folder):
        if path.exists():
            require_writable(path)
