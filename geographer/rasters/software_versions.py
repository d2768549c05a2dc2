"""The versions of the software that decides a raster file's bytes."""

from __future__ import annotations

from importlib.metadata import version

import rasterio


def pixel_software() -> dict[str, str]:
    """GDAL, PROJ and GEOS as rasterio carries them, rasterio and numpy."""
    return {
        "gdal": rasterio.__gdal_version__,
        "proj": rasterio.__proj_version__,
        "geos": rasterio.__geos_version__,
        **{name: version(name) for name in ("numpy", "rasterio")},
    }
