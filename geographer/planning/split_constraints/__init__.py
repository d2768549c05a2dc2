"""What a split must not divide, and the leaks of splits: rasters of several parts that it links.

- `declared`     the constraints that the recipe of a split declares
- `groups`       links between rasters that show the same feature, share pixels or lie near each other
- `staged_rasters`  the rasters that are grouped, and whether SQL alone shows that they do not leak
- `near_duplicates`  rasters with nearly the same pixels, as splits found and recorded them
- `leaks`        the leaks of a split, and the fewest changes that end them
- `check`        refuse a revision with a split that leaks
- `description`  sentences about what connects two rasters
"""
