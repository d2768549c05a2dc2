"""Read images of any dataset for an audit: digests of file and pixels, grid, and what is damaged."""

import hashlib
import json
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from tokenize import TokenError
from typing import Any, Final, NamedTuple
from zipfile import BadZipFile

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geographer.base.errors import UsageError
from geographer.base.text import is_unicode
from geographer.base.values import Grid
from geographer.rasters.pixel_digest import make_row_buffer
from geographer.rasters.read import iter_strips, read_grid

_SUFFIXES = ".tif .tiff .png .jpg .jpeg .jp2 .j2k .bmp .gif .webp .ppm .pgm .npy .npz .h5 .hdf5 .nc .img"
IMAGE_SUFFIXES: Final = frozenset(_SUFFIXES.split())
"""The suffixes, in lower case, of the files that `read_image` can read."""
_DRIVERS: Final = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "GTiff"),
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    **dict.fromkeys((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "JP2OpenJPEG"),
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    **dict.fromkeys((b"P5", b"P6"), "PNM"),
    b"\x89HDF\r\n": "HDF5",
    b"CDF": "netCDF",
    b"EHFA_HEADER_TAG": "HFA",
}
"""GDAL's driver by the first bytes of a file; these formats name no other files."""
_ARRAY_SUFFIXES: Final = (".npy", ".npz")
_JPEG_SUFFIXES: Final = (".jpg", ".jpeg")
_END_OF_JPEG: Final = b"\xff\xd9"
_STRIP_BYTES: Final = 1 << 25
_MAX_BYTES: Final = 1 << 36
_MAX_DESCRIBED_PIXELS: Final = 2048
_MAX_SUBDATASETS: Final = 64
_MAX_FAULT_LETTERS: Final = 200
_MIN_CONTAINED: Final = 64
"""An array of four dimensions whose first one is so long holds as many images, not one with many bands or dates."""
_MIN_CONTAINER_BANDS: Final = 1024
_READ_ERRORS: Final = (
    *(RasterioError, OSError, ValueError, EOFError, MemoryError, OverflowError, LookupError, TypeError),
    *(SyntaxError, TokenError, NotImplementedError, BadZipFile, zlib.error, struct.error, UnpicklingError),
)
"""What rasterio, NumPy and the unpacking of archives raise for damaged files."""

Describe = Callable[[NDArray[Any], NDArray[np.bool_] | None], Any]
"""Describes pixels, shape (bands, rows, columns), by those that the second array, (rows, columns), marks as valid."""


class ImageFacts(NamedTuple):
    """What one image file holds.

    `sha256` is that of the file, and `pixel_digest` that of shape, dtype and pixels, without the georeference; both in
    hex. `grid` is None without CRS and transform. `description` is what the caller's function made of the pixels. A
    `fault` says why the file or its pixels cannot be read; then the fields about pixels are None. So they are if
    `is_container`: the file holds many images.
    """

    sha256: str | None = None
    pixel_digest: str | None = None
    width: int | None = None
    height: int | None = None
    bands: int | None = None
    is_constant: bool = False
    grid: Grid | None = None
    description: Any = None
    fault: str | None = None
    is_container: bool = False


def read_image(path: Path, describe: Describe | None = None) -> ImageFacts:
    """Read the facts of the image at `path`; raise nothing for a file that is damaged, missing or no image.

    The pixels are read in strips; `describe` gets all of them, or those of a smaller copy if a side has more than
    2,048 pixels.
    """
    sha256 = None
    try:
        with path.open("rb", buffering=0) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            fault = _find_truncation(path, file)
            driver = _find_driver(file)
        if fault:
            return ImageFacts(sha256, fault=fault)
        if path.suffix.lower() in _ARRAY_SUFFIXES:
            return _read_arrays(path, describe)._replace(sha256=sha256)
        if driver is None:
            return ImageFacts(sha256, fault="it does not begin like an image of a known format")
        with _open_image(path, driver) as rasters:
            if rasters is None:
                return ImageFacts(sha256, is_container=True)
            return _read_rasters(rasters, describe)._replace(sha256=sha256)
    except _READ_ERRORS as error:
        return ImageFacts(sha256, fault=_describe_error(error, path))


