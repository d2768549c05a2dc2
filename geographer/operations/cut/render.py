"""Cuts chips: windows of rasters, copied pixel for pixel into GeoTIFFs that keep what the raster says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.errors import UsageError
from geographer.base.executors import make_executor
from geographer.base.values import Checksums, Grid, Window
from geographer.rasters.metadata import read_metadata
from geographer.rasters.pixel_digest import empty_rows
from geographer.rasters.read import open_raster, read_grid, translate_read_errors
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, write_and_hash

_LONGEST_RUN = 1000
"""Chips that a process makes before handing them over; each run decodes the blocks at its border again."""
_MOST_WAITING = 4


@dataclass(frozen=True, slots=True)
class ChipOrder:
    """One chip to make: `window` of the raster file `source`, as the file `destination` of some folder.

    `bands` are counted from 1 and keep their order; None is all of them. Where the window reaches past the
    raster, `pad_value` fills it; without one it must lie inside.
    """

    source: str
    window: Window
    destination: str
    bands: tuple[int, ...] | None = None
    pad_value: float | None = None


@dataclass(frozen=True, slots=True)
class ChipMade:
    """One chip that was made; `index` is its order's place among the orders, from 0."""

    index: int
    destination: str
    checksums: Checksums
    pixel_digest: str
    grid: Grid
    count: int
    dtype: str
    nodata: float | None


@dataclass(frozen=True, slots=True)
class _Run:
    orders: list[tuple[int, ChipOrder]]
    crs: dict[str, str]
    alone: bool


def cut(orders: Sequence[ChipOrder], *, workers: int = 1, crs: Mapping[str, str] | None = None) -> Iterator[ChipMade]:
    """Makes the chips of `orders` and yields them in that order, each once it and all before it are done.

    A chip's pixels equal those of its window; nothing is resampled. Dtype, nodata, CRS, transform, colours,
    names, scales, offsets and units of bands, tags and a mask of the whole raster are kept. Statistics are
    not: they were the raster's. In padding, the mask and an alpha band are 0, whatever `pad_value` is.

    Chips are made raster by raster in the order of the blocks that hold them, so that a block is decoded once
    while it is in GDAL's cache.

    Args:
        orders: What to cut; no two may have the same destination.
        workers: How many processes work at it; the files don't depend on it.
        crs: The CRS, as text, of the sources whose own is missing or wrong.

    Raises:
        NotFoundError: A source is not there.
        UsageError: A source can't be used, or a window or band is not in it, or GeoTIFF can't hold what it
            says.
        CorruptError: Pixels of a source can't be read.
        StorageError: A chip can't be written. In all cases, no part of a file is left at any destination.
    """
    if len({order.destination for order in orders}) < len(orders):
        raise ValueError("two chips with one destination")
    done: dict[int, ChipMade] = {}
    following = 0
    for chip in make_executor(workers).run(_cut_run, _runs(orders, workers, crs or {})):
        done[chip.index] = chip
        while following in done:
            yield done.pop(following)
            following += 1


