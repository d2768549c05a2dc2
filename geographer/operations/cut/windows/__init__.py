"""Window planning: pure functions that decide which windows of which rasters become chips.

- `around`, `boxes`, `cover`, `grid`  the planners
- `positions`             where, along one axis, windows contain a feature
- `feature_raster_pairs`  bounds of features in the rasters that contain them, and the chips that contain features
- `chips`                 what planners return: chips, shortages and their reasons
- `chip_names`            file stems of chips
"""