def read_label_digest(path: Path) -> str | None:
    """Return the SHA-256 of the pixels of a mask, or of the file if it is no image; None if it cannot be read."""
    facts = read_image(path)
    return facts.pixel_digest or facts.sha256


def _find_truncation(path: Path, file: Any) -> str | None:
    size = file.seek(0, 2)
    if not size:
        return "the file is empty"
    if path.suffix.lower() in _JPEG_SUFFIXES:
        file.seek(0)
        if file.read(2) == _END_OF_JPEG[:1] + b"\xd8":
            file.seek(max(0, size - 4096))
            return None if _END_OF_JPEG in file.read() else "the JPEG data ends before its end marker"
    return None


def _find_driver(file: Any) -> str | None:
    file.seek(0)
    start = file.read(16)
    return next((driver for magic, driver in _DRIVERS.items() if start.startswith(magic)), None)


def _describe_error(error: BaseException, path: Path) -> str:
    """Return the first line of an error's text, without the folder of this machine."""
    text = getattr(error, "strerror", None) or str(error.__cause__ or error) or type(error).__name__
    line = str(text).replace(str(path), path.name).partition("\n")[0]
    return line.encode(errors="backslashreplace").decode()[:_MAX_FAULT_LETTERS]


@contextmanager
def _open_image(path: Path, driver: str) -> Iterator[list[DatasetReader] | None]:
    """Open an image: one raster, or the subdatasets of a file without bands; None if the file holds many images."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        stack.enter_context(rasterio.Env())
        if is_unicode(str(path)):
            raster = stack.enter_context(rasterio.open(path, driver=driver))
        else:
            memory = stack.enter_context(rasterio.MemoryFile(path.read_bytes()))
            raster = stack.enter_context(memory.open(driver=driver))
        if driver == "HDF5" and _has_unread_arrays(raster):
            yield None
        elif raster.count:
            yield [raster]
        else:
            yield [stack.enter_context(rasterio.open(name)) for name in sorted(raster.subdatasets)[:_MAX_SUBDATASETS]]


def _has_unread_arrays(raster: DatasetReader) -> bool:
    """Return whether an HDF5 file may hold arrays that GDAL leaves out: those of four dimensions, such as many images.

    GDAL lists no such array; a file of which it shows one array only may have others.
    """
    texts = raster.tags(ns="SUBDATASETS").values()
    return not raster.subdatasets or any(re.match(r"\[(\d+x){3,}\d+\]", text) for text in texts)


def _read_rasters(rasters: list[DatasetReader], describe: Describe | None) -> ImageFacts:
    if not rasters:
        return ImageFacts(fault="the file has no bands")
    if sum(raster.count for raster in rasters) >= _MIN_CONTAINER_BANDS:
        return ImageFacts(is_container=True)
    if sum(_count_bytes(raster) for raster in rasters) > _MAX_BYTES:
        return ImageFacts(fault="the image has more than 64 GiB of pixels")
    digest, is_constant = hashlib.sha256(), True
    for raster in rasters:
        is_constant &= _hash_pixels(raster, digest)
    first = rasters[0]
    description = None if describe is None else describe(*_read_small(rasters))
    bands = sum(raster.count for raster in rasters)
    return ImageFacts(
        None, digest.hexdigest(), first.width, first.height, bands, is_constant, _find_grid(first), description
    )


def _count_bytes(raster: DatasetReader) -> int:
    return int(raster.count * raster.width * raster.height) * np.dtype(_name_dtype(raster)).itemsize


def _name_dtype(raster: DatasetReader) -> str:
    """Return numpy's name of the type that holds the pixels of all bands."""
    names = ["complex64" if name.startswith("complex_int") else name for name in set(raster.dtypes)]
    return np.result_type(*names).name


