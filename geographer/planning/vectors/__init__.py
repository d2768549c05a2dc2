"""Vectors: read vector files, Arrow tables and GeoDataFrames as DuckDB relations with one geometry and one CRS.

- `request`       the parameters of requests that read vector data
- `source`        open vector data: `VectorSource`, its columns and its feature ids
- `crs`           one text for each CRS, and whether it has longitudes and latitudes
- `columns`       columns as a reader finds them, and the names that they get
- `arrow_tables`  GeoDataFrames and Arrow data; GeoParquet files with geometries that DuckDB does not know
- `parquet_files` other GeoParquet files
- `gdal_files`    files that GDAL reads, in a process of its own, which a damaged file may crash

The script of that process is `gdal_reader`; it uses `gdal_columns`, `text_files` (encodings) and `json_text` (ids and
integers that GDAL does not give).
"""
