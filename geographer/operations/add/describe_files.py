"""Describe raster files: read each once, on several cores or machines, and return its log row, checksums and tags."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from geographer.base.atomic_files import TEMPORARY_FILES, translate_os_errors
from geographer.base.errors import GeographerError
from geographer.base.executors.executor import Workers
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.progress import ProgressCallback
from geographer.base.values import Checksums
from geographer.planning.raster_rows import RasterOptions, RasterRow, describe_raster
from geographer.storage.dvc.dataset_executor import make_dataset_executor

_BATCH: Final = 8
_BYTES_OF_ONE: Final = 8 << 20
"""Reading as many bytes costs as much as a small file, when it is decided whether processes are worth their start."""


class RasterTask(NamedTuple):
    """A raster file to read; it stays in place if the log has a `reference_path` for it."""

    path: Path
    reference_path: str | None


class DescribedFile(NamedTuple):
    """A raster file with its log row, checksums and GDAL tags; `is_embedded`: stored with metadata of its sidecars."""

    path: Path
    row: RasterRow
    checksums: Checksums
    tags: Mapping[str, str]
    is_embedded: bool


def describe_files(
    tasks: Sequence[RasterTask], options: RasterOptions, root: Path, workers: Workers, progress: ProgressCallback
) -> Generator[DescribedFile | GeographerError, None, None]:
    """Read files, all pixels included, and yield a description or the error of each in the order of `tasks`.

    Files are stored with metadata of their sidecars; to compare the pixels, copies are written, in the folder `root` of
    the dataset if a worker sees it.
    """
    size = sum(task.path.stat().st_size for task in tasks if task.path.is_file())
    executor = make_dataset_executor(workers, root, count=max(len(tasks), size // _BYTES_OF_ONE))
    length = max(1, min(_BATCH, -(-len(tasks) // executor.slots)))
    batches = [tasks[start : start + length] for start in range(0, len(tasks), length)]
    results = executor.run(partial(_describe_batch, options, root), batches, inputs=_list_inputs)
    for number, result in enumerate(results, 1):
        yield result
        progress("rasters read", number, len(tasks))


def _describe_batch(
    options: RasterOptions, root: Path, tasks: Sequence[RasterTask]
) -> Iterator[DescribedFile | GeographerError]:
    for path, reference_path in tasks:
        file = locate_file(path)
        try:
            with _embed_temporarily(root, file, is_stored=reference_path is None) as embedded:
                row, checksums, tags = describe_raster(path, options, reference_path, embedded, file=file)
        except GeographerError as error:
            yield error
        else:
            yield DescribedFile(path, row, checksums, tags, embedded is not None)


def _list_inputs(tasks: Sequence[RasterTask]) -> Iterator[InputFile]:
    from geographer.rasters.input_files import list_input_files

    for task in tasks:
        yield from list_input_files(task.path, with_sidecars=True)


@contextmanager
def _embed_temporarily(root: Path, path: Path, *, is_stored: bool) -> Iterator[Path | None]:
    """Yield the file that is stored for a raster whose sidecars hold metadata of its bands; None: the raster itself."""
    from geographer.rasters.sidecars import embed_sidecar_metadata, find_sidecar_metadata

    if not is_stored or not find_sidecar_metadata(path):
        yield None
        return
    prefix = TEMPORARY_FILES.removesuffix("*")
    with TemporaryDirectory(prefix=prefix, dir=root if root.is_dir() else None) as folder:
        target = Path(folder) / path.name
        with translate_os_errors(target):
            embed_sidecar_metadata(path, target)
        yield target
