"""Make label files in worker processes, and write the pixels of a label as a GeoTIFF on the raster's grid."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geographer.base.executors import make_executor
from geographer.operations.label.events import Note
from geographer.operations.label.tasks import LabelledObject, LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.crs import parse_crs
from geographer.rasters.metadata import require_geotiff_roundtrip
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff, write_and_hash

if TYPE_CHECKING:
    from geographer.operations.label.base import LabelRecipe

_BATCH_SIZE = 200


def render_labels(
    tasks: Iterable[LabelTask], recipe: "LabelRecipe", settings: LabelSettings, *, workers: int = 1
) -> Iterator[LabelResult]:
    """Make the label files of a recipe in `workers` processes, and yield the results in the order of the tasks.

    Tasks are consumed in batches as workers become free. The files do not depend on the number of processes.

    Raises:
        UsageError: a label cannot be drawn, or GeoTIFF cannot store the CRS.
        CorruptError: a raster cannot be read.
        StorageError: a file cannot be written; no partial file is left.
    """
    remaining = iter(tasks)
    batches = iter(lambda: list(islice(remaining, _BATCH_SIZE)), [])
    yield from make_executor(workers).run(partial(_render_batch, recipe, settings), batches)


def write_label(
    task: LabelTask,
    pixels: NDArray[np.generic],
    bands: tuple[str, ...] = (),
    *,
    objects: tuple[LabelledObject, ...] = (),
    notes: Mapping[Note, tuple[str, ...]] | None = None,
) -> LabelResult:
    """Write pixels, shape (bands, rows, columns), as a GeoTIFF on the task's grid, without nodata and tags.

    `bands` are the names of the bands, or empty; for `objects` and `notes` see `LabelResult`.
    """
    count = len(pixels)
    metadata = GeoTiffMetadata(
        parse_crs(task.grid.crs),
        count=count,
        dtype=pixels.dtype.name,
        # By default, three uint8 bands become red, green and blue.
        interpretation=(ColorInterp.gray, *[ColorInterp.undefined] * (count - 1)) if count > 1 else (),
        descriptions=bands,
    )
    if (kind := (task.grid.crs, count, bands)) not in _verified_formats:
        require_geotiff_roundtrip(metadata, task.grid.crs, task.raster_id)
        _verified_formats.add(kind)
    content = encode_geotiff(pixels, metadata, task.grid.transform)
    checksums, digest = write_and_hash(Path(task.destination), content, pixels, task.grid)
    return LabelResult(task.destination, checksums, digest, objects, notes or {})


_verified_formats: set[tuple[str, int, tuple[str, ...]]] = set()
"""CRS, band count and names that GeoTIFF is known to store: the check takes as long as writing a label."""


def _render_batch(recipe: "LabelRecipe", settings: LabelSettings, tasks: list[LabelTask]) -> Iterator[LabelResult]:
    render_label = resolve_name(f"{__package__}.{recipe.renderer}")
    return (render_label(task, recipe, settings) for task in tasks)
