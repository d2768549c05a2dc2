"""Import a dataset: take another dataset, the source dataset, in as one event.

- `events`          the event
- `request`         the request
- `common_history`  the last revision that both datasets share
- `source_dataset`  read the source dataset at a revision, and at the common one
- `merged_recipes`  which recipes to import
- `merged_objects`  which features and rasters to import, to keep and to remove
- `plan`            the plan of the event, with classes, labels and files
"""
