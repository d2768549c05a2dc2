"""Raster rows: read raster files and describe them as rows of the log's raster table."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict
from urllib.parse import unquote, urlsplit

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import CorruptError, UsageError
from geographer.base.values import Checksums, Grid
from geographer.rasters.remote_address import find_remote_url
from geographer.storage.events.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.rasters.read import RasterInfo

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
    """How a raster file is named and read; see the parameters of `AddRasters`."""

    collection: str
    crs: str | None = None
    footprint: Footprint = "bounds"
    acquired: str | None = None
    id_folders: int = 0


def describe_raster(
    path: Path,
    options: RasterOptions,
    reference_path: str | None = None,
    embedded: Path | None = None,
    *,
    file: Path | None = None,
) -> tuple[RasterRow, Checksums, Mapping[str, str]]:
    """Read a raster file, all of its pixels included, and return its log row, checksums and GDAL tags.

    The log records `reference_path` for a file that stays in place (see `Roots.record_files`). `embedded` is stored in
    place of the file, see `embed_sidecar_metadata`. `file` is where this machine has the raster at `path`, if it is
    elsewhere.

    Raises:
        UsageError: The file is not a raster, has no CRS or depends on sidecar files.
        CorruptError: The file is damaged.
    """
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.sidecars import reject_sidecars

    file = file or path
    info = read_raster_info(file, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    if reference_path is not None:
        storage, log_path = "reference", reference_path
    else:
        reject_sidecars(file, info, crs=options.crs, footprint=options.footprint, embedded=embedded)
        storage, log_path = "dvc", make_stored_path(path, options.collection, options.id_folders)
    checksums = compute_checksums(embedded or file)
    pixel_digest = compute_pixel_digest(embedded or file, crs=options.crs)
    if embedded and pixel_digest != compute_pixel_digest(file, crs=options.crs):
        raise CorruptError(f"the pixels of raster '{path}' were not copied exactly. Convert it with gdal_translate.")
    row: RasterRow = {
        "raster_id": make_raster_id(path, options.id_folders),
        "collection": options.collection,
        "path": log_path,
        "storage": storage,
        "size": checksums.size,
        "md5": checksums.md5,
        "sha256": checksums.sha256,
        "pixel_digest": pixel_digest,
        **describe_named_grid(path, info),
        "acquired": info.acquired.isoformat() if info.acquired else None,
        "outline": info.footprint_wkb,
    }
    return row, checksums, info.tags


def describe_named_grid(path: Path, info: "RasterInfo") -> RasterRow:
    """Return the columns of the grid of the file at `path`, which an error names."""
    try:
        return describe_grid(info.grid, info.band_count, info.dtype, info.nodata)
    except UsageError as error:
        raise UsageError(f"the transform or nodata value of raster '{path}' is not finite: {error}") from error


def make_raster_rows(rows: Sequence[Mapping[str, object]]) -> "pa.Table":
    """Return an Arrow table of the log's raster rows."""
    columns = sorted({name for row in rows for name in row})
    return make_row_table("raster_change", {name: [row.get(name) for row in rows] for name in columns or ["raster_id"]})


def describe_grid(grid: Grid, bands: int, dtype: str, nodata: float | None) -> RasterRow:
    """Return the columns of a grid and its pixels; nodata is JSON text, or `nan`, `inf` or `-inf`."""
    from geographer.rasters.nodata import format_nodata

    transform = canonical_json([float(number) for number in grid.transform])
    text = None if nodata is None else format_nodata(nodata) or canonical_json(float(nodata))
    size = RasterRow(crs=grid.crs, width=grid.width, height=grid.height, transform=transform)
    return {**size, "bands": bands, "dtype": dtype, "nodata": text}


def make_raster_id(path: Path, id_folders: int = 0) -> str:
    """Return the id of the raster in a file: the stem of its name, after the names of `id_folders` folders above it."""
    named = get_named_path(path)
    folders = Path(os.path.abspath(named)).parts[1:-1]  # noqa: PTH100 (links to folders keep their names)
    return "_".join([*folders[-id_folders:], named.stem]) if id_folders else named.stem


def get_named_path(path: Path) -> Path:
    """Return the path whose names give a raster its id: that of the URL, if `path` is a remote address."""
    url = find_remote_url(path)
    return Path(unquote(urlsplit(url).path)) if url else path


def make_stored_path(path: Path, collection: str, id_folders: int = 0) -> str:
    """Return the path, relative to the dataset, at which a stored raster file lies in the workspace."""
    return f"rasters/{collection}/{make_raster_id(path, id_folders)}{path.suffix}"
