"""Exports: samples in the formats that training libraries read.

- `formats`   the formats by name; one module for each
- `exporter`  the base class of formats: their parameters, and what they write
- `export`    what a format is given: samples with files, classes, objects, and the folder
- `folder`    the folder: files written once, resumed, listed in a manifest
- `card`      the README of an export
- `run`       one export from the selection to the manifest
"""
