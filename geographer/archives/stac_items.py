"""STAC items: outline in the item's own CRS, footprint in longitude/latitude, time in UTC, and common properties."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from geographer.algorithms.antimeridian import bbox_crosses_antimeridian, cut_at_antimeridian, has_longitude_jump
from geographer.archives.base import FileInfo, PropertyValue
from geographer.base.timestamps import parse_utc

if TYPE_CHECKING:
    import shapely

_LONLAT_CODES: Final = ("EPSG:4326", "OGC:CRS84")
_S2_NAME: Final = re.compile(
    r"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})"
)
"""Product names of Sentinel-2 since 2016."""

_S2_DATATAKE: Final = re.compile(r"G(?P<platform>S2[A-D])_(?P<start>\d{8}T\d{6})_(?P<orbit>\d{6})_N\d{2}\.\d{2}")
"""Datatake id of the archive. Its baseline is dropped, so that all processings of a datatake have the same id."""

_DIGEST_FORMS: Final = (
    *(("d50110", "md5", 32), ("1114", "sha1", 40), ("1220", "sha256", 64), ("1340", "sha512", 128)),
    *(("", "md5", 32), ("", "sha256", 64)),
)
"""Prefix of a multihash (none: a bare digest), algorithm, and number of hex digits."""


def read_outline(
    properties: Mapping[str, Any], assets: Iterable[Mapping[str, Any]]
) -> "tuple[shapely.Geometry, str] | None":
    """Return the outline and its CRS from the projection extension of an item, or of the first asset that has it.

    Coordinates are x before y, in units of the CRS (`EPSG:32633`, WKT2 or PROJJSON, as in the item). Malformed fields
    raise ValueError, TypeError, IndexError or shapely.errors.ShapelyError.
    """
    for fields in ({**properties, **asset} for asset in ({}, *assets)):
        crs = _read_projection_crs(fields)
        if crs is None or (outline := _read_projection_outline(fields)) is None:
            continue
        # The item's footprint is the same as an outline in degrees across the antimeridian, and is cut there.
        if crs not in _LONLAT_CODES or not has_longitude_jump(outline):
            return outline, crs
    return None


def _read_projection_outline(fields: Mapping[str, Any]) -> "shapely.Geometry | None":
    import shapely

    if fields.get("proj:transform") and fields.get("proj:shape"):
        a, b, c, d, e, f = fields["proj:transform"][:6]
        height, width = fields["proj:shape"]
        corners = [(0, 0), (0, height), (width, height), (width, 0)]
        return shapely.Polygon([(a * col + b * row + c, d * col + e * row + f) for col, row in corners])
    if fields.get("proj:geometry"):
        return shapely.from_geojson(json.dumps(fields["proj:geometry"]))
    return make_box(fields["proj:bbox"]) if fields.get("proj:bbox") else None


def _read_projection_crs(fields: Mapping[str, Any]) -> str | None:
    for name, prefix in (("proj:code", ""), ("proj:epsg", "EPSG:"), ("proj:wkt2", "")):
        if fields.get(name):
            return f"{prefix}{fields[name]}"
    return json.dumps(fields["proj:projjson"]) if fields.get("proj:projjson") else None


def make_box(bbox: Sequence[float]) -> "shapely.Polygon":
    """Return the polygon of a GeoJSON bbox of two or three dimensions, without its heights.

    A bbox whose west is east of its east crosses the antimeridian: its east is beyond 180.
    """
    import shapely

    west, south, east, north = *bbox[:2], *bbox[len(bbox) // 2 :][:2]
    return shapely.box(west, south, east + 360.0 if bbox_crosses_antimeridian(bbox) else east, north)


def read_acquisition_time(properties: Mapping[str, Any]) -> str | None:
    """Return `datetime`, else `start_datetime`, as `to_utc_iso` does; None if both are missing."""
    return to_utc_iso(properties.get("datetime") or properties.get("start_datetime"))


def to_utc_iso(text: str | None) -> str | None:
    """Return an ISO 8601 time (else ValueError, TypeError) in UTC without an offset; without an offset it is in UTC."""
    utc_time = parse_utc(text)
    return None if utc_time is None else utc_time.isoformat()


def normalise_footprint(outline: "shapely.Geometry", bbox: list[float] | None = None) -> "shapely.Geometry | None":
    """Return the area of a longitude/latitude outline as a valid Polygon or MultiPolygon between -180 and 180 degrees.

    An outline across the antimeridian is cut there, see `cut_at_antimeridian`. None if the outline has no area.
    """
    import shapely

    outline = cut_at_antimeridian(shapely.force_2d(outline), bbox, repair=True)
    if not shapely.is_valid(outline):
        outline = shapely.make_valid(outline)
    if outline.geom_type == "GeometryCollection":
        parts = shapely.get_parts(shapely.get_parts(outline))
        outline = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return outline if outline.geom_type in {"Polygon", "MultiPolygon"} and not outline.is_empty else None


def normalise_properties(fields: Mapping[str, Any], *names: str) -> dict[str, PropertyValue]:
    """Return the common properties of a product (see `Product.properties`) from those of its STAC item.

    What these lack is taken from a Sentinel-2 product name in one of `names`, such as the item's id and title.
    """
    values = (*_parse_s2_name(names), *_read_fields(fields))
    return {name: value for name, value in values if value is not None}


def read_asset_file_info(asset: Mapping[str, Any]) -> FileInfo:
    """Return what STAC's file extension (`file:size`, `file:checksum`) states about an asset."""
    return FileInfo(parse_size(asset.get("file:size")), parse_digest(asset.get("file:checksum")))


