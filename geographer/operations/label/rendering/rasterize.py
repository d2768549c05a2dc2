"""Render integer labels: class masks, instances, and multilabels with one band for each class."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geographer.base.errors import UsageError
from geographer.base.executors.task_files import locate_file
from geographer.operations.label.events import Note
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, iter_pixel_geometries
from geographer.operations.label.rendering.render import DrawnLabel, write_labels
from geographer.operations.label.tasks import LabelledObject, LabelResult, LabelTask, Overlap
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.read import open_raster, translate_read_errors

if TYPE_CHECKING:
    from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel


def render_masks(tasks: Sequence[LabelTask], recipe: "LabelMask", settings: LabelSettings) -> Iterator[LabelResult]:
    """Draw masks: one class value per pixel, 0 where there is no object.

    From bottom to top: the objects in the order of `overlap`; background objects, which erase; ignored objects; the
    pixels that the raster's dataset mask marks as invalid, and padding. Raise `UsageError` if a value does not fit.
    """
    options = {"represent_small": not recipe.all_touched, "clip": True}
    geometries = iter_pixel_geometries(tasks, recipe.line_width, **options)
    return write_labels(map(partial(_draw_mask, recipe, settings), tasks, geometries))


def _draw_mask(recipe: "LabelMask", settings: LabelSettings, task: LabelTask, shapes: PixelGeometries) -> DrawnLabel:
    layers = list_mask_layers(shapes, recipe)
    dtype = settings.dtype or "uint8"
    largest = np.iinfo(dtype).max
    if invalid := [value for _, value in layers if not 0 <= value <= largest]:
        raise UsageError(
            f"class value {invalid[0]} on raster '{task.raster_id}' does not fit {dtype}. "
            f"Choose a value from 0 to {largest}."
        )
    pixels = shapes.burn_layers(layers, dtype, all_touched=recipe.all_touched)
    if recipe.ignore is not None:
        pixels[_read_invalid_mask(task)] = recipe.ignore
    return DrawnLabel(task, pixels[np.newaxis], notes={"subpixel": shapes.find_subpixel_objects()})


def list_mask_layers(shapes: PixelGeometries, recipe: "LabelMask") -> list[tuple[int, int]]:
    """Return what a mask draws from bottom to top: the index of an object and the value that it burns."""
    layers = [(index, shapes.objects[index].value) for index in sort_for_drawing(shapes, recipe.overlap)]
    layers += [(index, 0) for index in shapes.background]
    if recipe.ignore is not None:
        layers += [(index, recipe.ignore) for index, item in enumerate(shapes.objects) if item.ignored]
    return layers


def render_instances(
    tasks: Sequence[LabelTask], recipe: "LabelInstances", _settings: LabelSettings
) -> Iterator[LabelResult]:
    """Draw 1, 2, 3 … for the visible objects in the order in which features were added, else 0; background erases.

    The label is uint16 or (from 65,536 objects on) uint32.
    """
    geometries = iter_pixel_geometries(tasks, recipe.line_width, clip=True)
    return write_labels(map(partial(_draw_instances, recipe), tasks, geometries))


def _draw_instances(recipe: "LabelInstances", task: LabelTask, shapes: PixelGeometries) -> DrawnLabel:
    drawn, ids, counts = draw_instances(shapes, recipe.overlap)
    visible = np.flatnonzero(counts)
    objects = tuple(
        LabelledObject(shapes.objects[index].feature_id, shapes.objects[index].class_name, id, int(counts[index]))
        for id, index in enumerate(visible.tolist(), start=1)
    )
    covered = [index for index in shapes.foreground if not counts[index]]
    hidden = tuple(shapes.objects[index].feature_id for index in covered if shapes.rasterize_objects([index]).any())
    notes: dict[Note, tuple[str, ...]] = {"subpixel": shapes.find_subpixel_objects(), "hidden": hidden}
    return DrawnLabel(task, ids[drawn][np.newaxis], objects=objects, notes=notes)


def draw_instances(
    shapes: PixelGeometries, overlap: Overlap
) -> tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.intp]]:
    """Draw 1 + the index of the visible object, shape (rows, columns); also return the number by it, and the counts.

    Objects are numbered 1, 2, 3 … if they are visible; the counts of pixels are by index.
    """
    layers = [(index, index + 1) for index in sort_for_drawing(shapes, overlap)]
    drawn = shapes.burn_layers([*layers, *((index, 0) for index in shapes.background)], "uint32")
    counts = np.bincount(drawn.ravel(), minlength=len(shapes.objects) + 1)[1:]
    visible = np.flatnonzero(counts)
    ids = np.zeros(len(counts) + 1, np.uint16 if len(visible) <= np.iinfo(np.uint16).max else np.uint32)
    ids[visible + 1] = np.arange(1, len(visible) + 1)
    return drawn, ids, counts


def render_multilabels(
    tasks: Sequence[LabelTask], recipe: "LabelMultilabel", settings: LabelSettings
) -> Iterator[LabelResult]:
    """Draw one uint8 band of 0 and 1 for each class; background objects erase all bands."""
    geometries = iter_pixel_geometries(tasks, recipe.line_width, clip=True)
    return write_labels(map(partial(_draw_multilabel, tuple(settings.bands or ())), tasks, geometries))


def _draw_multilabel(classes: tuple[str, ...], task: LabelTask, shapes: PixelGeometries) -> DrawnLabel:
    names = [(index, shapes.objects[index].class_name) for index in shapes.foreground]
    bands = np.stack([shapes.rasterize_objects([index for index, name in names if name == band]) for band in classes])
    bands[:, shapes.rasterize_objects(shapes.background)] = False
    return DrawnLabel(task, bands.astype(np.uint8), classes, notes={"subpixel": shapes.find_subpixel_objects()})


def sort_for_drawing(shapes: PixelGeometries, overlap: Overlap) -> list[int]:
    """Return the indices of the foreground objects from bottom to top."""
    if overlap == "class-order":
        return sorted(shapes.foreground, key=lambda index: shapes.objects[index].value)
    if overlap == "newest":
        return shapes.foreground
    areas = np.round(shapes.compute_areas(), 6)
    return sorted(shapes.foreground, key=lambda index: -areas[index])


def _read_invalid_mask(task: LabelTask) -> NDArray[np.bool_]:
    """Return the pixels without valid data (by nodata, alpha or mask band) and padding, shape (rows, columns)."""
    with (
        open_raster(locate_file(task.raster_path), with_sidecars=task.with_sidecars) as source,
        translate_read_errors(task.raster_path),
    ):
        mask: NDArray[np.uint8] = source.dataset_mask()
    if mask.shape != (task.grid.height, task.grid.width):
        raise UsageError(f"raster '{task.raster_path}' does not have its recorded size. Run geographer verify.")
    invalid = np.asarray(mask == 0)
    if task.valid_window is not None:
        column, row, width, height = task.valid_window
        is_inside = np.zeros_like(invalid)
        is_inside[max(row, 0) : max(row + height, 0), max(column, 0) : max(column + width, 0)] = True
        invalid |= ~is_inside
    return invalid
