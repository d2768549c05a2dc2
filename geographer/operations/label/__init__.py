"""Label rasters: masks, probabilities, instances, multilabels, boxes, or the output of a user's label maker.

- `base`        the base class of label recipes, and their plan
- `masks`       masks, instances and multilabels
- `probabilities`, `boxes`, `custom`  the other recipes
- `rendering`   the label files
- `up_to_date`  the labels that a merge can copy
"""
