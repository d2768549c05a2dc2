"""`download`: find scenes for features that lack rasters, download the fewest, and convert them to GeoTIFF.

- `recipe`              parameters, and planning at a revision: features to cover, existing products
- `plan`                the plan: selected scenes, their download, the event
- `search`              archive searches and scene selection
- `search_boxes`        few search boxes for many features
- `coverage`            which scene covers which feature
- `split_by_footprint`  pieces of features that several scenes cover together
- `select_scenes`       the fewest scenes that cover all targets
- `deduplicate`         the newest processing of each acquisition
- `fetch`, `convert`    download of the selected scenes, conversion by a reader
- `make_source`         creation of the source, rejection of credentials
- `metadata_columns`    columns that describe a raster's product, and raster ids
"""
