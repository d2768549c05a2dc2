"""Flags of geometry: features that moved, shrank, were split or reshaped, beyond what the other changes of them do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geographer.algorithms.geometry_change import GeometryChanges, measure_shift_deviations
from geographer.base.text import format_count
from geographer.diff.flags.flag import MIN_SAMPLE, FlagCandidate, Reason, compute_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]

_MOVED_PIXELS: Final = 1.0
_SPIKE_PIXELS: Final = 3.0
_AREA_CHANGE: Final = 0.08
_SHAPE_CHANGE: Final = 0.07
_BEYOND_SIZE: Final = 1.2
_COMMON_SHARE: Final = 0.02
_LOST_AREA_SCORE: Final = 3.0
_BECAME_AREA_SCORE: Final = 1.1
_MORE_PARTS_SCORE: Final = 1.5
_COMPASS: Final = ("east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east")


class ChangedGeometries(NamedTuple):
    """Features whose geometry changed: id, name and event of each, the measures, and the pixel size in metres or NaN.

    `pixels` is that of the finest raster that shows the feature; shape (n,).
    """

    ids: Sequence[str]
    names: Sequence[str]
    positions: Sequence[int]
    measures: GeometryChanges
    pixels: Floats


def find_changed_geometries(changed: ChangedGeometries) -> Iterator[FlagCandidate]:
    """Yield the features that moved more than a pixel, or changed in area, shape or parts, more than is usual here."""
    if not len(changed.ids):
        return
    pixels = _fill_pixels(changed)
    yield from _find_moved(changed, pixels)
    yield from _find_resized(changed)
    yield from _find_reshaped(changed, pixels)


def _fill_pixels(changed: ChangedGeometries) -> Floats:
    """Return the pixel sizes; where no raster shows a feature, the usual one, or a tenth of the feature's width."""
    pixels = changed.pixels
    if np.isfinite(pixels).any():
        return np.where(np.isfinite(pixels), pixels, np.nanmedian(pixels))
    widths = np.sqrt(changed.measures.old_area) / 10
    return np.where(widths > 0, widths, max(1.0, float(np.median(changed.measures.shift_distance))))


def _find_moved(changed: ChangedGeometries, pixels: Floats) -> Iterator[FlagCandidate]:
    """Yield the features that moved more than a pixel; if many did, those first that moved unlike their neighbours."""
    measures = changed.measures
    shifts = measures.shift_distance
    distances = shifts / pixels
    is_common = np.count_nonzero(distances > _MOVED_PIXELS) > max(MIN_SAMPLE, _COMMON_SHARE * len(distances))
    moved = measure_shift_deviations(measures) / pixels if is_common else distances
    limit = compute_limit(moved, _MOVED_PIXELS)
    for index in np.flatnonzero((moved > limit) | (distances > _MOVED_PIXELS)):
        angle = np.arctan2(measures.shift_north[index], measures.shift_east[index])
        direction = _COMPASS[round(angle / (np.pi / 4)) % 8]
        text = f"moved {distances[index]:.1f} pixels ({shifts[index]:.3g} m) to the {direction}"
        if is_common and moved[index] > limit:
            text += f", {moved[index]:.1f} pixels off its neighbours' shift"
        reason = Reason("moved", text, float(moved[index] / limit), "moved more than a pixel")
        yield _make_candidate(changed, index, reason)


def _find_resized(changed: ChangedGeometries) -> Iterator[FlagCandidate]:
    measures = changed.measures
    ratios = measures.area_ratio
    changes = np.abs(np.log(ratios))
    limit = compute_limit(changes, _AREA_CHANGE)
    for index in np.flatnonzero(changes > limit):
        verb = "shrank" if ratios[index] < 1 else "grew"
        text = f"{verb} to {ratios[index]:.0%} of its area (IoU {measures.iou[index]:.2f})"
        yield _make_candidate(
            changed, index, Reason(verb, text, float(changes[index] / limit), f"{verb} by more than 8 %")
        )
    for index in np.flatnonzero((measures.old_area == 0) & (measures.new_area > 0)):
        reason = Reason("became_area", "became an area", _BECAME_AREA_SCORE, "became areas")
        yield _make_candidate(changed, index, reason)
    for index in np.flatnonzero((measures.old_area > 0) & (measures.new_area == 0)):
        reason = Reason("lost_area", "lost its area", _LOST_AREA_SCORE, "lost their area")
        yield _make_candidate(changed, index, reason)


def _find_reshaped(changed: ChangedGeometries, pixels: Floats) -> Iterator[FlagCandidate]:
    measures = changed.measures
    for index in np.flatnonzero(measures.new_parts > measures.old_parts):
        text = f"split into {format_count(int(measures.new_parts[index]), 'part')}"
        yield _make_candidate(changed, index, Reason("split", text, _MORE_PARTS_SCORE, "got more parts"))
    shape_changes = 1 - measures.aligned_iou
    # A change of size alone is already reported; what counts is by how much the outline differs beyond it.
    resized = 1 - np.exp(-np.abs(np.log(measures.area_ratio)))
    shape_changes = np.where(shape_changes > _BEYOND_SIZE * resized, shape_changes, np.nan)
    shape_limit = compute_limit(1 - measures.aligned_iou, _SHAPE_CHANGE)
    spikes = (measures.hausdorff - measures.shift_distance) / pixels
    scores = np.fmax(shape_changes / shape_limit, spikes / compute_limit(spikes, _SPIKE_PIXELS))
    for index in np.flatnonzero(scores > 1):
        iou, distance = measures.aligned_iou[index], measures.hausdorff[index] / pixels[index]
        overlap = f"IoU {iou:.2f} where centroids coincide, " if np.isfinite(iou) else ""
        text = f"changed its outline ({overlap}up to {distance:.1f} pixels)"
        yield _make_candidate(changed, index, Reason("reshaped", text, float(scores[index]), "changed their outlines"))


def _make_candidate(changed: ChangedGeometries, index: Any, reason: Reason) -> FlagCandidate:
    return FlagCandidate("feature", changed.ids[index], changed.names[index], changed.positions[index], reason)
