"""Label files: read those of users on the grid of a raster, convert their pixels, and write labels as GeoTIFFs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geographer.base.errors import UsageError
from geographer.base.executors.task_files import locate_file
from geographer.base.text import format_count
from geographer.base.values import Checksums, Grid, LabelForm, Window
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.geotiff_batches import GeoTiffEncoder, find_encoder
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.read import open_raster, translate_metadata_errors, translate_read_errors
from geographer.rasters.write import GeoTiffMetadata, write_and_hash

_MAX_SHIFT: Final = 1e-6
"""How far the corners of a label may lie from those of its raster, in pixels."""
_SHOWN_VALUES: Final = 10

_BATCH_BYTES: Final = 1 << 24

_verified_formats: set[tuple[str, int, tuple[str, ...]]] = set()
"""CRS, band count and names that GeoTIFF is known to store: the check takes as long as writing a label."""


class LabelPixels(NamedTuple):
    """How the pixels of label files become those of labels.

    Attributes:
        form: What the bands mean.
        dtype: numpy's name of the pixel type of the labels.
        values: The value in the label by value in the file; others are errors. Only of masks.
        bands: The names of the bands, one for each class; a mask has none.
        file_bands: The number of bands of files, and which of them, from 0, each band is (None: it is 0 everywhere). By
            default, files have the bands of labels.
    """

    form: LabelForm
    dtype: str
    values: Mapping[int, int]
    bands: tuple[str, ...] = ()
    file_bands: tuple[int, tuple[int | None, ...]] | None = None


class LabelRaster(NamedTuple):
    """A label to write: pixels, shape (bands, rows, columns), on the grid of a raster; `bands` names them, or is empty.

    `destination` is in a staging folder.
    """

    destination: Path
    pixels: NDArray[np.generic]
    grid: Grid
    raster_id: str
    bands: tuple[str, ...] = ()

    @property
    def encoding_key(self) -> tuple[str, str, tuple[int, ...], tuple[str, ...]]:
        """What labels have in common that are encoded at once."""
        return self.grid.crs, self.pixels.dtype.str, self.pixels.shape, self.bands


def write_label_pixels(
    destination: Path, pixels: NDArray[np.generic], grid: Grid, raster_id: str, bands: tuple[str, ...] = ()
) -> tuple[Checksums, str]:
    """Write one label, and return its checksums and pixel digest; see `write_label_files`."""
    return next(write_label_files([LabelRaster(destination, pixels, grid, raster_id, bands)]))


def write_label_files(files: Iterable[LabelRaster]) -> Iterator[tuple[Checksums, str]]:
    """Write labels as GeoTIFFs without nodata and tags, and yield the checksums and the pixel digest of each.

    Successive labels of one kind are encoded at once, about 16 MB of pixels at a time.

    Raises:
        UsageError: GeoTIFF cannot store the CRS of a raster.
        StorageError: a file cannot be written; no partial file is left.
    """
    remaining = iter(files)
    first = next(remaining, None)
    while first is not None:
        # Otherwise, each call of rasterio makes an environment.
        with rasterio.Env():
            group, first = _take_group(first, remaining)
            encoder = _require_encoder(group[0])
            contents = encoder.encode_rasters([file.pixels for file in group], [file.grid.transform for file in group])
        for file, content in zip(group, contents, strict=True):
            yield write_and_hash(file.destination, content, file.pixels, file.grid)


def _take_group(first: LabelRaster, remaining: Iterator[LabelRaster]) -> tuple[list[LabelRaster], LabelRaster | None]:
    """Return `first` and those after it that have its kind, as many as `_BATCH_BYTES`, and the next one."""
    group = [first]
    for file in remaining:
        if file.encoding_key != first.encoding_key or len(group) * first.pixels.nbytes >= _BATCH_BYTES:
            return group, file
        group.append(file)
    return group, None


def _require_encoder(file: LabelRaster) -> GeoTiffEncoder:
    """Return the encoder of a label's kind; `UsageError` if GeoTIFF cannot store the CRS of its raster."""
    count = len(file.pixels)
    metadata = GeoTiffMetadata(
        parse_crs(file.grid.crs),
        count=count,
        dtype=file.pixels.dtype.name,
        # By default, three uint8 bands become red, green and blue.
        interpretation=(ColorInterp.gray, *[ColorInterp.undefined] * (count - 1)) if count > 1 else (),
        descriptions=file.bands,
    )
    if (kind := (file.grid.crs, count, file.bands)) not in _verified_formats:
        require_geotiff_roundtrip(metadata, file.grid.crs, file.raster_id)
        _verified_formats.add(kind)
    return find_encoder(metadata, file.pixels.shape)


