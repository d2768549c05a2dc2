"""GeoPackage: samples and features as layers of one file that every GIS edits, beside the GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from geographer.outputs.exports.export import Export
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.geotiff import IMAGE_PATH, express_label_paths, write_geotiffs
from geographer.outputs.exports.index import OBJECTS_LAYOUT, build_index_query, write_objects
from geographer.outputs.exports.layers import fix_file_dates, open_features_layer, open_samples_layer
from geographer.outputs.geopackage import write_layer

_FILE: Final = "samples.gpkg"


class GeopackageExporter(Exporter, kw_only=True, frozen=True):
    """Write GeoTIFFs in folders, and a GeoPackage with the layers samples and features.

    The layer samples has the outlines of the images in longitude/latitude, with relative paths, ids, classes and
    subset; the layer features has the features that they contain or intersect, with exact geometries in their CRS if
    they have one, otherwise in longitude/latitude.
    """

    format: ClassVar[str] = "geopackage"
    title: ClassVar[str] = "a GeoPackage with GeoTIFFs"
    example: ClassVar[str] = "export geopackage --to ../gis"
    layout: ClassVar[Mapping[str, str]] = {
        _FILE: "the layers samples and features",
        "images/PART/NAME.tif": "an image",
        "labels/LABEL/PART/NAME.tif": "a label of the image (boxes: .json)",
        **OBJECTS_LAYOUT,
    }
    usage: ClassVar[str] = f"""
import geopandas

samples = geopandas.read_file("{_FILE}", layer="samples")
features = geopandas.read_file("{_FILE}", layer="features")
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        write_geotiffs(export)
        query, parameters = build_index_query(IMAGE_PATH, express_label_paths(export))

        def write(path: Path) -> None:
            with fix_file_dates():
                write_layer(open_samples_layer(export, query, parameters), "samples", path)
                write_layer(open_features_layer(export, as_recorded=True), "features", path)

        export.folder.write_path(_FILE, write)
        write_objects(export)
