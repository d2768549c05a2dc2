"""The pixel digest: what identifies a raster's pixels and their place, however the file is compressed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import rfc8785
from numpy.typing import NDArray

from geographer.base.values import Grid
from geographer.rasters.read import iter_strips, open_raster, read_grid, translate_read_errors

_STRIP_BYTES = 1 << 25


def compute_pixel_digest(path: Path, *, crs: str | None = None) -> str:
    """The pixel digest of the raster at `path`: SHA-256, in hex, over a header and then all pixels.

    The header is the RFC 8785 (JCS) canonical JSON, in UTF-8, of an object with six members:

    - `bands`, `height`, `width`: numbers; how many bands, rows and columns there are;
    - `dtype`: numpy's name of the pixels' type, such as `uint16` or `float32`;
    - `crs`: `EPSG:nnnn`, or WKT2:2019 for a CRS without a code, exactly as in `Grid.crs`;
    - `transform`: the six numbers `a, b, c, d, e, f` of `x = a·col + b·row + c`, `y = d·col + e·row + f`.

    It is followed, with nothing between, by the decoded pixels: row by row from the top; in a row, band by
    band in the order of the file; in a band, column by column; each value in little-endian bytes, as stored
    (no scale or offset applied, NaNs with their payload). So the digest depends neither on compression,
    tiling, interleaving and byte order of the file nor on how many rows are read at a time. It leaves out
    what does not change a pixel or its place: nodata, masks, colours, tags.

    The whole file is decoded, in strips of about 32 MiB.

    Args:
        path: Any file that GDAL opens as one raster.
        crs: Stands in for the file's own CRS, as in `describe`.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It isn't a raster, or has no CRS or transform.
        CorruptError: Some of its pixels can't be read.
    """
    with open_raster(path) as raster:
        grid = read_grid(raster, crs)
        dtype = np.dtype(raster.dtypes[0])
        digest = hashlib.sha256(_header(raster.count, dtype, grid))
        row_bytes = raster.count * raster.width * dtype.itemsize
        with translate_read_errors(path):
            for window in iter_strips(raster, row_bytes, _STRIP_BYTES):
                rows = empty_rows(raster.count, window.height, window.width, dtype)
                digest.update(_little_endian(raster.read(window=window, out=rows)))
    return digest.hexdigest()


def compute_array_digest(array: NDArray[np.generic], grid: Grid) -> str:
    """The pixel digest of pixels that are in memory: what `pixel_digest` gives for a raster that holds them.

    Args:
        array: The decoded pixels, of shape (bands, rows, columns).
        grid: Where they lie; its `crs` must be the text that `crs_text` gives.

    Raises:
        ValueError: The array isn't as large as the grid.
    """
    bands, height, width = array.shape
    if (height, width) != (grid.height, grid.width):
        raise ValueError(f"{height} rows of {width} pixels are not a grid of {grid.height} by {grid.width}")
    digest = hashlib.sha256(_header(bands, array.dtype, grid))
    digest.update(_little_endian(array))
    return digest.hexdigest()


def empty_rows(bands: int, height: int, width: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """An uninitialised array of shape (bands, rows, columns), in memory in the order of the pixel digest.

    Pixels that are read into it need no rearranging before they are hashed.
    """
    return np.empty((height, bands, width), dtype).transpose(1, 0, 2)


def _header(bands: int, dtype: np.dtype[np.generic], grid: Grid) -> bytes:
    return rfc8785.dumps(
        {
            "bands": bands,
            "dtype": dtype.name,
            "height": grid.height,
            "width": grid.width,
            "crs": grid.crs,
            "transform": list(grid.transform),
        }
    )


def _little_endian(array: NDArray[np.generic]) -> memoryview:
    """The pixels in the order row, band, column, contiguous; not copied where they lie so already."""
    rows = array.transpose(1, 0, 2)
    return np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"), copy=False)).data
