"""Planning: what the plans of several operations share. Nothing here writes to the log.

- `recipe`            the protocols of recipes and plans, the options of a run, and its outputs
- `selection`         which features and rasters a recipe uses: an SQL expression or a selector
- `raster_rows`       log rows of raster files
- `class_values`      values of the classes that an event adds
- `removed_rasters`   log rows that remove rasters and what depends on them
- `user_columns`      names and types of the columns that come from input data
- `vector_source`     vector files and tables as DuckDB relations
- `up_to_date_labels` the labels that a merge can copy
"""
