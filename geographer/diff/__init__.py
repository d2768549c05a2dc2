"""Differences between two revisions, as typed rows: what changed, what that means, and patches that carry it.

- `changes`    the objects that differ, with both values
- `selection`  which of them to show
- `wording`    what changed, in words
- `geometry`   how much geometries changed: overlap, area, distances in metres
- `flags`      unusual changes, with reasons
- `version`    PATCH, MINOR or MAJOR, from the data
- `patch`      a difference as a file: written, read, inverted, joined, applied
"""
