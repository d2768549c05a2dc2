"""Raster rows: read raster files and describe them as rows of the log's raster table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from geographer.base.canonical_json import canonical_json
from geographer.base.values import Checksums, Grid
from geographer.storage.events.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

StorageMode = Literal["link", "copy", "reference"]
Footprint = Literal["bounds", "valid"]


class RasterRow(TypedDict, total=False):
    """A row of `raster_change`; a missing column is null."""

    change: str
    raster_id: str
    collection: str
    path: str
    storage: str
    crs: str
    width: int
    height: int
    transform: str
    bands: int
    dtype: str
    nodata: str | None
    acquired: str | None
    size: int
    md5: str
    sha256: str
    pixel_digest: str
    outline: bytes
    parent_id: str
    col: int
    row: int
    recipe: str
    feature_id: str | None
    properties: str


class RasterOptions(NamedTuple):
    """How a raster file is read and stored; see the parameters of `AddRasters`."""

    collection: str
    mode: StorageMode = "copy"
    crs: str | None = None
    footprint: Footprint = "bounds"
    acquired: str | None = None


def describe_raster(path: Path, root: Path, options: RasterOptions) -> tuple[RasterRow, Checksums, Mapping[str, str]]:
    """Read a raster file, all of its pixels included, and return its log row, checksums and GDAL tags.

    Raises:
        UsageError: The file is not a raster, has no CRS or depends on sidecar files.
        CorruptError: The file is damaged.
    """
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info, reject_sidecars

    info = read_raster_info(path, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    if options.mode == "reference":
        storage, target = "reference", path.resolve()
        log_path = (target.relative_to(root) if target.is_relative_to(root) else target).as_posix()
    else:
        reject_sidecars(path, info, crs=options.crs, footprint=options.footprint)
        storage, log_path = "dvc", make_stored_path(path, options.collection)
    checksums = compute_checksums(path)
    row: RasterRow = {
        "raster_id": path.stem,
        "collection": options.collection,
        "path": log_path,
        "storage": storage,
        "size": checksums.size,
        "md5": checksums.md5,
        "sha256": checksums.sha256,
        "pixel_digest": compute_pixel_digest(path, crs=options.crs),
        **describe_grid(info.grid, info.band_count, info.dtype, info.nodata),
        "acquired": info.acquired.isoformat() if info.acquired else None,
        "outline": info.footprint_wkb,
    }
    return row, checksums, info.tags


def make_raster_rows(rows: Sequence[Mapping[str, object]]) -> "pa.Table":
    """Return an Arrow table of the log's raster rows."""
    columns = sorted({name for row in rows for name in row})
    return make_row_table("raster_change", {name: [row.get(name) for row in rows] for name in columns or ["raster_id"]})


def describe_grid(grid: Grid, bands: int, dtype: str, nodata: float | None) -> RasterRow:
    """Return the columns of a grid and its pixels; nodata is JSON text, or `nan`, which JSON lacks."""
    transform = canonical_json([float(number) for number in grid.transform])
    text = None if nodata is None else "nan" if nodata != nodata else canonical_json(float(nodata))
    size = RasterRow(crs=grid.crs, width=grid.width, height=grid.height, transform=transform)
    return {**size, "bands": bands, "dtype": dtype, "nodata": text}


def make_stored_path(path: Path, collection: str) -> str:
    """Return the path, relative to the dataset, at which a stored raster file lies in the workspace."""
    return f"rasters/{collection}/{path.name}"
