"""The cut recipes: chips around features, in a grid, in given boxes, or as few as can be."""
