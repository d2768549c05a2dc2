"""Merge operation: join two branches three-way, resolve what both changed differently, and revert events.

- `events`     the events
- `request`    the requests to merge, to resolve conflicts, and to revert
- `sides`      the chains that a comparison reads: both parents and their bases, after their common events
- `decide`     which version of each object is taken, by SQL
- `three_way`  merge an object that both changed, column by column
- `contested`  the declared objects that both changed
- `classes`    classes with distinct values, and a class for each feature
- `facts`      recipes, user columns, tags and remembered removals of each side
- `user_columns`  the types of merged user columns
- `recipes`    which recipes to record and to remove, and what that means for what they made
- `splits`     leaks of the merged splits as conflicts
- `orders`     places in the order of addition
- `files`      the bytes that the rows need
- `combine`    all of that: what the event says, and its rows
- `merge`      the plan of a merge
- `resolve`    the plan of resolutions
- `resolution_files`  files with the value that resolves a conflict
- `resolution_values`  which JSON each column takes
- `revert`     the plan of a reverted event
- `run`        merge by an event or by moving the branch; take a merge back
- `columns`    the columns of an object that are merged on their own
"""
