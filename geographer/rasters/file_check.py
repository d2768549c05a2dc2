"""Check a raster file that stays in its place: its main file by checksum, and what other files add to it by pixels."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from geographer.base.atomic_files import FileDamage, check_file
from geographer.base.errors import GeographerError
from geographer.base.values import Checksums, Grid
from geographer.rasters.crs import parse_crs
from geographer.rasters.nodata import is_same_nodata, read_nodata
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import open_raster, read_grid


class RecordedRaster(NamedTuple):
    """What the log records of a raster beside the checksums of its main file.

    `has_given_crs` is true if the user gave the CRS (`--crs`), or if it is not known: then the file's own CRS, which
    nothing uses, is not compared.
    """

    grid: Grid
    nodata: float | None
    pixel_digest: str
    has_given_crs: bool = True


def check_raster_file(path: Path, checksums: Checksums, recorded: RecordedRaster) -> FileDamage | None:
    """Compare a raster with its record: the main file, then grid and nodata, then the pixels if other files matter.

    World files, `.aux.xml` and the sources of a VRT have no recorded checksums. So if GDAL reads more files than the
    main one, or the format is not GeoTIFF, all pixels are decoded for the pixel digest. Mask files (`.msk`) are in no
    digest and are not compared.
    """
    if damage := check_file(path, checksums):
        return damage
    crs = recorded.grid.crs
    try:
        with open_raster(path) as raster:
            is_single_file = raster.driver == "GTiff" and len(raster.files) == 1
            grid, nodata = read_grid(raster, crs if recorded.has_given_crs else None), read_nodata(raster)
        is_intact = (
            replace(grid, crs=crs) == recorded.grid
            and parse_crs(grid.crs) == parse_crs(crs)
            and is_same_nodata(nodata, recorded.nodata)
            and (is_single_file or compute_pixel_digest(path, crs=crs) == recorded.pixel_digest)
        )
    except GeographerError:
        is_intact = False
    return None if is_intact else "altered"
