"""Annotations: features from boxes, polygons and masks in pixel coordinates, by the transforms of the rasters shown.

- `request`       the requests, one for each format
- `coco`, `yolo`, `label_studio`, `cvat`  read a format, as `Annotations`
- `mask_runs`, `brush_runs`  decode masks
- `shapes`        `Annotations`, and the geometries of many shapes at once
- `images`        which raster an image shows
- `encoded_masks`  masks that fit their rasters, decoded
- `pixel_checks`  coordinates that cannot be used, repair, and the way to the CRS
- `parts`         several shapes and holes as one feature
- `edits`         what was edited of the features that were exported
- `plan`          the event
"""
