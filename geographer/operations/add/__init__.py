"""Add operation: read features, rasters or footprints from files and plan the event that adds them.

- `events`                the events
- `features`              vector data as features
- `rasters`               raster files; `gdal_tags` makes user columns of their tags
- `labels`                label files of users, which `label_files` reads and writes; `label_recipe` is their recipe
- `classes`               classes without features
- `annotations`           boxes, polygons and masks in pixel coordinates as features
- `catalogue`             footprints without pixels, from vector data or STAC items (`stac_catalogue`)
- `geographer_directory`  reading a data directory of GeoGrapher 1.0, and comparing its graph with a dataset's edges
- `geographer_labels`     its labels
- `geographer_import`     its classes, features, rasters and footprints as one event
"""
