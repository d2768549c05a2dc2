"""`download`: find scenes for features that lack rasters, download the fewest, and convert them to GeoTIFF.

- `recipe`            the request with its parameters
- `plan`              features to cover and existing products at a revision, the selected scenes, the event
- `search`            archive searches and scene selection
- `search_boxes`      few search boxes for many features
- `coverage`          which scene covers which feature, or which piece of one
- `select_scenes`     the fewest scenes that cover all targets
- `deduplicate`       the newest processing of each acquisition
- `fetch`             download of the selected scenes, conversion by a reader
- `metadata_columns`  columns that describe a raster's product, and raster ids
- `events`            the event
"""
