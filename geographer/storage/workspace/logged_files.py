"""The files of a revision as the log records them: who alters a file may alter the state too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from geographer.base.values import Checksums, Grid, Transform
from geographer.storage.workspace.checkout import TrackedFile
from geographer.storage.workspace.paths import find_path_fault
from geographer.storage.workspace.roots import find_reference_fault

if TYPE_CHECKING:
    from geographer.rasters.file_check import RecordedRaster

_QUERY: Final = Path(__file__).with_name("logged_files.sql")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class UnreadableRow(NamedTuple):
    """A row of the log from which no file follows: its event, its table and place there, the object, and the reason."""

    position: int
    table_name: str
    ordinal: int
    object: str
    reason: str


class LoggedFiles(NamedTuple):
    """The files of a revision, by path, and the rows that do not say which file they mean."""

    files: list[LoggedFile]
    unreadable_rows: list[UnreadableRow]


class LoggedFile(NamedTuple):
    """A file of a revision; a referenced one has `grid_columns`: the columns of its row that describe its grid."""

    file: TrackedFile
    grid_columns: tuple[Any, ...] | None


def read_logged_files(connection: duckdb.DuckDBPyConnection, position: int) -> LoggedFiles:
    """Read the files of the revision at `position` from the log, which `connection` has views of."""
    files, unreadable = [], []
    for row in connection.execute(_QUERY.read_text(), {"at": position}).fetchall():
        path, *checksums, raster_id, label, is_referenced, since, table_name, ordinal = row[:10]
        if fault := _find_fault(path, *checksums, is_referenced=is_referenced):
            name = "/".join(filter(None, (label, raster_id)))
            unreadable.append(UnreadableRow(since, table_name, ordinal, name, fault))
        else:
            file = TrackedFile(path, Checksums(*checksums), raster_id, label, is_referenced, since)
            files.append(LoggedFile(file, row[10:] if is_referenced else None))
    return LoggedFiles(files, unreadable)


def _find_fault(
    path: str | None, size: int | None, md5: str | None, sha256: str | None, *, is_referenced: bool
) -> str | None:
    if size is None or not _MD5.fullmatch(md5 or "") or not _SHA256.fullmatch(sha256 or ""):
        return "its size, MD5 or SHA-256 is missing or invalid"
    if is_referenced:
        return find_reference_fault(path)
    return find_path_fault(path)


def parse_recorded_raster(grid_columns: tuple[Any, ...]) -> RecordedRaster:
    """Return what the log records of a referenced raster; `ValueError` if its columns are not those of a raster."""
    from geographer.rasters.file_check import RecordedRaster
    from geographer.rasters.nodata import parse_nodata

    crs, transform, width, height, nodata, pixel_digest, has_given_crs = grid_columns
    numbers = json.loads(transform or "")
    if not (isinstance(numbers, list) and len(numbers) == len(Transform._fields) and crs and pixel_digest):
        raise ValueError("no grid")
    grid = Grid(crs, Transform(*map(float, numbers)), width, height)
    return RecordedRaster(grid, None if nodata is None else parse_nodata(nodata), pixel_digest, has_given_crs)
