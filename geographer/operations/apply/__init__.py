"""Apply operation: take the changes of a patch over as one event.

- `events`        the event
- `request`       the request
- `plan`          which changes are taken
- `head`          the head's versions of the objects that a patch changes
- `three_way`     merge one object: its values in the patch, and at the head
- `conflicts`     what a patch and the head changed differently
- `class_values`  distinct values of classes, and a class for each feature
- `columns`       which user columns to add and to drop
- `recipes`       which recipes to record and to remove, and which of them run code
- `derived`       what recipes made that goes with what the patch changes
- `orders`        places in the order of addition
- `checks`        what the patch leads to: references, content digest, files of new rasters
- `rows`          the rows of the event
- `payload`       the payload of the event
- `files`         the bytes that the taken changes need
"""
