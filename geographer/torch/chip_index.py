"""What a dataset knows of its chips, as arrays: files, ids, times, components, classes, and objects in labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.rasters.read_chips import ChipPath
from geographer.torch.text_column import TextColumn

Ints = NDArray[np.int64]

BACKGROUND: Final = "background"
"""The name of value 0 if no class has it."""
NO_COMPONENT: Final = -1
_KEYS: Final = {
    "mask": ("mask",),
    "multilabel": ("mask",),
    "probabilities": ("mask",),
    "custom": ("mask",),
    "instances": ("mask", "bbox_xyxy", "label"),
    "boxes": ("bbox_xyxy", "label"),
}
"""The keys of a sample that a label fills, by what it holds."""


class FileColumns:
    """A file for each chip: paths, checksums, and whether sidecar files are read."""

    def __init__(
        self, paths: Iterable[str], contents: Iterable[str], with_sidecars: Sequence[bool] | None = None
    ) -> None:
        self._paths, self._contents = TextColumn(paths), TextColumn(contents)
        self._with_sidecars = np.array(with_sidecars, np.bool_) if with_sidecars and any(with_sidecars) else None

    def __getitem__(self, index: int) -> ChipPath:
        with_sidecars = self._with_sidecars is not None and bool(self._with_sidecars[index])
        return ChipPath(self._paths[index], self._contents[index], with_sidecars)


class ObjectArrays(NamedTuple):
    """The objects in a label: those of chip `i` are rows `starts[i]` to `starts[i + 1]`.

    `values` are the stored values of their classes, `numbers` those in a label of instances (else 0), and `boxes` the
    corners x0, y0, x1, y1 in pixels (NaN for instances), shape (objects, 4).
    """

    starts: Ints
    values: Ints
    numbers: Ints
    boxes: NDArray[np.float32]
    feature_ids: TextColumn

    def find_rows(self, index: int) -> slice:
        """Return the rows of a chip."""
        return slice(int(self.starts[index]), int(self.starts[index + 1]))


class LabelColumns(NamedTuple):
    """A label of all chips: what it holds, its files (None for boxes), and its objects (None for others)."""

    name: str
    kind: str
    ignore: int | None
    files: FileColumns | None
    objects: ObjectArrays | None

    @property
    def sample_keys(self) -> tuple[str, ...]:
        """The keys of a sample that it fills."""
        return _KEYS[self.kind]


class ShownClasses(NamedTuple):
    """The classes of the features that chips show: chip `i` shows `values[starts[i]:starts[i + 1]]`."""

    starts: Ints
    values: Ints


class ChipIndex(NamedTuple):
    """What a dataset knows of its chips, in order of id.

    Attributes:
        raster_ids: The ids of the chips.
        feature_ids: The ids of the features that they were cut for; empty for none.
        crs: Each CRS, as text, and `crs_numbers` which one a chip has.
        crs_numbers: See `crs`.
        times: When a chip begins and ends to show the ground, in seconds since 1970, shape (chips, 2).
        components: The components of the split; `NO_COMPONENT` without one.
        images: The files of the chips.
        labels: The labels.
        classes: The classes with their values.
        chip_values: The value of the class of each chip; None if it is not needed.
        shown: The classes of the features that the chips show.
    """

    raster_ids: TextColumn
    feature_ids: TextColumn
    crs: list[str]
    crs_numbers: Ints
    times: NDArray[np.float64]
    components: Ints
    images: FileColumns
    labels: tuple[LabelColumns, ...]
    classes: Mapping[str, int]
    chip_values: Ints | None
    shown: ShownClasses
