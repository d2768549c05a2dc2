"""Planning: what the plans of several operations share. Nothing here writes to the log.

- `recipe`            recipes: requests that the log keeps; their registry, and the recipes of a revision
- `recipe_events`     what the events of recipes have in common
- `shared_parameters` declarations of parameters that several operations share
- `event_schemas`     JSON Schemas of payloads, from their classes
- `upcasters`         what older versions recorded otherwise
- `collections`       named sets of rasters
- `selection`         which features and rasters a recipe uses: an SQL expression or a selector
- `input_problems`    why a row of input cannot be used: codes of SQL checks, the errors, and rows of skipped inputs
- `raster_rows`       log rows of raster files
- `class_values`      values of the classes that an event adds
- `removed_rasters`   log rows that remove rasters and what depends on them; removals that recipes remember
- `user_columns`      names and types of the columns that come from input data
- `vectors`           vector files and tables as DuckDB relations
- `up_to_date_labels` the labels that a merge can copy
- `merge_conflicts`   what two branches changed differently, as rows
"""
