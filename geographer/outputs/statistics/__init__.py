"""Statistics of samples: bands, pixels by class, and objects, of each subset and of all, in one pass over the files."""
