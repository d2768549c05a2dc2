"""The level of shared pixels: windows of a parent, or ground, that rasters of several subsets share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import shapely

from geographer.algorithms.connected_components import Floats, Links
from geographer.outputs.certificate.levels import MAX_LEAKS, Level, make_leaks
from geographer.outputs.certificate.places import Places, read_footprints
from geographer.outputs.certificate.rasters import CertifiedRasters
from geographer.storage.queries.revision import Revision

MIN_SHARED_GROUND: Final = 1e-6
"""An overlap below this fraction of the smaller area is rounding: shared edges differ slightly in degrees."""
_BLOCK_SIZE: Final = 2048


def check_pixels(revision: Revision, rasters: CertifiedRasters, places: Places) -> Level:
    """Find pairs of different subsets that share pixels of a parent, or ground if they have different parents."""
    windows = np.concatenate([*places.iter_window_pairs(rasters.part)])
    blocks = [_measure_ground(revision, pairs) for pairs in _iter_blocks(places.iter_box_pairs(rasters.part))]
    ground = np.concatenate([np.empty((0, 2), np.int64), *(pairs for pairs, _ in blocks)])
    fractions = np.concatenate([np.empty(0), *(fraction for _, fraction in blocks)])
    pixels = places.count_shared_pixels(windows).tolist()
    details: list[dict[str, Any]] = [{"pixels": count} for count in pixels]
    details += [{"ground_fraction": round(min(fraction, 1.0), 9)} for fraction in fractions.tolist()]
    pairs = np.concatenate([windows, ground])
    order = np.lexsort(pairs.T[::-1])[:MAX_LEAKS].tolist()
    leaks = make_leaks(rasters, ((int(a), int(b)) for a, b in pairs[order]), (details[row] for row in order))
    return Level("shared_pixels", not len(pairs), None, {"pairs": len(pairs)}, leaks)


def _iter_blocks(found: Iterator[Links]) -> Iterator[Links]:
    for pairs in found:
        yield from (pairs[start : start + _BLOCK_SIZE] for start in range(0, len(pairs), _BLOCK_SIZE))


def _measure_ground(revision: Revision, pairs: Links) -> tuple[Links, Floats]:
    """Return the pairs whose footprints overlap, and the fraction of the smaller area that they share."""
    members, local = np.unique(pairs, return_inverse=True)
    shapes = shapely.from_wkb(read_footprints(revision, members))
    first, second = (shapes[column] for column in local.reshape(pairs.shape).T)
    smaller = np.minimum(shapely.area(first), shapely.area(second))
    fraction = shapely.area(shapely.intersection(first, second)) / np.where(smaller > 0, smaller, 1.0)
    is_shared = fraction > MIN_SHARED_GROUND
    return pairs[is_shared], fraction[is_shared]
