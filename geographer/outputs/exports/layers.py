"""Layers of vector files: the outlines of the samples, and the features on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from geographer.outputs.exports.export import Export
from geographer.outputs.geopackage import (
    CRS_COLUMN,
    LONLAT,
    FileLayer,
    stage_recorded_features,
    stage_selected_features,
    stream_layer,
)
from geographer.storage.queries.revision import KEY_COLUMN

FOOTPRINT: Final = "footprint"
_FIXED_DATE: Final = {"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"}
"""The time that GDAL writes into a GeoPackage: equal layers give equal bytes."""
_FEATURES: Final = f"""
    SELECT * FROM features_unordered WHERE {KEY_COLUMN} IN (
        SELECT feature_key FROM current_edge SEMI JOIN (
            SELECT raster_key FROM current_raster SEMI JOIN export_sample USING (raster_id)
        ) USING (raster_key)
    )
"""  # noqa: S608


def open_samples_layer(export: Export, query: str, parameters: dict[str, str]) -> FileLayer:
    """Return the rows of a query as a layer of outlines; it has the column `footprint` in longitude/latitude."""
    export.revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE sample_layer AS {query}", parameters)
    return stream_layer(export.revision, "sample_layer", FOOTPRINT, LONLAT)


def open_features_layer(export: Export, *, as_recorded: bool) -> FileLayer:
    """Return the features that the samples contain or intersect as a layer.

    Args:
        export: The samples.
        as_recorded: Whether geometries are as recorded if all features have one CRS; else in longitude/latitude.
    """
    revision, key = export.revision, KEY_COLUMN.strip('"')
    stage_selected_features(revision, _FEATURES)
    systems = stage_recorded_features(revision) if as_recorded else []
    if len(systems) == 1:
        return stream_layer(revision, "recorded_feature", "geometry", systems[0], [CRS_COLUMN])
    return stream_layer(revision, "selected_feature", "geometry", LONLAT, [key], KEY_COLUMN)


@contextmanager
def fix_file_dates() -> Iterator[None]:
    """Let GDAL write a fixed date instead of the current one."""
    from pyogrio import get_gdal_config_option, set_gdal_config_options

    before = {name: get_gdal_config_option(name) for name in _FIXED_DATE}
    set_gdal_config_options(_FIXED_DATE)
    try:
        yield
    finally:
        set_gdal_config_options(before)
