"""Raster rows: read raster files and describe them as rows of the log's raster table."""

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
    """Options for adding raster files, as in `Dataset.add_rasters`; the event's request records them."""

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
    """Read a raster file, all of its pixels included, and return its log row, checksums and GDAL tags.

    Raises:
        UsageError: The file is not a raster, has no CRS or depends on sidecar files.
        CorruptError: The file is damaged.
    """
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.sidecars import reject_sidecars

    info = read_raster_info(path, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    is_reference = options.mode == "reference"
    if not is_reference:
        reject_sidecars(path, info, crs=options.crs, footprint=options.footprint)
    checksums = compute_checksums(path)
    row = {
        "raster_id": path.stem,
        "collection": options.collection,
        "path": _make_reference_path(path, root) if is_reference else make_stored_path(path, options.collection),
        "storage": "reference" if is_reference else "dvc",
        "size": checksums.size,
        "md5": checksums.md5,
        "sha256": checksums.sha256,
        "pixel_digest": compute_pixel_digest(path, crs=options.crs),
        **make_info_columns(info),
    }
    return row, checksums, info.tags


def make_raster_rows(rows: list[dict[str, Any]]) -> Any:
    """Return an Arrow table of the log's raster rows; a key that a dictionary lacks is null."""
    columns = sorted({name for row in rows for name in row})
    return make_row_table("raster_change", {name: [row.get(name) for row in rows] for name in columns or ["raster_id"]})


def make_info_columns(info: RasterInfo) -> dict[str, Any]:
    """Return the log columns that come from a raster's header; floating-point numbers are JSON text."""
    return {
        "crs": info.grid.crs,
        "width": info.grid.width,
        "height": info.grid.height,
        "transform": canonical_json([float(number) for number in info.grid.transform]),
        "bands": info.band_count,
        "dtype": info.dtype,
        "nodata": nodata_to_text(info.nodata),
        "acquired": info.acquired.isoformat() if info.acquired else None,
        "outline": info.footprint_wkb,
    }


def nodata_to_text(nodata: float | None) -> str | None:
    """Return a nodata value as JSON text, or `nan`, which JSON lacks."""
    if nodata is None:
        return None
    return "nan" if nodata != nodata else canonical_json(float(nodata))


def make_stored_path(path: Path, collection: str) -> str:
    """Return the path, relative to the dataset, at which a stored raster file lies in the workspace."""
    return f"rasters/{collection}/{path.name}"


def _make_reference_path(path: Path, root: Path) -> str:
    """Return the path of a referenced file: relative if it lies inside the dataset, otherwise absolute."""
    full_path = path.resolve()
    return (full_path.relative_to(root) if full_path.is_relative_to(root) else full_path).as_posix()
