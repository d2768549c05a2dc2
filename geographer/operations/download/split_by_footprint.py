"""What a feature is made of when several scenes may show it together: pieces, each wholly in or out of every scene."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

Ints = npt.NDArray[np.int64]

_NEGLIGIBLE: Final = 1e-6
"""A piece of less than this share of its feature (by area, or length) is what rounding leaves between scenes."""


class Pieces(NamedTuple):
    """The pieces of features: of which feature each is, shape (pieces,), and which footprint shows which.

    `pieces` and `footprints` are pairs, shape (pairs,). A piece that no footprint shows is in no pair.
    """

    features: Ints
    pieces: Ints
    footprints: Ints


def pieces_of(geometries: npt.NDArray[np.object_], footprints: npt.NDArray[np.object_]) -> Pieces:
    """Cut features along the edges of footprints.

    Args:
        geometries: What there is to show of each feature: shapely geometries, any kind, in longitude/latitude.
        footprints: The different footprints, shapely polygons in longitude/latitude.
    """
    tree = shapely.STRtree(footprints)
    features: list[int] = []
    pairs: list[tuple[int, int]] = []
    for feature, geometry in enumerate(geometries):
        near = np.sort(tree.query(geometry, predicate="intersects"))
        for within in _cut(geometry, [(int(one), footprints[one]) for one in near]):
            pairs += [(len(features), one) for one in within]
            features.append(feature)
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return Pieces(np.array(features, np.int64), both[:, 0], both[:, 1])


def _cut(geometry: shapely.Geometry, footprints: list[tuple[int, shapely.Geometry]]) -> list[tuple[int, ...]]:
    """The footprints that show each piece of a geometry; pieces that the same ones show are one."""
    dimension = int(shapely.get_dimensions(geometry))
    whole = _extent(geometry, dimension)
    parts: dict[tuple[int, ...], shapely.Geometry] = {(): geometry}
    for number, footprint in footprints:
        cut: dict[tuple[int, ...], shapely.Geometry] = {}
        for within, part in parts.items():
            inside = shapely.intersection(part, footprint)
            outside = shapely.difference(part, footprint)
            for name, piece in (((*within, number), inside), (within, outside)):
                if not piece.is_empty and _extent(piece, dimension) > _NEGLIGIBLE * whole:
                    cut[name] = piece
        parts = cut
    return sorted(parts)


def _extent(geometry: shapely.Geometry, dimension: int) -> float:
    """The area (of dimension 2), the length (1) or the number of points (0): what only touches has none of it."""
    if dimension == 0:
        return float(shapely.get_num_coordinates(geometry))
    return float(geometry.area if dimension == 2 else geometry.length)
