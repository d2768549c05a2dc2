"""TODO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from geographer.base.canonical_json import canonical_json
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from pathlib import Path

    from geographer.base.values import Checksums
    from geographer.rasters.read import RasterInfo

StorageMode = Literal["link", "copy", "reference"]


@dataclass(frozen=True, slots=True)
class RasterOptions:
    """How rasters are added: under which collection, with which bytes kept where, and how they are read."""

    collection: str = "source"
    mode: StorageMode = "copy"
    crs: str | None = None
    footprint: Literal["bounds", "valid"] = "bounds"
    acquired: str | None = None
    on_error: Literal["fail", "skip"] = "fail"
    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    replace: bool = False


def describe_raster(path: Path, root: Path, options: RasterOptions) -> tuple[dict[str, Any], Checksums, dict[str, str]]:
    """The file at `path` as a row of the log's raster table, with its checksums and its tags. Every pixel is read.

    Raises:
        UsageError, CorruptError: as `plan_rasters`.
    """
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.sidecars import reject_sidecars

    facts = read_raster_info(path, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    reference = options.mode == "reference"
    if not reference:
        reject_sidecars(path, facts, crs=options.crs, footprint=options.footprint)
    checksums = compute_checksums(path)
    row = {
        "raster_id": path.stem,
        "collection": options.collection,
        "path": _reference(path, root) if reference else _path(path, options.collection),
        "storage": "reference" if reference else "dvc",
        "size": checksums.size,
        "md5": checksums.md5,
        "sha256": checksums.sha256,
        "pixel_digest": compute_pixel_digest(path, crs=options.crs),
        **make_info_columns(facts),
    }
    return row, checksums, facts.tags


def make_raster_rows(rows: list[dict[str, Any]]) -> Any:
    """Rows of the log's raster table from dictionaries; what they leave out is null."""
    columns = sorted({name for row in rows for name in row})
    return make_row_table("raster_change", {name: [row.get(name) for row in rows] for name in columns or ["raster_id"]})


def make_info_columns(facts: RasterInfo) -> dict[str, Any]:
    """What a raster's file says of itself, as columns of the log: numbers with fractions as JSON text."""
    return {
        "crs": facts.grid.crs,
        "width": facts.grid.width,
        "height": facts.grid.height,
        "transform": canonical_json([float(number) for number in facts.grid.transform]),
        "bands": facts.count,
        "dtype": facts.dtype,
        "nodata": nodata_to_text(facts.nodata),
        "acquired": facts.acquired.isoformat() if facts.acquired else None,
        "outline": facts.outline,
    }


def nodata_to_text(nodata: float | None) -> str | None:
    """A nodata value as text: JSON has no NaN."""
    if nodata is None:
        return None
    return "nan" if nodata != nodata else canonical_json(float(nodata))


def _path(path: Path, collection: str) -> str:
    return f"rasters/{collection}/{path.name}"


def _reference(path: Path, root: Path) -> str:
    """A referenced file's path: relative to the dataset where it lies inside, absolute elsewhere."""
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.as_posix()
