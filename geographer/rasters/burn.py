"""Burns class masks: shapes drawn with their class values on exactly the grid of a chip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from geographer.errors import UsageError
from geographer.execution import executor_for
from geographer.rasters.crs import crs_from
from geographer.rasters.likeness import check_kept
from geographer.rasters.write import Metadata, encode, settle
from geographer.values import Checksums, Grid

_RUN = 200


@dataclass(frozen=True, slots=True)
class MaskOrder:
    """One mask to make on `grid`, as the file `destination` in a folder that exists.

    `shapes` are pairs of a geometry, as WKB in the CRS of `grid` (x before y), and its class value, in
    drawing order: later ones lie on top. A value of 0 erases.
    """

    grid: Grid
    shapes: tuple[tuple[bytes, int], ...]
    destination: str


@dataclass(frozen=True, slots=True)
class MaskMade:
    """One mask that was made."""

    destination: str
    checksums: Checksums
    pixel_digest: str


def burn(
    orders: Iterable[MaskOrder], *, dtype: Literal["uint8", "uint16"] = "uint8", workers: int = 1
) -> Iterator[MaskMade]:
    """Makes the masks of `orders`, in that order: GeoTIFFs of one band with a grid's size, CRS and transform.

    0 is background. A polygon fills the pixels whose centres it holds (GDAL's rule), a line those on its path
    (Bresenham), a point the one that it lies in. There is no nodata and there are no tags.

    Args:
        orders: What to make; taken as there is room, so it may be long.
        dtype: The type of all masks.
        workers: How many processes work at it; the files don't depend on it.

    Raises:
        UsageError: A class value doesn't fit `dtype`, or the CRS is unknown or can't be kept by GeoTIFF.
        StorageError: A mask can't be written; no part of it is left.
    """
    yield from executor_for(workers).run(partial(_burn_run, dtype), _runs(orders))


def _runs(orders: Iterable[MaskOrder]) -> Iterator[list[MaskOrder]]:
    remaining = iter(orders)
    while run := list(islice(remaining, _RUN)):
        yield run


def _burn_run(dtype: str, orders: list[MaskOrder]) -> Iterator[MaskMade]:
    metadata: dict[str, Metadata] = {}
    for order in orders:
        crs = order.grid.crs
        if crs not in metadata:
            metadata[crs] = Metadata(crs_from(crs), count=1, dtype=dtype)
            check_kept(metadata[crs], crs, order.destination)
        pixels = _drawn(order, dtype)[np.newaxis]
        content = encode(pixels, metadata[crs], order.grid.transform)
        yield MaskMade(order.destination, *settle(Path(order.destination), content, pixels, order.grid))


def _drawn(order: MaskOrder, dtype: str) -> NDArray[np.generic]:
    """The class values, shape (rows, columns)."""
    size = (order.grid.height, order.grid.width)
    largest = np.iinfo(dtype).max
    if unfit := [value for _, value in order.shapes if not 0 <= value <= largest]:
        what = f"class value {unfit[0]} of mask '{order.destination}'"
        raise UsageError(f"{what} doesn't fit {dtype}, 0 to {largest}: choose another value or a larger type")
    wkb, values = zip(*order.shapes, strict=True) if order.shapes else ((), ())
    parts, shape = shapely.get_parts(shapely.from_wkb(wkb), return_index=True)
    drawn = [(part, values[of]) for part, of in zip(parts, shape, strict=True) if not part.is_empty]
    transform = rasterio.Affine(*order.grid.transform)
    mask: NDArray[np.generic] = rasterize(drawn, out_shape=size, transform=transform, dtype=dtype, skip_invalid=False)
    return mask
