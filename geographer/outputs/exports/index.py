"""The index of an export: a GeoParquet table of the samples with relative paths, and one of the objects in labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from geographer.outputs.exports.export import Export
from geographer.outputs.table_text import write_parquet_query
from geographer.storage.database.connection import quote_identifier

SAMPLES: Final = "samples.parquet"
OBJECTS: Final = "objects.parquet"
OBJECTS_LAYOUT: Final = {
    OBJECTS: "only with labels of instances or boxes: the objects in them with their numbers or boxes",
}
INDEX_LAYOUT: Final = {
    SAMPLES: "GeoParquet: the samples with footprint, paths, ids, classes, CRS and transform",
    **OBJECTS_LAYOUT,
}
_INDEX: Final = """
    SELECT number, raster_id, stem AS name, collection, part, parent_id, feature_id, class, classes, main_class,
           {paths}, crs, transform, width, height, bands, dtype, nodata, acquired, sha256,
           ST_GeomFromWKB(footprint) AS footprint
    FROM export_sample JOIN sample_footprint USING (raster_key) ORDER BY number
"""
_LABEL_PATH: Final = """
    if(raster_id IN (SELECT raster_id FROM current_label WHERE label = ${key}), {path}, NULL) AS {column}
"""
_OBJECTS: Final = """
    SELECT label, number, raster_id, feature_id, class, instance, box
    FROM current_label_object JOIN (SELECT number, raster_id FROM export_sample) USING (raster_id)
    WHERE label IN (SELECT unnest($labels::VARCHAR[])) ORDER BY label, number, instance, feature_id
"""


def write_index(export: Export, image: str, labels: Mapping[str, str]) -> None:
    """Write the tables of samples, and of the objects in labels.

    Args:
        export: The samples.
        image: SQL for the path of an image, with the columns of `export_sample`.
        labels: The same for each label file by the name of the label.
    """
    query, names = build_index_query(image, labels)
    connection = export.revision.connection
    export.folder.write_path(SAMPLES, lambda path: write_parquet_query(connection, query, names, path))
    write_objects(export)


def build_index_query(image: str, labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the query of the table of samples with its parameters; the arguments are those of `write_index`."""
    paths, names = [f"{image} AS image"], {}
    for index, (label, path) in enumerate(labels.items()):
        names[f"label_{index}"] = label
        column = quote_identifier(f"label_{label}")
        paths.append(_LABEL_PATH.format(key=f"label_{index}", path=path, column=column))
    return _INDEX.format(paths=", ".join(paths)), names


def write_objects(export: Export) -> None:
    """Write the table of the objects in labels of instances and boxes, if there are such labels."""
    numbered = [label.name for label in export.list_labels("instances", "boxes")]
    if numbered:
        chosen = {"labels": numbered}
        connection = export.revision.connection
        export.folder.write_path(OBJECTS, lambda path: write_parquet_query(connection, _OBJECTS, chosen, path))
