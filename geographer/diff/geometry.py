"""Geometry of changed features: how much it differs, from the staged changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.algorithms.geometry_change import GeometryChanges

_CHUNK: Final = 16_384


def measure_changed_geometries(geometries: pa.Table, tolerance: float = 0.0) -> tuple[pa.Array, GeometryChanges]:
    """Return the features (strings) whose geometry differs on both sides, and by how much.

    Shapes are made for some features at a time: they take several times the memory of WKB.

    Args:
        geometries: `feature_id`, `old_geometry` and `new_geometry` (WKB, longitude/latitude), `is_changed`.
        tolerance: See `measure_geometry_changes`.
    """
    import numpy as np
    import pyarrow as pa

    from geographer.algorithms.geometry_change import GeometryChanges

    both = pc.and_(pc.is_valid(geometries["old_geometry"]), pc.is_valid(geometries["new_geometry"]))
    wanted = pc.and_(both, geometries["is_changed"])
    rows = pc.indices_nonzero(wanted)
    starts = range(0, max(len(rows), 1), _CHUNK)
    parts = [_measure_rows(geometries.take(rows.slice(start, _CHUNK)), tolerance) for start in starts]
    measures = GeometryChanges(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    ids = geometries["feature_id"].filter(wanted)
    return pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], pa.string()), measures


def _measure_rows(rows: pa.Table, tolerance: float) -> GeometryChanges:
    import shapely

    from geographer.algorithms.geometry_change import measure_geometry_changes

    old, new = (shapely.from_wkb(rows[f"{side}_geometry"].to_numpy(zero_copy_only=False)) for side in ("old", "new"))
    return measure_geometry_changes(old, new, tolerance)
