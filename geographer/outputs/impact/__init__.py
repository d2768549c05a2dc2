"""Impact: what a change between two revisions means for a subset of a split, and for scores computed on it."""
