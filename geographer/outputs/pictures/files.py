"""Files of pictures: those of rasters and labels that have a revision's bytes on this machine, or why there is none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import GeographerError, NotFoundError, StorageError
from geographer.base.values import Checksums
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles
from geographer.storage.workspace.chip_windows import list_virtual_chips
from geographer.storage.workspace.source_rasters import SourceRasters
from geographer.storage.workspace.withdrawn_files import WithdrawnFile, list_withdrawn_files

logger = logging.getLogger(__name__)

_RASTERS: Final = (
    "SELECT raster_id, width, height, storage, path, size, md5, sha256 FROM current_raster "
    "WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)
_LABELS: Final = (
    "SELECT label, raster_id, path, size, md5, sha256 FROM current_label "
    "WHERE label IN (SELECT unnest($labels::VARCHAR[])) AND raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY ALL"
)
_NOT_HERE: Final = "the pixels are not on this machine: geographer checkout fetches them"
_CATALOGUE: Final = "a footprint in a catalogue, without pixels"

LabelKey = tuple[str, str]
"""The name of a label, and the id of its raster."""


class PictureFile(NamedTuple):
    """A file to read; without a path, `problem` says why there is none."""

    path: Path | None
    with_sidecars: bool = False
    problem: str | None = None


class PictureFiles(NamedTuple):
    """The sizes (width, height) and the files of rasters by id, and the files of their labels."""

    sizes: Mapping[str, tuple[int, int]]
    rasters: Mapping[str, PictureFile]
    labels: Mapping[LabelKey, PictureFile]


class _StoredFile(NamedTuple):
    path: str
    checksums: Checksums


def locate_files(
    revision: Revision, root: Path, store: Store, raster_ids: Sequence[str], labels: Sequence[str], *, fetch: bool
) -> PictureFiles:
    """Locate the files of rasters and of their labels of these names; with `fetch`, those missing are fetched first.

    What the revision does not have is left out. `StorageError` if the remote cannot be reached.
    """
    rows = revision.fetch_rows(_RASTERS, {"ids": [*raster_ids]})
    # A footprint in a catalogue has no size.
    sizes = {raster_id: (width or 1, height or 1) for raster_id, width, height, *_ in rows}
    withdrawn = list_withdrawn_files(revision.connection)
    problems: dict[Any, PictureFile] = {}
    stored: dict[Any, _StoredFile] = {}
    virtual_ids: list[str] = []
    for raster_id, *_, storage, path, size, md5, sha256 in rows:
        if problem := _find_problem(storage, withdrawn.get(md5)):
            problems[raster_id] = PictureFile(None, problem=problem)
        elif storage in ("reference", "remote"):
            problems[raster_id] = _locate_reference(revision, root, raster_id)
        elif storage == "virtual":
            virtual_ids.append(raster_id)
        else:
            stored[raster_id] = _StoredFile(path, Checksums(size, md5, sha256))
    for label, raster_id, path, *checksums in revision.fetch_rows(_LABELS, {"labels": [*labels], "ids": [*raster_ids]}):
        stored[label, raster_id] = _StoredFile(path, Checksums(*checksums))
    found = problems | _locate_stored(store, stored, fetch=fetch)
    found |= _locate_virtual_chips(revision, root, store, virtual_ids, fetch=fetch)
    return PictureFiles(
        sizes,
        {key: file for key, file in found.items() if isinstance(key, str)},
        {key: file for key, file in found.items() if not isinstance(key, str)},
    )


def _find_problem(storage: str, withdrawn: WithdrawnFile | None) -> str | None:
    if storage == "catalogue":
        return _CATALOGUE
    return withdrawn.format_reason() if withdrawn else None


def _locate_reference(revision: Revision, root: Path, raster_id: str) -> PictureFile:
    try:
        sources = SourceRasters(revision, root, [raster_id])
        sources.require_intact()
    except GeographerError as error:
        return PictureFile(None, problem=str(error))
    raster = sources.raster_by_id[raster_id]
    return PictureFile(raster.path, with_sidecars=raster.is_referenced)


def _locate_virtual_chips(
    revision: Revision, root: Path, store: Store, raster_ids: Sequence[str], *, fetch: bool
) -> dict[Any, PictureFile]:
    """Return the addresses of virtual chips, or why the raster of one cannot be read."""
    if not raster_ids:
        return {}
    try:
        chips = list_virtual_chips(revision, raster_ids)
    except GeographerError as error:
        return dict.fromkeys(raster_ids, PictureFile(None, problem=str(error)))
    parent_ids = sorted({chip.parent_id for chip in chips.values()})
    sources = locate_files(revision, root, store, parent_ids, [], fetch=fetch).rasters
    found: dict[Any, PictureFile] = {}
    for raster_id, chip in chips.items():
        source = sources[chip.parent_id]
        path = source.path and chip.make_address(source.path, chip.window.source, with_sidecars=source.with_sidecars)
        found[raster_id] = PictureFile(path, problem=source.problem)
    return found


def _locate_stored(store: Store, stored: Mapping[Any, _StoredFile], *, fetch: bool) -> dict[Any, PictureFile]:
    """Return for each key the file of the workspace, or of the cache, that has the recorded bytes."""
    files: dict[Any, PictureFile] = {}
    with CheckedFiles(store.root) as checked:
        hidden = {}
        for key, item in stored.items():
            path = store.root / item.path
            if _find_damage(checked, path, item.checksums):
                hidden[key] = item
            else:
                files[key] = PictureFile(path)
        if fetch and hidden:
            try:
                store.fetch_files([item.checksums.md5 for item in hidden.values()])
            except NotFoundError as error:
                logger.warning("%s", error)
        for key, item in hidden.items():
            files[key] = _locate_object(store, checked, item.checksums)
    return files


def _locate_object(store: Store, checked: CheckedFiles, checksums: Checksums) -> PictureFile:
    path = store.find_object(checksums.md5)
    damage = _find_damage(checked, path, checksums)
    if damage is None:
        return PictureFile(path)
    return PictureFile(None, problem=_NOT_HERE if damage == "missing" else f"the file is {damage}: geographer verify")


def _find_damage(checked: CheckedFiles, path: Path, checksums: Checksums) -> str | None:
    try:
        return checked.find_damage(path, checksums)
    except StorageError:
        return "unreadable"
