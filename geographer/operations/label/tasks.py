"""What worker processes get and return: labels to make, the objects to draw on them, and labels that were made."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from geographer.base.values import Checksums, Grid, Window
from geographer.operations.label.events import Note

Overlap = Literal["class-order", "smallest-on-top", "newest"]
"""Which of several objects is on top: the larger class value, the smaller area in pixels, or the one added last."""


class VisibleObject(NamedTuple):
    """A feature to draw on a raster; `properties` are its user columns.

    `value` is the class value; 0 is the background class, which erases. `wkb` is the geometry in the raster's CRS, x
    before y. A mask burns its ignore value for an `ignored` object. `probabilities` has one value for each class of a
    probability label.
    """

    feature_id: str
    class_name: str
    value: int
    wkb: bytes
    ignored: bool = False
    probabilities: tuple[float, ...] | None = None
    properties: Mapping[str, Any] | None = None


class LabelTask(NamedTuple):
    """One label to make: the file `destination`, on a raster's grid.

    `objects` are in the order in which the features were added. Some labels read the valid pixels of `raster_path`;
    `with_sidecars` says whether its sidecar files count. `valid_window` is, for a chip, the extent of its parent raster
    in the chip's pixels: other pixels are padding.
    """

    raster_id: str
    grid: Grid
    objects: tuple[VisibleObject, ...]
    destination: str
    raster_path: str = ""
    valid_window: Window | None = None
    with_sidecars: bool = True


class LabelledObject(NamedTuple):
    """An object that a label lists; fields that a kind of label does not have are None. See `Dataset.objects`."""

    feature_id: str
    class_name: str
    instance: int | None = None
    pixels: int | None = None
    box: Sequence[float] | None = None
    corners: Sequence[Sequence[float]] | None = None
    visible: float | None = None


class LabelResult(NamedTuple):
    """A label that was made; rasters have a pixel digest. `notes` has the ids of features that a note applies to."""

    destination: str
    checksums: Checksums
    pixel_digest: str | None
    objects: tuple[LabelledObject, ...] = ()
    notes: Mapping[Note, tuple[str, ...]] = {}
