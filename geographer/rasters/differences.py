"""Differences: how the pixels, the grid and the metadata of two files of what should be the same raster differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from geographer.rasters.read import iter_strips, open_raster, read_grid, translate_read_errors

_STRIP_BYTES: Final = 1 << 24
_MAX_VALUES: Final = 4096
"""Rasters with more different pairs of values than this are not labels."""
_STRUCTURE_NAMESPACES: Final = {"IMAGE_STRUCTURE", "SUBDATASETS", "DERIVED_SUBDATASETS"}
"""Namespaces of tags that GDAL makes from the file's structure and path."""


class PixelPlace(NamedTuple):
    """A pixel: column and row from 0 at the upper left, band from 1."""

    column: int
    row: int
    band: int


class PixelDifference(NamedTuple):
    """How the pixels of two rasters of one shape and data type differ, whether they are nodata or not.

    Attributes:
        pixels: The number of pixels of the raster, of one band.
        changed: The number of pixels that differ in any band.
        max_difference: The largest absolute difference; None if it is not a number: only one side is NaN or infinite.
        mean_difference: The mean absolute difference over the pixels of all bands that are numbers on both sides.
        first: The first pixel that differs, row by row.
        worst: The first pixel with the largest difference; `first` if that is no number.
        bands: The largest absolute difference of each band; None as for `max_difference`.
        values: The numbers of pixels by old and new value, most frequent first; empty if they are not whole numbers.
    """

    pixels: int
    changed: int
    max_difference: float | None
    mean_difference: float
    first: PixelPlace | None
    worst: PixelPlace | None
    bands: tuple[float | None, ...]
    values: Mapping[tuple[int, int], int]


