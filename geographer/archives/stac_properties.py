"""What is worth keeping of what an archive tells of a product, under names that mean the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from geographer.archives.base import FileInfo
from geographer.archives.stac_items import in_utc

Fact = str | int | float | bool

_S2_ID: Final = re.compile(
    r"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})"
)
"""Names of Sentinel-2 products since 2016."""

_S2_DATATAKE: Final = re.compile(r"G(?P<platform>S2[A-D])_(?P<start>\d{8}T\d{6})_(?P<orbit>\d{6})_N\d{2}\.\d{2}")
"""The archive's datatake id holds the baseline; without it two processings of one datatake have the same."""

_MULTIHASHES: Final = {"d50110": "md5", "1114": "sha1", "1220": "sha256", "1340": "sha512"}
_LENGTHS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
_KEPT: Final = ("constellation", "gsd", "sat:orbit_state")


def facts_of(fields: Mapping[str, Any], *names: str) -> dict[str, Fact]:
    """The facts that the fields of a STAC item tell, and else what a Sentinel-2 product's names tell.

    Args:
        fields: The item's properties.
        names: Its id, title and whatever else may hold the product's name.
    """
    facts = dict(_named(names))
    facts.update(_stated(fields))
    return facts


def stated_of(asset: Mapping[str, Any]) -> FileInfo:
    """What the file extension of STAC (`file:size`, `file:checksum`) says of a file."""
    return FileInfo(size_of(asset.get("file:size")), digest_of(asset.get("file:checksum")))


def size_of(value: Any) -> int | None:
    """A size in bytes, if it is one."""
    try:
        size = int(value)
    except (TypeError, ValueError):
        return None
    return size if size >= 0 else None


def digest_of(value: Any) -> str | None:
    """`algorithm:hex` of a multihash in hex (as STAC has it), or of a bare MD5 or SHA-256; None if it is neither."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]+", value):
        return None
    text = value.lower()
    for prefix, algorithm in _MULTIHASHES.items():
        if text.startswith(prefix) and len(text) == len(prefix) + _LENGTHS[algorithm]:
            return f"{algorithm}:{text[len(prefix) :]}"
    bare = {_LENGTHS[algorithm]: algorithm for algorithm in ("md5", "sha256")}
    return f"{bare[len(text)]}:{text}" if len(text) in bare else None


def _named(names: tuple[str, ...]) -> Iterator[tuple[str, Fact]]:
    found = next((match for match in map(_S2_ID.search, names) if match), None)
    if found is None:
        return
    yield "platform", f"sentinel-{found['platform'][1:].lower()}"
    yield "tile", found["tile"]
    yield "datatake", f"{found['platform']}_{found['start']}"
    yield "relative_orbit", int(found["orbit"])
    yield "processing_level", found["level"]
    yield "processing_baseline", _baseline(found["baseline"])
    yield "processed", in_utc(found["made"])


def _stated(fields: Mapping[str, Any]) -> Iterator[tuple[str, Fact]]:
    yield from _texts(fields)
    yield from _orbits(fields)
    if tile := _tile(fields):
        yield "tile", tile
    for name in ("processing:datetime", "s2:generation_time", "created"):
        try:
            processed = in_utc(fields[name])
        except (KeyError, TypeError, ValueError):
            continue
        yield "processed", processed
        return


def _texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, Fact]]:
    for name in _KEPT:
        value = fields.get(name)
        if isinstance(value, str | int | float) and value != "":
            yield name.removeprefix("sat:"), value
    if isinstance(fields.get("platform"), str):
        yield "platform", fields["platform"]
    if isinstance(fields.get("processing:level"), str):
        yield "processing_level", fields["processing:level"]
    for name in ("s2:processing_baseline", "processing:version", "eopf:baseline"):
        if isinstance(fields.get(name), str):
            yield "processing_baseline", _baseline(fields[name])
            return


def _orbits(fields: Mapping[str, Any]) -> Iterator[tuple[str, Fact]]:
    for name, fact in (("sat:relative_orbit", "relative_orbit"), ("sat:absolute_orbit", "absolute_orbit")):
        orbit = size_of(fields.get(name))
        if orbit is not None:
            yield fact, orbit
    for name in ("s2:datatake_id", "eopf:datatake_id"):
        datatake = fields.get(name)
        if isinstance(datatake, str) and datatake:
            found = _S2_DATATAKE.fullmatch(datatake)
            yield "datatake", f"{found['platform']}_{found['start']}" if found else datatake
            if found:
                yield "absolute_orbit", int(found["orbit"])
            return


def _tile(fields: Mapping[str, Any]) -> str | None:
    code = fields.get("grid:code")
    if isinstance(code, str) and code:
        return code.removeprefix("MGRS-")
    parts = [fields.get(f"mgrs:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
    if all(parts) and str(parts[0]).isdigit():
        return f"{str(parts[0]).zfill(2)}{parts[1]}{parts[2]}"
    tile = fields.get("s2:mgrs_tile") or fields.get("s2:tile_id")
    return tile if isinstance(tile, str) and re.fullmatch(r"\d{2}[A-Z]{3}", tile) else None


def _baseline(text: str) -> str:
    """`05.09`, also of `0509`, `N0509` and `5.09`."""
    bare = text.removeprefix("N")
    if re.fullmatch(r"\d{4}", bare):
        return f"{bare[:2]}.{bare[2:]}"
    return f"0{bare}" if re.fullmatch(r"\d\.\d{2}", bare) else bare
