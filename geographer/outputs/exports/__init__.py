"""Exports: samples in the formats that training libraries read.

- `formats`           the formats by name; one module for each
- `exporter`          the base class of formats: their parameters, and what they write
- `export`            what a format is given: samples with files, classes and objects, page by page
- `objects`           the objects on samples, in pixel coordinates
- `folder`            the folder: files written once, resumed, listed in a manifest
- `card`              the README of an export
- `run`               one export from the selection to the manifest

What several formats share: `geotiff` (images as GeoTIFF), `pictures` (images of 8 bits), `annotated_images` (for
annotation tools), `index` (GeoParquet tables), `layers` (of vector files), `terratorch` (a configuration).
"""
