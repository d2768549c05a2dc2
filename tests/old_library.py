"""Write data directories in the format of the previous library, GeoGrapher 1.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely

CRS84 = "urn:ogc:def:crs:OGC:1.3:CRS84"

Objects = dict[Any, tuple[dict[str, Any], shapely.Geometry]]
"""Name to attributes and geometry."""
Edges = dict[tuple[Any, str], str]
"""Pair of vector and raster names to 'contains' or 'intersects'."""


def find_relation(footprint: shapely.Geometry, vector: shapely.Geometry) -> str | None:
    """Return the relation that GeoGrapher 1.0 records."""
    if footprint.contains(vector):
        return "contains"
    return "intersects" if footprint.intersects(vector) else None


def make_graph(vectors: Objects, rasters: Objects) -> Edges:
    """Return the graph that GeoGrapher 1.0 makes of vectors and rasters."""
    pairs = (
        (v, r, find_relation(footprint, shape))
        for v, (_, shape) in vectors.items()
        for r, (_, footprint) in rasters.items()
    )
    return {(vector, raster): relation for vector, raster, relation in pairs if relation}


def write_directory(
    folder: Path,
    vectors: Objects,
    rasters: Objects,
    edges: Edges | None = None,
    *,
    classes: tuple[str, ...] = ("pond", "quarry"),
    background: str | None = None,
    crs: str = CRS84,
) -> Path:
    """Write a data directory without raster files; `edges` replaces the correct graph."""
    connector = folder / "connector"
    connector.mkdir(parents=True)
    (folder / "rasters").mkdir()
    attrs: dict[str, Any] = {"task_vector_classes": list(classes), "background_class": background}
    attrs |= {"crs_epsg_code": 4326, "raster_count_col_name": "raster_count"}
    (connector / "attrs.json").write_text(json.dumps(attrs, indent=4))
    with_count = {name: ({"raster_count": 0, **columns}, shape) for name, (columns, shape) in vectors.items()}
    _write_layer(connector / "vectors.geojson", "vector_name", with_count, crs)
    _write_layer(connector / "rasters.geojson", "raster_name", rasters, crs)
    write_graph(folder, make_graph(vectors, rasters) if edges is None else edges, vectors, rasters)
    return folder


def write_graph(folder: Path, edges: Edges, vectors: Any = (), rasters: Any = ()) -> None:
    """Write graph.json, which lists each edge from both sides."""
    graph: dict[str, dict[str, dict[str, str]]] = {
        "vectors": {str(name): {} for name in vectors},
        "rasters": {str(name): {} for name in rasters},
    }
    for (vector, raster), relation in edges.items():
        graph["vectors"].setdefault(str(vector), {})[raster] = relation
        graph["rasters"].setdefault(raster, {})[str(vector)] = relation
    (folder / "connector" / "graph.json").write_text(json.dumps(graph, indent=4))


def _write_layer(path: Path, index: str, objects: Objects, crs: str) -> None:
    features = [
        {"type": "Feature", "properties": {index: name, **columns}, "geometry": json.loads(shapely.to_geojson(shape))}
        for name, (columns, shape) in objects.items()
    ]
    collection = {"type": "FeatureCollection", "name": path.stem, "crs": {"type": "name", "properties": {"name": crs}}}
    path.write_text(json.dumps({**collection, "features": features}))
