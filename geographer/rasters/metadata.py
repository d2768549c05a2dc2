"""Raster metadata that chips inherit (nodata, colours, band names, scales, tags), checked to be storable in GeoTIFF."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, MemoryFile

from geographer.base.errors import UsageError
from geographer.base.values import Transform
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.nodata import is_same_nodata, read_nodata
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff

_FILE_NAMESPACES = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "GEOLOCATION", "COLOR_PROFILE"}
"""Tag namespaces about the file's structure, or about pixels by their position in the whole raster."""


def read_metadata(raster: DatasetReader, crs: str, bands: tuple[int, ...]) -> GeoTiffMetadata:
    """Read the metadata that chips of `bands` (numbers from 1) inherit from an open raster, whose `Grid.crs` is `crs`.

    Raise UsageError if GeoTIFF cannot store the CRS, nodata, colours, names, scales, offsets or units.
    """

    def select_values(values: Sequence[Any], default: object) -> tuple[Any, ...]:
        """Select the values of `bands`; return nothing if all are the default, since each write call takes time."""
        selected = tuple(values[band - 1] for band in bands)
        return () if all(value == default for value in selected) else selected

    interpretation = tuple(raster.colorinterp[band - 1] for band in bands)
    metadata = GeoTiffMetadata(
        crs=parse_crs(crs),
        count=len(bands),
        dtype=str(np.dtype(raster.dtypes[0])),
        nodata=read_nodata(raster),
        interpretation=interpretation,
        colormap=raster.colormap(bands[0]) if interpretation == (ColorInterp.palette,) else None,
        descriptions=select_values(raster.descriptions, None),
        scales=select_values(raster.scales, 1.0),
        offsets=select_values(raster.offsets, 0.0),
        units=select_values(raster.units, None),
        tags=_collect_tags(raster),
        band_tags=select_values([_drop_statistics(raster.tags(band)) for band in raster.indexes], {}),
    )
    require_geotiff_roundtrip(metadata, crs, raster.name)
    return metadata


def require_geotiff_roundtrip(metadata: GeoTiffMetadata, crs: str, name: str) -> None:
    """Raise UsageError for the raster `name` unless a GeoTIFF stores all `metadata`, whose CRS has the text `crs`."""
    if lost := _find_lost_fields(metadata, crs):
        raise UsageError(
            f"GeoTIFF cannot store the {' and the '.join(lost)} of raster '{name}'. Convert the raster with "
            "gdal_translate first, or pass another --crs."
        )


def _collect_tags(raster: DatasetReader) -> dict[str | None, dict[str, str]]:
    namespaces = [
        name for name in raster.tag_namespaces() if name not in _FILE_NAMESPACES and not name.startswith("xml:")
    ]
    tags = {namespace: _drop_statistics(raster.tags(ns=namespace)) for namespace in (None, *sorted(namespaces))}
    if tags[None].get("AREA_OR_POINT") == "Area":
        del tags[None]["AREA_OR_POINT"]
    # GDAL takes its pixels for masked; chips have an internal mask instead, which holds for each selection of bands.
    tags[None].pop("NODATA_VALUES", None)
    return {namespace: values for namespace, values in tags.items() if values}


def _drop_statistics(tags: dict[str, str]) -> dict[str, str]:
    return {name: tags[name] for name in sorted(tags) if not name.startswith("STATISTICS_")}


def _find_lost_fields(metadata: GeoTiffMetadata, crs: str) -> list[str]:
    """List the fields that differ when read back from a GeoTIFF of one pixel without sidecar files."""
    pixel = np.zeros((metadata.count, 1, 1), metadata.dtype)
    with MemoryFile(encode_geotiff(pixel, metadata, Transform(1, 0, 1, 0, -1, 1))) as file, file.open() as stored:
        tuples = {"names of bands": "descriptions", "scales": "scales", "offsets": "offsets", "units": "units"}
        is_stored = {
            "CRS": bool(stored.crs) and crs_to_text(stored.crs) == crs,
            "nodata": is_same_nodata(metadata.nodata, read_nodata(stored)),
            "colours": _has_same_colours(metadata, stored),
            **{noun: getattr(metadata, name) in ((), getattr(stored, name)) for noun, name in tuples.items()},
        }
    return [field for field, is_same in is_stored.items() if not is_same]


def _has_same_colours(metadata: GeoTiffMetadata, stored: DatasetReader) -> bool:
    """Compare colours as TIFF stores them: gray equals undefined; a colour map needs one band, and has no opacity."""
    if ColorInterp.palette in metadata.interpretation:
        if metadata.colormap is None:
            return False
        colours = stored.colormap(1)
        return all(colours[value][:3] == colour[:3] for value, colour in metadata.colormap.items())
    return all(
        expected == colour or {expected, colour} == {ColorInterp.gray, ColorInterp.undefined}
        for expected, colour in zip(metadata.interpretation, stored.colorinterp, strict=False)
    )
