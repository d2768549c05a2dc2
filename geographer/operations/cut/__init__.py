"""Cut recipes: chips around features, in a grid, of boxes, as the fewest chips (cover), or by a user-defined cutter.

- `base`            the base class of cut recipes with the parameters that all share, and their plan
- `events`          the event that they record
- `around`, `grid`, `boxes`, `cover`, `custom`  the recipes, one module for each command
- `windows`         pure planning of windows
- `nodata_fraction` the fraction of nodata in a window
- `render`          windows of rasters copied into GeoTIFFs
"""
