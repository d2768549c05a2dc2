"""Classes operation: change the classes of features.

- `events`         the events
- `remap`          rename, combine or drop classes
- `probabilities`  assign each feature its most probable class; the probability columns, which `remap` also reads
"""
