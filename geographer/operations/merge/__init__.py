"""Merge operation: import another dataset, the source dataset, as one event.

- `events`          the event
- `request`         the request
- `source_dataset`  read the source dataset at a revision
- `plan`            compare its recipes, features, rasters and labels with this dataset's, and plan the event
"""