def list_metadata_differences(old_path: Path, new_path: Path) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two files beside the values of pixels, by name, with both values as text or numbers.

    The first six (`width`, `height`, `bands`, `dtype`, `crs`, `transform`) are the shape and the grid; the others, such
    as `nodata`, `tags` or `compression`, change neither. Empty if only the order of the bytes in the files differs.

    Raises:
        CorruptError, UsageError: a file cannot be read, or has no grid.
    """
    with open_raster(old_path, with_sidecars=False) as old, open_raster(new_path, with_sidecars=False) as new:
        before, after = _describe_file(old), _describe_file(new)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _describe_file(raster: DatasetReader) -> dict[str, Any]:
    grid = read_grid(raster)
    namespaces = sorted({*raster.tag_namespaces()} - _STRUCTURE_NAMESPACES)
    tags = {namespace: raster.tags(ns=namespace) for namespace in namespaces}
    structure = raster.tags(ns="IMAGE_STRUCTURE")
    return {
        "width": grid.width,
        "height": grid.height,
        "bands": raster.count,
        "dtype": str(raster.dtypes[0]),
        "crs": grid.crs,
        "transform": [*grid.transform],
        "nodata": str(raster.nodatavals),
        "mask": str(raster.mask_flag_enums),
        "tags": {"": raster.tags(), **tags},
        "tags of bands": [raster.tags(band) for band in raster.indexes],
        "names of bands": str(raster.descriptions),
        "colours": str(raster.colorinterp),
        "scales": str(raster.scales),
        "offsets": str(raster.offsets),
        "units": str(raster.units),
        "compression": structure.get("COMPRESSION", "none"),
        "interleaving": structure.get("INTERLEAVE", ""),
        "predictor": structure.get("PREDICTOR", ""),
        "blocks": str(raster.block_shapes),
    }


class _DifferenceSums:
    """What the strips of two rasters that were compared so far add up to."""

    def __init__(self, bands: int) -> None:
        self.changed, self.total, self.numbers = 0, 0.0, 0
        self.first: PixelPlace | None = None
        self.worst: PixelPlace | None = None
        self.largest = 0.0
        self.bands: list[float | None] = [0.0] * bands
        self.has_no_number = False
        self.values: Counter[tuple[int, int]] | None = Counter()

    def add_strip(self, old: NDArray[np.generic], new: NDArray[np.generic], first_row: int) -> None:
        """Add strips of shape (bands, rows, columns) whose first row is `first_row`."""
        differs = old != new
        if np.issubdtype(old.dtype, np.inexact):
            differs &= ~(np.isnan(old) & np.isnan(new))
        self.numbers += old.size
        if not differs.any():
            return
        self.changed += int(np.count_nonzero(differs.any(axis=0)))
        if self.first is None:
            row, column, band = np.argwhere(differs.transpose(1, 2, 0))[0].tolist()
            self.first = PixelPlace(column, row + first_row, band + 1)
        self._add_sizes(old, new, differs, first_row)
        self._count_values(old[differs], new[differs])

    def _add_sizes(
        self, old: NDArray[np.generic], new: NDArray[np.generic], differs: NDArray[np.bool_], first_row: int
    ) -> None:
        sizes = _compute_sizes(old, new, differs)
        finite = np.isfinite(sizes)
        self.total += float(sizes[finite].sum())
        for band, size in enumerate(sizes):
            if not np.isfinite(size).all():
                self.has_no_number, self.bands[band] = True, None
            elif (before := self.bands[band]) is not None:
                self.bands[band] = max(before, float(size.max()))
        largest = float(sizes[finite].max()) if finite.any() else 0.0
        if largest > self.largest:
            self.largest = largest
            row, column, band = np.argwhere((sizes == largest).transpose(1, 2, 0))[0].tolist()
            self.worst = PixelPlace(column, row + first_row, band + 1)

    def _count_values(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> None:
        if self.values is None or not np.issubdtype(old.dtype, np.integer):
            self.values = None
            return
        pairs, numbers = np.unique(np.column_stack([old, new]), axis=0, return_counts=True)
        if len(pairs) + len(self.values) > _MAX_VALUES:
            self.values = None
            return
        for (before, after), number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            self.values[before, after] += number

    def summarize_difference(self, pixels: int) -> PixelDifference:
        """Return what was found."""
        largest = None if self.has_no_number else self.largest
        mean = self.total / self.numbers if self.numbers else 0.0
        values = dict((self.values or Counter()).most_common())
        worst = self.worst or self.first
        return PixelDifference(pixels, self.changed, largest, mean, self.first, worst, tuple(self.bands), values)


def _compute_sizes(
    old: NDArray[np.generic], new: NDArray[np.generic], differs: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the absolute differences as float64, NaN where only one side is a number; 0 where nothing differs."""
    if np.issubdtype(old.dtype, np.complexfloating):
        with np.errstate(invalid="ignore"):
            sizes = np.abs(old.astype(np.complex128) - new.astype(np.complex128))
    else:
        with np.errstate(invalid="ignore"):
            sizes = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return np.where(differs, sizes, 0.0)


def compare_pixels(old_path: Path, new_path: Path) -> PixelDifference | None:
    """Compare the values of all pixels of two files, strip by strip; None if their shapes or data types differ.

    Unlike `compare_rasters`, values that nodata or a mask hides count, too. NaN equals NaN.

    Raises:
        CorruptError: a file cannot be read.
    """
    with open_raster(old_path, with_sidecars=False) as old, open_raster(new_path, with_sidecars=False) as new:
        shapes = [(raster.width, raster.height, raster.count, raster.dtypes[0]) for raster in (old, new)]
        if shapes[0] != shapes[1]:
            return None
        sums = _DifferenceSums(old.count)
        for window in iter_strips(old, _STRIP_BYTES):
            with translate_read_errors(old_path):
                before = old.read(window=window)
            with translate_read_errors(new_path):
                after = new.read(window=window)
            sums.add_strip(before, after, int(window.row_off))
        return sums.summarize_difference(old.width * old.height)
