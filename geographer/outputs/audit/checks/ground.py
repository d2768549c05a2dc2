"""Ground that georeferenced images of different subsets share, and the distance between subsets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geographer.algorithms.geodesic_distance.nearest import (
    FootprintSource,
    bound_boxes,
    find_nearest_pair,
    iter_near_pairs,
)
from geographer.base.text import format_count
from geographer.base.values import Grid
from geographer.outputs.audit.checks.duplicates import make_pair_check
from geographer.outputs.audit.checks.pairs import NO_PAIRS, Ints, ReadSamples
from geographer.outputs.audit.leaks import LeakTable
from geographer.outputs.audit.report import AuditCheck, AuditFinding, Severity, Verdict, show_path
from geographer.rasters.outlines import make_footprints, make_outlines, measure_areas

Floats = npt.NDArray[np.float64]


class GroundSamples(NamedTuple):
    """The georeferenced samples with a subset: their numbers, grids, subsets, and footprints in degrees."""

    numbers: Ints
    grids: list[Grid]
    subset: Ints
    footprints: npt.NDArray[np.object_]


def select_ground(read: ReadSamples) -> GroundSamples:
    """Select the samples that are georeferenced and in a subset."""
    numbers = [
        number
        for number, fact in enumerate(read.facts)
        if fact.grid is not None and fact.fault is None and read.subset[number] >= 0
    ]
    grids = [grid for number in numbers if (grid := read.facts[number].grid)]
    footprints = make_footprints(grids) if grids else np.empty(0, dtype=np.object_)
    has_place = ~shapely.is_empty(footprints) if grids else np.empty(0, dtype=np.bool_)
    kept = np.flatnonzero(has_place)
    chosen = np.asarray(numbers, dtype=np.int64)[kept]
    return GroundSamples(chosen, [grids[index] for index in kept], read.subset[chosen], footprints[kept])


def explain_missing_ground(read: ReadSamples, ground: GroundSamples) -> str | None:
    """Return why ground cannot be compared: no split, or fewer than two subsets with georeferenced images."""
    if not read.has_split:
        return "no split was found: there are no subsets to compare"
    if not len(ground.numbers):
        return f"none of the {len(read.samples):,} images is georeferenced (CRS and transform)"
    if len(np.unique(ground.subset)) < 2:
        name = read.names[int(ground.subset[0])]
        return f"only the subset {show_path(name)} has georeferenced images"
    return None


def check_overlaps(read: ReadSamples, ground: GroundSamples, leaks: LeakTable) -> AuditCheck:
    """Add pairs that share at least the area of one pixel; decided in the CRS of one of the two images."""
    if reason := explain_missing_ground(read, ground):
        return AuditCheck("overlap", Verdict.NOT_CHECKED, reason)
    pairs, areas = find_overlaps(ground)
    leaks.add_pairs("overlap", ground.numbers[pairs], areas)
    text = "with pixels on the same ground, by georeference, in two subsets"
    check = make_pair_check("overlap", leaks, "no two subsets share ground, by georeference", text)
    rest = int((read.subset >= 0).sum()) - len(ground.numbers)
    if rest:
        note = f"; {format_count(rest, 'image')} without a georeference could not be compared"
        return check._replace(explanation=check.explanation + note)
    return check


def find_overlaps(ground: GroundSamples) -> tuple[Ints, Floats]:
    """Return the pairs of different subsets that share ground, shape (n, 2), and the areas in square metres."""
    candidates = _find_candidates(ground)
    outlines = make_outlines(ground.grids)
    pixels = np.array([_find_pixel_area(grid) for grid in ground.grids])
    crs = [grid.crs for grid in ground.grids]
    shared, kept = [], []
    for text in sorted(set(crs)):
        chosen = candidates[[crs[a] == text for a in candidates[:, 0]]] if len(candidates) else candidates
        if not len(chosen):
            continue
        first, second = chosen.T
        others = make_outlines([ground.grids[index] for index in second], text)
        intersections = shapely.intersection(outlines[first], others)
        is_shared = shapely.area(intersections) >= 0.999 * _find_smaller(pixels, crs, first, second)
        kept.append(chosen[is_shared])
        shared.append((intersections[is_shared], [text] * int(is_shared.sum())))
    if not kept:
        return NO_PAIRS, np.empty(0)
    areas = [measure_areas(polygons, texts) for polygons, texts in shared]
    return np.concatenate(kept), np.concatenate(areas)


def check_distance(
    read: ReadSamples, ground: GroundSamples, leaks: LeakTable, buffer_m: float | None
) -> tuple[AuditCheck, list[dict[str, Any]]]:
    """Measure the smallest geodesic distance between subsets; pairs nearer than the buffer are added to `leaks`."""
    if reason := explain_missing_ground(read, ground):
        return AuditCheck("distance", Verdict.NOT_CHECKED, reason), []
    source = make_footprint_source(ground)
    rows = _measure_distances(read, ground, source)
    nearest = "; ".join(
        f"{show_path(row['subset_a'])} and {show_path(row['subset_b'])}: {row['distance_m']:,.0f} m" for row in rows
    )
    if buffer_m is None:
        text = f"no --buffer was given to compare with. Smallest distances: {nearest}"
        return AuditCheck("distance", Verdict.NOT_CHECKED, text), rows
    blocks = [pairs for pairs, _, _ in iter_near_pairs(source, ground.subset, buffer_m)]
    pairs = np.concatenate([NO_PAIRS, *blocks])
    leaks.add_pairs("too close", ground.numbers[pairs])
    check = make_pair_check(
        "too close", leaks, f"all subsets are more than {buffer_m:g} m apart", f"within {buffer_m:g} m"
    )
    return check._replace(name="distance", explanation=f"{check.explanation}. Smallest distances: {nearest}"), rows


def make_footprint_source(ground: GroundSamples) -> FootprintSource:
    """Return the footprints for measurements of distances."""

    def read_footprints(indices: Ints) -> list[bytes]:
        return [bytes(wkb) for wkb in shapely.to_wkb(ground.footprints[indices])]

    return FootprintSource(bound_boxes(shapely.bounds(ground.footprints)), read_footprints)


def make_distance_finding(row: dict[str, Any]) -> AuditFinding:
    """Return a measured distance between two subsets as a note."""
    subject = f"{row['subset_a']} and {row['subset_b']}"
    detail = f"{row['distance_m']:,.1f} m between {row['nearest_a']} and {row['nearest_b']}"
    fields = {key: show_path(value) if isinstance(value, str) else value for key, value in row.items()}
    return AuditFinding("distance between subsets", Severity.NOTE, subject, detail, fields)


def _find_candidates(ground: GroundSamples) -> Ints:
    """Return the pairs of different subsets whose boxes in degrees meet."""
    pairs = [NO_PAIRS]
    subsets = np.unique(ground.subset)
    for subset in subsets[:-1]:
        ours, theirs = np.flatnonzero(ground.subset == subset), np.flatnonzero(ground.subset > subset)
        tree = shapely.STRtree(ground.footprints[ours])
        theirs_hit, ours_hit = tree.query(ground.footprints[theirs])
        pairs.append(np.column_stack([ours[ours_hit], theirs[theirs_hit]]))
    return np.concatenate(pairs)


def _find_pixel_area(grid: Grid) -> float:
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)


def _find_smaller(pixels: Floats, crs: Sequence[str], first: Ints, second: Ints) -> Floats:
    """Return the area of the smaller pixel of each pair, of the first image if their CRSs differ, in its units."""
    is_same = np.array([crs[a] == crs[b] for a, b in zip(first, second, strict=True)])
    return np.where(is_same, np.minimum(pixels[first], pixels[second]), pixels[first])


def _measure_distances(read: ReadSamples, ground: GroundSamples, source: FootprintSource) -> list[dict[str, Any]]:
    rows = []
    for first, second in combinations(np.unique(ground.subset), 2):
        members = (np.flatnonzero(ground.subset == subset) for subset in (first, second))
        nearest = find_nearest_pair(source, *members)
        a, b = (read.samples[int(ground.numbers[index])].path for index in (nearest.first, nearest.second))
        subsets = {"subset_a": read.names[int(first)], "subset_b": read.names[int(second)]}
        rows.append({**subsets, "nearest_a": a, "nearest_b": b, "distance_m": round(nearest.distance, 3)})
    return rows
