"""Cut chips: copy windows of rasters, pixel for pixel, into GeoTIFFs with the raster's metadata."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, groupby, islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from geographer.base.errors import CorruptError
from geographer.base.executors.executor import Workers, make_executor
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.values import Checksums, Grid, Window
from geographer.rasters.geotiff_batches import find_encoder
from geographer.rasters.input_files import list_input_files
from geographer.rasters.read import open_raster
from geographer.rasters.windows import WindowReader
from geographer.rasters.write import GeoTiffMetadata, write_and_hash

_MAX_BATCH = 1000
"""Chips that a process makes before it returns them. Each batch decodes the blocks at its border again."""
_MAX_QUEUED = 32
"""Chips that wait for the thread that writes them, beside those that are read."""
_GROUP_BYTES = 1 << 23
"""The pixels that are read and compressed at once."""


@dataclass(frozen=True, slots=True)
class ChipTask:
    """One chip to make: copy `window` of the raster at `raster_path` to the file `destination` in an existing folder.

    `bands` are numbered from 1 and keep their order; None: all bands. `pad_value` fills the part of the window outside
    the raster; None: the window must lie inside. `crs` replaces the raster's own. `with_sidecars` reads sidecar files,
    too.
    """

    raster_path: str
    window: Window
    destination: str
    bands: tuple[int, ...] | None = None
    pad_value: float | None = None
    crs: str | None = None
    with_sidecars: bool = True

    @property
    def opened_raster(self) -> tuple[str, str | None, bool]:
        """What tasks have in common that read one opened raster."""
        return self.raster_path, self.crs, self.with_sidecars


@dataclass(frozen=True, slots=True)
class ChipResult:
    """One chip that was made; `index` is the index of its task, from 0."""

    index: int
    destination: str
    checksums: Checksums
    pixel_digest: str
    grid: Grid
    band_count: int
    dtype: str
    nodata: float | None


_ChipWriter = Callable[[], ChipResult]
_IndexedTask = tuple[int, ChipTask]


def cut_chips(
    tasks: Sequence[ChipTask], *, workers: Workers = 1, md5s: Mapping[str, str] = MappingProxyType({})
) -> Iterator[ChipResult]:
    """Make the chips and yield their results in the order of `tasks`, each when it and all before it are done.

    A chip's pixels equal those of its window; nothing is resampled. Dtype, nodata, CRS, transform, colours, names,
    scales, offsets and units of bands, tags and a mask of the whole raster are kept. Statistics are dropped, because
    they describe the whole raster. In padding, the mask and an alpha band are 0, whatever `pad_value` is.

    Chips are made raster by raster in the order of blocks, so that each block is decoded once while in GDAL's cache.
    Who does the work does not affect the files. `md5s` are those of rasters by path, as far as they are known.

    Raises:
        NotFoundError: A raster does not exist.
        UsageError: A raster cannot be used, it has no such window or band, or GeoTIFF cannot store its metadata.
        CorruptError: The pixels of a raster cannot be read.
        StorageError: A chip cannot be written. In all cases, no partial file is left at any destination.
    """
    if len({task.destination for task in tasks}) < len(tasks):
        raise ValueError("two chips have the same destination")
    done: dict[int, ChipResult] = {}
    next_index = 0
    executor = make_executor(workers, count=len(tasks))
    # With several workers, every core has a process already, and needs no thread to write.
    cut_batch = _cut_batch_with_thread if executor.slots == 1 else _cut_batch
    list_inputs = cache(partial(_list_inputs, md5s=md5s))
    results = executor.run(
        cut_batch,
        _make_batches(tasks, executor.slots),
        inputs=lambda batch: chain.from_iterable(map(list_inputs, {task.opened_raster: 0 for _, task in batch})),
        outputs=lambda batch: [task.destination for _, task in batch],
        result_type=ChipResult,
    )
    for result in results:
        done[result.index] = result
        while next_index in done:
            yield done.pop(next_index)
            next_index += 1


def _make_batches(tasks: Sequence[ChipTask], slots: int) -> Iterator[list[_IndexedTask]]:
    """Sort tasks by raster and position, and split them: by raster, where a batch holds all of its chips.

    One slot gets one batch, so it opens each raster once.
    """
    ordered = sorted(enumerate(tasks), key=lambda item: (item[1].raster_path, item[1].window.row, item[1].window.col))
    limit = len(ordered) if slots == 1 else min(_MAX_BATCH, -(-len(ordered) // slots))
    batch: list[_IndexedTask] = []
    for _, group in groupby(ordered, key=lambda item: item[1].raster_path):
        items = list(group)
        if batch and len(batch) + len(items) > limit:
            yield batch
            batch = []
        batch += items
        while len(batch) > limit:
            yield batch[:limit]
            batch = batch[limit:]
    if batch:
        yield batch


def _list_inputs(opened: tuple[str, str | None, bool], md5s: Mapping[str, str]) -> list[InputFile]:
    path, _, with_sidecars = opened
    return list_input_files(path, md5=md5s.get(path), with_sidecars=with_sidecars)


def _cut_batch(batch: list[_IndexedTask]) -> Iterator[ChipResult]:
    return (write_chip() for write_chip in _encode_chips(batch))


def _cut_batch_with_thread(batch: list[_IndexedTask]) -> Iterator[ChipResult]:
    """Write each chip in a thread while the next is read."""
    queue: deque[Future[ChipResult]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for write_chip in _encode_chips(batch):
            queue.append(thread.submit(write_chip))
            if len(queue) > _MAX_QUEUED:
                yield queue.popleft().result()
        for future in queue:
            yield future.result()


def _encode_chips(batch: list[_IndexedTask]) -> Iterator[_ChipWriter]:
    """Read and compress the chips in the order of blocks; yield functions that write and hash them."""
    for (path, crs, with_sidecars), tasks in groupby(batch, key=lambda item: item[1].opened_raster):
        with closing(open_raster(locate_file(path), with_sidecars=with_sidecars)) as raster:
            reader = _ChipReader(raster, crs)
            yield from reader.encode_chips(reader.sort_by_block(list(tasks)))


class _ChipReader:
    """Read chips from one open raster; what all its chips share is read once."""

    def __init__(self, raster: DatasetReader, crs: str | None) -> None:
        self._raster = raster
        self._windows = WindowReader(raster, crs)

    def sort_by_block(self, tasks: list[_IndexedTask]) -> list[_IndexedTask]:
        """Validate all tasks and sort them by the block of their first pixel."""
        height, width = self._raster.block_shapes[0]
        keys = []
        for index, task in tasks:
            name = Path(task.destination).stem
            self._windows.require_window(task.window, task.bands or (), task.pad_value, name)
            col, row, *_ = task.window
            keys.append((row // height, col // width, row, col, index))
        return [item for _, item in sorted(zip(keys, tasks, strict=True))]

    def encode_chips(self, items: Sequence[_IndexedTask]) -> Iterator[_ChipWriter]:
        """Read chips, compress those of equal size and bands at once; yield functions that write and hash them."""
        for (bands, size), group in groupby(items, key=self._find_kind):
            metadata = self._windows.read_metadata(bands)
            encoder = find_encoder(metadata, (len(bands), *size))
            length = max(_GROUP_BYTES // (len(bands) * math.prod(size) * self._windows.dtype.itemsize), 1)
            while part := list(islice(group, length)):
                grids = [self._windows.make_grid(task.window) for _, task in part]
                chips, error = self._read_group(part, bands)
                pixels, masks = [chip[0] for chip in chips], [chip[1] for chip in chips]
                contents = encoder.encode_rasters(pixels, [grid.transform for grid in grids[: len(chips)]], masks)
                for item in zip(part, grids, pixels, contents, strict=False):
                    yield _make_writer(metadata, *item)
                if error is not None:
                    raise error

    def _read_group(
        self, items: Sequence[_IndexedTask], bands: Sequence[int]
    ) -> tuple[list[tuple[NDArray[np.generic], NDArray[np.uint8] | None]], CorruptError | None]:
        """Return pixels and masks of chips up to the first that cannot be read, and its error: the others are made."""
        chips = []
        for _, task in items:
            try:
                chips.append(self._read_pixels(task, bands))
            except CorruptError as error:
                return chips, error
        return chips, None

    def _find_kind(self, item: _IndexedTask) -> tuple[tuple[int, ...], tuple[int, int]]:
        """Return the bands, and the numbers of rows and columns, of a chip."""
        _, task = item
        return task.bands or tuple(self._raster.indexes), (task.window.height, task.window.width)

    def _read_pixels(
        self, task: ChipTask, bands: Sequence[int]
    ) -> tuple[NDArray[np.generic], NDArray[np.uint8] | None]:
        """Return pixels, shape (bands, rows, columns), and the mask, shape (rows, columns), if there is one."""
        return self._windows.read_pixels(task.window, bands, task.pad_value, Path(task.destination).stem)


def _make_writer(
    metadata: GeoTiffMetadata, item: _IndexedTask, grid: Grid, pixels: NDArray[np.generic], content: bytes
) -> _ChipWriter:
    """Return a function that writes and hashes a chip."""
    index, task = item
    destination = locate_file(task.destination)

    def write_chip() -> ChipResult:
        checksums, digest = write_and_hash(destination, content, pixels, grid)
        number, dtype, nodata = metadata.count, metadata.dtype, metadata.nodata
        return ChipResult(index, task.destination, checksums, digest, grid, number, dtype, nodata)

    return write_chip
