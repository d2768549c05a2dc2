"""Make label files in worker processes, and write the pixels of a label as a GeoTIFF on the raster's grid."""

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
from geographer.operations.label.rendering.pixel_geometries import VisibleObject
from geographer.rasters.crs import parse_crs
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, write_and_hash

_BATCH_SIZE = 200


@dataclass(frozen=True, slots=True)
class LabelTask:
    """One label to make.

    Attributes:
        raster_id: The raster to label.
        grid: Its grid, which is the label's grid.
        objects: The objects to draw, in the order in which the features were added.
        destination: The file to write; its folder exists.
        raster_path: The raster's file; read only by renderers that need its valid pixels.
        valid_window: For a chip, the extent of its parent raster in the chip's pixels: pixels outside are padding.
            None: no padding.
    """

    raster_id: str
    grid: Grid
    objects: tuple[VisibleObject, ...]
    destination: str
    raster_path: str = ""
    valid_window: Window | None = None


class LabelledObject(NamedTuple):
    """An object that a label lists; fields that a kind of label does not have are None. See `Dataset.objects`."""

    feature_id: str
    class_name: str
    instance: int | None = None
    pixels: int | None = None
    box: tuple[float, ...] | None = None
    corners: tuple[tuple[float, float], ...] | None = None
    visible: float | None = None


@dataclass(frozen=True, slots=True)
class LabelResult:
    """A label that was made: its file, checksums, pixel digest (None if it is no raster), and the objects it lists.

    `notes` has the ids of the features that a note applies to, by note, e.g. 'hidden'.
    """

    destination: str
    checksums: Checksums
    pixel_digest: str | None
    objects: tuple[LabelledObject, ...] = ()
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


class LabelRenderer(Protocol):
    """Makes label files of one kind with fixed options. Frozen and picklable, for worker processes."""

    def render_label(self, task: LabelTask, /) -> LabelResult:
        """Make one label file.

        Raises:
            UsageError: a value does not fit the dtype, or GeoTIFF cannot store the CRS.
            CorruptError: the raster cannot be read.
            StorageError: the file cannot be written; no partial file is left.
        """
        ...


def render_labels(tasks: Iterable[LabelTask], renderer: LabelRenderer, *, workers: int = 1) -> Iterator[LabelResult]:
    """Make label files in `workers` processes, and yield the results in the order of the tasks.

    Tasks are consumed in batches as workers become free. The files do not depend on the number of processes.

    Raises:
        UsageError, CorruptError, StorageError: see `LabelRenderer.render_label`.
    """
    yield from make_executor(workers).run(partial(_render_batch, renderer), _split_into_batches(tasks))


def write_label(task: LabelTask, pixels: NDArray[np.generic], bands: tuple[str, ...] = (), **more: Any) -> LabelResult:
    """Write pixels, shape (bands, rows, columns), as a GeoTIFF on the task's grid, without nodata and tags.

    `bands` are the names of the bands, or empty; `more` are further fields of the result: `objects`, `notes`.

    Raises:
        UsageError: the CRS is unknown, or GeoTIFF cannot store it.
        StorageError: the file cannot be written.
    """
    count = len(pixels)
    metadata = GeoTiffMetadata(
        parse_crs(task.grid.crs),
        count=count,
        dtype=pixels.dtype.name,
        # By default, three uint8 bands become red, green and blue.
        interpretation=(ColorInterp.gray, *[ColorInterp.undefined] * (count - 1)) if count > 1 else (),
        descriptions=tuple(bands),
    )
    if (task.grid.crs, count, bands) not in _verified_formats:
        require_geotiff_roundtrip(metadata, task.grid.crs, task.raster_id)
        _verified_formats.add((task.grid.crs, count, bands))
    content = encode_geotiff(pixels, metadata, task.grid.transform)
    checksums, digest = write_and_hash(Path(task.destination), content, pixels, task.grid)
    return LabelResult(task.destination, checksums, digest, **more)


_verified_formats: set[tuple[str, int, tuple[str, ...]]] = set()
"""CRS, band count and names that GeoTIFF is known to store: the check takes as long as writing a label."""


def _split_into_batches(tasks: Iterable[LabelTask]) -> Iterator[list[LabelTask]]:
    remaining = iter(tasks)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        yield batch


def _render_batch(renderer: LabelRenderer, tasks: list[LabelTask]) -> Iterator[LabelResult]:
    return map(renderer.render_label, tasks)
