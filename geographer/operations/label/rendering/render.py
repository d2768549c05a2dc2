"""Makes label files: what a raster shows, drawn on exactly its grid, as the kind of label asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geographer.base.executors import make_executor
from geographer.base.values import Checksums, Grid, Window
from geographer.operations.label.rendering.pixel_geometries import Shown
from geographer.rasters.crs import parse_crs
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, write_and_hash

_RUN = 200


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """One label to make on `grid`, as the file `destination` in a folder that exists.

    Attributes:
        raster_id: The raster that it is of.
        grid: Of that raster.
        shown: The objects that the raster shows, in the order in which they were added.
        destination: Where the label is to be written.
        raster: The raster's file; only what looks at its pixels (which are valid) reads it.
        inside: The pixels that are no padding: those that lie in the raster that it was cut from; None: all.
    """

    raster_id: str
    grid: Grid
    shown: tuple[Shown, ...]
    destination: str
    raster: str = ""
    inside: Window | None = None


class Listed(NamedTuple):
    """An object that a label lists. What a kind of label doesn't tell is None; see `Dataset.objects`."""

    feature_id: str
    class_name: str
    instance: int | None = None
    pixels: int | None = None
    box: tuple[float, ...] | None = None
    corners: tuple[tuple[float, float], ...] | None = None
    visible: float | None = None


@dataclass(frozen=True, slots=True)
class LabelMade:
    """One label that was made.

    Attributes:
        destination: The file.
        checksums: Of its bytes.
        pixel_digest: Of its pixels; None for a label that is no raster.
        listed: The objects that it lists.
        told: By what a person should hear of, the ids of the features that it is true of.
    """

    destination: str
    checksums: Checksums
    pixel_digest: str | None
    listed: tuple[Listed, ...] = ()
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Drawing(Protocol):
    """A kind of label with its options: how what is shown becomes a file. Frozen, so that workers can take it along."""

    def make(self, order: LabelOrder) -> LabelMade:
        """Make one label.

        Raises:
            UsageError: it can't be: a value doesn't fit, or GeoTIFF can't keep the CRS.
            StorageError: it can't be written; no part of it is left.
        """
        ...


def burn(orders: Iterable[LabelOrder], drawing: Drawing, *, workers: int = 1) -> Iterator[LabelMade]:
    """Makes the labels of `orders`, in that order.

    Args:
        orders: What to make; taken as there is room, so it may be long.
        drawing: The kind of label.
        workers: How many processes work at it; the files don't depend on it.

    Raises:
        UsageError, CorruptError, StorageError: As the drawing has it; no part of that label is left.
    """
    yield from make_executor(workers).run(partial(_burn_run, drawing), _runs(orders))


def write_label(order: LabelOrder, pixels: NDArray[np.generic], bands: tuple[str, ...] = (), **more: Any) -> LabelMade:
    """Writes `pixels`, shape (bands, rows, columns), as a GeoTIFF with the size, CRS and transform of the order's grid.

    There is no nodata and there are no tags; `bands` are the names of the bands. `more` is what else was made.

    Raises:
        UsageError: The CRS is unknown or can't be kept by GeoTIFF.
        StorageError: The label can't be written.
    """
    count = len(pixels)
    metadata = GeoTiffMetadata(
        parse_crs(order.grid.crs),
        count=count,
        dtype=pixels.dtype.name,
        # Three bands of bytes would become red, green and blue.
        interpretation=(ColorInterp.gray, *[ColorInterp.undefined] * (count - 1)) if count > 1 else (),
        descriptions=tuple(bands),
    )
    if (order.grid.crs, count, bands) not in _kept:
        require_geotiff_roundtrip(metadata, order.grid.crs, order.raster_id)
        _kept.add((order.grid.crs, count, bands))
    content = encode_geotiff(pixels, metadata, order.grid.transform)
    sums, digest = write_and_hash(Path(order.destination), content, pixels, order.grid)
    return LabelMade(order.destination, sums, digest, **more)


_kept: set[tuple[str, int, tuple[str, ...]]] = set()
"""The CRSs that this process knows GeoTIFF to keep, each with its bands: to ask takes as long as a label."""


def _runs(orders: Iterable[LabelOrder]) -> Iterator[list[LabelOrder]]:
    remaining = iter(orders)
    while run := list(islice(remaining, _RUN)):
        yield run


def _burn_run(drawing: Drawing, orders: list[LabelOrder]) -> Iterator[LabelMade]:
    for order in orders:
        yield drawing.make(order)
