"""Samples: what to train on, one row for each raster with its label files, subset, classes and georeference.

- `selection`      which rasters and labels are samples
- `outdated_labels`  warns of labels that are older than features or rasters
- `table`          the table of samples
- `training_rows`  samples with checked files and objects, for datasets of PyTorch and statistics
- `release_rows`   the same from a release, without the log
- `sample_facts`   what a release adds so that its samples are equal
"""
