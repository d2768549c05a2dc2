"""Read chips for training: bands, valid pixels and masks of many small GeoTIFFs, which each process opens once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from geographer.base.band_names import find_band
from geographer.base.errors import CorruptError, UsageError, quote_names
from geographer.rasters.chip_address import ChipAddress
from geographer.rasters.nodata import read_nodata
from geographer.rasters.open_chips import ignore_sidecars, open_chip
from geographer.rasters.read import open_raster, translate_read_errors
from geographer.rasters.virtual_chips import VirtualRaster, open_virtual_window

_EXACT_IN_FLOAT32: Final = frozenset({"uint8", "int8", "uint16", "int16", "float32"})
_WIDE_INTEGERS: Final = frozenset({"int64", "uint64"})


class ChipPath(NamedTuple):
    """A file to read. `content` identifies its bytes: files with equal bytes are opened once."""

    path: str
    content: str
    with_sidecars: bool = False


class ChipPixels(NamedTuple):
    """The pixels of an image.

    Attributes:
        pixels: The bands, shape (bands, rows, columns), of the requested dtype.
        valid: Whether nodata, alpha or a mask band marks each pixel as valid, and it is finite, shape (bands, rows,
            columns) or (1, rows, columns); None: all pixels are valid, or it was not asked for.
        scales: The scale of each band, from the file: value = pixel * scale + offset.
        offsets: The offset of each band, from the file.
        transform: a, b, c, d, e, f of x = a·column + b·row + c, y = d·column + e·row + f.
    """

    pixels: NDArray[Any]
    valid: NDArray[np.bool_] | None
    scales: Sequence[float]
    offsets: Sequence[float]
    transform: tuple[float, ...]


class OpenChips:
    """The open files of a process: at most `limit`, and of these the last used.

    A thread has files of its own, and so has a process: one that was forked does not use those of its parent, whose
    positions it would share. A pickle has no files.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files = _ThreadFiles()

    def __reduce__(self) -> tuple[type[OpenChips], tuple[int]]:
        return OpenChips, (self._limit,)

    def count_open_files(self) -> int:
        """Return the number of files that this thread has open."""
        return len(self._files.list_own())

    def read_image(
        self, file: ChipPath, bands: Sequence[int | str] | None, dtype: str, *, with_valid: bool = True
    ) -> ChipPixels:
        """Read an image.

        Args:
            file: The file.
            bands: Numbers from 1 or names (GDAL's descriptions), in the order to return; None: all.
            dtype: numpy's name of the pixel type to return.
            with_valid: Whether to find the valid pixels.

        Raises:
            NotFoundError, CorruptError: the file does not exist, or is damaged.
            UsageError: it has no such band, or `dtype` is of integers and does not hold all of its pixel values.
        """
        raster = self._open_file(file)
        _require_dtype(raster, dtype)
        with translate_read_errors(file.path):
            numbers = [*raster.indexes] if bands is None else find_band_numbers(raster, bands)
            mask_flags = raster.mask_flag_enums[numbers[0] - 1] if with_valid else [MaskFlags.all_valid]
            has_nodata = MaskFlags.nodata in mask_flags
            is_exact = dtype == "float32" and raster.dtypes[0] in _EXACT_IN_FLOAT32
            pixels = raster.read(numbers, out_dtype=dtype if is_exact or not has_nodata else None)
            valid = None
            if has_nodata and MaskFlags.alpha not in mask_flags:
                valid = _find_data(pixels, read_nodata(raster) if raster.dtypes[0] in _WIDE_INTEGERS else raster.nodata)
            elif MaskFlags.all_valid not in mask_flags:
                valid = raster.read_masks(numbers[0])[np.newaxis] != 0
        converted = pixels.astype(dtype, copy=False)
        if with_valid and np.dtype(raster.dtypes[0]).kind == "f":
            valid = _exclude_infinite_pixels(converted, valid)
        return ChipPixels(
            converted,
            valid,
            [raster.scales[number - 1] for number in numbers],
            [raster.offsets[number - 1] for number in numbers],
            raster.transform[:6],
        )

    def read_label(self, file: ChipPath, dtype: str | None) -> NDArray[Any]:
        """Read all bands of a label, shape (bands, rows, columns); no `dtype`: as stored. Errors: see `read_image`."""
        raster = self._open_file(file)
        with translate_read_errors(file.path):
            return np.asarray(raster.read(out_dtype=dtype))

    def _open_file(self, file: ChipPath) -> DatasetReader | VirtualRaster:
        if address := ChipAddress.from_path(file.path):
            return open_virtual_window(address)  # its source stays open
        files = self._files.list_own()
        raster = files.get(file.content)
        if raster is None:
            raster = _open_file(file)
            files[file.content] = raster
            if len(files) > self._limit:
                files.popitem(last=False)[1].close()
        else:
            files.move_to_end(file.content)
        return raster


