"""Flags of geometry: features that moved, shrank, were split or reshaped, beyond what the other changes of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geographer.algorithms.geometry_change import GeometryChanges, measure_shift_deviations
from geographer.base.text import format_count
from geographer.diff.flags.flag import MIN_SAMPLE, CandidateGroup, FlagCandidate, Reason, compute_limit

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

    `ids` and `names` are strings, `positions` int64. `pixels` is that of the finest raster that shows the feature;
    shape (n,).
    """

    ids: pa.Array
    names: pa.Array
    positions: NDArray[np.int64]
    measures: GeometryChanges
    pixels: Floats


def find_changed_geometries(changed: ChangedGeometries) -> Iterator[CandidateGroup]:
    """Yield the features that moved more than a pixel, or changed in area, shape or parts, more than is usual here."""
    if not len(changed.ids):
        return
    pixels = _fill_pixels(changed)
    groups = [_find_moved(changed, pixels), *_find_resized(changed), *_find_reshaped(changed, pixels)]
    yield from (group for group in groups if len(group.ids))


def _fill_pixels(changed: ChangedGeometries) -> Floats:
    """Return the pixel sizes; where no raster shows a feature, the usual one, or a tenth of the feature's width."""
    pixels = changed.pixels
    if np.isfinite(pixels).any():
        return np.where(np.isfinite(pixels), pixels, np.nanmedian(pixels))
    widths = np.sqrt(changed.measures.old_area) / 10
    return np.where(widths > 0, widths, max(1.0, float(np.median(changed.measures.shift_distance))))


def _find_moved(changed: ChangedGeometries, pixels: Floats) -> CandidateGroup:
    """Return the features that moved more than a pixel; if many did, those first that moved unlike their neighbours."""
    measures = changed.measures
    shifts = measures.shift_distance
    distances = shifts / pixels
    is_common = np.count_nonzero(distances > _MOVED_PIXELS) > max(MIN_SAMPLE, _COMMON_SHARE * len(distances))
    moved = measure_shift_deviations(measures) / pixels if is_common else distances
    limit = compute_limit(moved, _MOVED_PIXELS)

    def describe_move(index: int) -> str:
        angle = np.arctan2(measures.shift_north[index], measures.shift_east[index])
        direction = _COMPASS[round(angle / (np.pi / 4)) % 8]
        text = f"moved {distances[index]:.1f} pixels ({shifts[index]:.3g} m) to the {direction}"
        if is_common and moved[index] > limit:
            text += f", {moved[index]:.1f} pixels off its neighbours' shift"
        return text

    rows = np.flatnonzero((moved > limit) | (distances > _MOVED_PIXELS))
    return _make_group(changed, rows, moved / limit, _Wording("moved", "moved more than a pixel", describe_move))


def _find_resized(changed: ChangedGeometries) -> Iterator[CandidateGroup]:
    measures = changed.measures
    ratios = measures.area_ratio
    changes = np.abs(np.log(ratios))
    limit = compute_limit(changes, _AREA_CHANGE)
    resized = []
    for verb, has_direction in (("shrank", ratios < 1), ("grew", ratios >= 1)):

        def describe_area(index: int, verb: str = verb) -> str:
            return f"{verb} to {ratios[index]:.0%} of its area (IoU {measures.iou[index]:.2f})"

        rows = np.flatnonzero((changes > limit) & has_direction)
        wording = _Wording(verb, f"{verb} by more than 8 %", describe_area)
        resized.append((rows, _make_group(changed, rows, changes / limit, wording)))
    # The first feature decides which of both comes first.
    yield from (group for _, group in sorted(resized, key=lambda item: item[0][:1].tolist()))
    became_area = np.flatnonzero((measures.old_area == 0) & (measures.new_area > 0))
    wording = _Wording("became_area", "became areas", lambda _: "became an area")
    yield _make_group(changed, became_area, np.full(len(ratios), _BECAME_AREA_SCORE), wording)
    lost_area = np.flatnonzero((measures.old_area > 0) & (measures.new_area == 0))
    wording = _Wording("lost_area", "lost their area", lambda _: "lost its area")
    yield _make_group(changed, lost_area, np.full(len(ratios), _LOST_AREA_SCORE), wording)


def _find_reshaped(changed: ChangedGeometries, pixels: Floats) -> Iterator[CandidateGroup]:
    measures = changed.measures
    split = np.flatnonzero(measures.new_parts > measures.old_parts)
    wording = _Wording(
        "split", "got more parts", lambda index: f"split into {format_count(int(measures.new_parts[index]), 'part')}"
    )
    yield _make_group(changed, split, np.full(len(pixels), _MORE_PARTS_SCORE), wording)
    shape_changes = 1 - measures.aligned_iou
    # A change of size alone is already reported; what counts is by how much the outline differs beyond it.
    resized = 1 - np.exp(-np.abs(np.log(measures.area_ratio)))
    shape_changes = np.where(shape_changes > _BEYOND_SIZE * resized, shape_changes, np.nan)
    shape_limit = compute_limit(1 - measures.aligned_iou, _SHAPE_CHANGE)
    spikes = (measures.hausdorff - measures.shift_distance) / pixels
    scores = np.fmax(shape_changes / shape_limit, spikes / compute_limit(spikes, _SPIKE_PIXELS))

    def describe_outline(index: int) -> str:
        iou, distance = measures.aligned_iou[index], measures.hausdorff[index] / pixels[index]
        overlap = f"IoU {iou:.2f} where centroids coincide, " if np.isfinite(iou) else ""
        return f"changed its outline ({overlap}up to {distance:.1f} pixels)"

    yield _make_group(
        changed, np.flatnonzero(scores > 1), scores, _Wording("reshaped", "changed their outlines", describe_outline)
    )


class _Wording(NamedTuple):
    """How reasons are called: code, words for many objects, and the text for the feature of an index."""

    code: str
    alike: str
    describe: Callable[[int], str]


def _make_group(
    changed: ChangedGeometries, rows: NDArray[np.int64], scores: Floats, wording: _Wording
) -> CandidateGroup:
    """Return the features of some rows as candidates; `scores` has those of all rows."""
    chosen = scores[rows]

    def make_candidate(index: int) -> FlagCandidate:
        row = int(rows[index])
        reason = Reason(wording.code, wording.describe(row), float(chosen[index]), wording.alike)
        name = changed.names[row].as_py()
        return FlagCandidate("feature", changed.ids[row].as_py(), name, int(changed.positions[row]), reason)

    ids = changed.ids.take(pa.array(rows))
    return CandidateGroup("feature", wording.code, ids, changed.positions[rows], chosen, make_candidate)
