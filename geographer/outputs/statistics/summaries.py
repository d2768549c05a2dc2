"""Summaries: make the statistics of bands and labels from counts of their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from geographer.outputs.samples.training_rows import TrainingLabel
from geographer.outputs.statistics.results import BandSummary, ClassPixels, LabelSummary, ValueSummary

if TYPE_CHECKING:
    from geographer.algorithms.value_counts import Distribution
    from geographer.rasters.pixel_counts import ClassCounts, ImageCounts

_BACKGROUND = "background"


class _PixelsOfClass(NamedTuple):
    """A class with its pixels, and those of the labels that show it."""

    name: str | None
    value: int | None
    pixels: int
    shown: int


def summarize_bands(images: ImageCounts, percentiles: Sequence[float], bins: int) -> list[BandSummary]:
    """Return the statistics of each band."""
    summaries = []
    for number, band in enumerate(images.bands, 1):
        stored, scaled = band.make_distribution(), band.make_scaled_distribution()
        summaries.append(
            BandSummary(
                *(number, band.name, stored.sum_counts(), band.nodata, band.non_finite, band.has_scale()),
                _summarize_values(stored, percentiles, bins),
                None if scaled is None else _summarize_values(scaled, percentiles, bins),
            )
        )
    return summaries


def _summarize_values(distribution: Distribution, percentiles: Sequence[float], bins: int) -> ValueSummary:
    from geographer.algorithms.value_counts import BIN_ERROR

    edges, counts = distribution.compute_histogram(bins)
    values = [
        distribution.compute_mean(),
        distribution.compute_standard_deviation(),
        distribution.minimum,
        distribution.maximum,
        *distribution.compute_percentiles(percentiles),
    ]
    # Scaled values may exceed float64.
    mean, deviation, minimum, maximum, *found = [_require_finite(value) for value in values]
    by_percentage = {f"{percentage:g}": value for percentage, value in zip(percentiles, found, strict=True)}
    error = 0.0 if distribution.is_exact else BIN_ERROR
    return ValueSummary(mean, deviation, minimum, maximum, by_percentage, edges, counts, error)


def _require_finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def summarize_label(
    label: TrainingLabel, kind: str, rasters: int, counts: ClassCounts, classes: Mapping[str, int]
) -> LabelSummary | None:
    """Return the pixels of each class; None if the label has no class values. `classes` are the values by name."""
    if not counts.has_classes:
        return None
    ignored = 0 if label.ignore is None else sum(pixels[label.ignore] for pixels in counts.pixels.values())
    pixels = sum(pixels.total() for pixels in counts.pixels.values()) - ignored
    list_classes = _list_band_classes if kind == "multilabel" else _list_value_classes
    rows = list_classes(label, counts, classes)
    return LabelSummary(label.name, kind, rasters, label.ignore, pixels, ignored, rows)


def _list_value_classes(label: TrainingLabel, counts: ClassCounts, classes: Mapping[str, int]) -> list[ClassPixels]:
    """Return the classes of masks: those that the dataset has, the background, and values without a class."""
    name_of_value = {0: _BACKGROUND} | {value: name for name, value in classes.items()}
    (pixels,), (shown,) = counts.pixels.values() or [{}], counts.shown.values() or [{}]
    values = sorted({*name_of_value, *pixels} - {label.ignore})
    rows = [
        _PixelsOfClass(name_of_value.get(value), value, pixels.get(value, 0), shown.get(value, 0)) for value in values
    ]
    total = sum(row.pixels for row in rows)
    present = [row for row in rows if row.pixels]
    middle = median(row.pixels / row.shown for row in present) if present else 0.0
    return [
        ClassPixels(
            *row[:3],
            fraction=row.pixels / total if total else None,
            inverse_frequency=total / (len(present) * row.pixels) if row.pixels else None,
            median_frequency=middle * row.shown / row.pixels if row.pixels else None,
        )
        for row in rows
    ]


def _list_band_classes(label: TrainingLabel, counts: ClassCounts, classes: Mapping[str, int]) -> list[ClassPixels]:
    rows = []
    for name, pixels in counts.pixels.items():
        total = pixels.total() - (0 if label.ignore is None else pixels[label.ignore])
        positive = total - pixels[0]
        rows.append(ClassPixels(name, classes.get(name), positive, positive / total if total else None, None, None))
    return rows


def sum_images(images: Iterable[ImageCounts]) -> ImageCounts:
    """Return the pixels of all."""
    from geographer.rasters.pixel_counts import ImageCounts

    total = ImageCounts()
    for item in images:
        total.merge_counts(item)
    return total


def sum_classes(labels: Iterable[ClassCounts]) -> ClassCounts:
    """Return the pixels of all."""
    from geographer.rasters.pixel_counts import ClassCounts

    total = ClassCounts()
    for item in labels:
        total.merge_counts(item)
    return total
