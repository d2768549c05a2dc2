"""Chip rows: what the log records of chips that are files, and of virtual chips, from what it says of their rasters."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.base.values import Grid, Transform, Window
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.chip_windows import ChipWindow

if TYPE_CHECKING:
    from geographer.operations.cut.render import ChipResult

_VIRTUAL_IDS: Final = (
    "SELECT raster_id FROM current_raster WHERE recipe = $name AND storage = 'virtual' ORDER BY raster_id"
)
_RASTERS: Final = (
    "SELECT change.raster_id, sha256, crs, transform, width, height, bands, dtype, nodata "
    "FROM chain_raster_change AS change "
    "JOIN (SELECT raster_key FROM current_raster SEMI JOIN listed_raster USING (raster_id)) AS current "
    "ON change.position = raster_key >> 32 AND change.ordinal = raster_key & 4294967295"
)


class LoggedRaster(NamedTuple):
    """What the log says about a raster; `nodata` is text."""

    sha256: str
    grid: Grid
    bands: int
    dtype: str
    nodata: str | None


def list_virtual_ids(revision: Revision, recipe: str) -> list[str]:
    """Return the ids of the virtual chips of a recipe, sorted."""
    return [raster_id for (raster_id,) in revision.fetch_rows(_VIRTUAL_IDS, {"name": recipe})]


def describe_chip_file(collection: str, result: ChipResult) -> Mapping[str, Any]:
    """Return the columns of a chip that was written: its file and its grid."""
    from geographer.planning.raster_rows import describe_grid
    from geographer.rasters.read import grid_footprint_wkb

    return {
        "path": f"rasters/{collection}/{Path(result.destination).name}",
        "storage": "dvc",
        **describe_grid(result.grid, result.band_count, result.dtype, result.nodata),
        **result.checksums._asdict(),
        "pixel_digest": result.pixel_digest,
        "outline": grid_footprint_wkb(result.grid),
    }


def read_recorded_rasters(revision: Revision, raster_ids: Collection[str]) -> dict[str, LoggedRaster]:
    """Return what the log says about rasters, by id."""
    import pyarrow as pa

    if not raster_ids:
        return {}
    ids = pa.table({"raster_id": pa.array(sorted(raster_ids), pa.string())})
    with register_table(revision.connection, "listed_raster", ids):
        rows = revision.fetch_rows(_RASTERS)
    return {
        raster_id: LoggedRaster(
            sha256, Grid(crs, Transform(*json.loads(transform)), width, height), bands, dtype, nodata
        )
        for raster_id, sha256, crs, transform, width, height, bands, dtype, nodata in rows
    }


def describe_virtual_chip(
    raster: LoggedRaster, window: Window, bands: tuple[int, ...] | None, pad_value: float | None
) -> Mapping[str, Any]:
    """Return the columns of a virtual chip that say what it is a window of, and its grid; no file is read.

    `UsageError` if the pixels of the raster cannot have the value of the padding.
    """
    from geographer.planning.raster_rows import describe_grid
    from geographer.rasters.read import grid_footprint_wkb

    grid = Grid(raster.grid.crs, raster.grid.transform.for_window(window), window.width, window.height)
    selected = None if bands == tuple(range(1, raster.bands + 1)) else bands
    padding = None if pad_value is None else _format_pad_value(raster, pad_value)
    chip = ChipWindow(raster.sha256, (window.col, window.row, window.width, window.height), selected, padding)
    return {
        "path": chip.to_path(),
        "storage": "virtual",
        "sha256": chip.compute_digest(),
        **describe_grid(grid, len(bands or ()) or raster.bands, raster.dtype, None),
        "nodata": raster.nodata,
        "outline": grid_footprint_wkb(grid),
    }


def _format_pad_value(raster: LoggedRaster, value: float) -> str:
    """Return the text of the value of padding: that of nodata, which is exact, if they are equal."""
    import numpy as np

    from geographer.base.canonical_json import canonical_json
    from geographer.rasters.nodata import format_nodata, is_same_nodata, parse_nodata

    if raster.nodata is not None and is_same_nodata(parse_nodata(raster.nodata), value):
        return raster.nodata
    if np.dtype(raster.dtype).kind in "iu":
        limits = np.iinfo(raster.dtype)
        if not limits.min <= value <= limits.max or value != int(value):
            numbers = f"Use a whole number from {limits.min} to {limits.max}."
            raise UsageError(f"invalid pad value {value:g} for {raster.dtype}. {numbers}")
    return format_nodata(value) or canonical_json(float(value))
