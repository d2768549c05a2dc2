"""Tag operation: give a revision a permanent name, with a signature and a time stamp.

- `events`     the events: a tag with or without a signature, and a further signature or time stamp of a tag
- `request`    the request
- `signatures` sign a statement about a tag, and have the signature time-stamped
"""
