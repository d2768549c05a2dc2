"""Where rasters are: the middles of their footprints."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geographer.storage.queries.revision import Revision

_SHIFT = np.array([[360.0, 0.0]])


def locate_rasters(revision: Revision, rasters: list[str]) -> NDArray[np.float64]:
    """Return the longitude and latitude, in degrees, of the middle of each raster's footprint, shape (n, 2).

    Longitudes are above 180 where a footprint crosses the antimeridian and its middle is in the west.
    """
    import shapely

    footprints = dict(revision.fetch_rows("SELECT raster_id, ST_AsWKB(footprint) FROM current_raster"))
    middles = np.empty((len(rasters), 2))
    for index, raster in enumerate(rasters):
        footprint = shapely.from_wkb(footprints[raster])
        west, _, east, _ = footprint.bounds
        if footprint.geom_type == "MultiPolygon" and west <= -180 and east >= 180:
            footprint = shapely.union_all([_shift_western(part) for part in footprint.geoms])
        middles[index] = footprint.centroid.x, footprint.centroid.y
    return middles


def _shift_western(part: Any) -> Any:
    import shapely

    return shapely.transform(part, lambda points: points + _SHIFT) if part.centroid.x < 0 else part
