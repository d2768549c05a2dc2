"""Label rasters: masks, probabilities, instances, multilabels, boxes, or the output of a user's label maker.

- `events`      the event of label recipes
- `base`        what all label recipes share, and their plan
- `masks`       masks, instances and multilabels
- `probabilities`, `boxes`, `custom`  the other recipes
- `tasks`       what worker processes get and return
- `rendering`   draws the labels of each recipe, and writes their files
"""
