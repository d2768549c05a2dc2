"""Geometry of changed features: how much it differs, from the staged changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.algorithms.geometry_change import GeometryChanges


def measure_changed_geometries(geometries: pa.Table) -> tuple[list[str], GeometryChanges]:
    """Return the features whose geometry differs on both sides, and by how much.

    Args:
        geometries: `feature_id`, `old_geometry` and `new_geometry` (WKB, longitude/latitude), `is_changed`.
    """
    import shapely

    from geographer.algorithms.geometry_change import measure_geometry_changes

    both = pc.and_(pc.is_valid(geometries["old_geometry"]), pc.is_valid(geometries["new_geometry"]))
    rows = geometries.filter(pc.and_(both, geometries["is_changed"]))
    old, new = (shapely.from_wkb(rows[f"{side}_geometry"].to_numpy(zero_copy_only=False)) for side in ("old", "new"))
    return rows["feature_id"].to_pylist(), measure_geometry_changes(old, new)
