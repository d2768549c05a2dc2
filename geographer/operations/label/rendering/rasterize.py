"""Render integer labels: class masks, instances, and multilabels with one band for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.base.values import LineWidth
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, to_pixel_geometries
from geographer.operations.label.rendering.render import LabelledObject, LabelResult, LabelTask, write_label
from geographer.rasters.read import open_raster, translate_read_errors

Overlap = Literal["class-order", "smallest-on-top", "newest"]

SUBPIXEL, HIDDEN = "smaller than a pixel", "hidden"
"""Notes, and keys of the event's payload: objects drawn as one pixel only; objects that others cover completely."""

_MAX_UINT16 = 65_535


@dataclass(frozen=True, slots=True)
class MaskRenderer:
    """Renders masks: one class value per pixel, 0 where there is no object.

    From bottom to top: the objects in the order of `overlap`; background objects, which erase; ignored objects; the
    pixels that the raster's dataset mask marks as invalid, and padding.

    Attributes:
        dtype: The dtype of the mask.
        overlap: 'class-order': the larger class value on top. 'smallest-on-top': the smaller area in pixels on top;
            lines and points have area 0. 'newest': the feature added later on top. Ties: the feature added later.
        all_touched: Burn every pixel that an area or a line touches.
        ignore: The value of ignored objects, invalid pixels and padding; None: ignore nothing.
        width: The width of lines and points.
    """

    dtype: Literal["uint8", "uint16"] = "uint8"
    overlap: Overlap = "class-order"
    all_touched: bool = False
    ignore: int | None = None
    width: LineWidth | None = None

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one mask; see `LabelRenderer.render_label`."""
        shapes = to_pixel_geometries(task.grid, task.objects, self.width, represent_small=not self.all_touched)
        layers = self._make_layers(shapes, task)
        pixels = shapes.burn_layers(layers, self.dtype, all_touched=self.all_touched)
        if self.ignore is not None:
            pixels[_read_invalid_mask(task)] = self.ignore
        return write_label(task, pixels[np.newaxis], notes=find_subpixel_objects(shapes))

    def _make_layers(self, shapes: PixelGeometries, task: LabelTask) -> list[tuple[int, int]]:
        """Return (index of an object, value to burn), from bottom to top."""
        layers = [(index, shapes.objects[index].value) for index in sort_for_drawing(shapes, self.overlap)]
        layers += [(index, 0) for index in shapes.find_background()]
        if self.ignore is not None:
            layers += [(index, self.ignore) for index, item in enumerate(shapes.objects) if item.ignored]
        largest = np.iinfo(self.dtype).max
        if invalid := [value for _, value in layers if not 0 <= value <= largest]:
            raise UsageError(
                f"class value {invalid[0]} on raster '{task.raster_id}' does not fit {self.dtype}. "
                f"Choose a value from 0 to {largest}."
            )
        return layers


@dataclass(frozen=True, slots=True)
class InstanceRenderer:
    """Renders instance ids: 1, 2, 3 … for the visible objects in the order in which features were added, else 0.

    Background objects erase. Objects without a visible pixel on the raster get no id.
    """

    overlap: Overlap = "smallest-on-top"
    width: LineWidth | None = None

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one label, uint16 or (from 65,536 objects on) uint32; see `LabelRenderer.render_label`."""
        shapes = to_pixel_geometries(task.grid, task.objects, self.width)
        layers = [(index, index + 1) for index in sort_for_drawing(shapes, self.overlap)]
        layers += [(index, 0) for index in shapes.find_background()]
        drawn = shapes.burn_layers(layers, "uint32")
        counts = np.bincount(drawn.ravel(), minlength=len(shapes.objects) + 1)
        counts[0] = 0
        visible = np.flatnonzero(counts)
        ids = np.zeros(len(counts), np.uint16 if len(visible) <= _MAX_UINT16 else np.uint32)
        ids[visible] = np.arange(1, len(visible) + 1)
        items = [shapes.objects[value - 1] for value in visible.tolist()]
        objects = tuple(
            LabelledObject(item.feature_id, item.class_name, id, count)
            for id, (item, count) in enumerate(zip(items, counts[visible].tolist(), strict=True), start=1)
        )
        covered = [index for index in shapes.find_foreground() if not counts[index + 1]]
        hidden = [shapes.objects[index].feature_id for index in covered if shapes.rasterize_objects(index).any()]
        notes = {**find_subpixel_objects(shapes), HIDDEN: tuple(hidden)}
        return write_label(task, ids[drawn][np.newaxis], objects=objects, notes=notes)


@dataclass(frozen=True, slots=True)
class MultilabelRenderer:
    """Renders one band of 0 and 1 for each class, so that classes may overlap; background objects erase all bands."""

    classes: tuple[str, ...]
    width: LineWidth | None = None

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one label, uint8; see `LabelRenderer.render_label`."""
        shapes = to_pixel_geometries(task.grid, task.objects, self.width)
        indices: dict[str, list[int]] = {name: [] for name in self.classes}
        for index in shapes.find_foreground():
            indices[shapes.objects[index].class_name].append(index)
        bands = np.stack([shapes.rasterize_objects(*indices[name]) for name in self.classes])
        bands[:, shapes.rasterize_objects(*shapes.find_background())] = False
        return write_label(task, bands.astype(np.uint8), self.classes, notes=find_subpixel_objects(shapes))


def sort_for_drawing(shapes: PixelGeometries, overlap: Overlap) -> list[int]:
    """Return the indices of the foreground objects from bottom to top."""
    indices = shapes.find_foreground()
    if overlap == "class-order":
        return sorted(indices, key=lambda index: shapes.objects[index].value)
    if overlap == "smallest-on-top":
        areas = shapes.compute_areas()
        return sorted(indices, key=lambda index: -areas[index])
    return indices


def find_subpixel_objects(shapes: PixelGeometries) -> dict[str, tuple[str, ...]]:
    """Return the ids of objects, except background, that are drawn as their representative pixel only."""
    rows, columns = shapes.size
    ids = [
        shapes.objects[index].feature_id
        for index, (column, row) in shapes.representative_pixels.items()
        if 0 <= column < columns and 0 <= row < rows and shapes.objects[index].value != 0
    ]
    return {SUBPIXEL: tuple(ids)}


def _read_invalid_mask(task: LabelTask) -> NDArray[np.bool_]:
    """Return the pixels without valid data (by nodata, alpha or mask band) and padding, shape (rows, columns)."""
    with open_raster(Path(task.raster_path)) as source, translate_read_errors(task.raster_path):
        mask: NDArray[np.uint8] = source.dataset_mask()
    if mask.shape != (task.grid.height, task.grid.width):
        raise UsageError(f"raster '{task.raster_path}' does not have its recorded size. Run geographer verify.")
    invalid = np.asarray(mask == 0)
    if task.valid_window is not None:
        column, row, width, height = task.valid_window
        padding = np.ones_like(invalid)
        padding[max(row, 0) : max(row + height, 0), max(column, 0) : max(column + width, 0)] = False
        invalid |= padding
    return invalid
