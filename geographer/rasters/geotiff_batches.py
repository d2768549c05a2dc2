"""GeoTIFFs of one kind, encoded at once: the bytes that GDAL gives each, at a fraction of the time.

Opening a file and writing its CRS takes GDAL longer than compressing the pixels of a chip. Strips are compressed
independently, so those of many rasters are compressed as the strips of one tall TIFF, and put behind the header that
GDAL wrote for the first raster, with the georeference of each. The first and the last raster of a kind are compared
with what GDAL writes for them; if these differ, all rasters of the kind are left to GDAL.
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from geographer.base.values import Transform
from geographer.rasters.nodata import is_wide_nodata
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, make_creation_options

_MIN_FIRST_BATCH, _MIN_BATCH = 6, 2
"""Fewer rasters are encoded one by one: a tall TIFF and, the first time, comparisons would take longer."""
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

    @property
    def is_complete(self) -> bool:
        """Whether it has all fields that `join_strips` writes."""
        return {_SCALE, _TIEPOINT, _OFFSETS, _COUNTS} <= self.fields.keys()

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

    def __init__(self, metadata: GeoTiffMetadata, shape: tuple[int, ...]) -> None:
        """Encode rasters with this metadata and shape (bands, rows, columns)."""
        self._metadata, self._shape = metadata, shape
        self._header: _Header | None = None
        self._is_uniform = not is_wide_nodata(metadata.nodata) and max(shape[1:]) <= _MAX_SIZE

    def is_encoder_of(self, metadata: GeoTiffMetadata, shape: tuple[int, ...]) -> bool:
        """Return whether it encodes rasters with this metadata and shape."""
        return self._shape == shape and self._metadata == metadata

    def encode_rasters(
        self,
        rasters: Sequence[NDArray[np.generic]],
        transforms: Sequence[Transform],
        masks: Sequence[NDArray[np.uint8] | None] = (),
    ) -> list[bytes]:
        """Return what `encode_geotiff` returns for each raster, its transform and, if there are masks, its mask."""
        min_length = _MIN_FIRST_BATCH if self._header is None else _MIN_BATCH
        has_masks = any(mask is not None for mask in masks)
        if has_masks or not self._is_uniform or len(rasters) < min_length or not all(map(_is_north_up, transforms)):
            return self._encode_each(rasters, transforms, masks or [None] * len(rasters))
        contents = self._encode_all(rasters, transforms)
        return contents or self._encode_each(rasters, transforms, [None] * len(rasters))

    def _encode_all(
        self, rasters: Sequence[NDArray[np.generic]], transforms: Sequence[Transform]
    ) -> list[bytes] | None:
        """Encode rasters at once; None if that is not possible for this kind."""
        header, expected = self._header, []
        if header is None:
            ends = (rasters[0], rasters[-1]), (transforms[0], transforms[-1])
            expected = self._encode_each(*ends, [None, None])
            header = _read_header(expected[0])
        contents = []
        if header.is_complete:
            strips = _compress_strips(rasters, self._metadata)
            contents = [header.join_strips(*parts) for parts in zip(strips, transforms, strict=True)]
        if expected and (not contents or expected != [contents[0], contents[-1]]):
            self._is_uniform = False
            return None
        self._header = header
        return contents

    def _encode_each(
        self,
        rasters: Sequence[NDArray[np.generic]],
        transforms: Sequence[Transform],
        masks: Sequence[NDArray[np.uint8] | None],
    ) -> list[bytes]:
        return [
            encode_geotiff(raster, self._metadata, transform, mask)
            for raster, transform, mask in zip(rasters, transforms, masks, strict=True)
        ]


_encoders: deque[GeoTiffEncoder] = deque(maxlen=16)
"""The encoders used last: rasters of one product have equal metadata."""


def find_encoder(metadata: GeoTiffMetadata, shape: tuple[int, ...]) -> GeoTiffEncoder:
    """Return the encoder of rasters with this metadata and shape, (bands, rows, columns)."""
    for encoder in _encoders:
        if encoder.is_encoder_of(metadata, shape):
            return encoder
    _encoders.append(encoder := GeoTiffEncoder(metadata, shape))
    return encoder


def _is_north_up(transform: Transform) -> bool:
    """Return whether GeoTIFF stores a transform as the size of pixels and a corner."""
    return transform.b == transform.d == 0 and transform.e < 0 < transform.a


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