def read_label_file(path: Path, grid: Grid, raster_id: str) -> NDArray[np.generic]:
    """Return the pixels, shape (bands, rows, columns), of a user's label file for a raster with this grid.

    A file without CRS and transform, such as a PNG, is on the grid of its raster if it has that raster's size.

    Raises:
        NotFoundError, CorruptError: the file does not exist, or is damaged.
        UsageError: the file is not a raster, or has another grid than its raster.
    """
    with open_raster(path) as file:
        with translate_metadata_errors(path):
            _require_same_grid(file, grid, raster_id)
        with translate_read_errors(path):
            return np.asarray(file.read())


def _require_same_grid(file: DatasetReader, grid: Grid, raster_id: str) -> None:
    if (file.width, file.height) != (grid.width, grid.height):
        raise UsageError(
            f"label file '{file.name}' has {file.width} x {file.height} pixels, but raster '{raster_id}' has "
            f"{grid.width} x {grid.height}. Give it the raster's size, or leave it out."
        )
    has_transform = not file.transform.is_identity
    if file.crs and crs_to_text(file.crs) != grid.crs and file.crs != parse_crs(grid.crs):
        raise UsageError(
            f"label file '{file.name}' has the CRS {_shorten_crs(crs_to_text(file.crs))}, but raster '{raster_id}' has "
            f"{_shorten_crs(grid.crs)}. Write it on the raster's grid."
        )
    if (file.crs or has_transform) and (shift := _measure_shift(file, grid)) > _MAX_SHIFT:
        raise UsageError(
            f"label file '{file.name}' is not on the grid of raster '{raster_id}': its corners are up to {shift:.3g} "
            "pixels away. Write it with the raster's transform."
        )


def _measure_shift(file: DatasetReader, grid: Grid) -> float:
    """Return the largest distance of a corner of a file from that of a grid of the same size, in pixels of the grid."""
    to_pixels = ~rasterio.Affine(*grid.transform)
    corners = [(column, row) for column in (0, grid.width) for row in (0, grid.height)]
    moved = [to_pixels @ (file.transform @ corner) for corner in corners]
    return float(np.abs(np.subtract(moved, corners)).max())


def _shorten_crs(crs: str) -> str:
    return crs if crs.startswith("EPSG:") else f"{crs[:60]}…"


def convert_label_pixels(
    pixels: NDArray[np.generic], target: LabelPixels, path: Path, advice: str
) -> NDArray[np.generic]:
    """Return the pixels of a label, shape (bands, rows, columns), from those of a user's file.

    Raise `UsageError`, which names the file at `path` and ends with `advice` on unknown values, if they do not have the
    form.
    """
    expected = target.file_bands[0] if target.file_bands else len(target.bands) or 1
    if len(pixels) != expected:
        what = "one band of class values" if target.form == "mask" else f"a band for each class ({expected})"
        raise UsageError(
            f"label file '{path}' has {format_count(len(pixels), 'band')}, but a label of the form '{target.form}' has "
            f"{what}. Convert it, or pass another --form."
        )
    if target.file_bands:
        nothing = np.zeros_like(pixels[0])
        pixels = np.stack([nothing if index is None else pixels[index] for index in target.file_bands[1]])
    if target.form == "probabilities":
        return _convert_probabilities(pixels, path)
    if pixels.dtype.kind not in "iu":
        raise UsageError(
            f"label file '{path}' has pixels of the type {pixels.dtype.name}; class values are integers. Convert it, "
            "or pass another --form."
        )
    values = target.values if target.form == "mask" else {0: 0, 1: 1}
    found = np.unique(pixels).tolist()
    if unknown := [value for value in found if value not in values]:
        texts = ", ".join(map(str, unknown[:_SHOWN_VALUES])) + (" …" if len(unknown) > _SHOWN_VALUES else "")
        raise UsageError(f"label file '{path}' has the unknown value{'s' * (len(unknown) > 1)} {texts}. {advice}")
    return replace_values(pixels, {value: values[value] for value in found}, target.dtype)


