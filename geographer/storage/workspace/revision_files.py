"""Revision files: find the file of a raster or label at any revision, and check that it has the recorded bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.base.values import Checksums
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles
from geographer.storage.workspace.chip_windows import list_virtual_chips
from geographer.storage.workspace.source_rasters import SourceRasters, read_source_rasters
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_STORAGE: Final = "SELECT storage FROM current_raster WHERE raster_id = $raster_id"
_WITH_FILES: Final = (
    "SELECT raster_id, md5 FROM current_raster WHERE storage <> 'catalogue' "
    "AND raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)
_LABEL: Final = "SELECT path, size, md5, sha256 FROM current_label WHERE label = $label AND raster_id = $raster_id"


def list_rasters_with_files(revision: Revision, raster_ids: Sequence[str]) -> list[str]:
    """Return those of `raster_ids` that have a file: not the footprints of a catalogue, nor what was withdrawn."""
    withdrawn = list_withdrawn_files(revision.plain_connection)
    rows = revision.fetch_rows(_WITH_FILES, {"ids": list(raster_ids)})
    return [raster_id for raster_id, md5 in rows if md5 not in withdrawn]


def find_raster_file(revision: Revision, store: Store, raster_id: str) -> tuple[Path, bool]:
    """Return the file of a raster, and whether GDAL is to read sidecar files: only a referenced raster may have any.

    A virtual chip has an address in place of a path, see `rasters.chip_address`.

    Raises:
        NotFoundError: the revision has no such raster, its file was withdrawn, or it lies in a root that is not set
            on this machine.
        UsageError: the raster is a catalogue entry, which has no file.
        CorruptError: no file has the recorded bytes.
    """
    storage = revision.fetch_value(_STORAGE, {"raster_id": raster_id})
    if storage is None:
        raise NotFoundError(f"no raster '{raster_id}' at @{revision.position}. See geographer rasters.")
    if storage == "catalogue":
        raise UsageError(f"raster '{raster_id}' is a footprint in a catalogue and has no file. Download it first.")
    if storage in ("reference", "remote"):
        sources = SourceRasters(revision, store.root, [raster_id])
        sources.require_intact()
        return sources.raster_by_id[raster_id].path, storage == "reference"
    if storage == "virtual":
        chip = list_virtual_chips(revision, [raster_id])[raster_id]
        source, with_sidecars = find_raster_file(revision, store, chip.parent_id)
        return chip.make_address(source, chip.window.source, with_sidecars=with_sidecars), False
    (raster,) = read_source_rasters(revision, store.root, [raster_id]).values()
    if file := list_withdrawn_files(revision.plain_connection).get(raster.checksums.md5):
        raise NotFoundError(f"raster '{raster_id}' has no file at @{revision.position}: {file.format_reason()}.")
    return find_recorded_file(store, raster.path, raster.checksums, f"raster '{raster_id}'"), False


def find_label_file(revision: Revision, store: Store, label: str, raster_id: str) -> tuple[Path, bool]:
    """Return the file of a label of a raster, and whether it is JSON; errors as for `find_raster_file`."""
    rows = revision.fetch_rows(_LABEL, {"label": label, "raster_id": raster_id})
    if not rows:
        raise NotFoundError(
            f"no label '{label}' of raster '{raster_id}' at @{revision.position}. See geographer labels."
        )
    ((path, *checksums),) = rows
    name = f"label '{label}' of raster '{raster_id}'"
    return find_recorded_file(store, store.root / path, Checksums(*checksums), name), path.endswith(".json")


def find_recorded_file(store: Store, path: Path, checksums: Checksums, name: str) -> Path:
    """Return the workspace's file if it has these bytes, or the object in the cache, which may come from the remote."""
    with CheckedFiles(store.root) as checked:
        if checked.find_damage(path, checksums) is None:
            return path
        store.fetch_files([checksums.md5])
        cached = store.cache_path(checksums.md5)
        if damage := checked.find_damage(cached, checksums):
            raise CorruptError(f"{name} is {damage} in the cache ('{cached}'). See geographer verify for the way out.")
        return cached


def find_stored_files(store: Store, checksums: Sequence[Checksums]) -> dict[str, Path]:
    """Return the file of each MD5 in DVC's cache, which may come from the remote; a file that is on neither is missing.

    The bytes are as recorded: damaged files are left out. `StorageError` if the remote cannot be reached.
    """
    wanted = list({item.md5: item for item in checksums}.values())
    damaged = store.check_files(wanted)
    if missing := [md5 for md5, damage in damaged.items() if damage == "missing"]:
        store.fetch_files(missing)
        damaged = store.check_files(wanted)
    return {item.md5: store.cache_path(item.md5) for item in wanted if item.md5 not in damaged}
