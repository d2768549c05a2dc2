"""What a raster says of itself that its chips keep, and the check that a GeoTIFF really keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, MemoryFile

from geographer.base.errors import UsageError
from geographer.base.values import Transform
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff

_STATISTICS = "STATISTICS_"
_OF_THE_FILE = {
    "IMAGE_STRUCTURE",
    "DERIVED_SUBDATASETS",
    "SUBDATASETS",
    "RPC",
    "GEOLOCATION",
    "COLOR_PROFILE",
}
"""Namespaces that speak of the file's structure, or of pixels by their place in the whole raster."""


def read_metadata(raster: DatasetReader, crs: str, bands: tuple[int, ...]) -> GeoTiffMetadata:
    """What chips of `bands` (counted from 1) of an open raster say; `crs` is its `Grid.crs`.

    Raises:
        UsageError: GeoTIFF can't hold it: the CRS, nodata, colours, names, scales, offsets or units.
    """
    metadata = _metadata(raster, crs, bands)
    require_geotiff_roundtrip(metadata, crs, raster.name)
    return metadata


def require_geotiff_roundtrip(metadata: GeoTiffMetadata, crs: str, name: str) -> None:
    """Makes sure that a GeoTIFF keeps all of `metadata`, whose CRS has the text `crs`.

    Raises:
        UsageError: It doesn't; the message names what, and the raster by `name`.
    """
    if lost := _lost(metadata, crs):
        message = f"GeoTIFF can't hold the {' and the '.join(lost)} of raster '{name}'"
        raise UsageError(f"{message}: give it a plainer one first, as with gdal_translate, or another --crs")


def _metadata(raster: DatasetReader, crs: str, bands: tuple[int, ...]) -> GeoTiffMetadata:
    def chosen(values: Sequence[Any], empty: object) -> tuple[Any, ...]:
        """Of these bands; nothing if they are all empty, since each call that writes one takes time."""
        of_bands = tuple(values[band - 1] for band in bands)
        return () if all(value == empty for value in of_bands) else of_bands

    interpretation = tuple(raster.colorinterp[band - 1] for band in bands)
    return GeoTiffMetadata(
        crs=parse_crs(crs),
        count=len(bands),
        dtype=str(np.dtype(raster.dtypes[0])),
        nodata=raster.nodata,
        interpretation=interpretation,
        colormap=raster.colormap(bands[0]) if interpretation == (ColorInterp.palette,) else None,
        descriptions=chosen(raster.descriptions, None),
        scales=chosen(raster.scales, 1.0),
        offsets=chosen(raster.offsets, 0.0),
        units=chosen(raster.units, None),
        tags=_tags(raster),
        band_tags=chosen([_kept(raster.tags(band)) for band in raster.indexes], {}),
    )


def _tags(raster: DatasetReader) -> dict[str | None, dict[str, str]]:
    named = [name for name in raster.tag_namespaces() if name not in _OF_THE_FILE and not name.startswith("xml:")]
    tags = {namespace: _kept(raster.tags(ns=namespace)) for namespace in (None, *sorted(named))}
    if tags[None].get("AREA_OR_POINT") == "Area":
        del tags[None]["AREA_OR_POINT"]
    return {namespace: values for namespace, values in tags.items() if values}


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {name: tags[name] for name in sorted(tags) if not name.startswith(_STATISTICS)}


def _lost(metadata: GeoTiffMetadata, crs: str) -> list[str]:
    """What is not the same when it is read back from a GeoTIFF of one pixel, without files beside it."""
    pixel = np.zeros((metadata.count, 1, 1), metadata.dtype)
    with MemoryFile(encode_geotiff(pixel, metadata, Transform(1, 0, 1, 0, -1, 1))) as file, file.open() as kept:
        kept_alike: dict[str, bool] = {
            "CRS": bool(kept.crs) and crs_to_text(kept.crs) == crs,
            "nodata": _same_number(metadata.nodata, kept.nodata),
            "colours": _same_colours(metadata, kept),
            "names of bands": _same(metadata.descriptions, kept.descriptions),
            "scales": _same(metadata.scales, kept.scales),
            "offsets": _same(metadata.offsets, kept.offsets),
            "units": _same(metadata.units, kept.units),
        }
    return [what for what, alike in kept_alike.items() if not alike]


def _same_number(wanted: float | None, kept: float | None) -> bool:
    return wanted == kept or (wanted is not None and kept is not None and math.isnan(wanted) and math.isnan(kept))


def _same(wanted: tuple[Any, ...], kept: tuple[Any, ...]) -> bool:
    return not wanted or wanted == tuple(kept)


def _same_colours(metadata: GeoTiffMetadata, kept: DatasetReader) -> bool:
    """Gray and undefined are one to TIFF; it keeps a colour map for a single band only, without opacity."""
    if ColorInterp.palette in metadata.interpretation:
        if metadata.colormap is None:
            return False
        colours = kept.colormap(1)
        return all(colours[value][:3] == colour[:3] for value, colour in metadata.colormap.items())

    def plain(colour: ColorInterp) -> ColorInterp:
        return ColorInterp.undefined if colour == ColorInterp.gray else colour

    return _same(tuple(map(plain, metadata.interpretation)), tuple(map(plain, kept.colorinterp)))
