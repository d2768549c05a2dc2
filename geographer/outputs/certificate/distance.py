"""The level of distance: the smallest geodesic distance between each two subsets, and whether it exceeds a buffer."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np

from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.queries.revision import Revision

_FOOTPRINTS: Final = (
    "SELECT raster_index, ST_AsWKB(footprint)::BLOB FROM current_raster JOIN certified_raster USING (raster_key) "
    "WHERE footprint IS NOT NULL AND NOT ST_IsEmpty(footprint) ORDER BY raster_index"
)
NO_BUFFER: Final = "no buffer was given to compare the distances with"


def check_distance(revision: Revision, rasters: CertifiedRasters, buffer: float | None) -> Level:
    """Measure the smallest distance between each two subsets; list the pairs within a buffer in metres."""
    from geographer.algorithms.geodesic_distance.footprints import Footprints
    from geographer.algorithms.geodesic_distance.nearest import measure_arc, measure_distances
    from geographer.algorithms.geodesic_distance.neighbours import find_near_pairs, parse_buffer

    rows = revision.fetch_rows(_FOOTPRINTS)
    index = np.array([number for number, _ in rows], np.int64)
    footprints = Footprints.from_wkb([bytes(wkb) for _, wkb in rows])
    part = rasters.part[index]
    facts = {"subsets": _measure_subsets(footprints, rasters, index)}
    if buffer is None:
        return Level("distance", None, NO_BUFFER, {}, (), {"buffer_m": None, **facts})
    near = np.sort(find_near_pairs(footprints, *parse_buffer(buffer), part), axis=1)
    near = near[np.lexsort(near.T[::-1])]
    listed = near[:MAX_LEAKS]
    distances = [round(measure_arc(float(chord)), 3) for chord in measure_distances(footprints, listed)]
    pairs = ((int(a), int(b)) for a, b in index[listed])
    leaks = make_leaks(rasters, pairs, ({"distance_m": distance} for distance in distances))
    return Level("distance", not len(near), None, {"pairs": len(near)}, leaks, {"buffer_m": buffer, **facts})


def _measure_subsets(footprints: Any, rasters: CertifiedRasters, index: Any) -> list[dict[str, Any]]:
    """Return the nearest rasters of each two subsets, and their distance in metres."""
    from geographer.algorithms.geodesic_distance.nearest import find_nearest_pair

    part = rasters.part[index]
    members = {number: np.flatnonzero(part == number) for number in range(len(rasters.parts))}
    found = []
    for a, b in combinations((number for number, rows in members.items() if len(rows)), 2):
        nearest = find_nearest_pair(footprints, members[a], members[b])
        ids = {"a": rasters.ids[index[nearest.first]], "b": rasters.ids[index[nearest.second]]}
        names = {"subset_a": rasters.parts[a], "subset_b": rasters.parts[b]}
        found.append({**names, **ids, "distance_m": round(nearest.distance, 3)})
    return found
