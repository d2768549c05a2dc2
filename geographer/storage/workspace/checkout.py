"""Checkout: the files of a revision, brought into the workspace or into another folder, at the cost of what differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import CorruptError, quote_names
from geographer.base.values import Checksums

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision

_FILES: Final = Path(__file__).with_name("files.sql")


class TrackedFile(NamedTuple):
    """A file of a revision: its path in the dataset's folder, its checksums, and whose raster or label it is."""

    path: str
    checksums: Checksums
    raster_id: str
    label: str | None


@dataclass(frozen=True, slots=True)
class CheckoutResult:
    """What a checkout did: files written, files removed, and files that were right already."""

    written: int
    removed: int
    unchanged: int


def list_files(revision: Revision, position: int, *, but_not_at: int = 0) -> list[TrackedFile]:
    """The files that DVC keeps for a revision, by path, without those that stand at `but_not_at` too."""
    revision.connection.execute(_FILES.read_text())
    rows = revision.fetch_rows(
        "SELECT path, size, md5, sha256, raster_id, label FROM file_at($at) ANTI JOIN file_at($but) USING (path, md5) "
        "ORDER BY path",
        {"at": position, "but": but_not_at},
    )
    return [TrackedFile(path, Checksums(*sums), raster_id, label) for path, *sums, raster_id, label in rows]


def update_workspace(
    revision: Revision,
    store: Store,
    *,
    frm: int | None,
    unseen_since: int | None = None,
    trusted: Collection[str] = (),
    linked: Collection[str] = (),
) -> CheckoutResult:
    """Bring the workspace from the revision at `frm` to `revision`: files, then the `.dvc` files of their folders.

    Args:
        revision: Where to.
        store: The workspace's bytes.
        frm: The position that the workspace shows; None when that is not known: then every file is looked at.
        unseen_since: When given (nanoseconds since 1970), files that both revisions hold are looked at too, if they
            were touched from then on.
        trusted: MD5s of files made a moment ago, which need no second look.
        linked: MD5s of files to link to the cache rather than to copy.

    Raises:
        CorruptError: a file is missing or altered in the cache and the remote; it names the rasters and features.
    """
    missing = list_files(revision, revision.position, but_not_at=frm or 0)
    gone = _paths_gone(revision, frm, store.root)
    folders = {_folder(file.path) for file in missing} | {_folder(path) for path in gone}
    if frm is None:
        missing = [file for file in missing if not _is_right(store.root / file.path, file.checksums)]
    elif unseen_since is not None:
        kept = set(list_files(revision, revision.position)).difference(missing)
        missing += [file for file in kept if _is_spoilt(store.root / file.path, file, unseen_since)]
    restore_files(revision, store, store.root, missing, trusted, linked)
    for path in gone:
        (store.root / path).unlink(missing_ok=True)
    for folder in sorted(folders):
        store.track(folder, _entries(revision, folder))
        _remove_while_empty(store.root / folder, store.root)
    store.save_state([(store.root / file.path, file.checksums) for file in missing])
    of = revision.fetch_value("SELECT count(*) FROM file_at($at)", {"at": revision.position})
    return CheckoutResult(len(missing), len(gone), of - len(missing))


def find_features_on_rasters(revision: Revision, raster_ids: Iterable[str]) -> list[str]:
    """The ids of the features that any of the rasters contains or intersects."""
    import pyarrow as pa

    revision.connection.register("shown_raster", pa.table({"raster_id": pa.array(list(raster_ids), pa.string())}))
    try:
        rows = revision.fetch_rows(
            "SELECT DISTINCT feature_id::VARCHAR FROM edges SEMI JOIN shown_raster USING (raster_id) ORDER BY ALL"
        )
    finally:
        revision.connection.unregister("shown_raster")
    return [row[0] for row in rows]


def restore_files(
    revision: Revision,
    store: Store,
    folder: Path,
    files: list[TrackedFile],
    trusted: Collection[str],
    linked: Collection[str],
) -> None:
    failures: list[tuple[Path, Checksums, Any]] = []
    for link in (False, True):
        chosen = [(file.checksums, folder / file.path) for file in files if (file.checksums.md5 in linked) == link]
        if chosen:
            failures += store.restore(chosen, trusted=trusted, link=link)
    if not failures:
        return
    by_path = {folder / file.path: file for file in files}
    bad = [by_path[path] for path, _, _ in failures]
    rasters = sorted({file.raster_id for file in bad})
    touched = find_features_on_rasters(revision, rasters)
    what = "altered" if any(damage == "altered" for _, _, damage in failures) else "missing"
    raise CorruptError(
        f"{len(failures):,} of {len(files):,} files can't be restored: {what} in the cache: raster {quote_names(rasters)}, "
        f"which show the features {quote_names(touched) if touched else 'none'}; the others were delivered. Run dvc pull "
        "if a remote has them, and geographer verify to see all"
    )


def _paths_gone(revision: Revision, frm: int | None, root: Path) -> list[str]:
    """What the revision at `frm` has, and this one has not; from nowhere in particular: whatever any other left."""
    source = "file_at($frm)" if frm is not None else "file_ever()"
    known = {"frm": frm} if frm is not None else {}
    rows = revision.fetch_rows(
        f"SELECT DISTINCT path FROM {source} ANTI JOIN file_at($to) USING (path) ORDER BY path",  # noqa: S608
        {"to": revision.position, **known},
    )
    return [row[0] for row in rows if frm is not None or (root / row[0]).exists()]


def _entries(revision: Revision, folder: str) -> list[tuple[str, str, int]]:
    """The whole content of a tracked folder at the revision: path in the folder, MD5, size."""
    rows = revision.fetch_rows(
        "SELECT path[len($prefix) + 1 :], md5, size FROM file_at($at) WHERE starts_with(path, $prefix) "
        "AND NOT contains(path[len($prefix) + 1 :], '/') ORDER BY path",
        {"prefix": folder + "/", "at": revision.position},
    )
    return list(rows)


def _remove_while_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, below `root`, that hold nothing."""
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _is_right(path: Path, checksums: Checksums) -> bool:
    from geographer.rasters.checksums import compute_checksums

    return path.is_file() and compute_checksums(path) == checksums


def _is_spoilt(path: Path, file: TrackedFile, since: int) -> bool:
    """Whether a file that was right at `since` is gone or altered; it is read only if it was touched from then on."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    touched = max(status.st_mtime_ns, status.st_ctime_ns) >= since or status.st_size != file.checksums.size
    return touched and not _is_right(path, file.checksums)
