"""Source rasters: the raster files that a command reads, compared with the log before it reads them and afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.atomic_files import FileDamage
from geographer.base.errors import ConflictError, CorruptError, quote_objects
from geographer.base.values import Checksums, Grid, Transform
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles, FileStatus, read_status
from geographer.storage.workspace.chip_windows import list_virtual_chips
from geographer.storage.workspace.partial.absent_files import reject_missing_rasters
from geographer.storage.workspace.remote_files import RemoteVersion, locate_remote_raster, require_version
from geographer.storage.workspace.roots import Roots, make_unset_root_error

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_QUERY: Final = (
    "SELECT raster_id, path, storage, size, md5, sha256, crs, transform, width, height, nodata, "
    "pixel_digest FROM current_raster SEMI JOIN listed_raster USING (raster_id) ORDER BY raster_id"
)
_STORED_ADVICE: Final = "Restore the recorded file with geographer checkout HEAD."
_REFERENCED_ADVICE: Final = (
    "Restore the file and those that it depends on, or record it as it is with geographer add rasters --mode reference "
    "--replace."
)

_damaged_references: Final[set[Path]] = set()
"""After a source of a VRT could not be read, GDAL may read zeros in this process: always compare the pixels then."""


class SourceRaster(NamedTuple):
    """A raster file to read. Of a referenced one, GDAL reads the sidecar files, too.

    `unset_root` is the root that this machine must set before it has the file. A virtual chip has no file: it is read
    from the raster that it is a `window_of`, at an address that takes the place of the path.
    """

    path: Path
    is_referenced: bool
    checksums: Checksums
    grid: Grid
    nodata: float | None
    pixel_digest: str
    unset_root: str | None = None
    window_of: tuple[str, SourceRaster] | None = None
    remote: RemoteVersion | None = None

    def is_present(self) -> bool:
        """Return whether the file is there."""
        if self.window_of:
            return self.window_of[1].is_present()
        return bool(self.remote) or self.path.exists()

    def describe_place(self) -> str:
        """Return the path or URL."""
        return self.remote.url if self.remote else str(self.path)

    def read_status(self) -> FileStatus:
        """Return what any change of the file alters; of a remote one, the version that the server has now."""
        if self.remote:
            require_version(self.remote, self.checksums.size)
            return FileStatus(self.remote.to_path(), 0)
        return read_status(self.list_files())

    def find_damage(self, checked: CheckedFiles) -> FileDamage | None:
        """Compare the file with the log; read it only if it or a file that it depends on may have changed.

        Of a remote one, `read_status` compares the version.
        """
        if self.window_of:
            return self.window_of[1].find_damage(checked)
        if self.remote:
            return None
        if not self.is_referenced:
            return checked.find_damage(self.path, self.checksums)
        from geographer.rasters.file_check import RecordedRaster, check_raster_file

        recorded = RecordedRaster(self.grid, self.nodata, self.pixel_digest)
        check = partial(check_raster_file, self.path, self.checksums, recorded)
        files = self.list_files()
        has_status = all(file.is_file() for file in files)  # GDAL also reads from archives.
        if has_status and self.path not in _damaged_references:
            damage = checked.find_damage_by(self.path, f"{self.checksums.sha256} {self.pixel_digest}", files, check)
        else:
            damage = check()
        if damage:
            _damaged_references.add(self.path)
        return damage

    def list_files(self) -> list[Path]:
        """List the files that GDAL reads."""
        from geographer.rasters.read import list_raster_files

        return list_raster_files(self.path) if self.is_referenced else [self.path]


class ReplacingFile(NamedTuple):
    """A stored file on the same grid that is read in place of a raster's own: its path, checksums and pixel digest."""

    path: Path
    checksums: Checksums
    pixel_digest: str