class _ThreadFiles(threading.local):
    """The open files of a thread by content, last used last."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._files: OrderedDict[str, DatasetReader] = OrderedDict()

    def list_own(self) -> OrderedDict[str, DatasetReader]:
        """Return the files that this process opened."""
        if self._process != os.getpid():
            _inherited_files.append(self._files)
            self._process, self._files = os.getpid(), OrderedDict()
        return self._files


_inherited_files: list[OrderedDict[str, DatasetReader]] = []
"""The files of the process that this one was forked from. They are kept: closing them could wait for a lock that a
thread of the other process held."""


def _open_file(file: ChipPath) -> DatasetReader:
    if file.with_sidecars:
        return open_raster(Path(file.path))
    with ignore_sidecars():
        return open_chip(file.path)


def _require_dtype(raster: DatasetReader | VirtualRaster, dtype: str) -> None:
    stored = raster.dtypes[0]
    if np.dtype(dtype).kind != "f" and not np.can_cast(stored, dtype):
        raise UsageError(
            f"raster '{raster.name}' has {stored} pixels, which do not fit {dtype}. Choose a larger dtype."
        )


def find_band_numbers(raster: DatasetReader | VirtualRaster, bands: Sequence[int | str]) -> list[int]:
    """Return the numbers, from 1, of bands that are given by number or name; `UsageError` if one is not there."""
    return [_find_band_number(raster, band) for band in bands]


def _find_band_number(raster: DatasetReader | VirtualRaster, band: int | str) -> int:
    if isinstance(band, int):
        if 1 <= band <= raster.count:
            return band
        raise UsageError(f"raster '{raster.name}' has no band {band}: it has {raster.count}. Bands count from 1.")
    matches = find_band(band, [[name] for name in raster.descriptions])
    if len(matches) == 1:
        return matches[0] + 1
    names = quote_names([name for name in raster.descriptions if name], limit=20) or "none"
    reason = "several bands" if matches else "no band"
    raise UsageError(f"raster '{raster.name}' has {reason} named '{band}'. Its names are: {names}. Numbers work, too.")


def _find_data(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Return the pixels that are not nodata; None if all are."""
    if nodata is None:
        return None
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = pixels.dtype.type(nodata)
        is_nodata = np.isnan(pixels) if np.isnan(value) else pixels == value
    elif float(nodata) != int(nodata):
        return None
    else:
        is_nodata = pixels == int(nodata)
    return ~is_nodata if is_nodata.any() else None


def _exclude_infinite_pixels(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return the valid pixels without those that are infinite or not a number."""
    finite: NDArray[np.bool_] = np.isfinite(pixels)
    if finite.all():
        return valid
    return finite if valid is None else finite & valid


def describe_label_file(path: str) -> tuple[int, str]:
    """Return the number of bands of a label file and numpy's name of their type; errors as for `open_raster`."""
    with open_raster(Path(path), with_sidecars=False) as raster:
        return raster.count, str(np.dtype(raster.dtypes[0]))


def require_same_size(pixels: NDArray[Any], label: NDArray[Any], path: str) -> None:
    """Raise `CorruptError` unless a label, shape (…, rows, columns), has the size of its image."""
    if pixels.shape[-2:] != label.shape[-2:]:
        raise CorruptError(
            f"label '{path}' has {label.shape[-1]} x {label.shape[-2]} pixels, but its raster has {pixels.shape[-1]} x "
            f"{pixels.shape[-2]}. See geographer verify."
        )
