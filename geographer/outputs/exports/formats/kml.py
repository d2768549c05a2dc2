"""KML: the outlines of the samples and the features on them, to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from geographer.outputs.exports.export import Export
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.exports.layers import open_features_layer, open_samples_layer
from geographer.outputs.geopackage import FileLayer, write_layer

_SAMPLES: Final = """
    SELECT raster_id AS "Name", coalesce(part, '') AS "Description", stem AS file, collection, part, parent_id,
           feature_id, class, classes, acquired, ST_GeomFromWKB(footprint) AS footprint
    FROM export_sample JOIN sample_footprint USING (raster_key) ORDER BY number
"""


class KmlExporter(Exporter, kw_only=True, frozen=True):
    """Write outlines of the samples, and the features on them, to look at in Google Earth.

    Everything is in longitude/latitude; no pixels are written. The name of an outline is the id of its raster.
    """

    format: ClassVar[str] = "kml"
    title: ClassVar[str] = "KML"
    example: ClassVar[str] = "export kml --to ../kml --subset test"
    takes_all_labels: ClassVar[bool] = False
    layout: ClassVar[Mapping[str, str]] = {
        "samples.kml": "the outlines of the samples with ids, subset and classes",
        "features.kml": "the features with their columns",
    }
    usage: ClassVar[str] = """
import geopandas

samples = geopandas.read_file("samples.kml")
"""

    def write_files(self, export: Export, /) -> None:
        """See `Exporter.write_files`."""
        _write_layer(export, "samples", lambda: open_samples_layer(export, _SAMPLES, {}))
        _write_layer(export, "features", lambda: open_features_layer(export, as_recorded=False))


def _write_layer(export: Export, name: str, open_layer: Callable[[], FileLayer]) -> None:
    def write(path: Path) -> None:
        write_layer(open_layer(), name, path, "KML")

    export.folder.write_path(f"{name}.kml", write)
