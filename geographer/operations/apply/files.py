"""Files of a patch: where the bytes are that taken changes need; fetched where only the remote has them."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from geographer.base.atomic_files import check_file
from geographer.base.errors import CorruptError, StorageError, quote_objects
from geographer.base.values import Checksums
from geographer.diff.patch.model import Values
from geographer.diff.patch.revision_values import ObjectKey
from geographer.storage.dvc.store import Store
from geographer.storage.workspace.partial.absent_files import ensure_objects
from geographer.storage.workspace.roots import Roots, make_unset_root_error


class NeededFile(NamedTuple):
    """The file of a raster or label that applying adds or changes; chips and labels are derived."""

    object: ObjectKey
    storage: str
    path: str
    checksums: Checksums
    is_derived: bool

    @property
    def raster_id(self) -> str:
        """The raster that the file belongs to."""
        return self.object[1][-1]


class FoundFiles(NamedTuple):
    """Files outside the cache that have needed bytes, and the objects of derived files that are nowhere."""

    files: list[tuple[Path, Checksums]]
    missing: set[ObjectKey]


def make_needed_file(key: ObjectKey, values: Values, old: Values | None, *, is_derived: bool) -> NeededFile | None:
    """Return the file that new values need beside that of the old ones; None: there is no other."""
    storage = values.get("storage", "dvc")
    names = ("storage", "path", "size", "md5", "sha256")
    is_kept = old and [old.get(name) for name in names] == [values.get(name) for name in names]
    if is_kept or storage in ("catalogue", "virtual", "remote"):
        return None
    return NeededFile(key, storage, values["path"], Checksums(*(values[name] for name in names[2:])), is_derived)


def find_files(root: Path, needed: Sequence[NeededFile]) -> FoundFiles:
    """Find or fetch the files that applying a patch to the dataset in `root` needs.

    Raises:
        NotFoundError: A reference lies in a root that this machine has not set.
        CorruptError: The bytes of a raster that no recipe can make again are nowhere; the message names it.
        StorageError: The remote, which may have such bytes, cannot be reached.
    """
    roots, references = Roots(root), [file for file in needed if file.storage == "reference"]
    if unset := {file.raster_id: name for file in references if (name := roots.find_unset_root(file.path))}:
        raise make_unset_root_error(unset.values(), unset.keys())
    lost = [file for file in references if check_file(roots.locate_file(file.path), file.checksums)]
    stored = [file for file in needed if file.storage == "dvc"]
    with Store(root) as store:
        damaged = store.check_files([file.checksums for file in stored])
        local = _find_in_workspace(root, [file for file in stored if file.checksums.md5 in damaged])
        absent = [file for file in stored if file.checksums.md5 in damaged.keys() - local.keys()]
        remote_only = set[str]()
        try:
            missing = [file.checksums.md5 for file in absent if damaged[file.checksums.md5] == "missing"]
            remote_only = ensure_objects(store, missing).remote_only
        except StorageError:
            if not all(file.is_derived for file in absent):
                raise
        damaged = store.check_files([file.checksums for file in absent if file.checksums.md5 not in remote_only])
    lost += [file for file in absent if not file.is_derived and file.checksums.md5 in damaged]
    if lost:
        sums = ", ".join(f"{file.raster_id}: md5 {file.checksums.md5}" for file in lost[:3])
        raise CorruptError(
            f"cannot apply the patch: the bytes of {quote_objects('raster', [file.raster_id for file in lost])} are "
            f"missing or altered ({sums}). Get them with geographer fetch, put DVC's cache or the referenced file back "
            "from a copy, or add the rasters first: geographer add rasters"
        )
    files = [(local[file.checksums.md5], file.checksums) for file in stored if file.checksums.md5 in local]
    return FoundFiles(files, {file.object for file in absent if file.checksums.md5 in damaged})


def locate_files(root: Path, found: FoundFiles, files: Sequence[NeededFile]) -> Iterator[tuple[NeededFile, Path]]:
    """Yield files that were found, with the paths at which their bytes are now."""
    if not files:
        return
    local, roots = {sums.md5: path for path, sums in found.files}, Roots(root)
    with Store(root) as store:
        for file in files:
            if file.storage == "reference":
                yield file, roots.locate_file(file.path)
            else:
                yield file, local.get(file.checksums.md5) or store.cache_path(file.checksums.md5)


def _find_in_workspace(root: Path, files: Collection[NeededFile]) -> dict[str, Path]:
    """Return the files of the workspace, by MD5, that have needed bytes at the path where they will be."""
    from geographer.storage.workspace.paths import is_recorded_file

    paths = {file.checksums.md5: (root / file.path, file.checksums) for file in files}
    return {md5: path for md5, (path, sums) in paths.items() if is_recorded_file(path, sums)}
