"""Source labels: the label files that a command reads, compared with the log before it reads them and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from geographer.base.errors import ConflictError, CorruptError, quote_names
from geographer.base.values import Checksums
from geographer.storage.workspace.checked_files import CheckedFiles, FileStatus, read_status
from geographer.storage.workspace.partial.absent_files import reject_missing_rasters


class SourceLabel(NamedTuple):
    """A label file to read: its absolute path and recorded checksums."""

    path: Path
    checksums: Checksums


class SourceLabels:
    """Labels, by label name and raster id, whose files a command reads from the workspace."""

    def __init__(self, root: Path, labels: Mapping[tuple[str, str], SourceLabel]) -> None:
        """Use the labels of the dataset in the folder `root`."""
        self._root, self._labels = root, labels
        self._status_by_path: dict[Path, FileStatus] = {}

    def require_intact(self) -> None:
        """Raise `CorruptError` if a file is missing or not the recorded one; `NotFoundError` in a partial clone."""
        damaged, missing = {}, []
        with CheckedFiles(self._root) as checked:
            for (name, raster_id), label in self._labels.items():
                if damage := checked.find_damage(label.path, label.checksums):
                    damaged[f"{name}/{raster_id}"] = damage
                    missing += [raster_id] if damage == "missing" else []
                else:
                    self._status_by_path[label.path] = read_status([label.path])
        reject_missing_rasters(self._root, missing, "label of raster")
        if damaged:
            adjectives = " or ".join(sorted(set(damaged.values()), reverse=True))
            raise CorruptError(
                f"cannot use the labels {quote_names([*damaged])}: {adjectives} since the log recorded them. Restore "
                "the recorded files with geographer checkout HEAD."
            )

    def require_unchanged(self) -> None:
        """Raise `ConflictError` if a file changed after `require_intact`."""
        for path, status in self._status_by_path.items():
            if not path.exists() or read_status([path]) != status:
                raise ConflictError(f"'{path}' changed while it was read. Nothing was recorded; run the command again.")