def _convert_probabilities(pixels: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    numbers = pixels.astype(np.float32)
    if not (np.isfinite(numbers).all() and numbers.min() >= 0 and numbers.max() <= 1):
        raise UsageError(f"label file '{path}' has values outside of 0 to 1. Convert them to probabilities.")
    return numbers


def replace_values(pixels: NDArray[np.generic], values: Mapping[int, int], dtype: str) -> NDArray[np.generic]:
    """Return integer pixels as `dtype` with other values; those that `values` does not name stay."""
    replaced = pixels.astype(dtype)
    for old, new in values.items():
        if old != new:
            replaced[pixels == old] = new
    return replaced


def rewrite_label(
    path: Path, values: Mapping[int, int], grid: Grid, raster_id: str, destination: Path
) -> tuple[Checksums, str] | None:
    """Write the label at `path` with other values, and return checksums and pixel digest; None if its pixels stay.

    Raises:
        CorruptError: the label cannot be read.
        StorageError: the file cannot be written.
    """
    with open_raster(path, with_sidecars=False) as file, translate_read_errors(path):
        pixels = np.asarray(file.read())
    replaced = replace_values(pixels, values, pixels.dtype.name)
    return None if np.array_equal(pixels, replaced) else write_label_pixels(destination, replaced, grid, raster_id)


class LabelWindow(NamedTuple):
    """A label to cut: the `window` of the label at `path`, on the grid of the chip `raster_id`, to `destination`.

    Pixels outside of the label are `padding`.
    """

    path: str
    window: Window
    grid: Grid
    raster_id: str
    destination: str
    padding: int


def cut_label_windows(windows: Sequence[LabelWindow]) -> Iterator[tuple[Checksums, str]]:
    """Cut labels, and yield the checksums and the pixel digest of each, in their order; bands keep their names.

    Raises:
        CorruptError, UsageError: a label cannot be read, or GeoTIFF cannot store the CRS.
        StorageError: a file cannot be written; no partial file is left.
    """
    for path, group in groupby(windows, key=lambda window: window.path):
        with open_raster(locate_file(path), with_sidecars=False) as file:
            yield from write_label_files(_read_label_file(file, window) for window in group)


def _read_label_file(file: DatasetReader, window: LabelWindow) -> LabelRaster:
    names = tuple(name for name in file.descriptions if name is not None)
    pixels = read_label_window(file, window.window, window.padding)
    return LabelRaster(locate_file(window.destination), pixels, window.grid, window.raster_id, names)


def read_label_window(file: DatasetReader, window: Window, padding: int) -> NDArray[np.generic]:
    """Return a window of an open label, shape (bands, rows, columns); pixels outside of the label are `padding`."""
    left, top = max(window.col, 0), max(window.row, 0)
    right, bottom = min(window.col + window.width, file.width), min(window.row + window.height, file.height)
    pixels = np.full((file.count, window.height, window.width), padding, file.dtypes[0])
    if left < right and top < bottom:
        rows = slice(top - window.row, bottom - window.row)
        columns = slice(left - window.col, right - window.col)
        with translate_read_errors(file.name):
            pixels[:, rows, columns] = file.read(window=RasterioWindow(left, top, right - left, bottom - top))
    return pixels
