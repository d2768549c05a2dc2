"""Files of a revision for many chips: looked up in the state first, then checked, and fetched if necessary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.values import Checksums
from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import CheckedFiles
from geographer.storage.workspace.chip_windows import VirtualChip, list_virtual_chips
from geographer.storage.workspace.source_rasters import SourceRasters
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_RASTERS: Final = (
    "SELECT raster_id, storage, path, size, md5, sha256 FROM current_raster "
    "WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)
_LABELS: Final = (
    "SELECT raster_id, path, size, md5, sha256 FROM current_label "
    "WHERE label = $label AND raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)


class ChipFile(NamedTuple):
    """A file to read. `content` identifies its bytes, also those of the sidecar files that GDAL reads with it.

    A virtual chip has no file: its path is an address, see `rasters.chip_address`.
    """

    path: Path
    content: str
    with_sidecars: bool = False


class ChipFiles:
    """The files of rasters, or of one label of them, at a revision, by raster id.

    The state is read by `list_rasters` or `list_labels`; `require_files` needs it no longer.
    """

    def __init__(
        self,
        noun: str,
        stored: dict[str, tuple[str, Checksums]],
        references: SourceRasters | None,
        virtual: VirtualFiles | None = None,
    ) -> None:
        self._noun = noun
        self._stored = stored
        self._references = references
        self._virtual = virtual

    @classmethod
    def list_rasters(
        cls, revision: Revision, root: Path, raster_ids: Sequence[str], *, advice: str = "Choose other rasters."
    ) -> ChipFiles:
        """Look up the files of rasters.

        Raise UsageError for a footprint in a catalogue, or NotFoundError for a withdrawn file; both end with `advice`.
        """
        rows = _fetch_rows(revision, _RASTERS, raster_ids)
        if entries := [raster_id for raster_id, storage, *_ in rows if storage == "catalogue"]:
            raise UsageError(f"{quote_names(entries, 3)} are footprints in a catalogue, without pixels. {advice}")
        withdrawn = list_withdrawn_files(revision.connection)
        if gone := [(raster_id, withdrawn[md5]) for raster_id, _, _, _, md5, _ in rows if md5 in withdrawn]:
            raise NotFoundError(
                f"raster '{gone[0][0]}' has no file at @{revision.position}: {gone[0][1].format_reason()}. {advice}"
            )
        stored = {id: (path, Checksums(*sums)) for id, storage, path, *sums in rows if storage == "dvc"}
        references = [raster_id for raster_id, storage, *_ in rows if storage in ("reference", "remote")]
        sources = SourceRasters(revision, root, references) if references else None
        chips = list_virtual_chips(revision, [raster_id for raster_id, storage, *_ in rows if storage == "virtual"])
        if not chips:
            return cls("raster", stored, sources)
        parent_ids = sorted({chip.parent_id for chip in chips.values()})
        return cls("raster", stored, sources, VirtualFiles(chips, cls.list_rasters(revision, root, parent_ids)))

    @classmethod
    def list_labels(cls, revision: Revision, label: str, raster_ids: Sequence[str]) -> ChipFiles:
        """Look up the files of a label; `NotFoundError` if a raster has no such label at the revision."""
        rows = _fetch_rows(revision, _LABELS, raster_ids, {"label": label})
        stored = {raster_id: (path, Checksums(*checksums)) for raster_id, path, *checksums in rows}
        if missing := [raster_id for raster_id in raster_ids if raster_id not in stored]:
            raise NotFoundError(
                f"{len(missing):,} of {len(raster_ids):,} chips have no label '{label}' at @{revision.position}: "
                f"{quote_names(missing, 3)}. Name a label of all chips with --truth; see geographer labels."
            )
        return cls(f"label '{label}' of raster", stored, None)

    @classmethod
    def list_stored(cls, noun: str, stored: Mapping[Any, tuple[str, Checksums]]) -> ChipFiles:
        """Take files that DVC stores, by any key: their paths and checksums; `noun` names them in errors."""
        return cls(noun, {**stored}, None)

    def require_files(self, store: Store) -> dict[str, ChipFile]:
        """Return the files, each with its recorded bytes: of the workspace, or of the cache, fetched if necessary.

        Raises:
            CorruptError: no file has the recorded bytes.
            NotFoundError: a reference lies in a root that this machine has not set.
            StorageError: the remote cannot be reached.
        """
        files: dict[str, ChipFile] = {}
        hidden: dict[str, Checksums] = {}
        with CheckedFiles(store.root) as checked:
            for raster_id, (path, checksums) in self._stored.items():
                if checked.find_damage(store.root / path, checksums):
                    hidden[raster_id] = checksums
                else:
                    files[raster_id] = ChipFile(store.root / path, checksums.sha256)
            store.fetch_files([checksums.md5 for checksums in hidden.values()])
            for raster_id, checksums in hidden.items():
                cached = store.cache_path(checksums.md5)
                if damage := checked.find_damage(cached, checksums):
                    raise CorruptError(
                        f"{self._noun} '{raster_id}' is {damage} in the cache ('{cached}'). "
                        "See geographer verify for the way out."
                    )
                files[raster_id] = ChipFile(cached, checksums.sha256)
        if self._references:
            self._references.require_intact()
            for raster_id, raster in self._references.raster_by_id.items():
                content = f"{raster.checksums.sha256} {raster.pixel_digest}"
                files[raster_id] = ChipFile(raster.path, content, with_sidecars=raster.is_referenced)
        return files | (self._virtual.require_files(store) if self._virtual else {})


class VirtualFiles(NamedTuple):
    """Virtual chips by id, and the files of the rasters that they are windows of."""

    chips: Mapping[str, VirtualChip]
    sources: ChipFiles

    def require_files(self, store: Store) -> dict[str, ChipFile]:
        """Return an address for each chip, which functions that open rasters take for a path."""
        sources = self.sources.require_files(store)
        files = {}
        for raster_id, chip in self.chips.items():
            path, content, with_sidecars = sources[chip.parent_id]
            files[raster_id] = ChipFile(chip.make_address(path, content, with_sidecars=with_sidecars), chip.sha256)
        return files


def _fetch_rows(
    revision: Revision, query: str, raster_ids: Sequence[str], parameters: dict[str, str] | None = None
) -> list[tuple[Any, ...]]:
    return revision.fetch_rows(query, {"ids": [*raster_ids], **(parameters or {})})
