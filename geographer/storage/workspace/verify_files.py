"""Verify files: hash the workspace, the cache's objects and referenced rasters; compare `.dvc` files; find orphans."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.atomic_files import FileDamage, check_file
from geographer.base.errors import ConflictError, StorageError
from geographer.base.executors.executor import Workers
from geographer.base.text import format_count
from geographer.base.values import Checksums
from geographer.storage.database.dataset_folder import list_abandoned_staging
from geographer.storage.dvc.dataset_executor import make_local_executor
from geographer.storage.dvc.dvc_check import iter_dvc_files
from geographer.storage.dvc.dvc_files import FolderEntry
from geographer.storage.dvc.hash_files import BYTES_OF_ONE, find_damages
from geographer.storage.dvc.store import Store, is_in_git
from geographer.storage.log.check import Finding
from geographer.storage.workspace.checkout import TrackedFile
from geographer.storage.workspace.logged_files import LoggedFile, parse_recorded_raster, read_logged_files
from geographer.storage.workspace.partial.absences import Absences
from geographer.storage.workspace.paths import SafeFolder
from geographer.storage.workspace.roots import Roots, find_reference_fault
from geographer.storage.workspace.verify_report import Remedy, VerifyReport
from geographer.storage.workspace.withdrawn_files import (
    describe_withdrawn_files,
    find_present_objects,
    iter_present_files,
    list_withdrawn_files,
)

DATA_FOLDERS: Final = ("rasters", "labels")

_RECORDED_MD5S: Final = "SELECT md5 FROM chain_raster_change UNION SELECT md5 FROM chain_label_change"
_REFERENCED_PATHS: Final = (
    "SELECT DISTINCT path FROM chain_raster_change WHERE storage = 'reference' AND path IS NOT NULL"
)


class DamagedFile(NamedTuple):
    """A damaged copy of a file of the revision at `position`: how it is damaged, and where."""

    file: TrackedFile
    position: int
    damage: FileDamage
    location: str
    remedy: Remedy


class Repair(NamedTuple):
    """What can be repaired: `.dvc` files, by folder, with the entries that they should have; and orphans to delete."""

    dvc_files: dict[str, tuple[Finding, list[FolderEntry]]]
    orphans: list[Path]


class FileVerifier:
    """Compares files with the log that `connection` has views of, and notes in `report` what it read.

    `damages` are the damaged files, `repair` is what can be repaired; other faults are yielded as findings.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        store: Store,
        report: VerifyReport,
        absences: Absences,
        workers: Workers,
    ) -> None:
        self._workers = workers
        self._connection = connection
        self._store = store
        self._report = report
        self._roots = Roots(store.root)
        self._intact_md5s: set[str] = set()
        self._foreign_paths: dict[str, str] = {}
        self._blocked_folders: dict[str, str] = {}
        self.damages: list[DamagedFile] = []
        self.repair = Repair({}, [])
        self._withdrawn = list_withdrawn_files(connection)
        self._present_paths = [*iter_present_files(store.root, self._withdrawn.values())]
        report.withdrawn += describe_withdrawn_files(self._withdrawn.values())
        self.read_files = cache(lambda position: read_logged_files(connection, position))
        self._absences = absences
        self._absent_md5s: set[str] = set()
        self._find_unneeded = cache(self._list_unneeded_md5s)

    def check_workspace(self, position: int, shared_with: int | None) -> Iterator[Finding]:
        """Hash the workspace's files, those of the revision at `position`; or only those that another one shares."""
        unneeded, root = self._find_unneeded(position), self._store.root
        files = [
            file
            for file in self._list_restorable_files(position)
            if file.checksums.md5 not in unneeded or os.path.lexists(root / file.path)
        ]
        if shared_with is not None:
            shared = {(file.path, file.checksums.md5) for file in self._list_restorable_files(shared_with)}
            files = [file for file in files if (file.path, file.checksums.md5) in shared]
        self._report.checked["workspace_files"] = len(files)
        located = self._locate_files(files)
        paths = [(path, file.checksums) for file, path in located]
        damages = find_damages(paths, self._workers, root, "files checked", self._store.progress)
        for (file, _), damage in zip(located, damages, strict=True):
            if damage:
                self.damages.append(DamagedFile(file, position, damage, "in the workspace", Remedy.WORKSPACE))
            else:
                self._intact_md5s.add(file.checksums.md5)
        for folder, detail in self._blocked_folders.items():
            yield Finding("blocked folder", folder, None, detail, Remedy.NONE)

    def _locate_files(self, files: Sequence[TrackedFile]) -> list[tuple[TrackedFile, Path]]:
        """Return files with their paths; those in folders that lead out of the workspace are noted and left out."""
        workspace, located = SafeFolder(self._store.root), []
        for file in files:
            try:
                located.append((file, workspace.require_inside(file.path)))
            except ConflictError as error:
                self._blocked_folders[file.path.rpartition("/")[0]] = str(error)
        return located

    def check_objects(self, positions: Sequence[int], *, can_fetch: bool) -> None:
        """Hash the cache's objects of revisions; those that it lacks are fetched from the remote, if `can_fetch`."""
        objects = self._list_objects(positions)
        damages = self._store.check_files([file.checksums for file, _ in objects.values()], self._workers)
        not_hashed = missing = [md5 for md5, damage in damages.items() if damage == "missing"]
        fetched: dict[str, FileDamage]
        if can_fetch:
            with self._store.allow_fetch():
                fetched = self._store.fetch_files(missing)
            not_hashed = [md5 for md5, damage in fetched.items() if damage == "missing"]
        else:
            fetched = dict.fromkeys(self._store.find_missing_objects(missing), "missing")
            if missing:
                reason = "the cache lacks them, and this copy of the dataset cannot be written"
                self._report.not_checked.append(f"the content of {format_count(len(missing), 'object')}: {reason}")
        self._report.checked["cached_objects"] = len(objects) - len(not_hashed)
        for md5 in missing:
            del damages[md5]
        for md5, damage in (damages | fetched).items():
            # A file that only the cache lacks is not lost while the workspace has it.
            if damage == "altered" or md5 not in self._intact_md5s:
                self.damages.append(_make_object_damage(*objects[md5], damage))

    def find_objects(self, positions: Sequence[int], hashed: Sequence[int], names: str) -> None:
        """Ask cache and remote for the objects that only the revisions at `positions` have, not those `hashed`."""
        objects = self._list_objects(positions)
        for md5 in self._list_objects(hashed).keys() | self._intact_md5s:
            objects.pop(md5, None)
        if not objects:
            return
        subject = f"the content of {format_count(len(objects), 'object')} of {names}"
        try:
            missing = self._store.find_missing_objects(objects)
        except StorageError as error:
            self._report.not_checked.append(f"{subject}, and whether the remote has what the cache lacks: {error}")
            return
        self.damages += [_make_object_damage(*objects[md5], "missing") for md5 in missing]
        self._report.checked["present_objects"] = len(objects) - len(missing)
        self._report.not_checked.append(f"{subject}, which the cache or the remote has; --all hashes it")

    def check_references(self, positions: Sequence[int]) -> None:
        """Compare the referenced rasters of revisions with checksums, and with pixels where that matters."""
        files: dict[tuple[str, Checksums], tuple[LoggedFile, int]] = {}
        for position in positions:
            for logged in self.read_files(position).files:
                if logged.file.is_referenced:
                    files.setdefault((logged.file.path, logged.file.checksums), (logged, position))
        if files:
            self._report.checked["referenced_files"] = len(files)
        located = []
        for logged, position in files.values():
            if root := self._roots.find_unset_root(logged.file.path):
                location = f"where it was referenced: root '{root}' is not set here: geographer roots set {root} DIR"
                self.damages.append(DamagedFile(logged.file, position, "missing", location, Remedy.ROOT))
            else:
                located.append((self._roots.locate_file(logged.file.path), logged, position))
        damages = self._hash_references([(path, logged) for path, logged, _ in located])
        for (path, logged, position), damage in zip(located, damages, strict=True):
            if damage:
                self.damages.append(
                    DamagedFile(logged.file, position, damage, "where it was referenced", Remedy.REFERENCE)
                )
            elif path.with_name(f"{path.name}.msk").exists():
                self._report.not_checked.append(f"the mask file '{path}.msk': the log has no checksum of it")

    def _hash_references(self, files: Sequence[tuple[Path, LoggedFile]]) -> Iterator[FileDamage | None]:
        size = sum(logged.file.checksums.size for _, logged in files)
        executor = make_local_executor(self._workers, self._store.root, count=max(len(files), size // BYTES_OF_ONE))
        damages = executor.run(_check_references, ([file] for file in files))
        for number, damage in enumerate(damages, 1):
            self._store.progress("references checked", number, len(files))
            yield damage

    def check_dvc_files(self, position: int) -> Iterator[Finding]:
        """Compare the `.dvc` files of the workspace with its revision, the one at `position`."""
        folders: dict[str, list[FolderEntry]] = {}
        for file in self._list_stored_files(position):
            folder, _, name = file.path.rpartition("/")
            folders.setdefault(folder, []).append((name, file.checksums.md5, file.checksums.size))
        for folder in self._blocked_folders:
            folders.pop(folder, None)
        damages = {folder: self._store.find_dvc_file_damage(folder, entries) for folder, entries in folders.items()}
        on_disk = [path.removesuffix(".dvc") for top in DATA_FOLDERS for path in iter_dvc_files(self._store.root, top)]
        damages |= dict.fromkeys(set(on_disk) - folders.keys(), f"@{position} has no files in its folder")
        self._report.checked["dvc_files"] = len(damages)
        for folder, damage in sorted(damages.items()):
            if damage:
                yield from self._explain_dvc_file(folder, damage, folders.get(folder, []))

    def has_data_files(self) -> bool:
        """Return whether the workspace has any data file: a clone without pixels has none."""
        return any(True for top in DATA_FOLDERS for _ in _iter_data_files(self._store.root, top))

    def find_orphans(self, position: int) -> Iterator[Finding]:
        """Find the files in the data folders that the revision at `position` lacks, and staging folders of crashes."""
        root = self._store.root
        known = {file.path for file in self._list_stored_files(position)}
        known |= self._list_referenced_paths()
        known |= {path.relative_to(root).as_posix() for path in self._present_paths}
        # Plain DVC may show another revision: what a .dvc file names is not deleted.
        for dvc_file in (path for top in DATA_FOLDERS for path in iter_dvc_files(root, top)):
            known.update(self._store.list_tracked_files(dvc_file) or ())
        files = sorted(path for top in DATA_FOLDERS for path in _iter_data_files(root, top))
        for path in files:
            if foreign := self._foreign_paths.get(path):
                detail = f"'{foreign}' names it, and the log does not know it"
                yield Finding("unrecorded file", path, None, detail, Remedy.TEAM)
        for path in [path for path in files if path not in known]:
            self.repair.orphans.append(root / path)
        self.repair.orphans.extend(list_abandoned_staging(root))

    def _list_referenced_paths(self) -> set[str]:
        """Return the paths in the dataset's folder of the referenced rasters of any revision."""
        root = self._store.root
        paths = {path for (path,) in self._connection.execute(_REFERENCED_PATHS).fetchall()}
        files = {self._roots.locate_file(path) for path in paths if not find_reference_fault(path)}
        files |= {file.resolve() for file in files}
        return paths | {file.relative_to(root).as_posix() for file in files if file.is_relative_to(root)}

    def check_withdrawn(self) -> Iterator[Finding]:
        """Find the withdrawn files that this machine still has."""
        present = {file.md5: "in DVC's cache" for file in find_present_objects(self._store, self._withdrawn.values())}
        paths = {path.relative_to(self._store.root).as_posix() for path in self._present_paths}
        for md5, file in self._withdrawn.items():
            if md5 in present or file.path in paths:
                place = " and ".join(
                    [*filter(None, [present.get(md5)]), *(["in the workspace"] if file.path in paths else [])]
                )
                detail = f"{file.format_reason()}; its bytes are still {place}: --repair deletes them"
                yield Finding(
                    "withdrawn file still present", f"raster {file.raster_id}", file.position, detail, Remedy.REPAIR
                )

    def _list_restorable_files(self, position: int) -> list[TrackedFile]:
        """Return the stored files of a revision that were not withdrawn."""
        return [file for file in self._list_stored_files(position) if file.checksums.md5 not in self._withdrawn]

    def _list_stored_files(self, position: int) -> list[TrackedFile]:
        return [file for file, _ in self.read_files(position).files if not file.is_referenced]

    def _list_objects(self, positions: Sequence[int]) -> dict[str, tuple[TrackedFile, int]]:
        """Return the objects of revisions by MD5, each with the first file and revision that need it."""
        objects: dict[str, tuple[TrackedFile, int]] = {}
        for position in positions:
            absent = {*self._store.list_missing_objects(self._find_unneeded(position))}
            for file in self._list_restorable_files(position):
                if file.checksums.md5 not in absent:
                    objects.setdefault(file.checksums.md5, (file, position))
        return objects

    def _list_unneeded_md5s(self, position: int) -> set[str]:
        """Return the MD5s of the files of a revision that a partial clone need not have, and note those it lacks."""
        md5s = {file.checksums.md5 for file in self._list_restorable_files(position)}
        unneeded = self._absences.list_unneeded_md5s(position, md5s)
        self._absent_md5s.update(self._store.list_missing_objects(unneeded))
        self._report.partial, self._report.absent = self._absences.selections, len(self._absent_md5s)
        return unneeded

    def _explain_dvc_file(self, folder: str, damage: str, entries: list[FolderEntry]) -> Iterator[Finding]:
        """Plan to write a `.dvc` file again; or yield a finding if it may be a newer one of a colleague."""
        dvc_file = f"{folder}.dvc"
        tracked = self._store.list_tracked_files(dvc_file)
        recorded = {md5 for (md5,) in self._connection.execute(_RECORDED_MD5S).fetchall()} if tracked else set()
        foreign = [path for path, md5 in (tracked or {}).items() if md5 not in recorded]
        self._foreign_paths |= dict.fromkeys(foreign, dvc_file)
        if foreign:
            names = f"it names {format_count(len(foreign), 'file')} that the log does not know, such as '{foreign[0]}'"
            yield Finding("unrecorded .dvc file", dvc_file, None, names, Remedy.TEAM)
        elif tracked is None and is_in_git(self._store.root):
            detail = f"{damage}, and Git may have a newer one"
            yield Finding("unreadable .dvc file", dvc_file, None, detail, Remedy.DVC_FILE)
        else:
            finding = Finding("wrong .dvc file", dvc_file, None, f"{damage}; --repair writes it again", Remedy.REPAIR)
            self.repair.dvc_files[folder] = finding, entries


def _make_object_damage(file: TrackedFile, position: int, damage: FileDamage) -> DamagedFile:
    if damage == "missing":
        return DamagedFile(file, position, damage, "in DVC's cache and remote", Remedy.LOST)
    return DamagedFile(file, position, damage, "in DVC's cache", Remedy.CACHE)


def _check_references(files: Sequence[tuple[Path, LoggedFile]]) -> Iterator[FileDamage | None]:
    return (_check_reference(path, logged) for path, logged in files)


def _check_reference(path: Path, logged: LoggedFile) -> FileDamage | None:
    from geographer.rasters.file_check import check_raster_file

    try:
        recorded = parse_recorded_raster(logged.grid_columns or ())
    except (TypeError, ValueError):
        # The row is reported as unreadable.
        return check_file(path, logged.file.checksums)
    return check_raster_file(path, logged.file.checksums, recorded)


def _iter_data_files(root: Path, top: str) -> Iterator[str]:
    """Yield the paths of the data in a data folder; symbolic links to folders are neither files nor followed."""
    if (root / top).is_symlink():
        return
    for parent, folders, names in os.walk(root / top):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".dvc") and name != ".gitignore":
                yield Path(parent, name).relative_to(root).as_posix()
