"""Whether a raster is one file: what GDAL reads beside it is not stored, and must not matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import rasterio

from geographer.base.errors import GeographerError, UsageError, quote_names
from geographer.rasters.read import RasterInfo, open_raster, read_raster_info

_MASK = ".msk"


def reject_sidecars(
    path: Path, facts: RasterInfo, *, crs: str | None = None, footprint: Literal["bounds", "valid"] = "bounds"
) -> None:
    """Raise unless the file at `path` says all of `facts` by itself, and holds all its pixels.

    Overviews and statistics beside it do no harm. World files, `.aux.xml` with a CRS, masks in files of their own and
    the sources of a VRT do: they would be missing beside the stored copy.

    Raises:
        UsageError: it does not; the message names the files beside it.
    """
    with open_raster(path) as raster:
        beside = [Path(file) for file in raster.files if not Path(file).samefile(path)]
        virtual = raster.driver == "VRT"
    if not beside or not (
        virtual or any(file.suffix == _MASK for file in beside) or _differs(path, facts, crs, footprint)
    ):
        return
    names = quote_names([file.name for file in beside])
    raise UsageError(
        f"raster '{path}' is more than one file, its CRS, place, mask or pixels lie in {names}: convert it to GeoTIFF, "
        "or leave it where it is with --mode reference"
    )


def _differs(path: Path, facts: RasterInfo, crs: str | None, footprint: Literal["bounds", "valid"]) -> bool:
    """Whether the raster is another one when GDAL doesn't look at the files beside it."""
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        try:
            alone = read_raster_info(path, crs=crs, footprint=footprint)
        except GeographerError:
            return True
    return replace(alone, acquired=None) != replace(facts, acquired=None)
