"""Check out a revision: restore and delete files of the workspace or another folder, at the cost of what differs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.atomic_files import FileDamage, check_file, temporary_sibling
from geographer.base.errors import CorruptError, StorageError, quote_names
from geographer.base.text import format_count
from geographer.base.values import Checksums
from geographer.storage.database.connection import register_table
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision

_FILES: Final = Path(__file__).with_name("files.sql")
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


class CheckoutResult(NamedTuple):
    """The numbers of files that a checkout wrote, removed and left unchanged."""

    written: int
    removed: int
    unchanged: int


class WorkspaceMarker(NamedTuple):
    """The position of the workspace's files; None while they are being changed, or when it is not known.

    `is_requested` is true if a user checked out that position: then it does not follow the head.
    """

    position: int | None
    is_requested: bool = False


def read_marker(path: Path) -> WorkspaceMarker:
    """Read the marker `.geographer/workspace.json`; if it is missing or damaged, the position is not known."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return WorkspaceMarker(None)
    return WorkspaceMarker(content["position"], content["chosen"])


def write_marker(path: Path, marker: WorkspaceMarker) -> None:
    """Write the marker atomically; `StorageError` if the disk is full or cannot be written."""
    try:
        with temporary_sibling(path) as temporary:
            temporary.write_text(json.dumps({"position": marker.position, "chosen": marker.is_requested}))
            temporary.replace(path)
    except OSError as error:
        advice = "Free some space; the next command updates the workspace."
        raise StorageError(f"cannot write '{path}' ({error.strerror}). {advice}") from error


def list_files(revision: Revision, position: int, *, exclude_position: int = 0) -> list[TrackedFile]:
    """Return the files that DVC stores for a revision, by path, without those that `exclude_position` has too."""
    revision.connection.execute(_FILES.read_text())
    rows = revision.fetch_rows(
        "SELECT path, size, md5, sha256, raster_id, label "
        "FROM files_at($at) ANTI JOIN files_at($excluded) USING (path, md5) ORDER BY path",
        {"at": position, "excluded": exclude_position},
    )
    return [TrackedFile(path, Checksums(*checksums), raster_id, label) for path, *checksums, raster_id, label in rows]


def update_workspace(
    revision: Revision, store: Store, current: int | None, since_ns: int | None, trusted_md5s: Md5s, linked_md5s: Md5s
) -> CheckoutResult:
    """Update the workspace's files to `revision`, then the `.dvc` files of their folders.

    If `current`, the position of the present files, is not known, every file is checked; otherwise also those of both
    revisions that were modified since `since_ns` (nanoseconds since 1970), if it is set. Files with `trusted_md5s` were
    just stored and are not hashed again; those with `linked_md5s` become links to the cache.

    Raises:
        CorruptError: a file is missing or altered in the cache and the remote; names the rasters and features.
    """
    to_write = list_files(revision, revision.position, exclude_position=current or 0)
    obsolete_paths = _list_obsolete_paths(revision, current, store.root)
    folders = {path.rpartition("/")[0] for path in (*(file.path for file in to_write), *obsolete_paths)}
    if current is None:
        to_write = [file for file in to_write if check_file(store.root / file.path, file.checksums)]
    elif since_ns is not None:
        common = set(list_files(revision, revision.position)).difference(to_write)
        to_write += [file for file in common if _was_modified_since(store.root, file, since_ns)]
    restore_files(revision, store, store.root, to_write, trusted_md5s, linked_md5s)
    for path in obsolete_paths:
        (store.root / path).unlink(missing_ok=True)
    for folder in sorted(folders):
        store.track_folder(folder, _list_folder_entries(revision, folder))
        _remove_empty_folders(store.root / folder, store.root)
    store.save_dvc_state([(store.root / file.path, file.checksums) for file in to_write])
    count = revision.fetch_value("SELECT count(*) FROM files_at($at)", {"at": revision.position})
    return CheckoutResult(len(to_write), len(obsolete_paths), count - len(to_write))


def find_features_on_rasters(revision: Revision, raster_ids: Iterable[str]) -> list[str]:
    """Return the ids of the features that any of the rasters contains or intersects."""
    import pyarrow as pa

    rasters = pa.table({"raster_id": pa.array(list(raster_ids), pa.string())})
    query = "SELECT DISTINCT feature_id::VARCHAR FROM edges SEMI JOIN listed_raster USING (raster_id) ORDER BY ALL"
    with register_table(revision.connection, "listed_raster", rasters):
        return [row[0] for row in revision.fetch_rows(query)]


def restore_files(
    revision: Revision, store: Store, folder: Path, files: list[TrackedFile], trusted_md5s: Md5s, linked_md5s: Md5s
) -> None:
    """Write files of a revision to a folder; `CorruptError` if some are missing or altered in cache and remote."""
    failures: list[tuple[Path, Checksums, FileDamage]] = []
    for link in (False, True):
        group = [(file.checksums, folder / file.path) for file in files if (file.checksums.md5 in linked_md5s) == link]
        if group:
            failures += store.restore_files(group, trusted_md5s=trusted_md5s, link=link)
    if not failures:
        return
    damaged_paths = {path for path, _, _ in failures}
    rasters = sorted({file.raster_id for file in files if folder / file.path in damaged_paths})
    features = find_features_on_rasters(revision, rasters)
    damage = "altered" if any(damage == "altered" for _, _, damage in failures) else "missing"
    raise CorruptError(
        f"cannot restore {len(failures):,} of {format_count(len(files), 'file')}: {damage} in the cache: "
        f"{'raster' if len(rasters) == 1 else 'rasters'} {quote_names(rasters)} with the features "
        f"{quote_names(features) if features else '(none)'}. The other files were written. Run dvc pull "
        "if a remote has the files, and geographer verify to list all damage."
    )


def _list_obsolete_paths(revision: Revision, from_position: int | None, root: Path) -> list[str]:
    source = "files_ever()" if from_position is None else f"files_at({from_position:d})"
    query = f"SELECT DISTINCT path FROM {source} ANTI JOIN files_at($to) USING (path) ORDER BY path"  # noqa: S608
    rows = revision.fetch_rows(query, {"to": revision.position})
    return [row[0] for row in rows if from_position is not None or (root / row[0]).exists()]


def _list_folder_entries(revision: Revision, folder: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT path[len($prefix) + 1 :] AS name, md5, size FROM files_at($at) "
        "WHERE starts_with(path, $prefix) AND NOT contains(name, '/') ORDER BY path"
    )
    return revision.fetch_rows(query, {"prefix": folder + "/", "at": revision.position})


def _remove_empty_folders(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _was_modified_since(root: Path, file: TrackedFile, since_ns: int) -> bool:
    """Return whether a file that was correct at `since_ns` is damaged; read it only if its status changed."""
    path = root / file.path
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    is_changed = max(status.st_mtime_ns, status.st_ctime_ns) >= since_ns or status.st_size != file.checksums.size
    return is_changed and check_file(path, file.checksums) is not None
