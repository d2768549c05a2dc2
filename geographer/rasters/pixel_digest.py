"""The pixel digest: identifies a raster's pixels and grid, independent of how the file is encoded."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import rfc8785
from numpy.typing import NDArray

from geographer.base.values import Grid
from geographer.rasters.read import iter_strips, open_raster, read_grid, translate_read_errors

_STRIP_BYTES = 1 << 25


def compute_pixel_digest(path: Path, *, crs: str | None = None) -> str:
    """Compute the pixel digest of the raster at `path`: the SHA-256, in hex, of a header and all pixels.

    The header is the RFC 8785 (JCS) canonical JSON, in UTF-8, of an object with six members: `bands`, `height` and
    `width` are the numbers of bands, rows and columns; `dtype` is numpy's name of the pixel type, such as `uint16`;
    `crs` is `EPSG:nnnn`, or WKT2:2019 for a CRS without a code, exactly as in `Grid.crs`; `transform` is the numbers
    `a, b, c, d, e, f` of `x = a·col + b·row + c`, `y = d·col + e·row + f`.

    The decoded pixels follow directly: row by row from the top; in a row, band by band in file order; in a band,
    column by column; each value in little-endian bytes, as stored (no scale or offset applied, NaNs with their
    payload). So the digest depends neither on the file's compression, tiling, interleaving and byte order nor on how
    many rows are read at a time. It omits what changes neither pixels nor grid: nodata, masks, colours, tags.

    The whole file is decoded, in strips of about 32 MiB. `crs` replaces the file's own CRS.

    Raises:
        NotFoundError, UsageError: as for `read_raster_info`.
        CorruptError: some pixels cannot be read.
    """
    with open_raster(path) as raster:
        grid = read_grid(raster, crs)
        dtype = np.dtype(raster.dtypes[0])
        digest = hashlib.sha256(_encode_header(raster.count, dtype, grid))
        with translate_read_errors(path):
            for window in iter_strips(raster, _STRIP_BYTES):
                rows = make_row_buffer(raster.count, window.height, window.width, dtype)
                digest.update(_to_digest_bytes(raster.read(window=window, out=rows)))
    return digest.hexdigest()


def compute_array_digest(array: NDArray[np.generic], grid: Grid) -> str:
    """Compute the pixel digest of a raster with these pixels, shape (bands, rows, columns), and this grid.

    Its CRS must be a text that `crs_to_text` returns. Raise ValueError if the shapes differ.
    """
    bands, height, width = array.shape
    if (height, width) != (grid.height, grid.width):
        raise ValueError(f"array of {width}x{height} pixels does not fit a grid of {grid.width}x{grid.height} pixels")
    digest = hashlib.sha256(_encode_header(bands, array.dtype, grid))
    digest.update(_to_digest_bytes(array))
    return digest.hexdigest()


def make_row_buffer(bands: int, height: int, width: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return an uninitialised array, shape (bands, rows, columns), whose pixels can be hashed without a copy."""
    return np.empty((height, bands, width), dtype).transpose(1, 0, 2)


def _encode_header(bands: int, dtype: np.dtype[np.generic], grid: Grid) -> bytes:
    start, end = _encode_shared_header(bands, dtype, grid.height, grid.width, grid.crs)
    return b"".join((start, rfc8785.dumps(list(grid.transform)), end))


@lru_cache(maxsize=64)
def _encode_shared_header(
    bands: int, dtype: np.dtype[np.generic], height: int, width: int, crs: str
) -> tuple[bytes, bytes]:
    """Return what is before and after the transform in the header: only that differs between chips of a raster."""
    size = {"bands": bands, "height": height, "width": width}
    header = rfc8785.dumps({**size, "dtype": dtype.name, "crs": crs, "transform": []})
    start, end = header.rsplit(b"[]", 1)
    return start, end


def _to_digest_bytes(array: NDArray[np.generic]) -> memoryview:
    """Return the pixels in the order row, band, column, little-endian; copied only if memory differs."""
    rows = array.transpose(1, 0, 2)
    return np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"), copy=False)).data
