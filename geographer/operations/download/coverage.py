"""Predict which features a scene will contain, with the geometry rules that the state applies after the download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from geographer.algorithms.connected_components import Ints
from geographer.storage.database.connection import memory_connection, run_script
from geographer.storage.state.update import MACROS

SceneGeometry = tuple[bytes, str | None, bytes | None]
"""A scene's footprint (WKB, longitude/latitude), and if known its CRS and its outline in that CRS (WKB)."""

_FOLDER: Final = Path(__file__).parent
_SCENE_SCHEMA: Final = pa.schema({"footprint": "binary", "crs": "string", "outline": "binary"})
_FULL_FRACTION: Final = 0.995
"""A stated footprint of at least this fraction of the outline means the full scene with simplified edges."""
_MIN_FRACTION: Final = 1e-6
"""Pieces below this fraction of their feature's area or length are rounding errors between footprints."""


class CoverTargets(NamedTuple):
    """Whole features or pieces that scenes must cover: index of the feature, number of scenes; shape (targets,)."""

    features: Ints
    demands: Ints


class FootprintPieces(NamedTuple):
    """The feature of each piece, shape (pieces,); pairs of a piece and a footprint that contains it, shape (pairs,)."""

    features: Ints
    pieces: Ints
    footprints: Ints


def compute_coverage(
    features: pa.Table, scene_geometries: Sequence[SceneGeometry], *, union: bool
) -> tuple[Ints, CoverTargets]:
    """Return which scene covers which target, as index pairs of shape (pairs, 2), and the targets.

    `features` have `geometry` (WKB, longitude/latitude) and `lacking` (number of scenes); without `union` also `native`
    (WKB) in `crs`, for features recorded in another CRS. With `union`, several scenes cover a feature together: targets
    are pieces of features. Equal `scene_geometries` are evaluated once.
    """
    scenes_by_geometry: dict[SceneGeometry, list[int]] = {}
    for scene, geometry in enumerate(scene_geometries):
        scenes_by_geometry.setdefault(geometry, []).append(scene)
    rows = [dict(zip(_SCENE_SCHEMA.names, geometry, strict=True)) for geometry in scenes_by_geometry]
    table = pa.Table.from_pylist(rows, schema=_SCENE_SCHEMA)
    with memory_connection() as connection:
        connection.register("scene_input", table.append_column("scene_index", pa.array(np.arange(len(rows)))))
        run_script(connection, MACROS.read_text())
        run_script(connection, (_FOLDER / "scene_geometries.sql").read_text(), {"full_fraction": _FULL_FRACTION})
        if union:
            areas = connection.execute((_FOLDER / "scene_areas.sql").read_text()).to_arrow_table()["area"].to_pylist()
            geometries = shapely.from_wkb(features["geometry"].to_pylist())
            pieces = split_by_footprints(geometries, shapely.make_valid(shapely.from_wkb(areas)))
            geometry_pairs = list(zip(pieces.footprints.tolist(), pieces.pieces.tolist(), strict=True))
            targets = CoverTargets(pieces.features, np.ones_like(pieces.features))
        else:
            index = pa.array(np.arange(len(features)))
            connection.register("target_input", features.append_column("target_index", index))
            run_script(connection, (_FOLDER / "scene_coverage.sql").read_text())
            geometry_pairs = connection.execute("FROM scene_target ORDER BY target_index, scene_index").fetchall()
            targets = CoverTargets(index.to_numpy(), features["lacking"].to_numpy().astype(np.int64))
    scenes = list(scenes_by_geometry.values())
    pairs = [(scene, target) for geometry, target in geometry_pairs for scene in scenes[geometry]]
    return np.array(pairs, np.int64).reshape(-1, 2), targets


def split_by_footprints(geometries: npt.NDArray[np.object_], footprints: npt.NDArray[np.object_]) -> FootprintPieces:
    """Split features along the edges of footprints into pieces that are each inside or outside every footprint.

    `geometries` (what to cover of each feature, any type) and distinct polygons `footprints` are in longitude/latitude.
    """
    tree = shapely.STRtree(footprints)
    features: list[int] = []
    pairs: list[tuple[int, int]] = []
    for feature, geometry in enumerate(geometries):
        nearby = np.sort(tree.query(geometry, predicate="intersects"))
        for containing in _split_geometry(geometry, [(int(index), footprints[index]) for index in nearby]):
            pairs += [(len(features), footprint) for footprint in containing]
            features.append(feature)
    piece_indices, footprint_indices = np.array(pairs, np.int64).reshape(-1, 2).T
    return FootprintPieces(np.array(features, np.int64), piece_indices, footprint_indices)


def _split_geometry(
    geometry: shapely.Geometry, footprints: list[tuple[int, shapely.Geometry]]
) -> list[tuple[int, ...]]:
    """Return the indices of the footprints that contain each piece; all parts within the same footprints are one."""
    # The number of points, the length or the area.
    measure = (shapely.get_num_coordinates, shapely.length, shapely.area)[shapely.get_dimensions(geometry)]
    min_extent = _MIN_FRACTION * measure(geometry)
    pieces: dict[tuple[int, ...], shapely.Geometry] = {(): geometry}
    for index, footprint in footprints:
        split: dict[tuple[int, ...], shapely.Geometry] = {}
        for containing, piece in pieces.items():
            inside = shapely.intersection(piece, footprint)
            outside = shapely.difference(piece, footprint)
            for key, part in (((*containing, index), inside), (containing, outside)):
                if not part.is_empty and measure(part) > min_extent:
                    split[key] = part
        pieces = split
    return sorted(pieces)