def parse_size(value: Any) -> int | None:
    """Return a non-negative integer, such as a size in bytes, or None if `value` is not one."""
    try:
        size = int(value)
    except (TypeError, ValueError):
        return None
    return size if size >= 0 else None


def parse_digest(value: Any) -> str | None:
    """Return `algorithm:hex` for a multihash in hex (STAC), or for a bare MD5 or SHA-256; otherwise None."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]+", value):
        return None
    text = value.lower()
    for prefix, algorithm, n_digits in _DIGEST_FORMS:
        if text.startswith(prefix) and len(text) == len(prefix) + n_digits:
            return f"{algorithm}:{text.removeprefix(prefix)}"
    return None


def normalise_baseline(text: str) -> str:
    """Return a processing baseline as `05.09`, given `05.09`, `0509`, `N0509` or `5.09`; other texts without 'N'."""
    bare = text.removeprefix("N")
    if re.fullmatch(r"\d{4}", bare):
        return f"{bare[:2]}.{bare[2:]}"
    return f"0{bare}" if re.fullmatch(r"\d\.\d{2}", bare) else bare


def _parse_s2_name(names: tuple[str, ...]) -> Iterator[tuple[str, PropertyValue | None]]:
    if match := next(filter(None, map(_S2_NAME.search, names)), None):
        yield "platform", f"sentinel-{match['platform'][1:].lower()}"
        yield "tile", match["tile"]
        yield "datatake", f"{match['platform']}_{match['start']}"
        yield "relative_orbit", int(match["orbit"])
        yield "processing_level", match["level"]
        yield "processing_baseline", normalise_baseline(match["baseline"])
        yield "processed", to_utc_iso(match["made"])


def _read_fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, PropertyValue | None]]:
    """Yield names and values of the common properties, with None for those that the item does not state."""
    for name in ("constellation", "gsd", "sat:orbit_state"):
        value = fields.get(name)
        yield name.removeprefix("sat:"), value if isinstance(value, str | int | float) and value != "" else None
    yield "platform", _find_text(fields, "platform")
    yield "processing_level", _find_text(fields, "processing:level")
    baseline = _find_text(fields, "s2:processing_baseline", "processing:version", "eopf:baseline")
    yield "processing_baseline", baseline and normalise_baseline(baseline)
    yield "relative_orbit", parse_size(fields.get("sat:relative_orbit"))
    yield "absolute_orbit", parse_size(fields.get("sat:absolute_orbit"))
    datatake = _find_text(fields, "s2:datatake_id", "eopf:datatake_id")
    match = _S2_DATATAKE.fullmatch(datatake or "")
    yield "datatake", f"{match['platform']}_{match['start']}" if match else datatake
    yield "absolute_orbit", int(match["orbit"]) if match else None
    yield "tile", _read_tile(fields)
    for name in ("created", "s2:generation_time", "processing:datetime"):  # The last one counts.
        with suppress(TypeError, ValueError):
            yield "processed", to_utc_iso(fields.get(name))


def _find_text(fields: Mapping[str, Any], *names: str) -> str | None:
    return next((value for value in map(fields.get, names) if value and isinstance(value, str)), None)


def _read_tile(fields: Mapping[str, Any]) -> str | None:
    if code := _find_text(fields, "grid:code"):
        return code.removeprefix("MGRS-")
    parts = [fields.get(f"mgrs:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
    if all(parts) and str(parts[0]).isdigit():
        return f"{str(parts[0]).zfill(2)}{parts[1]}{parts[2]}"
    tile = fields.get("s2:mgrs_tile") or fields.get("s2:tile_id")
    return tile if isinstance(tile, str) and re.fullmatch(r"\d{2}[A-Z]{3}", tile) else None
