"""Flags: the unusual changes, ranked, each with its reasons and its event.

- `flag`       a flag, its reasons, and how many alike are joined into one
- `geometry`   features that moved, shrank, were split or reshaped, beyond what the other changes do
- `features`   features of another class, and added ones that do not fit the others
- `labels`     labels that are older than the features on them
- `rasters`    chips whose source was altered
- `splits`     rasters in another subset, components that span two, classes that vanished from one
"""
