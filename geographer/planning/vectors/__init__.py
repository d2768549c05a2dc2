"""Vectors: read vector files, Arrow tables and GeoDataFrames as DuckDB relations with one geometry and one CRS.

- `request`     the parameters of requests that read vector data
- `source`      open vector data: `VectorSource`, its columns and its feature ids
- `gdal_reader` a script that reads a file with GDAL in a process of its own, which a damaged file may crash
"""
