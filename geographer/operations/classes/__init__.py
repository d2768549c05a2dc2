"""Classes operation: change the classes of features.

- `events`         the events
- `remap`          rename, combine or drop classes
- `label_values`   the pixels of added labels, which a remap rewrites
- `probabilities`  assign each feature its most probable class; the probability columns, which `remap` also reads
"""
