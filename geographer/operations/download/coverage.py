"""Predict which features a scene will contain, with the geometry rules that the state applies after the download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.storage.database.connection import memory_connection, run_script
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

    Connection = duckdb.DuckDBPyConnection

Ints = npt.NDArray[np.int64]

SceneGeometry = tuple[bytes, str | None, bytes | None]
"""A scene's footprint (WKB, longitude/latitude), and if known its CRS and its outline in that CRS (WKB)."""

_FOLDER: Final = Path(__file__).parent
_FULL_FRACTION: Final = 0.995
"""A stated footprint of at least this fraction of the outline means the full scene with simplified edges."""


class CoverTargets(NamedTuple):
    """Whole features or pieces that scenes must cover: index of the feature, number of scenes; shape (targets,)."""

    features: Ints
    demands: Ints


def compute_coverage(
    features: pa.Table, scene_geometries: Sequence[SceneGeometry], *, union: bool
) -> tuple[Ints, CoverTargets]:
    """Return which scene covers which target, as index pairs of shape (pairs, 2), and the targets.

    Args:
        features: Features with `geometry` (WKB, longitude/latitude) and `lacking` (number of scenes); without `union`
            also `native` (WKB) in `crs`, for features recorded in another CRS.
        scene_geometries: Geometry of each scene; equal ones are evaluated once.
        union: Let several scenes cover a feature together: targets are pieces of features.
    """
    scenes_by_geometry: dict[SceneGeometry, list[int]] = {}
    for scene, geometry in enumerate(scene_geometries):
        scenes_by_geometry.setdefault(geometry, []).append(scene)
    if union:
        geometry_pairs, targets = _cover_pieces(features, list(scenes_by_geometry))
    else:
        lacking = features["lacking"].to_numpy().astype(np.int64)
        targets = CoverTargets(np.arange(len(lacking)), lacking)
        geometry_pairs = _contain_features(features, list(scenes_by_geometry))
    scenes = list(scenes_by_geometry.values())
    pairs = [(scene, target) for geometry, target in geometry_pairs.tolist() for scene in scenes[geometry]]
    return np.array(pairs, np.int64).reshape(-1, 2), targets


def _contain_features(features: pa.Table, scene_geometries: list[SceneGeometry]) -> Ints:
    """Return which scene geometry contains which feature, shape (pairs, 2)."""
    import pyarrow as pa

    with memory_connection() as connection:
        _stage_scene_geometries(connection, scene_geometries)
        connection.register("target_input", features.append_column("target_index", pa.array(np.arange(len(features)))))
        run_script(connection, (_FOLDER / "scene_coverage.sql").read_text())
        pairs = connection.execute("FROM scene_target ORDER BY target_index, scene_index").to_arrow_table()
    return np.column_stack([pairs["scene_index"].to_numpy(), pairs["target_index"].to_numpy()]).astype(np.int64)


def _cover_pieces(features: pa.Table, scene_geometries: list[SceneGeometry]) -> tuple[Ints, CoverTargets]:
    """Return which scene geometry covers which piece of a feature, shape (pairs, 2), and the pieces."""
    import shapely

    from geographer.operations.download.split_by_footprint import split_by_footprints

    with memory_connection() as connection:
        _stage_scene_geometries(connection, scene_geometries)
        areas = connection.execute((_FOLDER / "scene_areas.sql").read_text()).to_arrow_table()["area"].to_pylist()
    geometries = shapely.from_wkb(features["geometry"].to_pylist())
    pieces = split_by_footprints(geometries, shapely.make_valid(shapely.from_wkb(areas)))
    pairs = np.column_stack([pieces.footprints, pieces.pieces])
    return pairs, CoverTargets(pieces.features, np.ones(len(pieces.features), np.int64))


def _stage_scene_geometries(connection: Connection, scene_geometries: list[SceneGeometry]) -> None:
    """Create the table `scene_geometry`."""
    import pyarrow as pa

    schema = pa.schema([("scene_index", "int64"), ("footprint", "binary"), ("crs", "string"), ("outline", "binary")])
    rows = [dict(zip(schema.names, (index, *scene), strict=True)) for index, scene in enumerate(scene_geometries)]
    connection.register("scene_input", pa.Table.from_pylist(rows, schema=schema))
    run_script(connection, MACROS.read_text())
    run_script(connection, (_FOLDER / "scene_geometries.sql").read_text(), {"full_fraction": _FULL_FRACTION})
