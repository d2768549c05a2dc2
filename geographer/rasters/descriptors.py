"""Describe the pixels of raster files for the search of near-duplicates."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rasterio.enums import Resampling

from geographer.algorithms.near_duplicates.descriptor import ImageDescriptor, describe_image
from geographer.base.executors.executor import Executor
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.progress import ProgressCallback
from geographer.rasters.input_files import list_input_files
from geographer.rasters.read import open_raster, translate_read_errors

MAX_SIDE: Final = 2048
"""Pixels: a larger side is averaged to this one; the descriptor holds only details of a sixteenth of the side."""
_BATCH: Final = 16
_NamedFile = tuple[str, tuple[str, bool]]
"""The name of a content, its path, and whether GDAL reads sidecar files, too."""


def describe_raster(path: Path, *, with_sidecars: bool = False) -> ImageDescriptor:
    """Describe the pixels of a raster file; nodata and masked pixels do not count.

    Raises:
        CorruptError, UsageError: the file cannot be read.
    """
    with open_raster(path, with_sidecars=with_sidecars) as raster, translate_read_errors(path):
        shape = tuple(min(side, MAX_SIDE) for side in raster.shape)
        pixels = raster.read(out_shape=(raster.count, *shape), resampling=Resampling.average)
        has_mask = any("all_valid" not in {flag.name for flag in flags} for flags in raster.mask_flag_enums)
        return describe_image(pixels, raster.read_masks(out_shape=pixels.shape) > 0 if has_mask else None)


def describe_rasters(
    files: Iterable[tuple[Path, str, bool]], executor: Executor, progress: ProgressCallback
) -> list[ImageDescriptor]:
    """Describe files, given by path, a name of their content, and whether GDAL reads sidecar files, too.

    Each content is read once.
    """
    files = list(files)
    distinct = list({content: (str(path), with_sidecars) for path, content, with_sidecars in files}.items())
    batches = (distinct[start : start + _BATCH] for start in range(0, len(distinct), _BATCH))
    described: dict[str, ImageDescriptor] = {}
    for content, descriptor in executor.run(_describe_batch, batches, inputs=_list_inputs):
        described[content] = descriptor
        progress("rasters described", len(described), len(distinct))
    return [described[content] for _, content, _ in files]


def _describe_batch(batch: Sequence[_NamedFile]) -> Iterator[tuple[str, ImageDescriptor]]:
    for content, (path, with_sidecars) in batch:
        yield content, describe_raster(locate_file(path), with_sidecars=with_sidecars)


def _list_inputs(batch: Sequence[_NamedFile]) -> Iterator[InputFile]:
    for _, (path, with_sidecars) in batch:
        yield from list_input_files(path, with_sidecars=with_sidecars)
