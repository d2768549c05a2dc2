"""One text for every CRS, which is the same for a raster and for the GeoTIFFs that are made from it."""

from __future__ import annotations

from functools import lru_cache

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader, MemoryFile

from geographer.base.errors import UsageError


def read_crs(raster: DatasetReader, crs: str | None = None) -> CRS:
    """The CRS of an open raster, or `crs` in its place.

    Raises:
        UsageError: There is none, or `crs` is unknown.
    """
    if crs is not None:
        return parse_crs(crs)
    if not raster.crs:
        raise UsageError(f"raster '{raster.name}' has no CRS: pass --crs EPSG:…")
    return raster.crs


@lru_cache(maxsize=256)
def parse_crs(text: str) -> CRS:
    """The CRS of a text such as `EPSG:32633` or WKT.

    Raises:
        UsageError: It is unknown.
    """
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise UsageError(f"no CRS '{text}': pass a code such as EPSG:32633, or WKT") from error


def crs_to_text(crs: CRS) -> str:
    """The one text of a CRS: `EPSG:nnnn` where PROJ is sure of the code, else WKT2:2019.

    GeoTIFF keeps less than WKT does (names of axes, ids of parameters). So that a raster and the chips cut
    from it have the same text, the WKT is the one that is read back after writing it, unless that is another
    CRS. Coordinates are always x before y, so OGC:CRS84 is EPSG:4326.
    """
    return _crs_text(crs.to_wkt(version="WKT2_2019"))


@lru_cache(maxsize=256)
def _crs_text(wkt: str) -> str:
    crs = CRS.from_wkt(wkt)
    if code := _code(crs):
        return code
    kept = _as_kept_by_geotiff(crs)
    if kept is None or kept != crs:
        return wkt
    return _code(kept) or kept.to_wkt(version="WKT2_2019")


def _code(crs: CRS) -> str | None:
    authority, code = crs.to_authority(confidence_threshold=100) or ("", "")
    if (authority, code) == ("OGC", "CRS84"):
        return "EPSG:4326"
    return f"EPSG:{code}" if authority == "EPSG" else None


def _as_kept_by_geotiff(crs: CRS) -> CRS | None:
    transform = rasterio.Affine(1, 0, 1, 0, -1, 1)
    with MemoryFile() as file:
        with file.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=crs, transform=transform):
            pass
        content = file.read()
    with MemoryFile(content) as file, file.open() as raster:
        return raster.crs
