"""Remove operation: features, rasters or recipes, with everything that depends on them.

- `events`   the events
- `request`  the requests
- `labels`   the request that removes labels which no recipe makes
- `restore`  the requests that undo removals
- `withdraw` the request that deletes the bytes of rasters, too
"""
