"""Product properties under common names, from the fields of a STAC item or from a Sentinel-2 product name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from geographer.archives.base import FileInfo
from geographer.archives.stac_items import to_utc_iso

PropertyValue = str | int | float | bool

_S2_NAME: Final = re.compile(
    r"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})"
)
"""Product names of Sentinel-2 since 2016."""

_S2_DATATAKE: Final = re.compile(r"G(?P<platform>S2[A-D])_(?P<start>\d{8}T\d{6})_(?P<orbit>\d{6})_N\d{2}\.\d{2}")
"""Datatake id of the archive. Its baseline is dropped, so that all processings of a datatake have the same id."""

_MULTIHASH_PREFIXES: Final = {"d50110": "md5", "1114": "sha1", "1220": "sha256", "1340": "sha512"}
_HEX_LENGTHS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_KEPT_FIELDS: Final = ("constellation", "gsd", "sat:orbit_state")


def normalise_properties(fields: Mapping[str, Any], *names: str) -> dict[str, PropertyValue]:
    """Return the common properties of a product (see `Product.properties`) from those of its STAC item.

    What these lack is taken from a Sentinel-2 product name in one of `names`, such as the item's id and title.
    """
    return {**dict(_parse_s2_name(names)), **dict(_read_fields(fields))}


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
    for prefix, algorithm in _MULTIHASH_PREFIXES.items():
        if text.startswith(prefix) and len(text) == len(prefix) + _HEX_LENGTHS[algorithm]:
            return f"{algorithm}:{text[len(prefix) :]}"
    bare = {_HEX_LENGTHS[algorithm]: algorithm for algorithm in ("md5", "sha256")}
    return f"{bare[len(text)]}:{text}" if len(text) in bare else None


def normalise_baseline(text: str) -> str:
    """Return a processing baseline as `05.09`, given `05.09`, `0509`, `N0509` or `5.09`; other texts without 'N'."""
    bare = text.removeprefix("N")
    if re.fullmatch(r"\d{4}", bare):
        return f"{bare[:2]}.{bare[2:]}"
    return f"0{bare}" if re.fullmatch(r"\d\.\d{2}", bare) else bare


def _parse_s2_name(names: tuple[str, ...]) -> Iterator[tuple[str, PropertyValue]]:
    match = next((match for match in map(_S2_NAME.search, names) if match), None)
    if match is None:
        return
    yield "platform", f"sentinel-{match['platform'][1:].lower()}"
    yield "tile", match["tile"]
    yield "datatake", f"{match['platform']}_{match['start']}"
    yield "relative_orbit", int(match["orbit"])
    yield "processing_level", match["level"]
    yield "processing_baseline", normalise_baseline(match["baseline"])
    yield "processed", to_utc_iso(match["made"])


def _read_fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, PropertyValue]]:
    yield from _read_processing(fields)
    yield from _read_orbits(fields)
    if tile := _read_tile(fields):
        yield "tile", tile
    for name in ("processing:datetime", "s2:generation_time", "created"):
        try:
            processed = to_utc_iso(fields[name])
        except (KeyError, TypeError, ValueError):
            continue
        yield "processed", processed
        return


def _read_processing(fields: Mapping[str, Any]) -> Iterator[tuple[str, PropertyValue]]:
    for name in _KEPT_FIELDS:
        value = fields.get(name)
        if isinstance(value, str | int | float) and value != "":
            yield name.removeprefix("sat:"), value
    if isinstance(fields.get("platform"), str):
        yield "platform", fields["platform"]
    if isinstance(fields.get("processing:level"), str):
        yield "processing_level", fields["processing:level"]
    for name in ("s2:processing_baseline", "processing:version", "eopf:baseline"):
        if isinstance(fields.get(name), str):
            yield "processing_baseline", normalise_baseline(fields[name])
            return


def _read_orbits(fields: Mapping[str, Any]) -> Iterator[tuple[str, PropertyValue]]:
    for name in ("relative_orbit", "absolute_orbit"):
        orbit = parse_size(fields.get(f"sat:{name}"))
        if orbit is not None:
            yield name, orbit
    for name in ("s2:datatake_id", "eopf:datatake_id"):
        datatake = fields.get(name)
        if isinstance(datatake, str) and datatake:
            match = _S2_DATATAKE.fullmatch(datatake)
            yield "datatake", f"{match['platform']}_{match['start']}" if match else datatake
            if match:
                yield "absolute_orbit", int(match["orbit"])
            return


def _read_tile(fields: Mapping[str, Any]) -> str | None:
    code = fields.get("grid:code")
    if isinstance(code, str) and code:
        return code.removeprefix("MGRS-")
    parts = [fields.get(f"mgrs:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
    if all(parts) and str(parts[0]).isdigit():
        return f"{str(parts[0]).zfill(2)}{parts[1]}{parts[2]}"
    tile = fields.get("s2:mgrs_tile") or fields.get("s2:tile_id")
    return tile if isinstance(tile, str) and re.fullmatch(r"\d{2}[A-Z]{3}", tile) else None
