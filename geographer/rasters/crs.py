"""One text for each CRS, equal for a raster and for the GeoTIFFs made from it."""

from functools import lru_cache

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import MemoryFile

from geographer.base.errors import UsageError


@lru_cache(maxsize=256)
def parse_crs(text: str) -> CRS:
    """Parse a text such as `EPSG:32633` or WKT; raise UsageError if the CRS is unknown."""
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise UsageError(f"unknown CRS '{text}'. Use a code such as EPSG:32633, or WKT.") from error


def crs_to_text(crs: CRS) -> str:
    """Return the text of a CRS: `EPSG:nnnn` if PROJ identifies the code with certainty, else WKT2:2019.

    GeoTIFF stores less than WKT does (no axis names, no parameter ids). To give a raster and its chips the same text,
    the WKT is the one read back from a GeoTIFF, unless that is a different CRS. Coordinates are always x before y, so
    OGC:CRS84 becomes EPSG:4326.
    """
    return _wkt_to_text(crs.to_wkt(version="WKT2_2019"))


@lru_cache(maxsize=256)
def _wkt_to_text(wkt: str) -> str:
    crs = CRS.from_wkt(wkt)
    if code := _find_epsg_code(crs):
        return code
    stored = _roundtrip_geotiff(crs)
    if stored is None or stored != crs:
        stored = crs
    return _find_epsg_code(stored) or _format_wkt(stored)


def _format_wkt(crs: CRS) -> str:
    """Return WKT2:2019, or WKT1 for an azimuthal equidistant projection, which DuckDB's PROJ reads in WKT1 only."""
    wkt: str = crs.to_wkt(version="WKT2_2019")
    return str(crs.to_wkt(version="WKT1_GDAL")) if 'METHOD["Azimuthal Equidistant"' in wkt else wkt


def _find_epsg_code(crs: CRS) -> str | None:
    authority, code = crs.to_authority(confidence_threshold=100) or ("", "")
    if (authority, code) == ("OGC", "CRS84"):
        return "EPSG:4326"
    return f"EPSG:{code}" if authority == "EPSG" else None


def _roundtrip_geotiff(crs: CRS) -> CRS | None:
    """Write a CRS to a GeoTIFF in memory, and read it back."""
    transform = rasterio.Affine(1, 0, 1, 0, -1, 1)
    with MemoryFile() as file:
        with file.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=crs, transform=transform):
            pass
        content = file.read()
    with MemoryFile(content) as file, file.open() as raster:
        return raster.crs
