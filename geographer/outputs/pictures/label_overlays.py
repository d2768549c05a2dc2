"""Label overlays: what the pixels of a label file mean, painted in the colours of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.outputs.pictures.palette import COLOURS, OTHER_COLOUR, Style, assign_styles
from geographer.outputs.samples.training_rows import TrainingLabel
from geographer.rasters.overlays import Paint, lay_over, paint_ramp, paint_values, parse_colour
from geographer.rasters.pictures import encode_pixels, resize_pixels
from geographer.rasters.read import open_raster, translate_read_errors

_MOST_VALUES: Final = 24
"""With more distinct values than these, a custom label is painted as numbers."""
_LOWEST_PROBABILITY: Final = 0.05

Pixels = NDArray[Any]


class OverlayClasses(NamedTuple):
    """The names of a revision's classes by value, and how each one above 0 is drawn."""

    names: Mapping[int, str]
    styles: Mapping[str, Style]


class Overlay(NamedTuple):
    """A label as PNG with opacity, and the classes that it shows with their styles."""

    image: bytes
    classes: Mapping[str, Style]


def draw_overlay(
    path: Path, label: TrainingLabel, classes: OverlayClasses, instances: Mapping[int, str], size: tuple[int, int]
) -> Overlay:
    """Return a label file as an overlay.

    Args:
        path: A GeoTIFF of a label.
        label: What it holds.
        classes: The classes of the revision.
        instances: The class of each object in a label of instances, by its number.
        size: Width and height of the overlay in pixels.

    Raises:
        CorruptError: the file is damaged.
    """
    pixels, bands = _read_label(path, size)
    if label.kind == "instances":
        return _draw_instances(pixels[0], instances, classes)
    if label.kind in ("multilabel", "probabilities"):
        return _draw_bands(pixels, bands, label, classes)
    if label.kind == "mask" or _has_class_values(pixels, label, classes):
        return _draw_values(pixels[0], label, classes)
    return _draw_custom(pixels[0], label)


def _read_label(path: Path, size: tuple[int, int]) -> tuple[Pixels, Sequence[str | None]]:
    """Return the pixels, shape (bands, rows, columns), as large as the overlay, and the names of the bands."""
    with open_raster(path, with_sidecars=False) as raster, translate_read_errors(path):
        shape = (raster.count, min(size[1], raster.height), min(size[0], raster.width))
        return resize_pixels(np.asarray(raster.read(out_shape=shape)), size), raster.descriptions


def _draw_values(values: Pixels, label: TrainingLabel, classes: OverlayClasses) -> Overlay:
    names = {value: classes.names.get(value, f"value {value}") for value in np.unique(values).tolist() if value != 0}
    if label.ignore is not None and label.ignore in names:
        names[label.ignore] = "ignored"
    return _paint_names(values, names, classes)


def _draw_instances(numbers: Pixels, instances: Mapping[int, str], classes: OverlayClasses) -> Overlay:
    names = {value: instances.get(value, "no class") for value in np.unique(numbers).tolist() if value != 0}
    return _paint_names(numbers, names, classes)


def _paint_names(values: Pixels, names: Mapping[int, str], classes: OverlayClasses) -> Overlay:
    styles = {name: classes.styles.get(name) or _OTHER_STYLE for name in names.values()}
    paints = {value: make_paint(styles[name]) for value, name in names.items()}
    return Overlay(encode_pixels(paint_values(values, paints), "png"), styles)


def _draw_bands(pixels: Pixels, bands: Sequence[str | None], label: TrainingLabel, classes: OverlayClasses) -> Overlay:
    """Paint the bands one over the other; a probability makes the paint more or less transparent."""
    picture = np.zeros((4, *pixels.shape[1:]), np.uint8)
    shown = {}
    for number, (band, name) in enumerate(zip(pixels, bands, strict=True), 1):
        style = classes.styles.get(name or "", _OTHER_STYLE)
        share = np.nan_to_num(band.astype(np.float64))
        if name == classes.names.get(0, "background") or not (share >= _LOWEST_PROBABILITY).any():
            continue
        shown[name or f"band {number}"] = style
        painted = paint_values((share >= _LOWEST_PROBABILITY).astype(np.uint8), {1: make_paint(style)})
        if label.kind == "probabilities":
            painted[3] = np.round(painted[3] * np.clip(share, 0, 1))
        picture = lay_over(picture, painted)
    return Overlay(encode_pixels(picture, "png"), shown)


def _has_class_values(pixels: Pixels, label: TrainingLabel, classes: OverlayClasses) -> bool:
    known = {0, *classes.names, *([] if label.ignore is None else [label.ignore])}
    return len(pixels) == 1 and pixels.dtype.kind in "iu" and {*np.unique(pixels).tolist()} <= known


def _draw_custom(values: Pixels, label: TrainingLabel) -> Overlay:
    """Paint the first band of a custom label: few whole numbers as areas, others as a ramp of colours."""
    if values.dtype.kind in "iu" and len(found := np.unique(values[values != 0]).tolist()) <= _MOST_VALUES:
        styles = assign_styles([f"{label.name} {value}" for value in found])
        paints = {value: make_paint(styles[f"{label.name} {value}"]) for value in found}
        return Overlay(encode_pixels(paint_values(values, paints), "png"), styles)
    picture, low, high = paint_ramp(values)
    return Overlay(encode_pixels(picture, "png"), {f"{label.name}: {low:.4g} to {high:.4g}": _RAMP_STYLE})


def make_paint(style: Style) -> Paint:
    """Return how the areas of a class are painted."""
    return Paint(parse_colour(style.colour), style.hatch)


_OTHER_STYLE: Final = Style(OTHER_COLOUR, (), "diamond", ".")
_RAMP_STYLE: Final = Style(COLOURS[5], (), "square", "")
