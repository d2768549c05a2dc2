"""Sidecar files of rasters: reject what only they hold, or write it into a copy of the raster."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geographer.base.errors import GeographerError, UsageError, quote_names
from geographer.rasters.read import (
    NO_SIDECARS,
    FootprintKind,
    RasterInfo,
    open_raster,
    read_raster_info,
    translate_metadata_errors,
)

_SETTABLE = ("scales", "offsets", "units", "descriptions")


def find_sidecar_metadata(path: Path) -> tuple[str, ...]:
    """Return the nouns, such as `scales`, of metadata of bands that sidecar files of a raster add or change."""
    with open_raster(path) as raster:
        has_sidecars = any(not Path(file).samefile(path) for file in raster.files)
        if not has_sidecars:
            return ()
        metadata = _read_band_metadata(raster)
    with suppress(GeographerError):
        return _find_lost_metadata(metadata, path)
    return ()


def embed_sidecar_metadata(path: Path, target: Path) -> None:
    """Copy a GeoTIFF to `target`, with the metadata of its bands that sidecar files hold.

    Blocks of pixels, overviews, masks and all other metadata keep their bytes. Equal inputs give equal files.

    Raises:
        UsageError: The raster is not a GeoTIFF, or GeoTIFF cannot store the metadata.
    """
    shutil.copyfile(path, target)
    with open_raster(path) as source:
        metadata, driver = _read_band_metadata(source), source.driver
    if driver == "GTiff":
        with (
            translate_metadata_errors(path),
            rasterio.Env(**NO_SIDECARS),
            rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster,
        ):
            _write_band_metadata(raster, metadata)
    if lost := _find_lost_metadata(metadata, target):
        raise _make_loss_error(path, lost)


def reject_sidecars(
    path: Path, info: RasterInfo, *, crs: str | None, footprint: FootprintKind, embedded: Path | None = None
) -> None:
    """Raise UsageError if the raster at `path`, with this `info`, depends on sidecar files, which are not stored.

    Overviews and statistics in sidecar files are harmless. World files, mask files, the sources of a VRT, and
    `.aux.xml` with a CRS, nodata, tags, scale, offset, unit, description or colours are not. `read_raster_info`
    returned `info` for the file with the same `crs` and `footprint`. `embedded` is the file that is stored in its
    place, see `embed_sidecar_metadata`.
    """
    with open_raster(path) as raster:
        sidecars = [Path(file) for file in raster.files if not Path(file).samefile(path)]
        is_virtual = raster.driver == "VRT"
    if not sidecars:
        return
    if embedded is None and (lost := find_sidecar_metadata(path)):
        raise _make_loss_error(path, lost)
    info_of_file = None
    with rasterio.Env(**NO_SIDECARS), suppress(GeographerError):
        info_of_file = replace(read_raster_info(embedded or path, crs=crs, footprint=footprint), acquired=info.acquired)
    if is_virtual or any(file.suffix == ".msk" for file in sidecars) or info_of_file != info:
        names = quote_names([file.name for file in sidecars])
        raise UsageError(
            f"raster '{path}' depends on other files: its CRS, transform, mask or pixels are in {names}. Convert it to "
            "one GeoTIFF, or keep it in its place with --mode reference."
        )


def _find_lost_metadata(metadata: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Return the nouns of what the file at `path` alone does not have."""
    with open_raster(path, with_sidecars=False) as raster:
        own_metadata = _read_band_metadata(raster)
    return tuple(name for name, value in metadata.items() if not _is_same(name, value, own_metadata[name]))


def _make_loss_error(path: Path, lost: tuple[str, ...]) -> UsageError:
    return UsageError(
        f"the {' and '.join(lost)} of raster '{path}' are in files beside it, which are not stored. Write them into a "
        "GeoTIFF (gdal_translate raster.tif copy.tif), or keep the raster in its place with --mode reference."
    )


def _read_band_metadata(raster: DatasetReader) -> dict[str, Any]:
    """Return what chips inherit and GDAL may read from a sidecar file, by its noun."""
    colors = raster.colorinterp
    return {
        "scales": raster.scales,
        "offsets": raster.offsets,
        "units": raster.units,
        "descriptions": raster.descriptions,
        "colours": (colors, raster.colormap(1) if colors == (ColorInterp.palette,) else {}),
        "tags of bands": tuple(_read_band_tags(raster, band) for band in raster.indexes),
    }


def _read_band_tags(raster: DatasetReader, band: int) -> dict[str, str]:
    return {name: text for name, text in raster.tags(band).items() if not name.startswith("STATISTICS_")}


def _is_same(name: str, value: Any, own_value: Any) -> bool:
    """Compare one item of `_read_band_metadata`; a TIFF's colour table has all values of the dtype, and no opacity."""
    if name != "colours":
        return bool(value == own_value)
    (colors, table), (own_colors, own_table) = value, own_value
    return colors == own_colors and all(own_table.get(pixel, ())[:3] == table[pixel][:3] for pixel in table)


def _write_band_metadata(raster: Any, metadata: dict[str, Any]) -> None:
    """Write what differs into a raster that is open for update."""
    own_metadata = _read_band_metadata(raster)
    colors, table = metadata["colours"]
    if table:
        raster.write_colormap(1, table)
    if colors != raster.colorinterp:
        raster.colorinterp = colors
    for name in _SETTABLE:
        if metadata[name] != own_metadata[name]:
            setattr(raster, name, tuple("" if value is None else value for value in metadata[name]))
    for band, tags in enumerate(metadata["tags of bands"], start=1):
        if tags != own_metadata["tags of bands"][band - 1]:
            raster.update_tags(band, **tags)
