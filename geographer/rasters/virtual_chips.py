"""Virtual chips: windows of rasters that have no files; they are read from their sources, which stay open.

Functions that open rasters take the address of one (see `chip_address`) as if it was the path of a file.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterioWindow

from geographer.base.executors.task_files import locate_file
from geographer.base.values import Window
from geographer.rasters.chip_address import ChipAddress, is_chip_address
from geographer.rasters.windows import WindowReader
from geographer.rasters.write import encode_geotiff

_MAX_SOURCES: Final = 16
_MAX_PADDED: Final = 1 << 25
"""The size from which callers read parts, of which one could be all padding."""
_SIMPLE_FLAGS: Final = ([MaskFlags.all_valid], [MaskFlags.nodata])
_WIDE_INTEGERS: Final = frozenset({"int64", "uint64"})


def encode_virtual_chip(address: ChipAddress) -> bytes:
    """Return the file that a cut of the chip writes, byte for byte; errors as for `open_virtual_chip`."""
    return _encode_chip(_open_source(address), address)


def open_virtual_chip(address: ChipAddress) -> DatasetReader:
    """Open a virtual chip as the raster that its file would be; it is in memory, without compression.

    Raises:
        NotFoundError, UsageError, CorruptError: as for `open_raster`, about the source.
    """
    return _MemoryChip.from_content(_encode_chip(_open_source(address), address, is_compressed=False))


def open_virtual_window(address: ChipAddress) -> VirtualRaster | DatasetReader:
    """Open a virtual chip without a copy of its pixels in memory, if its masks are simple; else `open_virtual_chip`.

    What is returned shares its source, which stays open, with others of this thread.
    """
    source = _open_source(address)
    bands = address.bands or tuple(source.raster.indexes)
    properties = source.band_properties
    is_simple = source.dtype.name not in _WIDE_INTEGERS and all(
        properties["mask_flag_enums"][band - 1] in _SIMPLE_FLAGS
        and properties["colorinterp"][band - 1] != ColorInterp.alpha
        for band in bands
    )
    size = len(bands) * address.window.width * address.window.height * source.dtype.itemsize
    if not is_simple or (address.pad_value is not None and size > _MAX_PADDED):
        return open_virtual_chip(address)
    return VirtualRaster(source, address, bands)


class VirtualRaster:
    """What training and statistics use of an open raster, for the window of a virtual chip.

    The attributes are those of `rasterio.DatasetReader`.
    """

    def __init__(self, source: WindowReader, address: ChipAddress, bands: Sequence[int]) -> None:
        source.require_window(address.window, bands, address.pad_value, "virtual chip")
        raster = source.raster
        self._source, self._address, self._bands = source, address, bands
        self.name = f"{raster.name} {tuple(address.window)}"
        self.count, self.indexes = len(bands), tuple(range(1, len(bands) + 1))
        self.width, self.height = address.window.width, address.window.height
        self.nodata = source.stored_nodata
        self.transform = tuple(source.make_grid(address.window).transform)
        for name, values in source.band_properties.items():
            setattr(self, name, [values[band - 1] for band in bands])

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a virtual chip has no '{name}'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: the source stays open."""

    def read(
        self,
        indexes: int | Sequence[int] | None = None,
        *,
        window: RasterioWindow | None = None,
        out_dtype: str | None = None,
    ) -> NDArray[Any]:
        """Read bands, shape (bands, rows, columns), or one, shape (rows, columns), if `indexes` is a number."""
        numbers = self.indexes if indexes is None else [indexes] if isinstance(indexes, int) else indexes
        bands = [self._bands[number - 1] for number in numbers]
        part = self._select_window(window)
        pixels = self._source.read_bands(part, bands, self._address.pad_value, out_dtype)
        return np.asarray(pixels[0] if isinstance(indexes, int) else pixels)

    def read_masks(self, index: int, window: RasterioWindow | None = None) -> NDArray[np.uint8]:
        """Read which pixels of a band are valid (255) or not (0), shape (rows, columns)."""
        part = self._select_window(window)
        return self._source.read_valid(part, self._bands[index - 1], self._address.pad_value)

    def _select_window(self, part: RasterioWindow | None) -> Window:
        col, row, width, height = self._address.window
        if part is None:
            return Window(col, row, width, height)
        return Window(col + int(part.col_off), row + int(part.row_off), int(part.width), int(part.height))


class _MemoryChip(DatasetReader):  # type: ignore[misc]
    """A raster in memory, which is freed with it."""

    @classmethod
    def from_content(cls, content: bytes) -> _MemoryChip:
        memory = MemoryFile(content, ext=".tif")
        chip = cls(memory.name, driver="GTiff", sharing=False)
        chip._memory = memory
        return chip

    def close(self) -> None:
        """Close the raster, and free its memory."""
        super().close()
        self._memory.close()

    def __del__(self) -> None:
        self.close()


def _encode_chip(source: WindowReader, address: ChipAddress, *, is_compressed: bool = True) -> bytes:
    bands = address.bands or tuple(source.raster.indexes)
    source.require_window(address.window, bands, address.pad_value, "virtual chip")
    pixels, mask = source.read_pixels(address.window, bands, address.pad_value, "virtual chip")
    transform = source.make_grid(address.window).transform
    return encode_geotiff(pixels, source.read_metadata(bands), transform, mask, is_compressed=is_compressed)


class _ThreadSources(threading.local):
    """The open sources of a thread, last used last; a process that was forked does not use those of its parent."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._sources: OrderedDict[tuple[object, ...], WindowReader] = OrderedDict()

    def open_source(self, address: ChipAddress) -> WindowReader:
        """Return the open source of a chip, opened now if it is not open yet."""
        from geographer.rasters.read import open_raster

        if self._process != os.getpid():
            _inherited_sources.append(self._sources)
            self._process, self._sources = os.getpid(), OrderedDict()
        source = Path(address.source) if is_chip_address(address.source) else locate_file(address.source)
        key = (str(source), address.content, address.crs, address.with_sidecars)
        reader = self._sources.get(key)
        if reader is None:
            raster = open_raster(source, with_sidecars=address.with_sidecars)
            reader = self._sources[key] = WindowReader(raster, address.crs)
            if len(self._sources) > _MAX_SOURCES:
                self._sources.popitem(last=False)[1].raster.close()
        else:
            self._sources.move_to_end(key)
        return reader


_inherited_sources: list[OrderedDict[tuple[object, ...], WindowReader]] = []
"""The sources of the process that this one was forked from: closing them could wait for a lock of another thread."""
_thread_sources = _ThreadSources()


def _open_source(address: ChipAddress) -> WindowReader:
    return _thread_sources.open_source(address)
