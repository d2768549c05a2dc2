"""Split features along the footprints of scenes into pieces that are each inside or outside every footprint."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

Ints = npt.NDArray[np.int64]

_MIN_FRACTION: Final = 1e-6
"""Pieces below this fraction of their feature's area or length are rounding errors between footprints."""


class FootprintPieces(NamedTuple):
    """Pieces of features, and pairs of a piece and a footprint that contains it.

    `features` is the index of each piece's feature, shape (pieces,); `pieces` and `footprints` are the indices of each
    pair, shape (pairs,).
    """

    features: Ints
    pieces: Ints
    footprints: Ints


def split_by_footprints(geometries: npt.NDArray[np.object_], footprints: npt.NDArray[np.object_]) -> FootprintPieces:
    """Split features along the edges of footprints.

    Args:
        geometries: The part of each feature to cover: shapely geometries of any type, longitude/latitude.
        footprints: Distinct footprints: shapely polygons, longitude/latitude.
    """
    tree = shapely.STRtree(footprints)
    features: list[int] = []
    pairs: list[tuple[int, int]] = []
    for feature, geometry in enumerate(geometries):
        nearby = np.sort(tree.query(geometry, predicate="intersects"))
        for containing in _split_geometry(geometry, [(int(index), footprints[index]) for index in nearby]):
            pairs += [(len(features), footprint) for footprint in containing]
            features.append(feature)
    pair_array = np.array(pairs, np.int64).reshape(-1, 2)
    return FootprintPieces(np.array(features, np.int64), pair_array[:, 0], pair_array[:, 1])


def _split_geometry(
    geometry: shapely.Geometry, footprints: list[tuple[int, shapely.Geometry]]
) -> list[tuple[int, ...]]:
    """Return the indices of the footprints that contain each piece; all parts within the same footprints are one."""
    dimension = int(shapely.get_dimensions(geometry))
    min_extent = _MIN_FRACTION * _measure_extent(geometry, dimension)
    pieces: dict[tuple[int, ...], shapely.Geometry] = {(): geometry}
    for index, footprint in footprints:
        split: dict[tuple[int, ...], shapely.Geometry] = {}
        for containing, piece in pieces.items():
            inside = shapely.intersection(piece, footprint)
            outside = shapely.difference(piece, footprint)
            for key, part in (((*containing, index), inside), (containing, outside)):
                if not part.is_empty and _measure_extent(part, dimension) > min_extent:
                    split[key] = part
        pieces = split
    return sorted(pieces)


def _measure_extent(geometry: shapely.Geometry, dimension: int) -> float:
    """Return the area (dimension 2), length (1) or number of points (0) of a geometry."""
    if dimension == 0:
        return float(shapely.get_num_coordinates(geometry))
    return float(geometry.area if dimension == 2 else geometry.length)
