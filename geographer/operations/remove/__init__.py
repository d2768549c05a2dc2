"""Remove operation: features, rasters or recipes, with everything that depends on them.

- `events`   the events
- `request`  the requests
- `restore`  the requests that undo removals
- `withdraw` the request that deletes the bytes of rasters, too
"""
