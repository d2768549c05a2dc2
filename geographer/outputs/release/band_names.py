"""The names of the bands of collections, read from one file of each: GDAL's band descriptions."""

from __future__ import annotations

from pathlib import Path

from geographer.outputs.release.facts import ReleaseFacts
from geographer.outputs.release.layout import RASTERS


def read_band_names(facts: ReleaseFacts, folder: Path) -> dict[str, list[str]]:
    """Return the names of the bands of each collection that has files and one number of bands.

    The first file in the release, by path, tells; bands without a description are 'band 1', 'band 2' ….
    """
    from geographer.rasters.read import open_raster

    names: dict[str, list[str]] = {}
    for item in facts.collections:
        paths = (folder / RASTERS / item.name).glob("*.tif") if item.files and len(item.bands) == 1 else ()
        if first := min(paths, default=None):
            with open_raster(first, with_sidecars=False) as raster:
                texts = enumerate(raster.descriptions, 1)
                names[item.name] = [text or f"band {number}" for number, text in texts]
    return names
