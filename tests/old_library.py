"""Data directories of the previous library, GeoGrapher 1.0, written by hand as it writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely

CRS84 = "urn:ogc:def:crs:OGC:1.3:CRS84"

Objects = dict[Any, tuple[dict[str, Any], shapely.Geometry]]
"""Name to own columns and geometry."""
Edges = dict[tuple[Any, str], str]
"""Vector and raster to 'contains' or 'intersects'."""


def says(footprint: shapely.Geometry, vector: shapely.Geometry) -> str | None:
    """What the library would have put into its graph."""
    if footprint.contains(vector):
        return "contains"
    return "intersects" if footprint.intersects(vector) else None


def graph_of(vectors: Objects, rasters: Objects) -> Edges:
    """The graph that the library would have made of these."""
    pairs = (
        (v, r, says(footprint, shape)) for v, (_, shape) in vectors.items() for r, (_, footprint) in rasters.items()
    )
    return {(vector, raster): relation for vector, raster, relation in pairs if relation}


def write_old(
    folder: Path,
    vectors: Objects,
    rasters: Objects,
    edges: Edges | None = None,
    *,
    classes: tuple[str, ...] = ("pond", "quarry"),
    background: str | None = None,
    crs: str = CRS84,
) -> Path:
    """A data directory in `folder`, without raster files; its graph is right unless `edges` are given."""
    connector = folder / "connector"
    connector.mkdir(parents=True)
    (folder / "rasters").mkdir()
    attrs = {"task_vector_classes": list(classes), "background_class": background}
    attrs |= {"crs_epsg_code": 4326, "raster_count_col_name": "raster_count"}
    (connector / "attrs.json").write_text(json.dumps(attrs, indent=4))
    counted = {name: ({"raster_count": 0, **columns}, shape) for name, (columns, shape) in vectors.items()}
    _write(connector / "vectors.geojson", "vector_name", counted, crs)
    _write(connector / "rasters.geojson", "raster_name", rasters, crs)
    write_graph(folder, graph_of(vectors, rasters) if edges is None else edges, vectors, rasters)
    return folder


def write_graph(folder: Path, edges: Edges, vectors: Any = (), rasters: Any = ()) -> None:
    """Its graph, from both sides; JSON knows no keys but text."""
    graph: dict[str, dict[str, dict[str, str]]] = {
        "vectors": {str(name): {} for name in vectors},
        "rasters": {str(name): {} for name in rasters},
    }
    for (vector, raster), relation in edges.items():
        graph["vectors"].setdefault(str(vector), {})[raster] = relation
        graph["rasters"].setdefault(raster, {})[str(vector)] = relation
    (folder / "connector" / "graph.json").write_text(json.dumps(graph, indent=4))


def _write(path: Path, index: str, objects: Objects, crs: str) -> None:
    features = [
        {"type": "Feature", "properties": {index: name, **columns}, "geometry": json.loads(shapely.to_geojson(shape))}
        for name, (columns, shape) in objects.items()
    ]
    whole = {"type": "FeatureCollection", "name": path.stem, "crs": {"type": "name", "properties": {"name": crs}}}
    path.write_text(json.dumps({**whole, "features": features}))
