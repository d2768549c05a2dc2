"""Read every image of a dataset once: digests, size, grid and description of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from geographer.base.executors.executor import Workers
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.progress import ProgressCallback
from geographer.rasters.images import Describe, ImageFacts, read_image
from geographer.storage.dvc.dataset_executor import make_folder_executor

_BATCH: Final = 32


def read_image_facts(
    root: Path,
    paths: Sequence[str],
    describe: Describe | None = None,
    *,
    workers: Workers = 1,
    progress: ProgressCallback,
) -> dict[str, ImageFacts]:
    """Read the images with these relative paths, in batches by `workers`.

    `describe` makes a description of pixels of shape (bands, rows, columns); several workers import it.
    """
    batches = (tuple(paths[start : start + _BATCH]) for start in range(0, len(paths), _BATCH))
    executor = make_folder_executor(workers, count=len(paths))
    results = executor.run(partial(_read_batch, str(root), describe), batches, inputs=partial(_list_inputs, root))
    facts = {}
    for number, (path, image_facts) in enumerate(zip(paths, results, strict=True), 1):
        facts[path] = image_facts
        progress("images read", number, len(paths))
    return facts


def _read_batch(root: str, describe: Describe | None, paths: Iterable[str]) -> Iterator[ImageFacts]:
    for path in paths:
        yield read_image(locate_file(Path(root, path)), describe)


def _list_inputs(root: Path, paths: Iterable[str]) -> list[InputFile]:
    return [InputFile(root / path) for path in paths]
