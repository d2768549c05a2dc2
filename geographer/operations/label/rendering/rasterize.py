"""Draws labels of whole numbers: class masks, instances, and one band for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

from geographer.base.errors import UsageError
from geographer.base.values import Grid, LineWidth
from geographer.operations.label.rendering.pixel_geometries import Shapes, burned, shapes_on
from geographer.operations.label.rendering.render import LabelMade, LabelOrder, Listed, write_label
from geographer.rasters.read import open_raster, translate_read_errors

Overlap = Literal["class-order", "smallest-on-top", "newest"]

SMALL, HIDDEN = "smaller than a pixel", "hidden"
"""What a person hears of: objects that only stand in their pixel, and objects that others cover whole."""

_MOST_IN_UINT16 = 65_535


@dataclass(frozen=True, slots=True)
class MaskDrawing:
    """One class value a pixel, 0 where there is nothing; in layers, later ones on top.

    First lie the objects, by the rule `overlap`; then background, which erases; then the objects that are ignored; then
    the pixels of the raster that its dataset mask calls invalid.

    Attributes:
        dtype: Of the mask.
        overlap: 'class-order': the larger class value on top, and of one class what was added later.
            'smallest-on-top': the smaller area in the raster's pixels on top, and of equal ones what was added later;
            lines and points have no area. 'newest': what was added later.
        all_touched: Areas and lines burn every pixel that they touch.
        ignore: The value of what is ignored and of invalid pixels; None: nothing is ignored.
        width: Of lines and points.
    """

    dtype: Literal["uint8", "uint16"] = "uint8"
    overlap: Overlap = "class-order"
    all_touched: bool = False
    ignore: int | None = None
    width: LineWidth | None = None

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`."""
        shapes = shapes_on(order.grid, order.shown, self.width, standing_in=not self.all_touched)
        pixels = painted(shapes, self._layers(shapes, order), order.grid, self.dtype, all_touched=self.all_touched)
        if self.ignore is not None:
            pixels[invalid(order.raster, order.grid) | padding(order)] = self.ignore
        return write_label(order, pixels[np.newaxis], told=small_ones(shapes, order.grid))

    def _layers(self, shapes: Shapes, order: LabelOrder) -> list[tuple[int, int]]:
        """The places of the objects and the values that they burn, from the bottom to the top."""
        layers = [(place, shapes.shown[place].value) for place in bottom_up(shapes, self.overlap)]
        layers += [(place, 0) for place in shapes.background()]
        if self.ignore is not None:
            layers += [(place, self.ignore) for place, one in enumerate(shapes.shown) if one.ignored]
        largest = np.iinfo(self.dtype).max
        if unfit := [value for _, value in layers if not 0 <= value <= largest]:
            what = f"class value {unfit[0]} on raster '{order.raster_id}'"
            raise UsageError(f"{what} doesn't fit {self.dtype}, 0 to {largest}: choose another value")
        return layers


