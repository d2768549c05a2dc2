"""Split a collection into parts such as train, val and test, without leakage between them.

- `recipe`     parameters, and planning at a revision
- `events`     the event that it records
- `plan`       the plan of a split, a pure function of rasters, links and earlier decisions
- `conflicts`  components with rasters of several parts, and how to resolve them
- `assign`     the part of each new component
- `report`     how close a split comes to its target fractions
"""