def _hash_pixels(raster: DatasetReader, digest: "hashlib._Hash") -> bool:
    """Add the shape, dtype and pixels of a raster to a digest; return whether all of its pixels are equal."""
    dtype = np.dtype(_name_dtype(raster))
    digest.update(_encode_header((raster.count, raster.height, raster.width), dtype))
    first, is_constant = None, True
    for window in iter_strips(raster, _STRIP_BYTES):
        rows = make_row_buffer(raster.count, window.height, window.width, dtype)
        pixels = raster.read(window=window, out=rows)
        first = pixels[:, :1, :1].copy() if first is None else first
        is_constant = is_constant and bool((pixels == first).all())
        digest.update(_to_bytes(pixels.transpose(1, 0, 2)))
    return is_constant


def _encode_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    return json.dumps([*shape, dtype.name]).encode()


def _to_bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data


def _read_small(rasters: list[DatasetReader]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read all bands of rasters of one size, reduced to `_MAX_DESCRIBED_PIXELS` a side at most; and the mask.

    The mask is None if no nodata value, mask or alpha band marks pixels.
    """
    first = rasters[0]
    factor = max(1.0, first.width / _MAX_DESCRIBED_PIXELS, first.height / _MAX_DESCRIBED_PIXELS)
    size = (max(1, round(first.height / factor)), max(1, round(first.width / factor)))
    equal = [raster for raster in rasters if raster.shape == first.shape]
    parts = [raster.read(out_shape=(raster.count, *size), resampling=Resampling.average) for raster in equal]
    is_masked = not all(MaskFlags.all_valid in flags for flags in first.mask_flag_enums)
    valid = first.dataset_mask(out_shape=size) != 0 if is_masked else None
    return (np.concatenate(parts) if len(parts) > 1 else parts[0]), valid


def _find_grid(raster: DatasetReader) -> Grid | None:
    """Return the grid of a raster; None if it is not georeferenced."""
    if not raster.crs or raster.transform.is_identity:
        return None
    try:
        return read_grid(raster)
    except (UsageError, RasterioError):
        return None


def _read_arrays(path: Path, describe: Describe | None) -> ImageFacts:
    arrays = _load_arrays(path)
    if not arrays:
        return ImageFacts(fault="the file has no arrays")
    if any(array.ndim >= 4 and len(array) >= _MIN_CONTAINED for array in arrays.values()):
        return ImageFacts(is_container=True)
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(_encode_header(array.shape, array.dtype))
        digest.update(_to_bytes(np.atleast_1d(array)))
    largest = max(arrays.values(), key=lambda array: array.size)
    if largest.ndim < 2 or not largest.size or largest.dtype.kind not in "buif":
        return ImageFacts(None, digest.hexdigest())
    pixels = _to_bands(largest)
    bands, height, width = pixels.shape
    is_constant = bool((pixels == pixels[:, :1, :1]).all())
    step = max(1, math.ceil(max(height, width) / _MAX_DESCRIBED_PIXELS))
    small = np.ascontiguousarray(pixels[:, ::step, ::step])
    description = None if describe is None else describe(small, None)
    return ImageFacts(None, digest.hexdigest(), width, height, bands, is_constant, None, description)


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Load the array of a file by the name "", mapped to memory, or those of an archive by their names; no pickles."""
    if path.suffix.lower() == ".npy":
        return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in sorted(loaded.files)}


def _to_bands(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of two or more dimensions as (bands, rows, columns); the smallest of three is the bands."""
    if array.ndim == 2:
        return array[None]
    if array.ndim == 3:
        return np.moveaxis(array, -1, 0) if array.shape[2] < array.shape[0] else array
    return array.reshape(-1, *array.shape[-2:])
