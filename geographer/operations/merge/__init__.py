"""Merge operation: import another dataset, the source dataset, as one event.

- `source_dataset`  read the source dataset at a revision
- `options`         options, recipes, collections and classes: rename them, and compare them with this dataset's
- `plan`            compare features, rasters and labels with this dataset's, and plan the event
"""
