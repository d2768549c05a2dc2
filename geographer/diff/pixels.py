"""Pixels of changed files: what differs in rasters, chips and labels that both revisions have with other bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import GeographerError
from geographer.base.values import Checksums
from geographer.diff.changes import ObjectChange, iter_changes

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.rasters.compare import PixelChange

FileFinder = Callable[[list[Checksums]], Mapping[str, Path]]
"""Returns the file of each MD5 that this machine or the remote has, checked."""

_NODATA_GROWTH: Final = 0.01


class FileChange(NamedTuple):
    """What differs between two versions of a file.

    Attributes:
        kind: 'raster', 'chip' or 'label'.
        id: The id of the raster, or `label/raster id`.
        position: The event that changed the file.
        problem: Why the pixels were not compared; None if they were.
        change: What the pixels of a raster or chip show.
        values: The numbers of label pixels by (band, old value, new value).
    """

    kind: str
    id: str
    position: int
    problem: str | None = None
    change: PixelChange | None = None
    values: Mapping[tuple[int, int, int], int] | None = None

    @property
    def changed_pixels(self) -> int:
        """The number of pixels that differ; 0 if they were not compared."""
        return self.change.changed if self.change else sum((self.values or {}).values())

    @property
    def nodata_growth(self) -> float:
        """By how much the share of pixels without data grew, 0 to 1."""
        if self.change is None:
            return 0.0
        return (self.change.new_nodata - self.change.old_nodata) / self.change.pixels


def compare_changed_files(changes: Mapping[str, pa.Table], find_files: FileFinder) -> list[FileChange]:
    """Compare the pixels of rasters and labels whose bytes changed; a file that cannot be compared has a problem."""
    items = [item for kind in ("raster", "label") if kind in changes for item in _iter_altered(kind, changes[kind])]
    wanted = [_read_checksums(side) for item in items for side in (item.old, item.new) if side and _is_stored(side)]
    files = find_files(wanted)
    return [_compare_item(item, files) for item in items]


def has_more_nodata(change: FileChange) -> bool:
    """Return whether the share of pixels without data grew by more than 1 %."""
    return change.nodata_growth > _NODATA_GROWTH


def _iter_altered(kind: str, table: pa.Table) -> Iterator[ObjectChange]:
    for item in iter_changes(kind, table):
        if item.old and item.new and item.old["sha256"] != item.new["sha256"]:
            yield item


def _is_stored(side: Mapping[str, Any]) -> bool:
    return bool(side.get("storage", "dvc") == "dvc")


def _read_checksums(side: Mapping[str, Any]) -> Checksums:
    return Checksums(side["size"], side["md5"], side["sha256"])


def _compare_item(item: ObjectChange, files: Mapping[str, Path]) -> FileChange:
    from geographer.rasters.compare import compare_rasters, count_value_changes

    assert item.old
    assert item.new
    kind = item.kind if item.kind == "label" else "raster" if item.new["parent_id"] is None else "chip"
    result = FileChange(kind, "/".join(item.keys), item.position)
    if not (_is_stored(item.old) and _is_stored(item.new)):
        return result._replace(problem="its former bytes are not stored: it is a reference or a virtual chip")
    paths = [files.get(side["md5"]) for side in (item.old, item.new)]
    if paths[0] is None or paths[1] is None:
        return result._replace(problem="bytes of it are neither on this machine nor on the remote")
    if item.kind == "label" and item.new["path"].endswith(".json"):
        return result._replace(values={})
    try:
        if item.kind == "label":
            values = count_value_changes(paths[0], paths[1])
            return result._replace(values=values, problem=None if values is not None else "its shape or type changed")
        change = compare_rasters(paths[0], paths[1])
        return result._replace(change=change, problem=None if change else "its width, height or bands changed")
    except GeographerError as error:
        return result._replace(problem=str(error))
