"""Chip pictures: an image as PNG, its labels as transparent PNGs above it and as boxes; for plots, pages and the viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision


class PictureOptions(NamedTuple):
    """How chips become pictures.

    Attributes:
        bands: One band or three, by number from 1 or by name, as text: `4,3,2`. None: those that the file marks as red,
            green and blue, else the first three, or the first.
        stretch: Two percentiles `2,98`, two values `0:3000`, or `none`. None: the percentiles 2 and 98; uint8 stays.
        labels: The labels to draw. None: all.
        max_side: The largest width and height of a picture in pixels; a larger raster is reduced.
        fetch: Whether to fetch missing files from the remote.
    """

    bands: str | None = None
    stretch: str | None = None
    labels: Sequence[str] | None = None
    max_side: int = 512
    fetch: bool = False


class PictureBox(NamedTuple):
    """A box of a label in pixels of the picture, x from the left and y from the top, with what to write at it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    class_name: str
    text: str


class ChipPicture(NamedTuple):
    """The picture of a raster.

    Attributes:
        raster_id: The raster.
        width: The width of the picture in pixels: that of the raster, reduced to `max_side`, or a multiple of it, so
            that outlines are thin.
        height: The height alike; the overlays have the same size.
        image: The image as PNG, grey or RGB, pixels without data black; None: see `problem`.
        overlays: Transparent PNGs (RGBA) by the name of the label, to lay above the image.
        boxes: The boxes of labels of boxes by the name of the label.
        classes: The classes that the labels show with their colours, `#rrggbb`, in the order of class values.
        problem: Why there is no image or no overlay of a label, such as pixels that are not on this machine; or None.
    """

    raster_id: str
    width: int
    height: int
    image: bytes | None
    overlays: Mapping[str, bytes]
    boxes: Mapping[str, Sequence[PictureBox]]
    classes: Mapping[str, str]
    problem: str | None = None


def read_chip_pictures(
    revision: Revision, root: Path, store: Store, raster_ids: Sequence[str], options: PictureOptions
) -> Iterator[ChipPicture]:
    """Yield the pictures of rasters, in the order of `raster_ids`, from the bytes of the revision.

    Raises:
        NotFoundError: the revision has no such raster or label.
        UsageError: a raster has no such band, or an option is invalid.
    """
    raise NotImplementedError
