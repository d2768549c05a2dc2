"""Prediction areas, where a model will predict: the parts of a split for one are folds that match its distances."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Bools, Floats, Ints
from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.split.events import AreaMatch
from geographer.storage.database.connection import quote_identifier
from geographer.storage.queries.revision import Revision

PLACES: Final = 2_000
"""How many places represent the area; they are uniform on the sphere."""
MAX_TEXT: Final = 100_000
"""The longest WKT of an area that the log records, in characters."""
_EXAMPLE: Final = "Use WEST,SOUTH,EAST,NORTH in degrees, WKT, or a vector file."
_UNION: Final = "SELECT ST_AsText(ST_Union_Agg(ST_Transform({}, $crs, 'EPSG:4326', always_xy := true))) FROM {}"


class PredictionArea(NamedTuple):
    """Where the rasters and the places of a prediction area are: longitude and latitude in degrees, (n, 2), (m, 2)."""

    rasters: Floats
    places: Floats

    def assign_parts(self, included: Bools, components: Ints, count: int, seed: int) -> Ints:
        """Return the part of each raster, -1 if it is not `included`; components are not divided.

        Raises:
            UsageError: there are fewer components than parts.
        """
        from geographer.algorithms.nearest_neighbour_folds import assign_matching_folds

        groups = np.unique(components[included], return_inverse=True)[1].reshape(-1)
        if groups.max(initial=-1) + 1 < count:
            raise UsageError(f"{count} folds need as many components, but there are {groups.max(initial=-1) + 1}.")
        part = np.full(len(components), -1)
        part[included] = assign_matching_folds(self.rasters[included], groups, self.places, count, seed).folds
        return part

    def compare_parts(self, part: Ints, components: Ints, count: int, seed: int) -> AreaMatch:
        """Return how well the parts of the rasters that have one match, and how well random parts would."""
        from scipy.stats import wasserstein_distance

        from geographer.algorithms.nearest_neighbour_folds import (
            assign_random_folds,
            compute_unit_vectors,
            measure_fold_distances,
            measure_nearest,
        )

        points = compute_unit_vectors(self.rasters[part >= 0])
        groups = np.unique(components[part >= 0], return_inverse=True)[1].reshape(-1)
        target = measure_nearest(compute_unit_vectors(self.places), points)
        random_part = assign_random_folds(groups, count, seed)
        ours, random = (
            float(wasserstein_distance(measure_fold_distances(points, folds), target)) if len(set(folds)) > 1 else 0.0
            for folds in (part[part >= 0].tolist(), random_part.tolist())
        )
        return AreaMatch(round(ours, 3), round(random, 3))


def parse_area(area: Any) -> str:
    """Return an area as WKT if it is a box or WKT, else the path of a file; `UsageError` for a box without extent."""
    text = area if isinstance(area, str) else str(getattr(area, "wkt", area))
    numbers = text.split(",")
    try:
        box = [float(number) for number in numbers]
    except ValueError:
        return text
    if len(box) != 4 or not (-180 <= box[0] <= 180 and -90 <= box[1] < box[3] <= 90 and box[0] < box[2] <= 540):
        raise UsageError(f"invalid --for '{text}'. {_EXAMPLE}")
    west, south, east, north = box
    return f"POLYGON (({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"


def is_wkt(text: str) -> bool:
    """Return whether a text is WKT of an area."""
    return text.lstrip().upper().startswith(("POLYGON", "MULTIPOLYGON", "GEOMETRYCOLLECTION"))


def read_area(revision: Revision, area: str) -> str:
    """Return the area, in longitude/latitude, as WKT: it is WKT or the path of a vector file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it has no area, or more vertices than the log can take.
    """
    import shapely

    text = area if is_wkt(area) else _read_file(revision, area)
    try:
        geometry = shapely.from_wkt(text)
    except shapely.errors.GEOSException as error:
        raise UsageError(f"--for is not valid WKT: {error}. {_EXAMPLE}") from error
    if geometry is None or not shapely.make_valid(geometry).area > 0:
        raise UsageError(f"--for '{area[:80]}' has no area. {_EXAMPLE}")
    west, south, east, north = geometry.bounds
    if not (west >= -180 and east <= 540 and south >= -90 and north <= 90):
        raise UsageError(f"--for '{area[:80]}' is not in degrees of longitude and latitude. {_EXAMPLE}")
    if len(text) > MAX_TEXT:
        raise UsageError(
            f"the area of --for has {shapely.get_num_coordinates(geometry):,} vertices. Simplify it first."
        )
    return text


def _read_file(revision: Revision, path: str) -> str:
    from geographer.planning.vectors.source import open_vector_source

    if not Path(path).exists():
        raise NotFoundError(f"no file '{path}', which --for names. {_EXAMPLE}")
    with open_vector_source(revision.connection, path, None) as source:
        query = _UNION.format(quote_identifier(source.geometry), source.relation)
        return str(revision.fetch_value(query, {"crs": source.crs}))


def sample_places(area: str, seed: int) -> Floats:
    """Return the longitude and latitude, in degrees, of `PLACES` places in an area, shape (m, 2)."""
    import shapely

    from geographer.algorithms.rng import make_rng

    geometry = shapely.make_valid(shapely.from_wkt(area))
    rng, found, count = make_rng(seed, "places"), np.empty((0, 2)), 0
    west, south, east, north = geometry.bounds
    low, high = np.sin(np.radians([max(south, -90.0), min(north, 90.0)]))
    shapely.prepare(geometry)
    while len(found) < PLACES and count < 1000:
        latitude = np.degrees(np.arcsin(rng.uniform(low, high, PLACES)))
        points = np.column_stack([rng.uniform(west, east, PLACES), latitude])
        found = np.concatenate([found, points[shapely.contains_xy(geometry, points)]])
        count += 1
    return found[:PLACES] if len(found) else np.array([[geometry.centroid.x, geometry.centroid.y]])
