"""Check out a revision: restore and delete files of the workspace or another folder, at the cost of what differs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from geographer.base.atomic_files import FileDamage, translate_os_errors
from geographer.base.errors import CorruptError, quote_names
from geographer.base.html import render_object
from geographer.base.progress import iter_with_progress
from geographer.base.text import format_count
from geographer.base.values import Checksums
from geographer.storage.database.connection import register_table
from geographer.storage.dvc.dvc_files import FolderEntry
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles
from geographer.storage.workspace.partial.wanted_files import WantedFiles
from geographer.storage.workspace.paths import FILES_SQL, SafeFolder, find_path_fault, is_recorded_file
from geographer.storage.workspace.tracked_folders import find_unknown_dvc_files
from geographer.storage.workspace.withdrawn_files import WithdrawnFile, list_withdrawn_files

_ENTRIES: Final = (
    "SELECT parse_dirpath(path, 'forward_slash') AS folder, parse_filename(path, false, 'forward_slash'), md5, size "
    "FROM files_at($at) WHERE folder IN (SELECT unnest($folders::VARCHAR[])) ORDER BY path"
)
_RECORDED_FILES: Final = " UNION ALL ".join(
    f"SELECT path, size, md5, sha256 FROM log.{table} WHERE change <> 'removed' AND sha256 IS NOT NULL AND {stored}"  # noqa: S608
    for table, stored in {"raster_change": "storage = 'dvc'", "label_change": "true"}.items()
)
Md5s = Collection[str]


class TrackedFile(NamedTuple):
    """A file of a revision: its path in the dataset's folder, its checksums, and its raster and label.

    The log also tells whether the file is outside DVC, and the position of the event that recorded it.
    """

    path: str
    checksums: Checksums
    raster_id: str
    label: str | None
    is_referenced: bool = False
    position: int | None = None


class FileSource(Protocol):
    """Where the bytes of files come from: the store, or a remote."""

    place: str
    """What messages call it, such as `in the cache`."""
    remedy: str
    """What to do if it lacks a file."""

    def restore_files(
        self, files: Sequence[tuple[Checksums, Path]], *, trusted_md5s: Md5s = (), link: bool = False
    ) -> list[tuple[Path, Checksums, FileDamage]]:
        """Write files to their destinations, and return those that could not be written; see `Store`."""


class CheckoutResult(NamedTuple):
    """The numbers of files that a checkout wrote, removed and left unchanged; the revision's withdrawn files.

    `position` is that of the revision; 0 until the caller fills it in. `absent` is the number of files that a partial
    clone does not show.
    """

    written: int
    removed: int
    unchanged: int
    withdrawn: tuple[WithdrawnFile, ...] = ()
    position: int = 0
    absent: int = 0

    def _repr_html_(self) -> str:
        return render_object(self)


def list_files(revision: Revision, position: int, *, exclude_position: int = 0) -> list[TrackedFile]:
    """Return the files that DVC stores for a revision, by path, without those that `exclude_position` has too."""
    revision.plain_connection.execute(FILES_SQL.read_text())
    rows = revision.fetch_rows(
        "SELECT path, size, md5, sha256, raster_id, label "
        "FROM files_at($at) ANTI JOIN files_at($excluded) USING (path, md5) ORDER BY path",
        {"at": position, "excluded": exclude_position},
    )
    return [TrackedFile(path, Checksums(*checksums), raster_id, label) for path, *checksums, raster_id, label in rows]


def update_workspace(
    revision: Revision, store: Store, current: int | None, *, check_all: bool, trusted_md5s: Md5s, linked_md5s: Md5s
) -> CheckoutResult:
    """Update the workspace's files to `revision`, then the `.dvc` files of their folders.

    If `current`, the position of the present files, is not known, or with `check_all`, every file and every `.dvc` file
    is checked; otherwise only those are touched that differ between the revisions. Files with `trusted_md5s` were just
    stored and are not hashed again; those with `linked_md5s` become links to the cache.

    Raises:
        CorruptError: a file is missing or altered in the cache and the remote; names the rasters and features.
        ConflictError: a folder is a symbolic link.
    """
    check_all = check_all or current is None
    withdrawn = list_withdrawn_files(revision.plain_connection)
    obsolete_files = _list_obsolete_files(revision, current, store.root)
    obsolete_paths = [path for path, _ in obsolete_files]
    wanted = WantedFiles(revision, store)
    movable_md5s = {sums.md5 for path, sums in obsolete_files if os.path.lexists(store.root / path)}
    changed = list_files(revision, revision.position, exclude_position=current or 0)
    different = _list_different_files(revision, current, split_files(changed, withdrawn)[0], wanted, movable_md5s)
    all_files, left_out = (
        split_files(list_files(revision, revision.position), withdrawn) if withdrawn or check_all else ([], ())
    )
    files = wanted.select_files(all_files, movable_md5s)
    to_write = [] if current is None else different
    workspace = SafeFolder(store.root)
    if check_all:
        shown = [*set(files).difference(to_write)]
        with CheckedFiles(store.root) as checked:
            to_write += [
                file
                for file in iter_with_progress(shown, "files checked", store.progress)
                if checked.find_damage(workspace.require_inside(file.path), file.checksums)
            ]
    to_restore = to_write if current is None else _move_files(workspace, to_write, obsolete_files)
    restore_files(revision, store, store.root, to_restore, trusted_md5s, linked_md5s)
    _delete_files(workspace, obsolete_paths)
    # A .dvc file names all files of its folder, also those that are not written.
    changed_paths = (file.path for file in (*changed, *to_write))
    _track_folders(revision, store, {*changed_paths, *obsolete_paths}, check_all=check_all)
    store.save_dvc_state([(store.root / file.path, file.checksums) for file in to_write])
    absent = len(all_files) - len(files)
    count = revision.fetch_value("SELECT count(*) FROM files_at($at)", {"at": revision.position})
    unchanged = count - len(to_write) - len(left_out) - absent
    return CheckoutResult(len(to_write), len(obsolete_paths), unchanged, left_out, absent=absent)


def _delete_files(workspace: SafeFolder, paths: Iterable[str]) -> None:
    for path in paths:
        file = workspace.require_inside(path)
        if not file.is_dir() or file.is_symlink():
            with translate_os_errors(file):
                file.unlink(missing_ok=True)


def _track_folders(revision: Revision, store: Store, changed_paths: Iterable[str], *, check_all: bool) -> None:
    """Write the `.dvc` files of the folders of changed files, or of all folders with `check_all`; remove empty ones."""
    workspace, folders = SafeFolder(store.root), {path.rpartition("/")[0] for path in changed_paths}
    if check_all:
        folders.update(folder for (folder,) in revision.fetch_rows("FROM folders_ever()"))
    for folder, entries in _list_folder_entries(revision, folders).items():
        workspace.require_tracked_folder(folder)
        # A folder without files of this log may have files of another.
        if entries or not (check_all and find_unknown_dvc_files(revision, store.root, [f"{folder}.dvc"])):
            store.track_folder(folder, entries)
        _remove_empty_folders(store.root / folder, store.root)


def _list_different_files(
    revision: Revision,
    current: int | None,
    changed: Sequence[TrackedFile],
    wanted: WantedFiles,
    movable_md5s: Md5s,
) -> list[TrackedFile]:
    """Return the wanted ones of the changed files, and those that were not selected at the position `current`."""
    files = wanted.select_files(changed, movable_md5s)
    if paths := wanted.list_newly_selected_paths(current) - {file.path for file in changed}:
        newly, _ = split_files(list_files(revision, revision.position), list_withdrawn_files(revision.connection))
        files += [file for file in newly if file.path in paths]
    return files


def split_files(
    files: Sequence[TrackedFile], withdrawn: Mapping[str, WithdrawnFile]
) -> tuple[list[TrackedFile], tuple[WithdrawnFile, ...]]:
    """Return the files that can be restored, and the withdrawn ones; `withdrawn` is by MD5."""
    restorable = [file for file in files if file.checksums.md5 not in withdrawn]
    return restorable, tuple(withdrawn[file.checksums.md5] for file in files if file.checksums.md5 in withdrawn)


def find_features_on_rasters(revision: Revision, raster_ids: Iterable[str]) -> list[str]:
    """Return the ids of the features that any of the rasters contains or intersects."""
    import pyarrow as pa

    rasters = pa.table({"raster_id": pa.array(list(raster_ids), pa.string())})
    query = "SELECT DISTINCT feature_id::VARCHAR FROM edges SEMI JOIN listed_raster USING (raster_id) ORDER BY ALL"
    with register_table(revision.connection, "listed_raster", rasters):
        return [row[0] for row in revision.fetch_rows(query)]


def restore_files(
    revision: Revision, store: FileSource, folder: Path, files: list[TrackedFile], trusted_md5s: Md5s, linked_md5s: Md5s
) -> None:
    """Write files of a revision to a folder; `CorruptError` if some are missing or altered in cache and remote."""
    target = SafeFolder(folder)
    failures: list[tuple[Path, Checksums, FileDamage]] = []
    for link in (False, True):
        group = [
            (file.checksums, target.require_inside(file.path))
            for file in files
            if (file.checksums.md5 in linked_md5s) == link
        ]
        if group:
            failures += store.restore_files(group, trusted_md5s=trusted_md5s, link=link)
    if not failures:
        return
    damaged_paths = {path for path, _, _ in failures}
    rasters = sorted({file.raster_id for file in files if folder / file.path in damaged_paths})
    features = find_features_on_rasters(revision, rasters)
    damage = "altered" if any(damage == "altered" for _, _, damage in failures) else "missing"
    raise CorruptError(
        f"cannot restore {len(failures):,} of {format_count(len(files), 'file')}: {damage} {store.place}: "
        f"{'raster' if len(rasters) == 1 else 'rasters'} {quote_names(rasters)} with the features "
        f"{quote_names(features) if features else '(none)'}. The other files were written. {store.remedy}"
    )


def _move_files(
    workspace: SafeFolder, files: Sequence[TrackedFile], obsolete_files: Sequence[tuple[str, Checksums]]
) -> list[TrackedFile]:
    """Move intact files of obsolete paths to the paths at which a revision has their content; return the other files.

    Renaming a collection moves all of its files: that takes no space, and no bytes from the cache or a remote.
    """
    paths = {checksums.md5: path for path, checksums in obsolete_files}
    others = []
    with CheckedFiles(workspace.root) as checked:
        for file in files:
            path = paths.pop(file.checksums.md5, None)
            if path is None or not _move_file(workspace, path, file, checked):
                others.append(file)
    return others


def _move_file(workspace: SafeFolder, path: str, file: TrackedFile, checked: CheckedFiles) -> bool:
    """Move the file at a path to that of a tracked file if it has its content; return whether it was moved."""
    source, target = workspace.require_inside(path), workspace.require_inside(file.path)
    if source.is_symlink() or os.path.lexists(target) or checked.find_damage(source, file.checksums):
        return False
    with translate_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return True


def _list_obsolete_files(revision: Revision, from_position: int | None, root: Path) -> list[tuple[str, Checksums]]:
    """List files that the revision lacks; if the position of the present files is not known, only recorded content.

    That is what any event of the log recorded: the files may be those of another branch.
    """
    revision.plain_connection.execute(FILES_SQL.read_text())
    source = f"({_RECORDED_FILES})" if from_position is None else f"files_at({from_position:d})"
    columns = "DISTINCT path, size, md5, sha256"
    query = f"SELECT {columns} FROM {source} ANTI JOIN files_at($to) USING (path) ORDER BY path"  # noqa: S608
    files = [
        (path, Checksums(*checksums)) for path, *checksums in revision.fetch_rows(query, {"to": revision.position})
    ]
    if from_position is None:
        files = [file for file in files if find_path_fault(file[0]) is None and os.path.lexists(root / file[0])]
        files = [file for file in files if is_recorded_file(root / file[0], file[1])]
    return files


def _list_folder_entries(revision: Revision, folders: set[str]) -> dict[str, list[FolderEntry]]:
    """Return the files of each folder, by folder."""
    entries: dict[str, list[FolderEntry]] = {folder: [] for folder in sorted(folders)}
    parameters = {"at": revision.position, "folders": [*entries]}
    for folder, name, md5, size in revision.fetch_rows(_ENTRIES, parameters):
        entries[folder].append((name, md5, size))
    return entries


def _remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove a folder and those above it while they are empty; one that cannot be removed stays."""
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
