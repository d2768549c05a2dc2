"""Apply operation: take the changes of a patch over as one event.

- `events`       the event
- `request`      the request
- `conflicts`    what a patch and the head changed differently
- `three_way`    merge one object: its values in the patch, and at the head
- `columns`      which user columns to add and to drop
- `plan`         which changes are taken, and what follows from them
- `files`        the bytes that the taken changes need
"""