def _runs(orders: Sequence[ChipOrder], workers: int, crs: Mapping[str, str]) -> Iterator[_Run]:
    """The orders by source and place, in contiguous runs; one worker has one, so it opens sources once."""
    near = sorted(enumerate(orders), key=lambda item: (item[1].source, item[1].window.row, item[1].window.col))
    length = len(near) if workers == 1 else min(_LONGEST_RUN, -(-len(near) // workers))
    for start in range(0, len(near), length or 1):
        run = near[start : start + length]
        systems = {order.source: crs[order.source] for _, order in run if order.source in crs}
        yield _Run(run, systems, alone=workers == 1)


def _cut_run(run: _Run) -> Iterator[ChipMade]:
    """Settles chips in a thread while the next is read; not so if every core has a process already."""
    return (_settled_in_thread if run.alone else _settled)(_unsettled(run))


def _unsettled(run: _Run) -> Iterator[partial[ChipMade]]:
    """The chips in the order of blocks, read and compressed; what is yielded writes and hashes one."""
    for source, orders in groupby(run.orders, key=lambda item: item[1].source):
        with _Source(source, run.crs.get(source)) as raster:
            for index, order in raster.by_block(list(orders)):
                yield raster.chip(index, order)


def _settled(unsettled: Iterator[partial[ChipMade]]) -> Iterator[ChipMade]:
    for settle_one in unsettled:
        yield settle_one()


def _settled_in_thread(unsettled: Iterator[partial[ChipMade]]) -> Iterator[ChipMade]:
    waiting: deque[Future[ChipMade]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for settle_one in unsettled:
            waiting.append(thread.submit(settle_one))
            if len(waiting) > _MOST_WAITING:
                yield waiting.popleft().result()
        for chip in waiting:
            yield chip.result()


class _Source:
    """A raster that is open for cutting; what is the same for all its chips is read once."""

    def __init__(self, path: str, crs: str | None) -> None:
        self._path = path
        self._raster = open_raster(Path(path))
        self._grid = read_grid(self._raster, crs)
        self._dtype = np.dtype(self._raster.dtypes[0])
        self._masked = _has_own_mask(self._raster)
        self._metadata: dict[tuple[int, ...], GeoTiffMetadata] = {}

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._raster.close()

    def by_block(self, orders: list[tuple[int, ChipOrder]]) -> list[tuple[int, ChipOrder]]:
        """The orders sorted by the block of their first pixel, after a check of them all."""
        height, width = self._raster.block_shapes[0]
        for _, order in orders:
            self._check(order)

        def place(item: tuple[int, ChipOrder]) -> tuple[int, ...]:
            col, row, *_ = item[1].window
            return row // height, col // width, row, col, item[0]

        return sorted(orders, key=place)

    def chip(self, index: int, order: ChipOrder) -> partial[ChipMade]:
        """Reads and compresses a chip; what is returned writes and hashes it."""
        bands = order.bands or tuple(self._raster.indexes)
        if bands not in self._metadata:
            self._metadata[bands] = read_metadata(self._raster, self._grid.crs, bands)
        metadata = self._metadata[bands]
        transform = self._grid.transform.for_window(order.window)
        grid = Grid(self._grid.crs, transform, order.window.width, order.window.height)
        pixels, mask = self._read(order, bands)
        content = encode_geotiff(pixels, metadata, transform, mask)
        return partial(_settle, index, order.destination, content, pixels, grid, metadata)

    def _read(self, order: ChipOrder, bands: tuple[int, ...]) -> tuple[NDArray[np.generic], NDArray[np.uint8] | None]:
        """The pixels, shape (bands, rows, columns), and the mask, shape (rows, columns), if there is one."""
        window = order.window
        pixels = empty_rows(len(bands), window.height, window.width, self._dtype)
        mask = np.zeros((window.height, window.width), np.uint8) if self._masked else None
        inside, rows, columns = _inside(window, self._raster)
        if (inside.width, inside.height) != window[2:]:
            for position, band in enumerate(bands):
                alpha = self._raster.colorinterp[band - 1] == ColorInterp.alpha
                pixels[position] = self._dtype.type(0 if alpha else order.pad_value)
        with translate_read_errors(self._path):
            self._raster.read(list(bands), window=inside, out=pixels[:, rows, columns])
            if mask is not None:
                mask[rows, columns] = self._raster.read_masks(1, window=inside)
        return pixels, mask

    def _check(self, order: ChipOrder) -> None:
        raster, (col, row, width, height) = self._raster, order.window
        chip = f"chip '{Path(order.destination).stem}'"
        size = f"raster '{self._path}' of {raster.width} by {raster.height} pixels"
        if (
            width < 1
            or height < 1
            or col >= raster.width
            or row >= raster.height
            or col + width < 1
            or row + height < 1
        ):
            raise UsageError(f"{chip} holds no pixel of {size}: choose another window than {tuple(order.window)}")
        if order.pad_value is not None:
            _check_pad(order.pad_value, self._dtype, chip)
        elif col < 0 or row < 0 or col + width > raster.width or row + height > raster.height:
            raise UsageError(f"{chip} reaches outside {size}: shift {tuple(order.window)} inside, or pad it")
        if unknown := set(order.bands or ()) - set(raster.indexes):
            have = f"it has {raster.count}, counted from 1"
            raise UsageError(f"raster '{self._path}' has no band {min(unknown)}: {have}")


def _settle(
    index: int,
    destination: str,
    content: bytes,
    pixels: NDArray[np.generic],
    grid: Grid,
    metadata: GeoTiffMetadata,
) -> ChipMade:
    checksums, digest = write_and_hash(Path(destination), content, pixels, grid)
    nodata = None if metadata.nodata is None else float(metadata.nodata)
    return ChipMade(index, destination, checksums, digest, grid, metadata.count, metadata.dtype, nodata)


def _inside(window: Window, raster: DatasetReader) -> tuple[RasterioWindow, slice, slice]:
    """The part of the window that lies in the raster, and the rows and columns of the chip that it fills."""
    left, top = max(window.col, 0), max(window.row, 0)
    right, bottom = (
        min(window.col + window.width, raster.width),
        min(window.row + window.height, raster.height),
    )
    rows = slice(top - window.row, bottom - window.row)
    columns = slice(left - window.col, right - window.col)
    return RasterioWindow(left, top, right - left, bottom - top), rows, columns


def _has_own_mask(raster: DatasetReader) -> bool:
    flags = raster.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _check_pad(value: float, dtype: np.dtype[np.generic], chip: str) -> None:
    if dtype.kind not in "iu":
        return
    limits = np.iinfo(dtype.name)
    if not limits.min <= value <= limits.max or value != int(value):
        raise UsageError(f"{chip} can't be padded with {value}: {dtype} holds {limits.min} to {limits.max}")
