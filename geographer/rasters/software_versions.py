"""Versions of the software that determines a raster file's bytes."""

from __future__ import annotations

from importlib.metadata import version

import rasterio


def read_software_versions() -> dict[str, str]:
    """Return the versions of GDAL, PROJ and GEOS that rasterio ships, and those of rasterio and numpy."""
    return {
        "gdal": rasterio.__gdal_version__,
        "proj": rasterio.__proj_version__,
        "geos": rasterio.__geos_version__,
        **{name: version(name) for name in ("numpy", "rasterio")},
    }
