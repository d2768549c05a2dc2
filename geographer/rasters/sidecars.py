"""Reject rasters that depend on sidecar files (.aux.xml, world files, .msk, VRT sources), which are not stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import rasterio

from geographer.base.errors import GeographerError, UsageError, quote_names
from geographer.rasters.read import RasterInfo, open_raster, read_raster_info


def reject_sidecars(
    path: Path, info: RasterInfo, *, crs: str | None = None, footprint: Literal["bounds", "valid"] = "bounds"
) -> None:
    """Raise unless the file at `path` alone gives the same `info`, and holds all its pixels.

    Overviews and statistics in sidecar files are harmless. World files, `.aux.xml` with a CRS, mask files and the
    sources of a VRT are not: the stored copy would lack them. `read_raster_info` returned `info` for the file with the
    same `crs` and `footprint`.

    Raises:
        UsageError: the raster depends on sidecar files; the message lists them.
    """
    with open_raster(path) as raster:
        sidecars = [Path(file) for file in raster.files if not Path(file).samefile(path)]
        is_virtual = raster.driver == "VRT"
    if not sidecars:
        return
    has_mask_file = any(file.suffix == ".msk" for file in sidecars)
    if is_virtual or has_mask_file or _differs_without_sidecars(path, info, crs, footprint):
        names = quote_names([file.name for file in sidecars])
        raise UsageError(
            f"raster '{path}' depends on other files: its CRS, transform, mask or pixels are in {names}. Convert it to "
            "one GeoTIFF, or keep it in its place with --mode reference."
        )


def _differs_without_sidecars(
    path: Path, info: RasterInfo, crs: str | None, footprint: Literal["bounds", "valid"]
) -> bool:
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        try:
            info_of_file = read_raster_info(path, crs=crs, footprint=footprint)
        except GeographerError:
            return True
    return replace(info_of_file, acquired=None) != replace(info, acquired=None)
