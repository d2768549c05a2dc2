"""Describe the pixels of raster files for the search of near-duplicates."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rasterio.enums import Resampling

from geographer.algorithms.near_duplicates.descriptor import ImageDescriptor, describe_image
from geographer.base.progress import ProgressCallback
from geographer.rasters.read import open_raster, translate_read_errors

MAX_SIDE: Final = 2048
"""Pixels: a larger side is averaged to this one; the descriptor holds only details of a sixteenth of the side."""


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


def describe_rasters(files: Iterable[tuple[Path, str, bool]], progress: ProgressCallback) -> list[ImageDescriptor]:
    """Describe files, given by path, a name of their content, and whether GDAL reads sidecar files, too.

    Each content is read once.
    """
    files = list(files)
    described: dict[str, ImageDescriptor] = {}
    for path, content, with_sidecars in files:
        if content not in described:
            described[content] = describe_raster(path, with_sidecars=with_sidecars)
            progress("rasters described", len(described), len(files))
    return [described[content] for _, content, _ in files]
