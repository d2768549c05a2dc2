"""Images: which raster of the dataset each image of a file shows, by the raster's id or the names of its file."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.base.values import Grid, Transform
from geographer.operations.add.annotations.shapes import AnnotatedImage
from geographer.storage.queries.revision import Revision

_LIST_GRIDS: Final = Path(__file__).with_name("raster_grids.sql")
_UPLOAD: Final = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""


class ShownRaster(NamedTuple):
    """A raster that an image shows."""

    raster_id: str
    grid: Grid


def match_images(
    revision: Revision, images: Sequence[AnnotatedImage], collection: str | None, *, is_relative: bool
) -> dict[int, ShownRaster]:
    """Return the raster that each image shows, by the image's index; images without a raster are left out.

    An image matches the raster whose id or path ends with the most of the last folders and the name of the image's
    path, with or without the extension; a raster whose id is just that precedes others.

    Raises:
        NotFoundError: There is no such collection.
        ConflictError: Several rasters have the name of an image, or several images show one raster.
        UsageError: An image has another size than its raster; with `is_relative`, another aspect ratio.
    """
    grids = _read_grids(revision, collection)
    by_name: dict[str, list[str]] = defaultdict(list)
    for raster_id, (path, _) in grids.items():
        for name in {*_iter_endings(raster_id), *_iter_endings(_strip_suffix(path)), *_iter_endings(path)}:
            by_name[name].append(raster_id)
    matched = {index: _find_raster(image, grids, by_name) for index, image in enumerate(images)}
    shown = {index: ShownRaster(name, grids[name][1]) for index, name in matched.items() if name is not None}
    _reject_repeated(images, shown)
    for index, raster in shown.items():
        _require_size(images[index], raster, is_relative=is_relative)
    return shown


def has_size_of(grid: Grid, width: float, height: float, *, is_relative: bool) -> bool:
    """Return whether an image has the size of a raster; with `is_relative`, its aspect ratio, to a pixel.

    With `is_relative`, a size of 1 x 1 fits all: the coordinates are fractions.
    """
    if (width, height) == (grid.width, grid.height):
        return True
    if not is_relative or width <= 0 or height <= 0:
        return False
    return (width, height) == (1, 1) or abs(width * grid.height - height * grid.width) <= grid.width


def raise_missing(names: list[str], collection: str | None) -> None:
    """Raise the error for images without a raster."""
    place = f"collection '{collection}'" if collection else "the dataset"
    raise NotFoundError(
        f"{place} has no raster of the name of the image{'s' if len(names) > 1 else ''} {quote_names(names)}. Add the "
        "rasters first (geographer add rasters), or pass --on-error skip."
    )


def _read_grids(revision: Revision, collection: str | None) -> dict[str, tuple[str, Grid]]:
    """Return path and grid of the rasters by id."""
    rows = revision.fetch_rows(_LIST_GRIDS.read_text(), {"collection": collection})
    if not rows and collection:
        names = [name for (name,) in revision.fetch_rows("SELECT DISTINCT collection FROM rasters ORDER BY ALL")]
        raise NotFoundError(
            f"no collection '{collection}' with files in the dataset. Its collections: {quote_names(names) or 'none'}."
        )
    return {
        raster_id: (path, Grid(crs, Transform(*transform), width, height))
        for raster_id, path, crs, width, height, transform in rows
    }


def _iter_endings(path: str) -> Iterator[str]:
    """Yield a path, and it without its first folder, its first two …, up to its name."""
    parts = PurePosixPath(path).parts
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def _strip_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).name else path


def _find_raster(
    image: AnnotatedImage, rasters: Mapping[str, object], by_name: Mapping[str, Sequence[str]]
) -> str | None:
    path = image.name.replace("\\", "/").strip().strip("/")
    if path in rasters or _strip_suffix(path) in rasters:
        return path if path in rasters else _strip_suffix(path)
    for names in _list_names(path):
        if ids := [name for name in names if name in rasters]:
            return ids[0]
        if matches := sorted({raster for name in names for raster in by_name.get(name, ())}):
            if len(matches) > 1:
                raise ConflictError(
                    f"the image '{image.name}' may be raster {quote_names(matches)}. Name the collection with "
                    "--collection, or the ids of the rasters in the file."
                )
            return matches[0]
    return None


def _list_names(path: str) -> list[tuple[str, str]]:
    """Return the names that a path may have in the dataset, with and without the extension, longer ones first."""
    names = list(zip(_iter_endings(path), _iter_endings(_strip_suffix(path)), strict=True))
    uploaded = _UPLOAD.sub("", PurePosixPath(path).name)
    return [*names, (uploaded, _strip_suffix(uploaded))]


def _reject_repeated(images: Sequence[AnnotatedImage], shown: Mapping[int, ShownRaster]) -> None:
    first: dict[str, int] = {}
    for index, raster in shown.items():
        other = first.setdefault(raster.raster_id, index)
        if other != index:
            raise ConflictError(
                f"the images {quote_names([images[other].name, images[index].name])} both show raster "
                f"'{raster.raster_id}'. Leave one out, or name the collection with --collection."
            )


def _require_size(image: AnnotatedImage, raster: ShownRaster, *, is_relative: bool) -> None:
    if image.width is None or image.height is None:
        return
    if not has_size_of(raster.grid, image.width, image.height, is_relative=is_relative):
        raise UsageError(
            f"the image '{image.name}' has {image.width} x {image.height} pixels, and raster '{raster.raster_id}' "
            f"{raster.grid.width} x {raster.grid.height}: they do not show the same. Name other rasters with "
            "--collection, or correct the file."
        )
