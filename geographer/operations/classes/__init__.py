"""Classes operation: plan the events that change the classes of features.

- `remap`          rename, combine or drop classes
- `probabilities`  assign each feature its most probable class; the probability columns, which `remap` also reads
"""
