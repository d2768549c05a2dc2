"""Samples: what to train on, one row for each raster with its label files, subset, classes and georeference."""