class SourceRasters:
    """Rasters whose files a command reads: it calls `require_intact` before, and `require_unchanged` afterwards."""

    def __init__(self, revision: Revision, root: Path, raster_ids: Iterable[str]) -> None:
        """Look up rasters of the revision that the workspace of the dataset in `root` shows."""
        self._root = root
        self.raster_by_id = read_source_rasters(revision, root, raster_ids)
        self._files: dict[str, SourceRaster] = {}
        self._status_by_id: dict[str, FileStatus] = {}

    def open_raster(self, raster_id: str) -> DatasetReader:
        """Open the file of a raster that `require_intact` accepts."""
        from geographer.rasters.read import open_raster

        self.require_intact([raster_id])
        raster = self.raster_by_id[raster_id]
        return open_raster(raster.path, with_sidecars=raster.is_referenced)

    def list_md5s(self) -> dict[str, str]:
        """Return the MD5s of stored files by path; referenced ones may have other bytes with the recorded pixels."""
        files = dict(map(self._find_file, self.raster_by_id)).values()
        stored = (raster for raster in files if not raster.is_referenced and not raster.remote)
        return {str(raster.path): raster.checksums.md5 for raster in stored}

    def select_rasters(self, raster_ids: Collection[str]) -> None:
        """Forget all rasters but these."""
        self.raster_by_id = {id: raster for id, raster in self.raster_by_id.items() if id in raster_ids}

    def replace_files(self, files: Mapping[str, ReplacingFile]) -> None:
        """Read other files in place of those of rasters, by id; what is not there is passed over."""
        for raster_id in files.keys() & self.raster_by_id.keys():
            path, checksums, pixel_digest = files[raster_id]
            self.raster_by_id[raster_id] = (
                self.raster_by_id[raster_id]
                ._replace(path=path, checksums=checksums, pixel_digest=pixel_digest, is_referenced=False)
                ._replace(unset_root=None, window_of=None, remote=None)
            )
            self._status_by_id.pop(raster_id, None)

    def require_intact(self, raster_ids: Iterable[str] | None = None) -> None:
        """Raise `CorruptError` if the file of a raster is missing or not the recorded one; None: of all rasters.

        `NotFoundError` if it lies in a root that this machine has not set, or a partial clone lacks it on purpose;
        `ConflictError` or `StorageError` if a server has another version of it, or cannot be asked.
        """
        damages: dict[str, FileDamage] = {}
        files = dict(map(self._find_file, self.raster_by_id if raster_ids is None else raster_ids))
        new_files = {raster_id: files[raster_id] for raster_id in sorted(files.keys() - self._status_by_id.keys())}
        roots = {raster_id: root for raster_id, raster in new_files.items() if (root := raster.unset_root)}
        if roots:
            raise make_unset_root_error(roots.values(), roots.keys())
        self._files |= new_files
        with CheckedFiles(self._root) as checked:
            for raster_id, raster in new_files.items():
                with suppress(OSError):
                    self._status_by_id[raster_id] = raster.read_status()
                if damage := raster.find_damage(checked):
                    damages[raster_id] = damage
        reject_missing_rasters(self._root, self._list_missing_files(damages))
        if damages:
            raise CorruptError(self._describe_damages(damages))

    def require_unchanged(self) -> None:
        """Raise `ConflictError` if the file of a raster changed after `require_intact`."""
        changed = [
            raster_id
            for raster_id, status in self._status_by_id.items()
            if not (raster := self._files[raster_id]).is_present() or raster.read_status() != status
        ]
        if changed:
            raise ConflictError(
                f"{self._name_rasters(changed)} changed while it was read. Nothing was recorded; run the command again."
            )

    def _find_file(self, raster_id: str) -> tuple[str, SourceRaster]:
        """Return the raster whose file is read, with its id: of a virtual chip, that which it is a window of."""
        found = raster_id, self.raster_by_id[raster_id]
        while found[1].window_of:
            found = found[1].window_of
        return found

    def _list_missing_files(self, damages: Mapping[str, FileDamage]) -> list[str]:
        """Return the rasters whose files DVC stores, and the workspace lacks."""
        missing = [raster_id for raster_id, damage in damages.items() if damage == "missing"]
        return [raster_id for raster_id in missing if not self._files[raster_id].is_referenced]

    def _describe_damages(self, damages: Mapping[str, FileDamage]) -> str:
        adjectives = " or ".join(sorted(set(damages.values()), reverse=True))
        references = (self._files[raster_id].is_referenced for raster_id in damages)
        advice = " ".join(
            dict.fromkeys(_REFERENCED_ADVICE if reference else _STORED_ADVICE for reference in references)
        )
        pronoun = "them" if len(damages) > 1 else "it"
        return f"cannot use {self._name_rasters([*damages])}: {adjectives} since the log recorded {pronoun}. {advice}"

    def _name_rasters(self, raster_ids: list[str]) -> str:
        return f"{quote_objects('raster', raster_ids)} ('{self._files[raster_ids[0]].describe_place()}')"


def read_source_rasters(revision: Revision, root: Path, raster_ids: Iterable[str]) -> dict[str, SourceRaster]:
    """Return rasters of a revision by id, with the paths that they have in the dataset's folder `root`."""
    import pyarrow as pa

    ids = pa.table({"raster_id": pa.array(list(raster_ids), pa.string())})
    with register_table(revision.connection, "listed_raster", ids):
        rows = revision.fetch_rows(_QUERY)
    roots = Roots(root)
    rasters = {
        raster_id: SourceRaster(
            *_locate_raster(roots, root, path, storage),
            Checksums(*checksums),
            Grid(crs, Transform(*transform), width, height),
            nodata,
            pixel_digest,
            unset_root=roots.find_unset_root(path) if storage == "reference" else None,
        )
        for raster_id, path, storage, *checksums, crs, transform, width, height, nodata, pixel_digest in rows
    }
    for raster_id, path, *_ in (row for row in rows if row[2] == "remote"):
        version, address, unset_root = locate_remote_raster(roots, path)
        rasters[raster_id] = rasters[raster_id]._replace(path=address, unset_root=unset_root, remote=version)
    virtual_ids = [raster_id for raster_id, _, storage, *_ in rows if storage == "virtual"]
    return rasters | _read_virtual_chips(revision, root, {id: rasters[id] for id in virtual_ids})


def _locate_raster(roots: Roots, root: Path, path: str, storage: str) -> tuple[Path, bool]:
    """Return the path of a file on this machine, and whether it is referenced."""
    is_referenced = storage == "reference"
    return roots.locate_file(path) if is_referenced else root / path if storage == "dvc" else root, is_referenced


def _read_virtual_chips(revision: Revision, root: Path, rasters: Mapping[str, SourceRaster]) -> dict[str, SourceRaster]:
    """Return virtual chips with the rasters that they are windows of."""
    if not rasters:
        return {}
    chips = list_virtual_chips(revision, [*rasters])
    parents = read_source_rasters(revision, root, {chip.parent_id for chip in chips.values()})
    found = {}
    for raster_id, chip in chips.items():
        parent = parents[chip.parent_id]
        address = chip.make_address(parent.path, parent.checksums.sha256, with_sidecars=parent.is_referenced)
        window_of = (chip.parent_id, parent)
        found[raster_id] = rasters[raster_id]._replace(path=address, unset_root=parent.unset_root, window_of=window_of)
    return found
