"""Nodata values exactly: rasterio reads and writes them as float64, which rounds integers from 2^53 on."""

from __future__ import annotations

import math
import re
import struct
from typing import Final

import rasterio.shutil
from rasterio.io import DatasetReader, MemoryFile

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import UsageError

_FIRST_INEXACT: Final = 2**53
_WIDE_INTEGERS: Final = ("int64", "uint64")
_VRT_NODATA: Final = re.compile(rb"<NoDataValue>\s*([^<\s]*)\s*</NoDataValue>")
_LONG_INTEGER: Final = re.compile(r"-?\d{16,20}")
_GDAL_NODATA_TAG: Final = 42113
PLACEHOLDER: Final = {"int64": -(2.0**63), "uint64": 2.0**63}
"""Values that are in range after rounding, and whose text in a TIFF is longer than every integer of the dtype."""


def read_nodata(raster: DatasetReader) -> float | None:
    """Read the nodata value of all bands of an open raster: an int from 2^53 on, else a float.

    GDAL knows 64-bit integers exactly, and writes them into a VRT.

    Raises:
        UsageError: The bands have different values.
    """
    nodata: float | None = raster.nodata
    is_exact = nodata is not None and abs(nodata) < _FIRST_INEXACT
    if is_exact or raster.dtypes[0] not in _WIDE_INTEGERS:
        return None if nodata is None else float(nodata)
    with MemoryFile(ext="vrt") as file:
        rasterio.shutil.copy(raster, file.name, driver="VRT")
        texts = {text.decode() for text in _VRT_NODATA.findall(bytes(file.getbuffer()))}
    if len(texts) > 1:
        differences = ", ".join(sorted(texts))
        raise UsageError(
            f"the bands of raster '{raster.name}' differ in nodata ({differences}). Write each to its own raster."
        )
    return int(texts.pop()) if texts else None


def require_float_nodata(raster: DatasetReader) -> float | None:
    """Return the nodata value of an open raster; raise `UsageError` if float64 may round it."""
    nodata = read_nodata(raster)
    if is_wide_nodata(nodata):
        raise UsageError(
            f"the nodata value of raster '{raster.name}', {nodata}, is above 2^53. Bands with it are not combined. "
            "Set a smaller one with gdal_translate -a_nodata, or read all bands unchanged."
        )
    return nodata


def is_wide_nodata(nodata: float | None) -> bool:
    """Return whether a nodata value is an integer that float64 may round."""
    return isinstance(nodata, int) and abs(nodata) >= _FIRST_INEXACT


def format_nodata(nodata: float | None) -> str | None:
    """Return the log's text of a value that JSON has no number for: nan, inf, -inf, or an integer from 2^53 on."""
    if nodata is not None and (is_wide_nodata(nodata) or not math.isfinite(nodata)):
        return str(nodata)
    return None


def parse_nodata(text: str) -> float:
    """Return the value of the log's text: an int if float64 rounds it, else a float.

    Earlier versions recorded rounded integers, in the form that JSON has for a float; these stay floats.

    Raises:
        ValueError: The text is not a number.
    """
    value = float(text)
    return int(text) if _LONG_INTEGER.fullmatch(text) and canonical_json(value) != text else value


def is_same_nodata(a: float | None, b: float | None) -> bool:
    """Return whether two nodata values are equal, both NaN or both None; as float64 unless both are an `int`."""
    if a is None or b is None:
        return a is b
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return float(a) == float(b) or (math.isnan(a) and math.isnan(b))


def write_wide_nodata(geotiff: bytes, nodata: int) -> bytes:
    """Return a little-endian GeoTIFF, written with the `PLACEHOLDER` of its dtype, with `nodata` in its place."""
    content = bytearray(geotiff)
    is_big = content[2] == 43
    (directory,) = struct.unpack_from("<Q" if is_big else "<I", content, 8 if is_big else 4)
    (count,) = struct.unpack_from("<Q" if is_big else "<H", content, directory)
    start, size, layout = (directory + 8, 20, "<HHQQ") if is_big else (directory + 2, 12, "<HHII")
    for entry in range(start, start + count * size, size):
        tag, kind, length, offset = struct.unpack_from(layout, content, entry)
        if tag == _GDAL_NODATA_TAG:
            text = str(nodata).encode() + b"\0"
            content[offset : offset + length] = text.ljust(length, b"\0")
            struct.pack_into(layout, content, entry, tag, kind, len(text), offset)
            return bytes(content)
    raise ValueError("the GeoTIFF has no nodata tag")
