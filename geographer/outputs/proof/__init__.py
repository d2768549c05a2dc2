"""Proofs that an object is in a tagged revision, or that a tagged log is a part of a later one.

- `objects`  the recorded version of an object at a revision, as the row that its digest covers
- `prove`    audit paths and consistency proofs of RFC 9162, with the tag and its signatures, as a JSON document
- `signatures` the signatures of tags as a table, and requests for time stamps
"""