@dataclass(frozen=True, slots=True)
class InstanceDrawing:
    """An id for each object that is seen on the raster: 1, 2, 3 … in the order in which they were added; 0 is nothing.

    Background erases. What others or background cover whole, or what covers no pixel here, has no id.
    """

    overlap: Overlap = "smallest-on-top"
    width: LineWidth | None = None

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`; uint16, or uint32 from 65,536 objects on."""
        shapes = shapes_on(order.grid, order.shown, self.width)
        layers = [(place, place + 1) for place in bottom_up(shapes, self.overlap)]
        drawn = painted(shapes, layers + [(place, 0) for place in shapes.background()], order.grid, "uint32")
        counts = np.bincount(drawn.ravel(), minlength=len(shapes) + 1)
        counts[0] = 0
        seen = np.flatnonzero(counts)
        ids = np.zeros(len(counts), np.uint16 if len(seen) <= _MOST_IN_UINT16 else np.uint32)
        ids[seen] = np.arange(1, len(seen) + 1)
        listed = tuple(
            Listed(shapes.shown[value - 1].feature_id, shapes.shown[value - 1].class_name, number, int(counts[value]))
            for number, value in enumerate(seen.tolist(), start=1)
        )
        told = {**small_ones(shapes, order.grid), HIDDEN: self._hidden(shapes, counts, order.grid)}
        return write_label(order, ids[drawn][np.newaxis], listed=listed, told=told)

    def _hidden(self, shapes: Shapes, counts: NDArray[np.int64], grid: Grid) -> tuple[str, ...]:
        """The ids of those that would be seen if they were alone."""
        unseen = [place for place in shapes.foreground() if not counts[place + 1]]
        size = (grid.height, grid.width)
        return tuple(shapes.shown[place].feature_id for place in unseen if burned(shapes.drawable(place), size).any())


@dataclass(frozen=True, slots=True)
class MultilabelDrawing:
    """One band of 0 and 1 for each of `classes`, so that classes may overlap; background erases all."""

    classes: tuple[str, ...]
    width: LineWidth | None = None

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`; uint8."""
        shapes = shapes_on(order.grid, order.shown, self.width)
        size = (order.grid.height, order.grid.width)
        of_class: dict[str, list[int]] = {name: [] for name in self.classes}
        for place in shapes.foreground():
            of_class[shapes.shown[place].class_name].append(place)
        bands = np.stack([burned(parts_of(shapes, of_class[name]), size) for name in self.classes])
        bands[:, burned(parts_of(shapes, shapes.background()), size)] = False
        return write_label(order, bands.astype(np.uint8), self.classes, told=small_ones(shapes, order.grid))


def bottom_up(shapes: Shapes, overlap: Overlap) -> list[int]:
    """The places of the objects that are neither background nor ignored, in drawing order: the last lies on top."""
    places = shapes.foreground()
    if overlap == "class-order":
        return sorted(places, key=lambda place: shapes.shown[place].value)
    if overlap == "smallest-on-top":
        areas = shapes.areas()
        return sorted(places, key=lambda place: -areas[place])
    return places


def painted(
    shapes: Shapes, layers: Sequence[tuple[int, int]], grid: Grid, dtype: str, *, all_touched: bool = False
) -> NDArray[np.generic]:
    """The pixels, shape (rows, columns), after each of `layers` (place of an object, value) was drawn over the last."""
    drawn = [(part, value) for place, value in layers for part in shapes.drawable(place)]
    if not drawn:
        return np.zeros((grid.height, grid.width), dtype)
    pixels: NDArray[np.generic] = rasterize(
        drawn,
        out_shape=(grid.height, grid.width),
        transform=rasterio.Affine.identity(),
        dtype=dtype,
        all_touched=all_touched,
        skip_invalid=False,
    )
    return pixels


def parts_of(shapes: Shapes, places: Sequence[int]) -> list[object]:
    """The simple parts of several objects."""
    return [part for place in places for part in shapes.drawable(place)]


def small_ones(shapes: Shapes, grid: Grid) -> dict[str, tuple[str, ...]]:
    """The ids of the objects of which only the pixel that they lie in is seen, where that is one of the grid's."""
    ids = [
        shapes.shown[place].feature_id
        for place, (column, row) in shapes.stand_ins.items()
        if 0 <= column < grid.width and 0 <= row < grid.height and shapes.shown[place].value != 0
    ]
    return {SMALL: tuple(ids)}


def invalid(raster: str, grid: Grid) -> NDArray[np.bool_]:
    """Which pixels of a raster file its dataset mask (nodata, alpha or mask band) calls invalid; shape (rows, columns).

    Raises:
        NotFoundError: There is no such file.
        CorruptError: It can't be read.
    """
    with open_raster(Path(raster)) as source, translate_read_errors(raster):
        mask: NDArray[np.uint8] = source.dataset_mask()
    if mask.shape != (grid.height, grid.width):
        raise UsageError(f"raster '{raster}' is not the one that was recorded: see geographer verify")
    return np.asarray(mask == 0)


def padding(order: LabelOrder) -> NDArray[np.bool_]:
    """Which pixels of a chip lie outside the raster that it was cut from; shape (rows, columns)."""
    outside = np.full((order.grid.height, order.grid.width), order.inside is not None)
    if order.inside is not None:
        left, top = max(order.inside.col, 0), max(order.inside.row, 0)
        right, bottom = order.inside.col + order.inside.width, order.inside.row + order.inside.height
        outside[top : max(bottom, 0), left : max(right, 0)] = False
    return outside
