"""The level of distance: the smallest geodesic distance between each two subsets, and whether it exceeds a buffer."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from geographer.algorithms.connected_components import Ints
from geographer.outputs.certificate.levels import Level, make_leaks
from geographer.outputs.certificate.places import Places, read_footprints
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.algorithms.geodesic_distance.nearest import FootprintSource

MAX_MEASURED: Final = 1_000
"""How many pairs within the buffer are listed with their distances."""
NO_BUFFER: Final = "no buffer was given to compare the distances with"


def check_distance(revision: Revision, rasters: CertifiedRasters, places: Places, buffer: float | None) -> Level:
    """Measure the smallest distance between each two subsets; list the pairs within a buffer in metres."""
    from geographer.algorithms.geodesic_distance.nearest import FootprintSource, bound_boxes

    index = places.on_earth
    read = partial(_read_members, revision, index)
    source = FootprintSource(bound_boxes(places.box[index]), read)
    facts = {"buffer_m": buffer, "subsets": _measure_subsets(source, rasters, index)}
    if buffer is None:
        return Level("distance", None, NO_BUFFER, {}, (), facts)
    return _list_near_pairs(source, rasters, index, buffer)._replace(facts=facts)


def _read_members(revision: Revision, index: Ints, members: Ints) -> list[bytes]:
    return read_footprints(revision, index[members])


def _measure_subsets(source: FootprintSource, rasters: CertifiedRasters, index: Ints) -> list[dict[str, Any]]:
    """Return the nearest rasters of each two subsets, and their distance in metres."""
    from geographer.algorithms.geodesic_distance.nearest import find_nearest_pair

    part = rasters.part[index]
    members = [(number, np.flatnonzero(part == number)) for number in range(len(rasters.parts))]
    found = []
    for (a, first), (b, second) in combinations([item for item in members if len(item[1])], 2):
        nearest = find_nearest_pair(source, first, second)
        ids = {"a": rasters.ids[index[nearest.first]], "b": rasters.ids[index[nearest.second]]}
        names = {"subset_a": rasters.parts[a], "subset_b": rasters.parts[b]}
        found.append({**names, **ids, "distance_m": round(nearest.distance, 3)})
    return found


def _list_near_pairs(source: FootprintSource, rasters: CertifiedRasters, index: Ints, buffer: float) -> Level:
    """Return the pairs of rasters of different subsets within a distance in metres."""
    from geographer.algorithms.geodesic_distance.nearest import iter_near_pairs, measure_arc, measure_distances

    total, pairs, distances = 0, list[tuple[int, int]](), list[float]()
    for block, footprints, local in iter_near_pairs(source, rasters.part[index], buffer):
        total += len(block)
        left = MAX_MEASURED - len(pairs)
        pairs += [(int(a), int(b)) for a, b in index[block[:left]]]
        distances += [round(measure_arc(chord), 3) for chord in measure_distances(footprints, local[:left]).tolist()]
    leaks = make_leaks(rasters, pairs, ({"distance_m": distance} for distance in distances))
    return Level("distance", not total, None, {"pairs": total}, leaks)
