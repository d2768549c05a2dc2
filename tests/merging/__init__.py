"""Branches and merges against an independent model.

`python -m tests.merging` runs random histories of three clones, and with `--mutants` shows that planted faults of the
merge are found.
"""
