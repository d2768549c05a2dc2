"""Make label files in worker processes, and write the pixels of a label as a GeoTIFF on the raster's grid."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice, tee
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from geographer.base.executors.executor import Workers, make_executor
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.operations.label.events import Note
from geographer.operations.label.tasks import LabelledObject, LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.input_files import list_input_files
from geographer.rasters.labels import LabelRaster, write_label_files

if TYPE_CHECKING:
    from geographer.operations.label.base import LabelRecipe

_BATCH_SIZE = 200


def render_labels(
    tasks: Iterable[LabelTask], recipe: "LabelRecipe", settings: LabelSettings, *, workers: Workers = 1
) -> Iterator[LabelResult]:
    """Make the label files of a recipe, and yield the results in the order of the tasks.

    Tasks are consumed in batches as workers become free. The files do not depend on who does the work.

    Raises:
        UsageError: a label cannot be drawn, or GeoTIFF cannot store the CRS.
        CorruptError: a raster cannot be read.
        StorageError: a file cannot be written; no partial file is left.
    """
    remaining = iter(tasks)
    batches = iter(lambda: list(islice(remaining, _BATCH_SIZE)), [])
    options = {"workers": 1, "message": "", "author": None, "idempotency_key": None, "expected_head": None}
    yield from make_executor(workers).run(
        partial(_render_batch, msgspec.structs.replace(recipe, **options), settings),
        batches,
        inputs=_list_inputs,
        outputs=lambda batch: [task.destination for task in batch],
        result_type=LabelResult,
    )


class DrawnLabel(NamedTuple):
    """The pixels of a label, shape (bands, rows, columns), that are not written yet.

    `bands` are the names of the bands, or empty; for `objects` and `notes` see `LabelResult`.
    """

    task: LabelTask
    pixels: NDArray[np.generic]
    bands: tuple[str, ...] = ()
    objects: tuple[LabelledObject, ...] = ()
    notes: Mapping[Note, tuple[str, ...]] = {}


def write_labels(labels: Iterable[DrawnLabel]) -> Iterator[LabelResult]:
    """Write labels as GeoTIFFs on the grids of their tasks, without nodata and tags; several are encoded at once."""
    drawn, to_write = tee(labels)
    written = write_label_files(
        LabelRaster(locate_file(task.destination), pixels, task.grid, task.raster_id, bands)
        for task, pixels, bands, *_ in to_write
    )
    for label, (checksums, digest) in zip(drawn, written, strict=True):
        yield LabelResult(label.task.destination, checksums, digest, label.objects, label.notes)


def _list_inputs(tasks: list[LabelTask]) -> Iterator[InputFile]:
    for task in tasks:
        if task.raster_path:
            yield from list_input_files(task.raster_path, with_sidecars=task.with_sidecars)


def _render_batch(recipe: "LabelRecipe", settings: LabelSettings, tasks: list[LabelTask]) -> Iterator[LabelResult]:
    results: Iterator[LabelResult] = resolve_name(f"{__package__}.{recipe.renderer}")(tasks, recipe, settings)
    return results
