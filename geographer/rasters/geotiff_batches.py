"""GeoTIFFs of one kind, encoded at once: the bytes that GDAL gives each, at a fraction of the time.

Opening a file and writing its CRS takes GDAL longer than compressing the pixels of a chip. Strips are compressed
independently, so those of many rasters are compressed as the strips of one tall TIFF, and put behind the header that
GDAL wrote for the first raster, with the georeference of each. The first and the last raster of a kind are compared
with what GDAL writes for them; if these differ, all rasters of the kind are left to GDAL.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from geographer.base.values import Transform
from geographer.rasters.nodata import is_wide_nodata
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, make_creation_options

_MIN_BATCH: Final = 4
"""Fewer rasters are encoded one by one: a tall TIFF and two comparisons would take longer."""
_MAX_SIZE: Final = 512
"""Larger rasters have tiles, and their pixels take most of the time; see `make_creation_options`."""
_ROWS: Final = 64
_OFFSETS, _COUNTS, _SCALE, _TIEPOINT = 273, 279, 33550, 33922
_TYPES: Final = {1: "u1", 2: "u1", 3: "<u2", 4: "<u4", 12: "<f8"}
"""numpy's dtype of the values by their type in a TIFF."""


class _Field(NamedTuple):
    """Where the values of a tag are in a TIFF, in bytes from its start, and their type."""

    offset: int
    length: int
    dtype: str

    def read(self, content: bytes) -> list[int]:
        """Return the values, which are integers."""
        values: list[int] = np.frombuffer(content, self.dtype, self.length, self.offset).tolist()
        return values

    def write(self, content: bytearray, values: Sequence[float]) -> None:
        array = np.array(values, self.dtype)
        content[self.offset : self.offset + array.nbytes] = array.tobytes()


@dataclass(frozen=True, slots=True)
class _Header:
    """What is before the strips of a TIFF that GDAL wrote, and where it has what differs between rasters."""

    content: bytes
    fields: Mapping[int, _Field]

    def join_strips(self, strips: Sequence[bytes], transform: Transform) -> bytes:
        """Return the TIFF with these strips and this transform."""
        header = bytearray(self.content)
        counts = [len(strip) for strip in strips]
        offsets = np.cumsum([len(header), *counts[:-1]])
        self.fields[_OFFSETS].write(header, offsets.tolist())
        self.fields[_COUNTS].write(header, counts)
        self.fields[_SCALE].write(header, (transform.a, -transform.e, 0))
        self.fields[_TIEPOINT].write(header, (0, 0, 0, transform.c, transform.f, 0))
        return b"".join((header, *strips))


class GeoTiffEncoder:
    """Encodes rasters of one shape, dtype and metadata; keep it, since it compares with GDAL once."""

    def __init__(self, metadata: GeoTiffMetadata) -> None:
        """Encode rasters with this metadata; their shape is that of the first ones."""
        self._metadata = metadata
        self._header: _Header | None = None
        self._is_uniform = not is_wide_nodata(metadata.nodata)

    def encode(self, rasters: Sequence[NDArray[np.generic]], transforms: Sequence[Transform]) -> list[bytes]:
        """Return what `encode_geotiff` returns for each raster, of shape (bands, rows, columns), and its transform."""
        if not self._is_uniform or len(rasters) < _MIN_BATCH or not _can_share(rasters[0], transforms):
            return self._encode_each(rasters, transforms)
        strips = _compress_strips(rasters, self._metadata)
        if self._header is None:
            self._header = _read_header(encode_geotiff(rasters[0], self._metadata, transforms[0]))
            contents = self._join_all(strips, transforms)
            first_and_last = self._encode_each([rasters[0], rasters[-1]], [transforms[0], transforms[-1]])
            self._is_uniform = contents is not None and [contents[0], contents[-1]] == first_and_last
        else:
            contents = self._join_all(strips, transforms)
        if contents is None or not self._is_uniform:
            return self._encode_each(rasters, transforms)
        return contents

    def _join_all(self, strips: Sequence[Sequence[bytes]], transforms: Sequence[Transform]) -> list[bytes] | None:
        header = self._header
        if header is None or {_SCALE, _TIEPOINT, _OFFSETS, _COUNTS} - header.fields.keys():
            return None
        return [header.join_strips(*parts) for parts in zip(strips, transforms, strict=True)]

    def _encode_each(self, rasters: Sequence[NDArray[np.generic]], transforms: Sequence[Transform]) -> list[bytes]:
        return [encode_geotiff(*item) for item in self._iter_arguments(rasters, transforms)]

    def _iter_arguments(
        self, rasters: Sequence[NDArray[np.generic]], transforms: Sequence[Transform]
    ) -> Iterator[tuple[NDArray[np.generic], GeoTiffMetadata, Transform]]:
        for raster, transform in zip(rasters, transforms, strict=True):
            yield raster, self._metadata, transform


def _can_share(raster: NDArray[np.generic], transforms: Sequence[Transform]) -> bool:
    """Return whether rasters have strips, and transforms that GeoTIFF stores as a pixel size and a corner."""
    return max(raster.shape[1:]) <= _MAX_SIZE and all(t.b == t.d == 0 and t.e < 0 < t.a for t in transforms)


def _compress_strips(rasters: Sequence[NDArray[np.generic]], metadata: GeoTiffMetadata) -> list[list[bytes]]:
    """Return the compressed strips of each raster; the last strip of a raster may have fewer rows than the others."""
    height = rasters[0].shape[1]
    whole = height // _ROWS * _ROWS
    strips: list[list[bytes]] = [[] for _ in rasters]
    for first, last in ((0, whole), (whole, height)):
        if first == last:
            continue
        tall = np.concatenate([raster[:, first:last] for raster in rasters], axis=1)
        compressed = _compress_tall(tall, min(_ROWS, last - first), metadata)
        count = len(compressed) // len(rasters)
        for index, own in enumerate(strips):
            own += compressed[index * count : (index + 1) * count]
    return strips


def _compress_tall(pixels: NDArray[np.generic], rows: int, metadata: GeoTiffMetadata) -> list[bytes]:
    """Return the compressed strips, each of `rows` rows, of pixels of shape (bands, rows, columns)."""
    bare = replace(metadata, crs=None, nodata=None)
    options = make_creation_options(bare, rows, pixels.shape[2]) | {"height": pixels.shape[1], "blockysize": rows}
    with MemoryFile() as file:
        with file.open(**options, transform=rasterio.Affine(1, 0, 1, 0, -1, 1)) as raster:
            raster.write(pixels)
        content = bytes(file.getbuffer())
    fields = _read_fields(content)
    offsets, counts = fields[_OFFSETS].read(content), fields[_COUNTS].read(content)
    return [content[offset : offset + count] for offset, count in zip(offsets, counts, strict=True)]


def _read_header(content: bytes) -> _Header:
    fields = _read_fields(content)
    return _Header(content[: min(fields[_OFFSETS].read(content))], fields)


def _read_fields(content: bytes) -> dict[int, _Field]:
    """Return where a classic little-endian TIFF of one directory has the values of its tags, by tag."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    fields = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length, pointer = struct.unpack_from("<HHII", content, entry)
        if kind in _TYPES:
            is_inline = np.dtype(_TYPES[kind]).itemsize * length <= 4
            fields[tag] = _Field(entry + 8 if is_inline else pointer, length, _TYPES[kind])
    return fields
