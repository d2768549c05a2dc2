"""Make label files in worker processes, and write the pixels of a label as a GeoTIFF on the raster's grid."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from geographer.base.executors.executor import Workers, make_executor
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.operations.label.events import Note
from geographer.operations.label.tasks import LabelledObject, LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.input_files import list_input_files
from geographer.rasters.labels import write_label_pixels

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
    checksums, digest = write_label_pixels(locate_file(task.destination), pixels, task.grid, task.raster_id, bands)
    return LabelResult(task.destination, checksums, digest, objects, notes or {})


def _list_inputs(tasks: list[LabelTask]) -> Iterator[InputFile]:
    for task in tasks:
        if task.raster_path:
            yield from list_input_files(task.raster_path, with_sidecars=task.with_sidecars)


def _render_batch(recipe: "LabelRecipe", settings: LabelSettings, tasks: list[LabelTask]) -> Iterator[LabelResult]:
    render_label = resolve_name(f"{__package__}.{recipe.renderer}")
    return (render_label(task, recipe, settings) for task in tasks)
